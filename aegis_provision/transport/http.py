"""One HTTP question from a host's point of view: over a socket that begins there.

TLS is spoken from here, with the operator's own certificate authorities.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision import __version__
from aegis_provision.providers.probe import Silence

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret

LARGEST_BODY = 1024 * 1024
"""How many bytes of an answer are read."""

USER_AGENT = f"aegis-provision/{__version__}"


@dataclass(frozen=True, slots=True)
class Question:
    """A ``GET`` of ``url``, with ``token`` as bearer where there is one. Redirects are answers."""

    url: str
    token: Secret | None = field(default=None, repr=False)

    @property
    def place(self) -> tuple[str, int]:
        """Return the host and the port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``seconds`` counts from the question to the end of the body.

    ``location`` is where a redirect points, which nobody follows.
    """

    status: int
    body: bytes = field(repr=False)
    seconds: float
    location: str = ""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why nothing came back, in words that hold no secret; ``why`` is ``None`` if nobody asked."""

    why: Silence | None
    words: str


class _Open(http.client.HTTPConnection):
    """A connection that is open already and is never opened again."""

    auto_open = 0


def ask(connection: socket.socket, question: Question, timeout: float) -> Answer | NoAnswer:
    """Ask over ``connection``, which is closed afterwards, within ``timeout`` seconds."""
    began = time.monotonic()
    # One bound for everything: a server that sends a byte now and then would outlive any other.
    watched = connection.dup()
    watch = threading.Timer(timeout, _hang_up, [watched])
    watch.daemon = True
    watch.start()
    try:
        return _ask(connection, question, timeout, began)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        if time.monotonic() - began >= timeout - 0.05:
            return NoAnswer(Silence.TIMED_OUT, f"no answer within {timeout:g} s")
        return silence(problem)
    finally:
        watch.cancel()
        connection.close()
        watched.close()


def _ask(
    connection: socket.socket, question: Question, timeout: float, began: float
) -> Answer | NoAnswer:
    parts = urlsplit(question.url)
    host, port = question.place
    connection.settimeout(timeout)
    if parts.scheme == "https":
        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    client = _Open(host, port)
    client.sock = connection
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Connection": "close"}
    if question.token is not None:
        headers["Authorization"] = f"Bearer {question.token.reveal()}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        client.request("GET", target, headers=headers)
        response = client.getresponse()
        body = response.read(LARGEST_BODY)
        location = response.getheader("Location") or ""
        return Answer(response.status, body, time.monotonic() - began, location)
    finally:
        client.close()
        connection.close()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def silence(problem: Exception) -> NoAnswer:
    """Return why a question was not answered, by the exception that says so."""
    match problem:
        case ssl.SSLCertVerificationError():
            return NoAnswer(*_certificate(problem))
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return NoAnswer(Silence.HUNG_UP, "it hung up")
        case ssl.SSLError():
            return NoAnswer(Silence.NOT_TLS, "it does not speak TLS")
        case TimeoutError():
            return NoAnswer(Silence.TIMED_OUT, "no answer in time")
        case ConnectionRefusedError():
            return NoAnswer(Silence.NOT_LISTENING, "nothing listens there")
        case socket.gaierror():
            return NoAnswer(Silence.UNKNOWN_NAME, "the name is not known there")
        case ConnectionError() | http.client.RemoteDisconnected() | http.client.IncompleteRead():
            return NoAnswer(Silence.HUNG_UP, "it hung up without an answer")
        case http.client.HTTPException() | ValueError():
            return NoAnswer(Silence.NOT_HTTP, "what answers there does not speak HTTP")
        case _:
            return NoAnswer(Silence.UNREACHABLE, "there is no way there")


def _certificate(problem: ssl.SSLCertVerificationError) -> tuple[Silence, str]:
    # X509_V_ERR_CERT_HAS_EXPIRED and ..._HOSTNAME_MISMATCH of OpenSSL's x509_vfy.h.
    match problem.verify_code:
        case 10:
            return Silence.EXPIRED, "its certificate is out of date"
        case 62 | 64:
            return Silence.WRONG_NAME, "its certificate is for another name"
        case _:
            return Silence.UNTRUSTED, "its certificate is not trusted"


def connect_here(host: str, port: int, timeout: float) -> socket.socket | NoAnswer:
    """Return a connection from this machine."""
    try:
        return socket.create_connection((host, port), timeout=timeout)
    except OSError as problem:
        return silence(problem)
