"""The status of hosts, as text and as the ``status`` document."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from aegis_provision.humanize import escape_control, group_by, group_pairs, listed, utc_text
from aegis_provision.inventory.ranges import truncate
from aegis_provision.planning.status import HostState, HostStatus, ProviderMatch, TokenState
from aegis_provision.report.console import UNKNOWN, count_words, hint_lines, name_lines
from aegis_provision.report.json_documents import Document, document, message_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.planning.receipts import WriteInfo
    from aegis_provision.planning.status import HostStatus

WORDS = {
    HostState.IN_SYNC: "in sync",
    HostState.DRIFTED: "drifted",
    HostState.EDITED: "edited",
    HostState.PENDING: "pending",
    HostState.NEVER_PROVISIONED: "never provisioned",
    HostState.RESTART_PENDING: "restart pending",
    HostState.NOT_READ: "not read by Aegis",
    HostState.ERROR: "in error",
    HostState.UNREACHABLE: "unreachable",
}
"""Each state's name in text."""

_STYLE = {
    HostState.IN_SYNC: "green",
    HostState.DRIFTED: "bold magenta",
    HostState.EDITED: "magenta",
    HostState.PENDING: "yellow",
    HostState.NEVER_PROVISIONED: "yellow",
    HostState.RESTART_PENDING: "cyan",
    HostState.NOT_READ: "bold red",
    HostState.ERROR: "bold red",
    HostState.UNREACHABLE: "bold red",
}
_SIGN = {
    HostState.IN_SYNC: "=",
    HostState.DRIFTED: "!",
    HostState.EDITED: "!",
    HostState.PENDING: "~",
    HostState.NEVER_PROVISIONED: "+",
    HostState.RESTART_PENDING: "=",
    HostState.NOT_READ: "x",
    HostState.ERROR: "x",
    HostState.UNREACHABLE: "?",
}
_UNNAMED = {
    ProviderMatch.OTHER: "(another one)",
    ProviderMatch.NONE: "(none)",
    ProviderMatch.UNKNOWN: "(not known)",
}
_TOKEN_WORDS = {
    TokenState.CURRENT: "current",
    TokenState.OLDER: "an older one",
    TokenState.ANOTHER: "another",
    TokenState.NONE: "none",
    TokenState.UNKNOWN: "not known",
}
_MOST_NAMES = 8
_LOST_LOCK = (
    "authToken was removed by hand: Aegis' API there answers without a token, now or from its next "
    "start on, unless Aegis gets one another way (AEGIS_AUTH_TOKEN, a key)"
)
By = Literal["provider", "secret"]
"""What hosts are counted by, in addition to the list."""


def status_lines(
    statuses: Sequence[HostStatus], *, width: int, every_host: bool = False
) -> list[Text]:
    """Return the lines for ``statuses``; hosts with the same status form a group.

    ``every_host`` names each host in full, and says which run wrote its file and when.
    """
    groups = group_statuses(statuses, every_host=every_host)
    lines: list[Text] = []
    column = max((len(state_words(group[0])) for group in groups), default=0)
    for group in groups:
        lines.extend(_group_lines(group, column, width, every_host=every_host))
    lines.append(_summary(statuses))
    return lines


def group_statuses(
    statuses: Sequence[HostStatus], *, every_host: bool = False
) -> list[Sequence[HostStatus]]:
    """Return the groups of hosts with the same status, each at the place of its first host."""
    groups = group_by(statuses, lambda status: _group_key(status, every_host=every_host))
    return list(groups.values())


def needs_attention(status: HostStatus) -> bool:
    """Tell whether the host lacks what is wanted, or its Aegis does not run on it."""
    return status.states != (HostState.IN_SYNC,)


def provider_lines(statuses: Sequence[HostStatus]) -> list[Text]:
    """Return a line per provider: how many hosts have it now, and how many should."""
    now = Counter(status.current_provider for status in statuses)
    desired = Counter(status.wanted for status in statuses)
    rows = [("PROVIDER", "NOW", "WANTED")]
    rows += [(name, str(now[name]), str(desired[name])) for name in providers_of(statuses)]
    rows += [(words, str(now[kind]), "-") for kind, words in _UNNAMED.items() if now[kind]]
    first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        Text(f"{name:<{first}}  {hosts:>{second}}  {goal:>{third}}", style="" if at else "bold")
        for at, (name, hosts, goal) in enumerate(rows)
    ]


def secret_lines(
    statuses: Sequence[HostStatus], *, width: int, every_host: bool = False
) -> list[Text]:
    """Return, for each secret variable of the operator, which hosts hold which value of it."""
    lines: list[Text] = []
    for name in dict.fromkeys(name for status in statuses for name in status.tokens):
        hosts_by_state = group_pairs(
            (status.tokens[name], status.host) for status in statuses if name in status.tokens
        )
        counts = [
            f"{len(hosts_by_state[state])} {_TOKEN_WORDS[state]}"
            for state in TokenState
            if state in hosts_by_state
        ]
        lines.append(Text(f"${{{name}}}: {', '.join(counts)}", style="bold"))
        for state in TokenState:
            if state is not TokenState.CURRENT and state in hosts_by_state:
                lines.append(Text(f"  {_TOKEN_WORDS[state]}:"))
                names = _names(hosts_by_state[state], every_host=every_host)
                lines.extend(name_lines(names, width))
    return lines or [Text("No host needs a secret.")]


