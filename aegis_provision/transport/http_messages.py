"""HTTP requests to send from a host's point of view, their responses and failures."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.values import dataclass
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret

LARGEST_BODY = 1024 * 1024
"""How many bytes of a response's body are read."""

USER_AGENT = f"aegis-provision/{__version__}"

# Anthropic's API refuses a request that does not name it; Claude Code names this one.
_ANTHROPIC_VERSION = b"2023-06-01"
_UNSENDABLE = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f\\ud800-\\udfff]")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request of ``url``, with ``token`` as bearer token. Redirects are not followed.

    ``native`` says that it is a request to Anthropic's API, which wants its version named.
    ``body`` is JSON, and may hold secrets.
    """

    url: str
    token: Secret | None = field(default=None, repr=False)
    native: bool = False
    method: Literal["GET", "POST", "DELETE"] = "GET"
    body: bytes | None = field(default=None, repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and the port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or self.default_port

    @property
    def default_port(self) -> int:
        """Return the port of the URL's scheme."""
        return 443 if urlsplit(self.url).scheme == "https" else 80


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response. ``seconds`` counts from the request to the end of the body.

    ``location`` is where a redirect points, ``retry_after`` the header of that name; both are
    empty where there is none.
    """

    status: int
    body: bytes = field(repr=False)
    seconds: float
    location: str = ""
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """Why no response came, without secrets; ``cause`` is ``None`` if no request was sent."""

    cause: ConnectFailure | None
    reason: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was made, TLS included where the URL wants it, in ``seconds``."""

    seconds: float


NO_TIME = HttpFailure(ConnectFailure.TIMED_OUT, "no answer in time")
HUNG_UP = HttpFailure(ConnectFailure.HUNG_UP, "it hung up without an answer")
NOT_HTTP = HttpFailure(ConnectFailure.NOT_HTTP, "what answers there does not speak HTTP")
NOT_LISTENING = HttpFailure(ConnectFailure.NOT_LISTENING, "nothing listens there")
NOT_TLS = HttpFailure(ConnectFailure.NOT_TLS, "it does not speak TLS")
UNKNOWN_NAME = HttpFailure(ConnectFailure.UNKNOWN_NAME, "the name is not known there")


def headers(request: HttpRequest) -> dict[str, bytes] | HttpFailure:
    """Return the headers of ``request``.

    A token may come from a file that the host's own users write: one that would end its header and
    begin something else is not sent.
    """
    found = {"User-Agent": USER_AGENT.encode(), "Accept": b"application/json"}
    if request.body is not None:
        found["Content-Type"] = b"application/json"
    if request.native:
        found["anthropic-version"] = _ANTHROPIC_VERSION
    if request.token is not None:
        token = request.token.reveal()
        if _UNSENDABLE.search(token):
            return HttpFailure(None, "the token holds characters that can't be sent")
        found["Authorization"] = b"Bearer " + token.encode()
    return found
