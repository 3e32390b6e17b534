"""Sends HTTP requests: over an open connection, such as a tunnel to a host, or by curl.

Over a connection TLS is spoken from here, with the operator's own certificate authorities. The
host's own curl sends the request if the host's sshd forwards nothing.
"""

from __future__ import annotations

import functools
import http.client
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from aegis_provision.errors import Unreachable
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import (
    HUNG_UP,
    LARGEST_BODY,
    NO_TIME,
    NOT_HTTP,
    NOT_LISTENING,
    NOT_TLS,
    UNKNOWN_NAME,
    HttpFailure,
    HttpResponse,
    headers,
)
from aegis_provision.transport.tcp import connect_tcp
from aegis_provision.transport.timed_connection import SecuredConnection, TimedConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.http_messages import HttpRequest
    from aegis_provision.transport.timed_connection import OpenConnection

NO_TUNNEL = HttpFailure(
    None, "the host's sshd forwards nothing, and its own curl would send a request"
)
"""The failure if a connection without a request is to be tried, and no tunnel works."""

NO_COMMANDS = HttpFailure(None, "the host's sshd forwards nothing, and the login runs no commands")
"""The failure if neither a tunnel nor a command works."""

_MARK = "--aegis-provision--"
# The request, with its token, comes on standard input. -q ignores the login's own settings. What
# the login shell prints ends before the mark.
_CURL = f"echo {_MARK}; command -v curl >/dev/null 2>&1 || exit 127; exec curl -q --config -"
_NO_CURL = 127
_SHORTEST = 0.1  # curl takes zero for no limit
# curl(1), EXIT CODES.
_CURL_FAILURES = {
    1: NOT_HTTP,
    6: UNKNOWN_NAME,
    7: NOT_LISTENING,
    8: NOT_HTTP,
    18: HUNG_UP,
    28: NO_TIME,
    35: NOT_TLS,
    52: HUNG_UP,
    56: HUNG_UP,
    51: HttpFailure(ConnectFailure.WRONG_NAME, "its certificate is for another name"),
}
_CERTIFICATE = 60
_TOO_LARGE = 63  # the answer is there, and as much of it as we keep
_ESCAPES = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"))
_STATUS = re.compile(rb"\n([0-9]{3}) ([0-9]+) (\S*) ([^\n]*)\n?\Z")
_WRITE_OUT = b"\n%{http_code} %{ssl_verify_result} %{redirect_url} %header{retry-after}\n"
# Before 7.84 curl knows no headers in what it writes out, and prints the name as it is.
_NO_HEADER = b"%header{"


class _OpenConnection(http.client.HTTPConnection):
    """An HTTP connection over one that is open already; it is never reopened."""

    auto_open = 0

    def __init__(
        self, request: HttpRequest, connection: TimedConnection | SecuredConnection
    ) -> None:
        super().__init__(*request.address)
        self.default_port = request.default_port  # which is not named in the Host header
        self.sock = cast("socket.socket", connection)


def send(
    connection: OpenConnection, request: HttpRequest, timeout: float
) -> HttpResponse | HttpFailure:
    """Send ``request`` over ``connection``, which is closed then, within ``timeout`` seconds."""
    return _bounded(connection, timeout, lambda timed: _send(timed, request))


def handshake(
    connection: OpenConnection, request: HttpRequest, timeout: float
) -> HttpFailure | None:
    """Do what comes before ``request`` over ``connection``, which is closed then.

    That is TLS if the URL wants it, else nothing. ``timeout`` bounds it (seconds).
    """

    def shake_hands(timed: TimedConnection) -> None:
        _secured(timed, request)

    return _bounded(connection, timeout, shake_hands)


_Outcome = TypeVar("_Outcome", HttpResponse, None)


def _bounded(
    connection: OpenConnection,
    timeout: float,
    step: Callable[[TimedConnection], _Outcome | HttpFailure],
) -> _Outcome | HttpFailure:
    """Return what ``step`` does over ``connection``, which is closed then."""
    timed = TimedConnection(connection, timeout)
    try:
        with connection:
            return step(timed)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return NO_TIME if timed.expired() else connect_failure(problem)


def _secured(
    connection: TimedConnection, request: HttpRequest
) -> TimedConnection | SecuredConnection:
    """Return ``connection`` with TLS over it if the URL wants it."""
    parts = urlsplit(request.url)
    if parts.scheme != "https":
        return connection
    context = _ssl_context(ssl.get_default_verify_paths())
    return SecuredConnection(connection, context, parts.hostname)


def _send(timed: TimedConnection, request: HttpRequest) -> HttpResponse | HttpFailure:
    began = time.monotonic()
    sent = headers(request)
    if isinstance(sent, HttpFailure):
        return sent
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    client = _OpenConnection(request, _secured(timed, request))
    try:
        client.request(
            request.method, target, request.body, headers={**sent, "Connection": b"close"}
        )
        response = client.getresponse()
        body = response.read(LARGEST_BODY)
        if response.length and len(body) < LARGEST_BODY:
            return HUNG_UP
        return HttpResponse(
            response.status,
            body,
            time.monotonic() - began,
            location=response.getheader("Location") or "",
            retry_after=response.getheader("Retry-After") or "",
        )
    finally:
        client.close()


