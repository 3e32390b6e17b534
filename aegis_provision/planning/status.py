"""A host's status: what was written last, what is there now, and what is wanted."""

from __future__ import annotations

from dataclasses import field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import shown_key
from aegis_provision.aegis.file_in_use import NotChecked
from aegis_provision.planning.diff import is_equal
from aegis_provision.planning.drift import drift_of, removed_keys
from aegis_provision.planning.hand_edits import hand_edits, overriding_variables
from aegis_provision.planning.host_plan import plan_compared
from aegis_provision.planning.plan import Action, ChangeKind
from aegis_provision.planning.receipts import REST, Receipt, RejectedReceipt
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.templates import references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.host_plan import Comparison
    from aegis_provision.planning.receipts import WriteInfo
    from aegis_provision.providers.session_variables import Session, Variable

_BY_HAND = (
    "the file is what the inventory says, and no receipt says that this tool wrote it: "
    "its values count as managed after the next write"
)


class HostState(StrEnum):
    """A state of a host; it may be in several. The values are those of the JSON documents."""

    IN_SYNC = "in_sync"
    DRIFTED = "drifted"
    EDITED = "edited"
    PENDING = "pending"
    NEVER_PROVISIONED = "never_provisioned"
    RESTART_PENDING = "restart_pending"
    NOT_READ = "not_read"
    ERROR = "error"
    UNREACHABLE = "unreachable"


class ProviderMatch(Enum):
    """Why a host's file matches no provider. No ``StrEnum``: a provider may have such a name."""

    OTHER = "other"
    NONE = "none"
    UNKNOWN = "unknown"


