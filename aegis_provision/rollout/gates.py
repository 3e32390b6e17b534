"""What the gates before and after a write share: Aegis' API on a host, tries, verdicts.

The gates are :mod:`~.session_wait`, :mod:`~.health_check` and :mod:`~.provider_probe`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aegis_provision.aegis.api import HEALTH_PATH, parse_health
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.aegis.api import Health
    from aegis_provision.providers.secret import Secret
    from aegis_provision.transport.http_messages import HttpResponse

SendRequest: TypeAlias = "Callable[[HttpRequest, float], HttpResponse | HttpFailure]"
"""Sends a request from the host's point of view, within seconds. Raises ``Unreachable``."""

REQUEST_TIMEOUT = 10.0
"""Seconds that one request of a gate may take."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_TOO_MANY_REQUESTS = 429  # Aegis answers one address 60 times a minute


@dataclass(frozen=True, slots=True)
class Ok:
    """The gate is open; ``warnings`` are worth showing, ``checked`` says what was found."""

    warnings: tuple[str, ...] = ()
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The gate is closed: why, and what to do next."""

    message: str
    hint: str = ""


def tries(timeout: float, shortest: float, pause: Callable[[float], object]) -> Iterator[float]:
    """Yield the seconds that each try may take, with growing pauses, for ``timeout`` seconds.

    There is one try at least; each may take ``shortest`` seconds even where fewer are left.
    """
    until, wait = time.monotonic() + timeout, _FIRST_PAUSE
    while True:
        yield max(shortest, min(REQUEST_TIMEOUT, until - time.monotonic()))
        left = until - time.monotonic()
        if left <= 0:
            return
        pause(min(wait, left))
        wait = min(wait * 1.6, _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class AegisApi:
    """Aegis' API on one host.

    ``address`` is ``HOST:PORT`` as the host sees it. ``token`` opens it; ``locked`` says that the
    file holds an ``authToken``, so that a server that read it answers no request without one.
    """

    address: str
    token: Secret | None = field(repr=False)
    locked: bool

    def request_for(self, path: str, *, with_token: bool = True) -> HttpRequest:
        """Return the request for ``path``."""
        return HttpRequest(f"http://{self.address}{path}", self.token if with_token else None)


def get_health(api: AegisApi, send: SendRequest, timeout: float) -> Health | HttpFailure:
    """Get ``/v1/health``."""
    response = send(api.request_for(HEALTH_PATH), timeout)
    if isinstance(response, HttpFailure):
        return response
    if response.status == _TOO_MANY_REQUESTS:
        return HttpFailure(ConnectFailure.TIMED_OUT, "Aegis was asked for its health too often")
    health = parse_health(response.status, response.body)
    return health or HttpFailure(ConnectFailure.NOT_HTTP, "what answers there is not Aegis")
