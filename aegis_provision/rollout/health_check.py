"""Checks that Aegis is healthy after a restart, and that it runs on its file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.aegis.api import SESSIONS_PATH, dropped_config
from aegis_provision.rollout.gates import Blocked, Ok, get_health, tries
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.rollout.gates import AegisApi, SendRequest

_ROUNDING = 1.5
_SHORTEST_TIMEOUT = 0.5


def wait_for_health(
    api: AegisApi,
    send: SendRequest,
    timeout: float,
    *,
    restarted: float | None,
    pause: Callable[[float], object] = time.sleep,
) -> Ok | Blocked:
    """Return once the server is healthy and runs on its file, or what is wrong with it.

    ``restarted`` is when its restart began (``time.monotonic``), ``None`` if there was none. A
    server that answers without a token although its file holds one has dropped the file: waiting
    does not bring it back.
    """
    verdict: Ok | Blocked | str = ""
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause):
        verdict = _check_once(api, send, seconds, restarted)
        if not isinstance(verdict, str):
            return verdict
    when = f" {timeout:g} s after its restart" if restarted is not None else ""
    return Blocked(f"Aegis is not healthy{when}: {verdict}", "look at its log on the host")


def _check_once(
    api: AegisApi, send: SendRequest, timeout: float, restarted: float | None
) -> Ok | Blocked | str:
    """Ask once: a verdict, or what is still missing."""
    health = get_health(api, send, timeout)
    if isinstance(health, HttpFailure):
        if health.cause is None:
            return Ok((f"its health was not checked: {health.reason}",))
        return f"{health.reason} ({api.address})"
    if restarted is not None and (health.uptime or 0.0) > time.monotonic() - restarted + _ROUNDING:
        return "the server that answers is the one from before the restart"
    if api.locked:
        response = send(api.request_for(SESSIONS_PATH, with_token=False), timeout)
        if isinstance(response, HttpFailure):
            return response.reason
        if dropped_config(response.status):
            return Blocked(
                "Aegis dropped its file: its API answers without a token",
                "look at its log for why, and whether it can read the file",
            )
    if health.status != "ok":
        return f"it says it is {health.status}"
    if api.token is not None and health.uptime is None:
        return "its API does not take the token"
    if restarted is not None and health.uptime is None:
        return Ok(("that it was restarted was not checked: its API's token is not known",))
    return Ok()
