"""One host and what it should have: all that the work on it needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.providers.session import Session
    from aegis_provision.rollout.aegis_client import AegisApi


@dataclass(frozen=True, slots=True)
class HostJob:
    """One host and what it should have.

    ``api_token`` opens Aegis' API there, ``None`` for the token in the host's own file.
    ``restarts`` says that a play of the run would do a restart that is pending, so that the host
    is asked whether one is. ``pending_restarts`` holds the absolute paths of files on the host for
    which the operator's records know of a pending restart.
    """

    host: Host
    session: Session
    api_token: Secret | None = field(default=None, repr=False)
    restarts: bool = False
    pending_restarts: frozenset[str] = frozenset()

    def api(self, plan: HostPlan) -> AegisApi:
        """Return Aegis' API on the host, once ``plan`` has seen its file."""
        from aegis_provision.rollout.aegis_client import AegisApi

        token = self.api_token or plan.auth_token
        return AegisApi(self.host.service.api, token, locked=plan.auth_token is not None)

    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret that is known of the host before it is read."""
        values = (*self.session.values.values(), self.api_token)
        return tuple(value for value in values if isinstance(value, Secret))
