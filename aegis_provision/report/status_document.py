"""The status of hosts as the ``status`` document."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from aegis_provision.humanize import utc_text
from aegis_provision.planning.status import HostState, ProviderMatch, TokenState
from aegis_provision.report.json_documents import Document, document, message_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.planning.receipts import WriteInfo
    from aegis_provision.planning.status import HostStatus

By = Literal["provider", "secret"]
"""What hosts are counted by, in addition to the list."""


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
        "message": message_of(status.message, status.hint),
        "written": None if status.wrote is None else _stamp(status.wrote),
        "runs_on": None if isinstance(current_provider, ProviderMatch) else current_provider,
        "runs_on_kind": current_provider.value
        if isinstance(current_provider, ProviderMatch)
        else "named",
        "tokens": {name: state.value for name, state in status.tokens.items()},
    }


def _stamp(stamp: WriteInfo) -> Document:
    return {
        "run": stamp.run,
        "at": utc_text(stamp.written),
        "version": stamp.version,
    }


def _providers(statuses: Sequence[HostStatus]) -> Document:
    now = Counter(status.current_provider for status in statuses)
    wanted = Counter(status.wanted for status in statuses)
    return {
        "named": [
            {"provider": name, "hosts": now[name], "wanted": wanted[name]}
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
