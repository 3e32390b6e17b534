"""Asks Aegis' API on a host, with the first of the known tokens that it takes."""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeAlias

from aegis_provision.aegis.api_responses import (
    HEALTH_PATH,
    SESSIONS_PATH,
    dropped_config,
    parse_health,
)
from aegis_provision.aegis.api_verdict import ApiAccess
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.retry_after import parse_retry_after
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aegis_provision.aegis.api_address import ApiAddress
    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.secret import Secret
    from aegis_provision.transport.http_messages import HttpResponse

SendRequest: TypeAlias = "Callable[[HttpRequest, float], HttpResponse | HttpFailure]"
"""Sends a request from the host's point of view, within seconds. Raises ``Unreachable``."""

TOO_MANY_REQUESTS = 429
"""Aegis answers one address so many times a minute; a later try may succeed."""


@dataclass(frozen=True, slots=True)
class AskedTooOften(HttpFailure):
    """Aegis tells no health to who asked too often, and to come back in ``wait`` seconds.

    ``wait`` is ``None`` where it does not say when. Aegis is up.
    """

    wait: float | None = None


@dataclass(slots=True)
class AegisClient:
    """Aegis' API on one host.

    ``address`` is ``HOST:PORT`` as the host sees it, and ``address_is_known`` says that it is no
    guess. ``tokens`` are those that may open it, in the order in which they are tried;
    ``locked`` says that the file holds an ``authToken``, so that a server that read it answers no
    request without one.

    ``token`` is the one that the server took. ``refused`` says that it took none of them: then no
    other request carries one, since Aegis locks out an address after five wrong tokens a minute.
    ``/v1/health`` counts none.
    """

    address: str
    tokens: tuple[Secret, ...] = field(repr=False)
    locked: bool
    send: SendRequest = field(repr=False)
    address_is_known: bool = True
    token: Secret | None = field(default=None, repr=False)
    refused: bool = False

    @classmethod
    def of(
        cls,
        host: Host,
        tokens: Iterable[Secret | None],
        found: ApiAddress | None,
        send: SendRequest,
        *,
        locked: bool,
    ) -> Self:
        """Return what asks the API of ``host``; ``found`` is where it was found to listen."""
        address, known = host.service.api, host.names_api
        if not known and found is not None:
            address, known = found.address, found.known
        some = tuple(token for token in tokens if token is not None)
        return cls(address, some, locked, send, address_is_known=known)

    @property
    def access(self) -> ApiAccess:
        """Return how the API is asked, for what is said of it."""
        taken = self.token.origin if self.token is not None else ""
        return ApiAccess(self.address, self.address_is_known, bool(self.tokens), taken)

    def answers_without_token(self, timeout: float) -> bool | None:
        """Ask for what a locked API keeps back; ``None`` where that can't be told."""
        response = self.get(SESSIONS_PATH, timeout, with_token=False)
        if isinstance(response, HttpFailure) or response.status == TOO_MANY_REQUESTS:
            return None
        return dropped_config(response.status)

    def health(self, timeout: float) -> Health | HttpFailure:
        """Get ``/v1/health``, in full where a token is taken or none is needed."""
        known = (self.token,) if self.token is not None else () if self.refused else self.tokens
        health: Health | HttpFailure | None = None
        for token in known or (None,):
            health = self._health(token, timeout)
            if isinstance(health, HttpFailure):
                return health
            if health.uptime is not None:
                self.token = token
                return health
        self.token, self.refused = None, bool(self.tokens)
        return health or HttpFailure(ConnectFailure.NOT_HTTP, "what answers there is not Aegis")

    def get(
        self, path: str, timeout: float, *, with_token: bool = True
    ) -> HttpResponse | HttpFailure:
        """Get ``path``, with the token that the server took, if there is one."""
        return self._send(path, self.token if with_token else None, timeout)

    def post(self, path: str, body: bytes, timeout: float) -> HttpResponse | HttpFailure:
        """Post ``body``, which is JSON, to ``path``, with the token that the server took."""
        url = f"http://{self.address}{path}"
        return self.send(HttpRequest(url, self.token, method="POST", body=body), timeout)

    def delete(self, path: str, timeout: float) -> HttpResponse | HttpFailure:
        """Delete ``path``, with the token that the server took."""
        url = f"http://{self.address}{path}"
        return self.send(HttpRequest(url, self.token, method="DELETE"), timeout)

    def restarted(self) -> None:
        """Say that another server answers from now on: every token is tried again."""
        self.token, self.refused = None, False

    def _health(self, token: Secret | None, timeout: float) -> Health | HttpFailure:
        response = self._send(HEALTH_PATH, token, timeout)
        if isinstance(response, HttpFailure):
            return response
        if response.status == TOO_MANY_REQUESTS:
            wait = parse_retry_after(response.retry_after, datetime.now(UTC))
            words = "Aegis was asked for its health too often"
            return AskedTooOften(ConnectFailure.TIMED_OUT, words, wait)
        health = parse_health(response.status, response.body)
        return health or HttpFailure(ConnectFailure.NOT_HTTP, "what answers there is not Aegis")

    def _send(self, path: str, token: Secret | None, timeout: float) -> HttpResponse | HttpFailure:
        return self.send(HttpRequest(f"http://{self.address}{path}", token), timeout)