class TokenState(StrEnum):
    """What a host holds of a token, from the right one to the unknown."""

    CURRENT = "current"
    OLDER = "older"
    ANOTHER = "another"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The status of one host.

    ``drifted`` and ``pending`` are names of session variables, or ``file.mode``; ``unknown`` names
    variables on the host whose desired values were withheld. ``edited`` are other keys of the file
    that were changed by hand, safe to show; ``overriding`` session variables in it that decide over
    the provider's own; ``lost_lock`` says that its ``authToken`` was removed. ``message`` says why,
    and ``hint`` what to do next. ``wrote`` says which run wrote the file last, if a receipt does.
    ``current_provider`` is the provider of what the file holds, ``wanted`` that of the inventory.
    ``tokens`` says what the host has of each variable of the operator's environment that holds a
    secret. ``secrets`` are those in the host's file: they must be masked in any text about the
    host.
    """

    host: str
    path: str
    wanted: str
    states: tuple[HostState, ...]
    drifted: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    overriding: tuple[str, ...] = ()
    lost_lock: bool = False
    message: str = ""
    hint: str = ""
    wrote: WriteInfo | None = None
    current_provider: str | ProviderMatch = ProviderMatch.UNKNOWN
    tokens: Mapping[str, TokenState] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)


def status_of(
    comparison: Comparison,
    receipt: Receipt | RejectedReceipt | None,
    *,
    restart_pending: bool = False,
) -> HostStatus:
    """Return the status of a host that could be read.

    Without a valid receipt nothing is known to have drifted: what differs is pending.
    """
    host, session, actual = comparison.host, comparison.session, comparison.actual
    plan = plan_compared(comparison, receipt)
    if plan.action is Action.ERROR:
        return HostStatus(
            host.name,
            actual.path,
            session.spec.provider,
            (HostState.NOT_READ if comparison.not_read else HostState.ERROR,),
            message=plan.message,
            hint=plan.hint,
            tokens=_all_unknown(session),
            secrets=comparison.secrets,
        )
    trusted = receipt if isinstance(receipt, Receipt) else None
    environment = comparison.environment
    drift = drift_of(environment, session, trusted)
    # Only a changed mode counts as drift; a new file's mode and owner are no change on the host.
    loosened = tuple(
        change.key for change in comparison.file_changes if change.kind is ChangeKind.CHANGED
    )
    drifted = (*drift.drifted, *loosened) if trusted else ()
    pending = drift.pending if trusted else (*drift.pending, *loosened)
    edits = hand_edits(comparison.config, trusted, session.names)
    gone = removed_keys(environment, session, trusted).unchanged
    overriding = overriding_variables(environment, {*session.names, *gone})
    edited = bool(edits.keys or overriding)
    in_sync = not drifted and not pending and not overriding and not edits.lost_lock
    in_state = (
        (HostState.DRIFTED, bool(drifted)),
        (HostState.EDITED, edited and not in_sync),
        (HostState.PENDING, bool(pending) and receipt is not None),
        (HostState.IN_SYNC, in_sync),
        (HostState.EDITED, edited and in_sync),
        (HostState.NEVER_PROVISIONED, receipt is None),
        (HostState.RESTART_PENDING, restart_pending),
    )
    states = tuple(state for state, holds in in_state if holds)
    return HostStatus(
        host.name,
        actual.path,
        session.spec.provider,
        states,
        drifted,
        pending,
        comparison.unknown,
        tuple(_shown(key) for key in edits.keys),
        overriding,
        edits.lost_lock,
        message="; ".join(_messages(comparison, receipt, states)),
        wrote=trusted.info if trusted else None,
        current_provider=_current_provider(environment, session, trusted),
        tokens=_tokens(environment, session, trusted),
        secrets=comparison.secrets,
    )


def unreachable_status(host: Host, session: Session, reason: str, hint: str) -> HostStatus:
    """Return the status of a host that could not be reached."""
    return HostStatus(
        host.name,
        host.target.config_path,
        session.spec.provider,
        (HostState.UNREACHABLE,),
        message=reason,
        hint=hint,
        tokens=_all_unknown(session),
    )


def _shown(key: str) -> str:
    return key if key == REST else ".".join(shown_key(step) for step in key.split("."))


def _messages(
    comparison: Comparison, receipt: Receipt | RejectedReceipt | None, states: Sequence[HostState]
) -> Iterator[str]:
    if isinstance(receipt, RejectedReceipt):
        yield (
            f"the receipt beside the file does not count ({receipt.reason}): what was "
            "changed on the host can't be told from what is pending"
        )
    elif receipt is None and HostState.IN_SYNC in states:
        yield _BY_HAND
    if isinstance(comparison.reading, NotChecked):
        yield comparison.reading.warning


def _current_provider(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None
) -> str | ProviderMatch:
    """Return the provider whose base URL the file holds, if its name is known."""
    name = VARIABLE_OF["base_url"]
    current, desired = environment.get(name), session.values.get(name)
    if not current:
        return ProviderMatch.NONE
    if receipt is not None and receipt.is_as_written(name, current):
        return receipt.provider
    if desired is not None and is_equal(current, desired):
        return session.spec.provider
    return ProviderMatch.OTHER


def _tokens(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None
) -> dict[str, TokenState]:
    """Return what the file holds of each secret of the operator's environment.

    If a secret goes into several variables, the worst state of them counts.
    """
    states: dict[str, TokenState] = {}
    order = list(TokenState)
    for variable in _sensitive(session):
        state = _token_state(environment, session, receipt, variable.name)
        for reference in references(variable.template):
            worst = states.get(reference.name, state)
            states[reference.name] = max(worst, state, key=order.index)
    return states


def _token_state(
    environment: Mapping[str, str], session: Session, receipt: Receipt | None, name: str
) -> TokenState:
    current, desired = environment.get(name), session.values.get(name)
    if current is None:
        return TokenState.NONE
    if desired is None:
        return TokenState.UNKNOWN
    if is_equal(current, desired):
        return TokenState.CURRENT
    # A token that was written for another provider is no older token of this one.
    same_provider = receipt is not None and receipt.provider == session.spec.provider
    if receipt is not None and same_provider and receipt.is_as_written(name, current):
        return TokenState.OLDER
    return TokenState.ANOTHER


def _all_unknown(session: Session) -> dict[str, TokenState]:
    return {
        reference.name: TokenState.UNKNOWN
        for variable in _sensitive(session)
        for reference in references(variable.template)
    }


def _sensitive(session: Session) -> Iterator[Variable]:
    return (variable for variable in session.spec.variables if variable.sensitive)
