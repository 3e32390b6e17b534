"""Checks that Aegis is healthy after a restart, and that it runs on its file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH, dropped_config
from aegis_provision.aegis.api_verdict import (
    CLAUDE_TOO_OLD,
    DROPPED_FILE,
    HOW_TO_OPEN,
    LOCKED,
    NO_CLAUDE,
    NONE_TAKEN,
    TOO_OFTEN,
    too_often,
)
from aegis_provision.humanize import listed
from aegis_provision.rollout.aegis_client import TOO_MANY_REQUESTS, AskedTooOften
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown, blocked, tries
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.aegis.api_responses import ClaudeCode, Health
    from aegis_provision.rollout.aegis_client import AegisClient

_ROUNDING = 1.5
_SHORTEST_TIMEOUT = 0.5


def wait_for_health(
    client: AegisClient,
    timeout: float,
    *,
    restarted: float | None,
    pause: Callable[[float], object] = time.sleep,
) -> Ok | Unknown | Blocked:
    """Return once the server is healthy and runs on its file, or what is wrong with it.

    ``restarted`` is when its restart began (``time.monotonic``), ``None`` if there was none. A
    server that answers without a token although its file holds one has dropped the file: waiting
    does not bring it back. Nor does it make an API take a token that it does not take.
    """
    verdict: Ok | Unknown | Blocked | str = ""
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause):
        verdict = _check_once(client, seconds, restarted)
        if not isinstance(verdict, str):
            return verdict
    when = f" {timeout:g} s after its restart" if restarted is not None else ""
    return Blocked(f"Aegis is not healthy{when}: {verdict}", "look at its log on the host")


def _check_once(
    client: AegisClient, timeout: float, restarted: float | None
) -> Ok | Unknown | Blocked | str:
    """Ask once: a verdict, or what is still missing."""
    health = client.health(timeout)
    if isinstance(health, HttpFailure):
        if isinstance(health, AskedTooOften):
            return too_often(health.wait).message
        if health.cause is None:
            return Unknown(f"its health was not checked: {health.reason}")
        return f"{health.reason} ({client.address})"
    if restarted is not None and (health.uptime or 0.0) > time.monotonic() - restarted + _ROUNDING:
        client.restarted()
        return "the server that answers is the one from before the restart"
    response = client.get(SESSIONS_PATH, timeout, with_token=False)
    if isinstance(response, HttpFailure):
        return response.reason
    if response.status == TOO_MANY_REQUESTS:
        return TOO_OFTEN
    is_open = dropped_config(response.status)
    if is_open and client.locked:
        return blocked(DROPPED_FILE)
    if health.status != "ok":
        return f"it says it is {health.status}"
    if client.refused and not is_open:
        return Blocked(f"its API {NONE_TAKEN}", HOW_TO_OPEN)
    if restarted is not None and health.uptime is None:
        return Unknown(f"that it was restarted was not checked: its API {LOCKED} ({HOW_TO_OPEN})")
    return Ok(tuple(_warnings(health, is_open=is_open)))


def _warnings(health: Health, *, is_open: bool) -> Iterator[str]:
    if is_open:
        yield "its API answers without a token"
    if health.claude is not None and (problem := _claude_problem(health.claude)):
        yield problem


def _claude_problem(claude: ClaudeCode) -> str:
    if not claude.available:
        return f"{NO_CLAUDE}: sessions can't start"
    if claude.healthy:
        return ""
    versions = [f"it is {claude.version}" if claude.version else ""]
    versions.append(f"{claude.minimum} is the oldest that serves" if claude.minimum else "")
    why = listed((text for text in versions if text), between=", and ")
    return f"{CLAUDE_TOO_OLD}{f' ({why})' if why else ''}"
