"""An HTTP request sent by curl on the host, for hosts whose sshd forwards nothing."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.transport.http_messages import (
    LARGEST_BODY,
    NO_TIME,
    HttpFailure,
    HttpResponse,
    headers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.http_messages import HttpRequest

_MARK = "--aegis-provision--"
COMMAND = f"echo {_MARK}; command -v curl >/dev/null 2>&1 || exit 127; exec curl -q --config -"
"""The command line; the request, with its token, comes on standard input.

``-q`` ignores the login's own settings. What the login shell prints ends before the mark.
"""

NO_COMMANDS = HttpFailure(None, "the host's sshd forwards nothing, and the login runs no commands")
"""The failure if neither a tunnel nor a command works."""

_NO_CURL = 127
_SHORTEST = 0.1  # curl takes zero for no limit
# curl(1), EXIT CODES.
_NOT_HTTP = (ConnectFailure.NOT_HTTP, "what answers there does not speak HTTP")
_HUNG_UP = (ConnectFailure.HUNG_UP, "it hung up without an answer")
_FAILURES = {
    1: _NOT_HTTP,
    6: (ConnectFailure.UNKNOWN_NAME, "the name is not known there"),
    7: (ConnectFailure.NOT_LISTENING, "nothing listens there"),
    8: _NOT_HTTP,
    18: _HUNG_UP,
    28: (ConnectFailure.TIMED_OUT, "no answer in time"),
    35: (ConnectFailure.NOT_TLS, "it does not speak TLS"),
    52: _HUNG_UP,
    56: _HUNG_UP,
    60: (ConnectFailure.UNTRUSTED, "the host does not trust its certificate"),
}
_TOO_LARGE = 63  # the answer is there, and as much of it as we keep
_ESCAPES = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"))
_STATUS = re.compile(rb"\n([0-9]{3}) (\S*)\n?\Z")


def request_with_curl(
    run: Callable[[str, bytes], CompletedCommand], request: HttpRequest, timeout: float
) -> HttpResponse | HttpFailure:
    """Send ``request`` with the host's own curl; ``run`` runs a command there with an input."""
    began = time.monotonic()
    config = _config(request, timeout)
    if isinstance(config, HttpFailure):
        return config
    end = run(COMMAND, config)
    if end.status is None:
        return NO_TIME
    _, began_there, output = end.output.partition(f"{_MARK}\n".encode())
    if not began_there:
        return NO_COMMANDS
    if end.status == _NO_CURL:
        return HttpFailure(None, "the host's sshd forwards nothing, and there is no curl")
    found = _STATUS.search(output)
    if end.status not in {0, _TOO_LARGE} or found is None:
        return HttpFailure(
            *_FAILURES.get(end.status, (ConnectFailure.UNREACHABLE, "curl got no answer"))
        )
    location = found[2].decode(errors="replace")
    seconds = time.monotonic() - began
    return HttpResponse(int(found[1]), output[: found.start()][:LARGEST_BODY], seconds, location)


def _config(request: HttpRequest, timeout: float) -> bytes | HttpFailure:
    """Return curl's settings for ``request``, independent of the login's and its environment."""
    sent = headers(request)
    if isinstance(sent, HttpFailure):
        return sent
    lines = [
        b"silent",
        b"globoff",
        b'proto = "=http,https"',
        b'noproxy = "*"',
        f"max-time = {max(timeout, _SHORTEST):.3f}".encode(),
        f"max-filesize = {LARGEST_BODY}".encode(),
        b'write-out = "\\n%{http_code} %{redirect_url}\\n"',
        b"url = " + _quoted(request.url.encode()),
        *(b"header = " + _quoted(f"{name}: ".encode() + value) for name, value in sent.items()),
    ]
    return b"\n".join(lines) + b"\n"


def _quoted(text: bytes) -> bytes:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return b'"' + text + b'"'
