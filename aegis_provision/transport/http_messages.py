"""HTTP questions to ask from a host's point of view, and what can come of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret

LARGEST_BODY = 1024 * 1024
"""How many bytes of an answer are read."""

USER_AGENT = f"aegis-provision/{__version__}"

# Anthropic's API refuses a request that does not name it; Claude Code names this one.
_ANTHROPIC_VERSION = b"2023-06-01"
_UNSENDABLE = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f\\ud800-\\udfff]")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A ``GET`` of ``url``, with ``token`` as bearer where there is one. Redirects are answers.

    ``native`` says that it is one of Anthropic's API, which wants its version named.
    """

    url: str
    token: Secret | None = field(default=None, repr=False)
    native: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """Return the host and the port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or self.default_port

    @property
    def default_port(self) -> int:
        """Return the port of the URL's scheme."""
        return 443 if urlsplit(self.url).scheme == "https" else 80


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back. ``seconds`` counts from the question to the end of the body.

    ``location`` is where a redirect points, which nobody follows.
    """

    status: int
    body: bytes = field(repr=False)
    seconds: float
    location: str = ""


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """Why nothing came back, in words that hold no secret; ``why`` is ``None`` if nobody asked."""

    why: ConnectFailure | None
    words: str


NO_TIME = HttpFailure(ConnectFailure.TIMED_OUT, "no answer in time")


def headers(question: HttpRequest) -> dict[str, bytes] | HttpFailure:
    """Return the headers to ask with.

    A token may come out of a file that the host's own users write. One that would end its header,
    and begin something else, is sent nowhere.
    """
    found = {"User-Agent": USER_AGENT.encode(), "Accept": b"application/json"}
    if question.native:
        found["anthropic-version"] = _ANTHROPIC_VERSION
    if question.token is not None:
        token = question.token.reveal()
        if _UNSENDABLE.search(token):
            return HttpFailure(None, "the token holds characters that can't be sent")
        found["Authorization"] = b"Bearer " + token.encode()
    return found
