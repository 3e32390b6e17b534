"""What an import reads of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.receipts import Receipt, RejectedReceipt


@dataclass(frozen=True, slots=True)
class InspectedHost:
    """One host as it is; ``actual`` is ``None`` if it was unreachable.

    ``plan`` is what any inventory would do there: refuse, or correct the file's mode; without a
    file there is nothing to plan. ``receipt`` is what lies beside a file with session variables.
    """

    host: Host
    plan: HostPlan
    actual: RemoteState | None
    receipt: Receipt | RejectedReceipt | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must be masked in any text about the host."""
        return self.plan.secrets
