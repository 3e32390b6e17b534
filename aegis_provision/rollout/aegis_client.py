"""Requests to Aegis' API on a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.aegis.api import HEALTH_PATH, parse_health
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

if TYPE_CHECKING:
    from typing import Protocol

    from aegis_provision.aegis.api import Health
    from aegis_provision.providers.secret import Secret
    from aegis_provision.transport.http_messages import HttpResponse

    class SendRequest(Protocol):
        """Sends an HTTP request from the host's point of view."""

        def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
            """Return the response within ``timeout`` seconds. Raises ``Unreachable``."""
            ...


_TOO_MANY_REQUESTS = 429  # Aegis answers one address 60 times a minute


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
