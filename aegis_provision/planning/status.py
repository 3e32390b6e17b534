"""How a host stands: what was written there last, what is there now, and what is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from aegis_provision.planning.diff import is_equal
from aegis_provision.planning.drift import drift_of
from aegis_provision.planning.host_plan import plan_compared
from aegis_provision.planning.model import Action, ChangeKind
from aegis_provision.planning.receipts import Receipt, Untrusted
from aegis_provision.providers.session import VARIABLE_OF
from aegis_provision.providers.templates import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.inventory.model import Host
    from aegis_provision.planning.host_plan import Comparison
    from aegis_provision.planning.receipts import Stamp
    from aegis_provision.providers.session import Session, Variable

_BY_HAND = (
    "the file is what the inventory says, and no receipt says that this tool wrote it: "
    "what is in it counts as nobody's until a write"
)


class State(StrEnum):
    """What holds for a host (the words of the JSON contract); several may at once."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    PENDING = "pending"
    NEVER_PROVISIONED = "never_provisioned"
    RESTART_PENDING = "restart_pending"
    ERROR = "error"
    UNREACHABLE = "unreachable"


class OnNone(Enum):
    """Why no provider's name can be said for what a host's file holds. No text: one may be so."""

    OTHER = "other"
    NONE = "none"
    UNKNOWN = "unknown"


class Holding(StrEnum):
    """What a host holds of a token, from what is right to what nobody can explain."""

    CURRENT = "current"
    OLDER = "older"
    ANOTHER = "another"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HostStatus:
    """How one host stands.

    ``drifted`` and ``pending`` are names of session variables, or ``file.mode``; ``unknown`` names
    variables there whose wanted values were withheld. ``message`` says
    why, or what is worth knowing, with what to do next in ``hint``. ``wrote`` says who wrote the
    file last, where a receipt does. ``runs_on`` names the provider of what the file holds,
    ``wanted`` that of the inventory; ``tokens`` tells, per variable of the operator's environment
    that holds a secret, what the host has of it. ``secrets`` are those that the file there holds:
    nobody may see them in any text about the host.
    """

    host: str
    path: str
    wanted: str
    states: tuple[State, ...]
    drifted: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""
    wrote: Stamp | None = None
    runs_on: str | OnNone = OnNone.UNKNOWN
    tokens: Mapping[str, Holding] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)


def status_of(
    comparison: Comparison, receipt: Receipt | Untrusted | None, *, restart_pending: bool = False
) -> HostStatus:
    """Return how a host stands that could be read.

    Without a receipt that counts nothing is known to have drifted: what differs is pending.
    """
    host, session, actual = comparison.host, comparison.session, comparison.actual
    plan = plan_compared(comparison, receipt)
    if plan.action is Action.ERROR:
        return HostStatus(
            host.name,
            actual.path,
            session.spec.provider,
            (State.ERROR,),
            message=plan.message,
            hint=plan.hint,
            tokens=_all_unknown(session),
            secrets=comparison.secrets,
        )
    trusted = receipt if isinstance(receipt, Receipt) else None
    environment = comparison.environment
    drift = drift_of(environment, session, trusted)
    # A new file's mode and owner are no news; a mode that changed is what somebody did to ours.
    loosened = tuple(
        change.key for change in comparison.file_changes if change.kind is ChangeKind.CHANGED
    )
    drifted = (*drift.drifted, *loosened) if trusted else ()
    pending = drift.pending if trusted else (*drift.pending, *loosened)
    states = [*_states(receipt, drifted, pending)]
    if restart_pending:
        states.append(State.RESTART_PENDING)
    return HostStatus(
        host.name,
        actual.path,
        session.spec.provider,
        tuple(states),
        drifted,
        pending,
        comparison.unknown,
        message=_message(receipt, states),
        wrote=trusted.stamp if trusted else None,
        runs_on=_runs_on(environment, session, trusted),
        tokens=_tokens(environment, session, trusted),
        secrets=comparison.secrets,
    )


def unreachable_status(host: Host, session: Session, reason: str, hint: str) -> HostStatus:
    """Return the status of a host that nobody could talk to."""
    return HostStatus(
        host.name,
        host.target.config_path,
        session.spec.provider,
        (State.UNREACHABLE,),
        message=reason,
        hint=hint,
        tokens=_all_unknown(session),
    )


def _states(
    receipt: Receipt | Untrusted | None, drifted: tuple[str, ...], pending: tuple[str, ...]
) -> Iterator[State]:
    if drifted:
        yield State.DRIFTED
    if pending and receipt is not None:
        yield State.PENDING
    if not drifted and not pending:
        yield State.IN_SYNC
    if receipt is None:
        yield State.NEVER_PROVISIONED


def _message(receipt: Receipt | Untrusted | None, states: list[State]) -> str:
    if isinstance(receipt, Untrusted):
        return (
            f"the receipt beside the file does not count ({receipt.reason}): what somebody "
            "changed can't be told from what is pending"
        )
    return _BY_HAND if receipt is None and State.IN_SYNC in states else ""


def _runs_on(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None
) -> str | OnNone:
    """Return the provider whose base URL the file holds, as far as we know it by name."""
    name = VARIABLE_OF["base_url"]
    there, wanted = environment.get(name), session.values.get(name)
    if not there:
        return OnNone.NONE
    if receipt is not None and receipt.is_as_written(name, there):
        return receipt.provider
    if wanted is not None and is_equal(there, wanted):
        return session.spec.provider
    return OnNone.OTHER


def _tokens(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None
) -> dict[str, Holding]:
    """Return what the file holds of each secret of the operator's environment.

    Where one goes into several variables, the worst of them counts.
    """
    found: dict[str, Holding] = {}
    worst = list(Holding)
    for variable in _sensitive(session):
        held = _holding(environment, session, receipt, variable.name)
        for reference in references(variable.template):
            known = found.get(reference.name, held)
            found[reference.name] = max(known, held, key=worst.index)
    return found


def _holding(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None, name: str
) -> Holding:
    there, wanted = environment.get(name), session.values.get(name)
    if there is None:
        return Holding.NONE
    if wanted is None:
        return Holding.UNKNOWN
    if is_equal(there, wanted):
        return Holding.CURRENT
    # What was written for another provider is no older token of this one.
    ours = receipt is not None and receipt.provider == session.spec.provider
    if receipt is not None and ours and receipt.is_as_written(name, there):
        return Holding.OLDER
    return Holding.ANOTHER


def _all_unknown(session: Session) -> dict[str, Holding]:
    return {
        reference.name: Holding.UNKNOWN
        for variable in _sensitive(session)
        for reference in references(variable.template)
    }


def _sensitive(session: Session) -> Iterator[Variable]:
    return (variable for variable in session.spec.variables if variable.sensitive)
