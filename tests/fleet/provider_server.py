"""A stand-in for a provider: what it does is chosen by the beginning of the path."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from tests.fleet.openssh import ADDRESS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MODELS = ("big", "small")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``authorization`` is the header as it came, ``None`` without one."""

    method: str
    path: str
    authorization: str | None


@dataclass(slots=True)
class Provider:
    """A provider that listens on ``port``. It can be told to change while it runs.

    ``asked`` is every request that came in, in order.
    """

    port: int
    scheme: str
    models: Sequence[str]
    redirect_to: str = ""
    asked: list[Asked] = field(default_factory=list)
    instead: str | None = None
    told: tuple[int, str, str] = (200, "", "")
    closed: threading.Event = field(default_factory=threading.Event)

    def base_url(
        self, behaviour: str = "ok", *, path: str = "/v1", host: str = ADDRESS, scheme: str = ""
    ) -> str:
        """Return a base URL under which the provider does as ``behaviour`` says.

        ===============  =====================================================================
        ``ok``           lists its models at ``/v1/models``; 404 elsewhere
        ``native``       lists its models, and takes messages, for who has a token: else 401
        ``v1-only-N``    status N everywhere but at ``/v1/models``
        ``status-N``     status N, with an error in a JSON body
        ``slow-S``       as ``ok``, S seconds later
        ``retry-S``      429, with Retry-After: S
        ``hang``         takes the request and never answers
        ``close``        takes the request and hangs up
        ``garbage``      answers what is not HTTP
        ``html``         200 and a page for people
        ``no-list``      200 and a JSON object without a list
        ``empty``        200 and a list without models
        ``truncated``    hangs up in the middle of the list
        ``flood``        200 and a body without an end
        ``redirect``     307 to the same path under ``redirect_to``
        ``told``         status, body and location as in ``told``
        ===============  =====================================================================

        ``path`` comes after it; ``scheme`` may say ``https`` where plain HTTP is spoken.
        """
        return f"{scheme or self.scheme}://{host}:{self.port}/{behaviour}{path}"

    @property
    def tokens(self) -> set[str]:
        """The bearer tokens that came in."""
        return {
            asked.authorization.removeprefix("Bearer ")
            for asked in self.asked
            if asked.authorization is not None
        }


@contextmanager
def running_provider(
    *,
    models: Sequence[str] = MODELS,
    certificate: Path | None = None,
    redirect_to: str = "",
) -> Iterator[Provider]:
    """Run a provider until the block ends; with ``certificate`` (and key) it speaks HTTPS."""
    listener = _Listener((ADDRESS, 0), _Handler)
    if certificate is not None:
        listener.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        listener.tls.load_cert_chain(certificate)
    provider = Provider(
        listener.server_port,
        "http" if certificate is None else "https",
        models,
        redirect_to,
    )
    listener.provider = provider
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.closed.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    provider: Provider
    tls: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the machine's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection. Its handshake is for the thread that serves it."""
        connection, peer = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, peer

    def handle_error(self, *_: object) -> None:
        """Say nothing about a client that went away, or did not trust us."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: in two, the second would wait for the client's word.
    wbufsize = -1
    server: _Listener

    def do_GET(self) -> None:
        provider = self.server.provider
        provider.asked.append(Asked(self.command, self.path, self.headers["Authorization"]))
        behaviour, _, path = self.path.removeprefix("/").partition("/")
        behaviour = provider.instead or behaviour
        word, _, number = behaviour.rpartition("-")
        if word == "v1-only":
            behaviour, word = ("ok", "") if path == "v1/models" else (f"status-{number}", "status")
        if word == "slow":
            provider.closed.wait(float(number))
            behaviour = "ok"
        if word == "retry":
            self._send(429, b'{"error": {}}', retry_after=number)
        elif word == "status":
            self._answer(int(number), {"error": {"message": "as told", "code": int(number)}})
        elif behaviour == "native" and self.headers["Authorization"] is None:
            self._answer(401, {"type": "error"})
        elif behaviour == "native" and (self.command, path) == ("POST", "v1/messages"):
            self._answer(400, {"type": "error"})
        elif behaviour in {"ok", "native"} and (self.command, path) != ("GET", "v1/models"):
            self._answer(404, {"error": {"message": "Not found"}})
        elif behaviour == "told":
            status, text, location = provider.told
            self._send(status, text.encode(), location)
        elif behaviour == "redirect":
            self._send(307, b"", f"{provider.redirect_to}/{path}")
        elif behaviour in _RAW:
            self._raw(behaviour)
        else:
            self._send(200, _body(behaviour, provider.models))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Leave the terminal to the tests."""

    def _raw(self, behaviour: str) -> None:
        """Answer what is no whole answer."""
        self.close_connection = True
        if behaviour == "hang":
            self.server.provider.closed.wait()
        elif behaviour == "garbage":
            self.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")
        elif behaviour == "truncated":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b'{"data": [')
        elif behaviour == "flood":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not self.server.provider.closed.is_set():
                self.wfile.write(b" " * 65536)
                self.wfile.flush()

    def _answer(self, status: int, what: object) -> None:
        self._send(status, json.dumps(what).encode())

    def _send(self, status: int, body: bytes, location: str = "", *, retry_after: str = "") -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_RAW = frozenset({"hang", "close", "garbage", "truncated", "flood"})


def _body(behaviour: str, models: Sequence[str]) -> bytes:
    if behaviour == "html":
        return b"<!doctype html><title>Welcome</title>"
    if behaviour == "no-list":
        return b'{"message": "hello"}'
    offered = [] if behaviour == "empty" else models
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "us"} for name in offered]
    return json.dumps({"object": "list", "data": entries}).encode()
