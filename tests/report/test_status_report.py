"""Hosts' states as text: a large fleet on one screen, and what needs a person in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.planning.receipts import WriteInfo
from aegis_provision.planning.status import HostState, HostStatus, ProviderMatch, TokenState
from aegis_provision.report.status_report import provider_lines, secret_lines, status_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

STAMP = WriteInfo("20261125T101500Z-0a1b2c", datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")


def _plain(lines: Iterable[Text]) -> list[str]:
    return [line.plain for line in lines]


def _in_sync(name: str, provider: str = "openrouter") -> HostStatus:
    return HostStatus(
        name,
        f"/opt/{name}/aegis.config.json",
        provider,
        (HostState.IN_SYNC,),
        wrote=STAMP,
        current_provider=provider,
        tokens={"OPENROUTER_API_KEY": TokenState.CURRENT},
    )


FLEET = [
    *(_in_sync(f"build-{number:03}") for number in range(1, 151)),
    HostStatus("edge-01", "/x", "glm", (HostState.DRIFTED, HostState.PENDING), ("A",), ("A", "B")),
    *(_in_sync(f"gpu-{number:02}", "ollama") for number in range(1, 48)),
    HostStatus(
        "lab-01", "/x", "glm", (HostState.ERROR,), message="it is\x1b broken", hint="mend it"
    ),
    HostStatus("lab-02", "/x", "glm", (HostState.UNREACHABLE,), message="nothing listens there"),
]


def test_two_hundred_hosts_fit_on_a_screen() -> None:
    assert _plain(status_lines(FLEET, width=80)) == [
        "= in sync           197 hosts",
        "    build-[001:150], gpu-[01:47]",
        "! drifted, pending  edge-01",
        "    drifted: A",
        "    pending: A, B",
        "x in error          lab-01",
        "    it is\\x1b broken",
        "    try: mend it",
        "? unreachable       lab-02",
        "    nothing listens there",
        "Status: 197 in sync, 1 drifted, 1 pending, 1 in error, 1 unreachable",
    ]


def test_who_wrote_is_said_where_every_host_is_named() -> None:
    lines = _plain(status_lines(FLEET[:2], width=80, every_host=True))
    assert lines == [
        "= in sync  2 hosts",
        "    build-001, build-002",
        "    written by 20261125T101500Z-0a1b2c at 2026-11-25 10:15:00 UTC (aegis-provision 0.4.0)",
        "Status: 2 in sync",
    ]


def test_no_hosts() -> None:
    assert _plain(status_lines([], width=80)) == ["Status: no hosts"]
    assert _plain(secret_lines([], width=80)) == ["No host needs a secret."]


def test_providers_are_counted_as_they_are_and_as_they_should_be() -> None:
    other = HostStatus("x", "/x", "glm", (HostState.PENDING,), current_provider=ProviderMatch.OTHER)
    assert _plain(provider_lines([*FLEET, other])) == [
        "PROVIDER       NOW  WANTED",
        "openrouter     150     150",
        "glm              0       4",
        "ollama          47      47",
        "(another one)    1       -",
        "(not known)      3       -",
    ]


def test_hosts_that_lag_behind_are_named() -> None:
    old = HostStatus(
        "z", "/x", "o", (HostState.PENDING,), tokens={"OPENROUTER_API_KEY": TokenState.OLDER}
    )
    assert _plain(secret_lines([*FLEET, old], width=80)) == [
        "${OPENROUTER_API_KEY}: 197 current, 1 an older one",
        "  an older one:",
        "    z",
    ]
