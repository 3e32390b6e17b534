"""Checks that Aegis is healthy after a restart, and that it runs on its file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.aegis.api import SESSIONS_PATH, dropped_config
from aegis_provision.rollout.aegis_client import get_health
from aegis_provision.rollout.verdict import (
    FIRST_PAUSE,
    REQUEST_TIMEOUT,
    Blocked,
    Ok,
    next_pause,
)
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from aegis_provision.aegis.api import Health
    from aegis_provision.rollout.aegis_client import AegisApi, SendRequest
    from aegis_provision.rollout.verdict import Pause

_ROUNDING = 1.5


def wait_for_health(
    api: AegisApi, send: SendRequest, timeout: float, *, restarted: float | None, pause: Pause
) -> Ok | Blocked:
    """Return once the server is healthy and runs on its file, or what is wrong with it.

    ``restarted`` is when its restart began (``time.monotonic``), ``None`` if there was none. A
    server that answers without a token although its file holds one has dropped the file: waiting
    does not bring it back.
    """
    until, wait = time.monotonic() + timeout, FIRST_PAUSE
    while True:
        left = until - time.monotonic()
        verdict = _check_once(api, send, max(0.5, min(REQUEST_TIMEOUT, left)), restarted)
        if not isinstance(verdict, str):
            return verdict
        left = until - time.monotonic()
        if left <= 0:
            return Blocked(
                f"Aegis is not healthy {timeout:g} s after its restart: {verdict}"
                if restarted is not None
                else f"Aegis is not healthy: {verdict}",
                "look at its log on the host",
            )
        pause(min(wait, left))
        wait = next_pause(wait)


def _check_once(
    api: AegisApi, send: SendRequest, timeout: float, restarted: float | None
) -> Ok | Blocked | str:
    """Ask once: a verdict, or what is still missing."""
    health = get_health(api, send, timeout)
    if isinstance(health, HttpFailure):
        if health.cause is None:
            return Ok((f"its health was not checked: {health.reason}",))
        return f"{health.reason} ({api.address})"
    if restarted is not None and _is_older(health, restarted):
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


def _is_older(health: Health, restarted: float) -> bool:
    return health.uptime is not None and health.uptime > (time.monotonic() - restarted + _ROUNDING)