def _group_key(status: HostStatus, *, every_host: bool) -> object:
    return (
        status.states,
        status.drifted,
        status.pending,
        status.unknown,
        status.edited,
        status.overriding,
        status.lost_lock,
        status.message,
        status.hint,
        status.wrote if every_host else None,
    )


def _group_lines(
    group: Sequence[HostStatus], column: int, width: int, *, every_host: bool
) -> Iterator[Text]:
    first = group[0]
    state = first.states[0]
    label = f"{_SIGN[state]} {state_words(first):<{column}}  "
    style = _STYLE[state]
    if len(group) == 1:
        yield Text(f"{label}{first.host}", style=style)
    else:
        yield Text(f"{label}{len(group)} hosts", style=style)
        yield from name_lines(
            _names([status.host for status in group], every_host=every_host), width
        )
    yield from detail_lines(first)
    if every_host and first.wrote is not None:
        write = first.wrote
        yield Text(
            f"    written by {write.run} at {write.written:%Y-%m-%d %H:%M:%S} UTC "
            f"(aegis-provision {write.version})",
            style="dim",
        )


def detail_lines(status: HostStatus) -> list[Text]:
    """Return what differs on a host, why, and what to do next: names, never values."""
    return list(_details(status))


def _details(first: HostStatus) -> Iterator[Text]:
    if first.drifted:
        yield Text(f"    drifted: {', '.join(first.drifted)}", style=_STYLE[HostState.DRIFTED])
    if first.pending:
        yield Text(f"    pending: {', '.join(first.pending)}", style=_STYLE[HostState.PENDING])
    if first.edited:
        yield Text(f"    edited by hand: {listed(first.edited)}", style=_STYLE[HostState.EDITED])
    if first.lost_lock:
        yield Text(f"    {_LOST_LOCK}", style="bold red")
    if first.overriding:
        names = ", ".join(first.overriding)
        remedy = ", ".join(f"{name}: null" for name in first.overriding)
        yield Text(f"    sessions follow {names} and not the provider", style="bold red")
        yield Text(f"    try: 'env: {{{remedy}}}' in the inventory, which removes it from the host")
    if first.unknown:
        yield Text(f"    {UNKNOWN}: {', '.join(first.unknown)}", style="dim")
    if first.message:
        yield Text(f"    {escape_control(first.message)}")
    yield from hint_lines(first.hint)


def state_words(status: HostStatus) -> str:
    """Return the states of a host in words."""
    return ", ".join(WORDS[item] for item in status.states)


def _names(hosts: Sequence[str], *, every_host: bool) -> list[str]:
    return list(hosts) if every_host else truncate(hosts, _MOST_NAMES)


def _summary(statuses: Sequence[HostStatus]) -> Text:
    counts = Counter(state for status in statuses for state in status.states)
    parts = count_words(counts, WORDS)
    if unknown := sum(bool(status.unknown) for status in statuses):
        parts.append(f"{unknown} with tokens {UNKNOWN}")
    return Text("Status: " + (", ".join(parts) if parts else "no hosts"), style="bold")


def status_document(statuses: Sequence[HostStatus], by: By | None = None) -> Document:
    """Return the ``status`` document, with the numbers that ``by`` asks for in it."""
    counts = Counter(state for status in statuses for state in status.states)
    body: Document = {
        "hosts": [host_status_content(status) for status in statuses],
        "summary": {state.value: counts[state] for state in HostState},
    }
    if by == "provider":
        body["providers"] = _providers(statuses)
    elif by == "secret":
        body["secrets"] = _secrets(statuses)
    return document("status", body)


def host_status_content(status: HostStatus) -> Document:
    """Return one host's status as it stands in a document."""
    current_provider = status.current_provider
    return {
        "host": status.host,
        "provider": status.wanted,
        "path": status.path,
        "state": [state.value for state in status.states],
        "drifted": list(status.drifted),
        "pending": list(status.pending),
        "unknown": list(status.unknown),
        "edited": list(status.edited),
        "overriding": list(status.overriding),
        "message": message_of(status.message, status.hint),
        "written": None if status.wrote is None else _write(status.wrote),
        "runs_on": None if isinstance(current_provider, ProviderMatch) else current_provider,
        "runs_on_kind": current_provider.value
        if isinstance(current_provider, ProviderMatch)
        else "named",
        "tokens": {name: state.value for name, state in status.tokens.items()},
    }


def _write(write: WriteInfo) -> Document:
    return {
        "run": write.run,
        "at": utc_text(write.written),
        "version": write.version,
    }


def _providers(statuses: Sequence[HostStatus]) -> Document:
    now = Counter(status.current_provider for status in statuses)
    desired = Counter(status.wanted for status in statuses)
    return {
        "named": [
            {"provider": name, "hosts": now[name], "wanted": desired[name]}
            for name in providers_of(statuses)
        ],
        **{kind.value: now[kind] for kind in ProviderMatch},
    }


def providers_of(statuses: Sequence[HostStatus]) -> list[str]:
    """Return the names of the current and the wanted providers, the wanted ones first."""
    names = [status.wanted for status in statuses]
    names += [
        status.current_provider
        for status in statuses
        if not isinstance(status.current_provider, ProviderMatch)
    ]
    return list(dict.fromkeys(names))


def _secrets(statuses: Sequence[HostStatus]) -> list[Document]:
    names = dict.fromkeys(name for status in statuses for name in status.tokens)
    return [
        {
            "variable": name,
            **{
                state.value: sum(status.tokens.get(name) is state for status in statuses)
                for state in TokenState
            },
        }
        for name in names
    ]
