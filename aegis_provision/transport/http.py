"""HTTP requests over an open socket, such as the near end of a tunnel to a host.

TLS is spoken from here, with the operator's own certificate authorities.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.transport.http_messages import (
    LARGEST_BODY,
    NO_TIME,
    HttpFailure,
    HttpRequest,
    HttpResponse,
    headers,
)
from aegis_provision.transport.tcp import connect_tcp

_HUNG_UP = HttpFailure(ConnectFailure.HUNG_UP, "it hung up without an answer")
_UNKNOWN = HttpFailure(ConnectFailure.UNKNOWN_NAME, "the name is not known there")


class _OpenConnection(http.client.HTTPConnection):
    """An HTTP connection over a socket that is open already; it is never reopened."""

    auto_open = 0

    def __init__(self, request: HttpRequest, connection: socket.socket) -> None:
        super().__init__(*request.place)
        self.default_port = request.default_port  # which is not named in the Host header
        self.sock = connection


class _Timeout:
    """Shuts a connection down after ``seconds``, in the middle of any step.

    One bound for the whole request: a server that sends a byte now and then outlives all others.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self.expired = False
        self._connection = connection.dup()  # TLS takes the other one over
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._connection.close()

    def _shut_down(self) -> None:
        self.expired = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


def send(
    connection: socket.socket, request: HttpRequest, timeout: float
) -> HttpResponse | HttpFailure:
    """Send ``request`` over ``connection``, which is closed then, within ``timeout`` seconds."""
    try:
        with connection, _Timeout(connection, timeout) as bound:
            try:
                response = _send(connection, request)
            except (OSError, http.client.HTTPException, ValueError) as problem:
                response = connect_failure(problem)
            # A body without a length ends where the connection does, even if we cut it.
            return NO_TIME if bound.expired else response
    except OSError as problem:  # too many files are open here, say
        return connect_failure(problem)


def _send(connection: socket.socket, request: HttpRequest) -> HttpResponse | HttpFailure:
    began = time.monotonic()
    sent = headers(request)
    if isinstance(sent, HttpFailure):
        return sent
    parts = urlsplit(request.url)
    connection.settimeout(None)
    if parts.scheme == "https":
        connection = _trust(ssl.get_default_verify_paths()).wrap_socket(
            connection, server_hostname=parts.hostname
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    client = _OpenConnection(request, connection)
    try:
        client.request("GET", target, headers={**sent, "Connection": b"close"})
        response = client.getresponse()
        body = response.read(LARGEST_BODY)
        if response.length and len(body) < LARGEST_BODY:
            return _HUNG_UP
        location = response.getheader("Location") or ""
        return HttpResponse(response.status, body, time.monotonic() - began, location)
    finally:
        client.close()
        connection.close()


@functools.lru_cache(maxsize=1)
def _trust(places: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return TLS's trusted authorities: reading a system's takes longer than a request.

    ``places`` names only what is a file or a directory: a pipe that the environment names would be
    read for ever. If there is neither, no certificate is trusted.
    """
    if not (places.cafile or places.capath):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context(cafile=places.cafile, capath=places.capath)


def connect_failure(problem: Exception) -> HttpFailure:
    """Return the failure that an exception stands for."""
    match problem:
        case ssl.SSLCertVerificationError():
            return HttpFailure(*_certificate(problem))
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return _HUNG_UP
        case ssl.SSLError():
            return HttpFailure(ConnectFailure.NOT_TLS, "it does not speak TLS")
        case TimeoutError():
            return NO_TIME
        case ConnectionRefusedError():
            return HttpFailure(ConnectFailure.NOT_LISTENING, "nothing listens there")
        case socket.gaierror():
            return _UNKNOWN
        case ConnectionError() | http.client.RemoteDisconnected() | http.client.IncompleteRead():
            return _HUNG_UP
        case http.client.HTTPException() | ValueError():
            return HttpFailure(ConnectFailure.NOT_HTTP, "what answers there does not speak HTTP")
        case _:
            return HttpFailure(ConnectFailure.UNREACHABLE, "there is no way there")


def _certificate(problem: ssl.SSLCertVerificationError) -> tuple[ConnectFailure, str]:
    # X509_V_ERR_... of OpenSSL's x509_vfy.h: not yet valid, expired; another name, another address.
    match problem.verify_code:
        case 9 | 10:
            return ConnectFailure.EXPIRED, "its certificate is out of date"
        case 62 | 64:
            return ConnectFailure.WRONG_NAME, "its certificate is for another name"
        case _:
            return ConnectFailure.UNTRUSTED, "its certificate is not trusted"


def connect_here(host: str, port: int, timeout: float) -> socket.socket | HttpFailure:
    """Return a connection from this machine, within ``timeout`` seconds."""
    until = time.monotonic() + timeout

    def left() -> float:
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    try:
        return connect_tcp(host, port, left)
    except OSError as problem:
        return connect_failure(problem)