@functools.lru_cache(maxsize=1)
def _ssl_context(paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return TLS's trusted authorities: reading a system's takes longer than a request.

    ``paths`` names only what is a file or a directory: a pipe that the environment names would be
    read for ever. If there is neither, no certificate is trusted.
    """
    if not (paths.cafile or paths.capath):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context(cafile=paths.cafile, capath=paths.capath)


def connect_failure(problem: Exception) -> HttpFailure:
    """Return the failure that an exception stands for."""
    match problem:
        case ssl.SSLCertVerificationError():
            return _certificate_failure(problem.verify_code)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return HUNG_UP
        case ssl.SSLError():
            return NOT_TLS
        case TimeoutError():
            return NO_TIME
        case ConnectionRefusedError():
            return NOT_LISTENING
        case socket.gaierror():
            return UNKNOWN_NAME
        case ConnectionError() | http.client.RemoteDisconnected() | http.client.IncompleteRead():
            return HUNG_UP
        case http.client.HTTPException() | ValueError():
            return NOT_HTTP
        case _:
            return HttpFailure(ConnectFailure.UNREACHABLE, "there is no way there")


def _certificate_failure(code: int, *, of_curl: bool = False) -> HttpFailure:
    """Return the failure that OpenSSL's ``code`` for a certificate stands for.

    curl compares the name itself, and leaves the code for no known error then.
    """
    # X509_V_ERR_... of OpenSSL's x509_vfy.h: not yet valid, expired; another name, another address.
    match code:
        case 9 | 10:
            return HttpFailure(ConnectFailure.EXPIRED, "its certificate is out of date")
        case 62 | 64:
            return HttpFailure(ConnectFailure.WRONG_NAME, "its certificate is for another name")
        case 1 if of_curl:
            return HttpFailure(ConnectFailure.WRONG_NAME, "its certificate is for another name")
        case _ if of_curl:
            reason = "the host does not trust its certificate"
            return HttpFailure(ConnectFailure.UNTRUSTED_BY_HOST, reason)
        case _:
            return HttpFailure(ConnectFailure.UNTRUSTED, "its certificate is not trusted")


def connect_here(host: str, port: int, timeout: float) -> socket.socket | HttpFailure:
    """Return a connection from this machine, within ``timeout`` seconds."""
    try:
        return connect_tcp(host, port, timeout, Deadline.after(timeout))
    except Unreachable:
        return NO_TIME
    except OSError as problem:
        return connect_failure(problem)


def request_with_curl(
    run: Callable[[str, bytes], CompletedCommand], request: HttpRequest, timeout: float
) -> HttpResponse | HttpFailure:
    """Send ``request`` with the host's own curl; ``run`` runs a command there with an input."""
    began = time.monotonic()
    config = _curl_config(request, timeout)
    if isinstance(config, HttpFailure):
        return config
    completed = run(_CURL, config)
    if completed.status is None:
        return NO_TIME
    _, began_there, output = completed.output.partition(f"{_MARK}\n".encode())
    if not began_there:
        return NO_COMMANDS
    if completed.status == _NO_CURL:
        return HttpFailure(None, "the host's sshd forwards nothing, and there is no curl")
    found = _STATUS.search(output)
    if completed.status == _CERTIFICATE:
        return _certificate_failure(int(found[2]) if found else 0, of_curl=True)
    if completed.status not in {0, _TOO_LARGE} or found is None:
        other = HttpFailure(ConnectFailure.UNREACHABLE, "curl got no answer")
        return _CURL_FAILURES.get(completed.status, other)
    retry_after = b"" if found[4].startswith(_NO_HEADER) else found[4]
    return HttpResponse(
        int(found[1]),
        output[: found.start()][:LARGEST_BODY],
        time.monotonic() - began,
        location=found[3].decode(errors="replace"),
        retry_after=retry_after.decode(errors="replace").strip(),
    )


def _curl_config(request: HttpRequest, timeout: float) -> bytes | HttpFailure:
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
        b"write-out = " + _quoted(_WRITE_OUT),
        b"request = " + _quoted(request.method.encode()),
        b"url = " + _quoted(request.url.encode()),
        *(b"header = " + _quoted(f"{name}: ".encode() + value) for name, value in sent.items()),
    ]
    if request.body is not None:
        # Without "Expect" it waits for no word before a long body.
        lines += [b'header = "Expect:"', b"data-raw = " + _quoted(request.body)]
    return b"\n".join(lines) + b"\n"


def _quoted(text: bytes) -> bytes:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return b'"' + text + b'"'
