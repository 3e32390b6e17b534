"""One request over a socket: each kind of failure, each timeout, and what is sent."""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Literal

import pytest

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.secret import Secret
from aegis_provision.transport.http import connect_here, send
from aegis_provision.transport.http_messages import (
    LARGEST_BODY,
    USER_AGENT,
    HttpFailure,
    HttpRequest,
    HttpResponse,
    headers,
)
from tests.fleet import sockets
from tests.fleet.certificates import make_authority
from tests.fleet.openssh import free_port
from tests.fleet.provider_server import running_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.certificates import Authority
    from tests.fleet.provider_server import Provider
    from tests.fleet.sockets import Behaviour

TOKEN = "token-of-this-test"
_ENOUGH = 20.0


def asked(
    url: str, timeout: float = _ENOUGH, token: str | None = TOKEN
) -> HttpResponse | HttpFailure:
    secret = None if token is None else Secret(token, "${TOKEN}")
    request = HttpRequest(url, secret)
    connection = connect_here(*request.address, timeout)
    return connection if isinstance(connection, HttpFailure) else send(connection, request, timeout)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    return authority


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider(redirect_to="http://elsewhere.example/v1") as server:
        yield server


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[Provider]:
    with running_provider(certificate=authority.issue("127.0.0.1")) as server:
        yield server


def test_an_answer_with_the_token_that_was_sent(provider: Provider) -> None:
    answer = asked(provider.base_url() + "/models")
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body[:9]) == (200, b'{"object"')
    assert answer.seconds < _ENOUGH
    assert TOKEN in provider.tokens


def test_no_token_is_sent_where_there_is_none(provider: Provider) -> None:
    asked(provider.base_url() + "/models", token=None)
    assert provider.asked[-1].authorization is None


def test_over_tls_trusted_by_the_operators_own_authorities(
    secure: Provider, trusted: Authority
) -> None:
    answer = asked(secure.base_url() + "/models")
    assert isinstance(answer, HttpResponse)
    assert answer.status == 200


def test_a_redirect_is_an_answer_and_is_not_followed(provider: Provider) -> None:
    answer = asked(provider.base_url("redirect") + "/models")
    assert isinstance(answer, HttpResponse)
    assert answer.status == 307
    assert answer.location == "http://elsewhere.example/v1/v1/models"


def garbage(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")


def endless_header(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not over.is_set():
        connection.sendall(b"x" * 65536)


def many_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000)
    over.wait(_ENOUGH)


def cut_off(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


def cut_off_in_a_chunk(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")


def hangs_up(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(4096)


def says_nothing(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(_ENOUGH)


def drips_a_header(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not over.wait(0.05):
        connection.sendall(b"x")


def drips_a_body_without_a_length(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b" ")


def continues_for_ever(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.01):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (garbage, ConnectFailure.NOT_HTTP),
        (endless_header, ConnectFailure.NOT_HTTP),
        (many_headers, ConnectFailure.NOT_HTTP),
        (cut_off, ConnectFailure.HUNG_UP),
        (cut_off_in_a_chunk, ConnectFailure.HUNG_UP),
        (hangs_up, ConnectFailure.HUNG_UP),
        (sockets.hangs_up, ConnectFailure.HUNG_UP),
    ],
)
def test_what_is_no_answer(behave: Behaviour, why: ConnectFailure) -> None:
    with sockets.answering(behave) as port:
        answer = asked(f"http://127.0.0.1:{port}/v1/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is why


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "behave",
    [says_nothing, drips_a_header, drips_a_body_without_a_length, continues_for_ever],
)
def test_everything_is_over_in_time(behave: Behaviour, scheme: str, trusted: Authority) -> None:
    certificate = trusted.issue("127.0.0.1")

    def over_tls(connection: socket.socket, over: threading.Event) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with context.wrap_socket(connection, server_side=True) as secured:
            behave(secured, over)

    with sockets.answering(behave if scheme == "http" else over_tls) as port:
        began = time.monotonic()
        answer = asked(f"{scheme}://127.0.0.1:{port}/v1/models", timeout=0.5)
    assert time.monotonic() - began < 10
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.TIMED_OUT


def test_a_body_without_an_end_is_read_to_a_limit(provider: Provider) -> None:
    answer = asked(provider.base_url("flood") + "/models")
    assert isinstance(answer, HttpResponse)
    assert len(answer.body) == LARGEST_BODY


def test_nothing_listens_there() -> None:
    answer = asked(f"http://127.0.0.1:{free_port()}/v1/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.NOT_LISTENING


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64, "a..b"])
def test_an_unknown_name(name: str) -> None:
    answer = asked(f"http://{name}:1/v1/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.UNKNOWN_NAME


def test_an_address_that_nothing_leads_to() -> None:
    """The broadcast address takes no connections: the kernel says so."""
    answer = asked("http://255.255.255.255:1/v1/models", timeout=3.0)
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.UNREACHABLE


def test_plain_http_where_tls_is_asked_for(provider: Provider) -> None:
    answer = asked(provider.base_url(scheme="https") + "/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.NOT_TLS


def test_tls_where_plain_http_is_asked_for(secure: Provider) -> None:
    answer = asked(secure.base_url(scheme="http") + "/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause in {ConnectFailure.HUNG_UP, ConnectFailure.NOT_HTTP}


def test_a_certificate_of_an_untrusted_authority(secure: Provider) -> None:
    before = len(secure.asked)
    answer = asked(secure.base_url() + "/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is ConnectFailure.UNTRUSTED
    assert len(secure.asked) == before


@pytest.mark.parametrize(
    ("names", "expired", "why"),
    [
        (["other.example"], False, ConnectFailure.WRONG_NAME),
        (["127.0.0.2"], False, ConnectFailure.WRONG_NAME),
        (["127.0.0.1"], True, ConnectFailure.EXPIRED),
    ],
    ids=["another name", "another address", "expired"],
)
def test_a_certificate_that_does_not_do(
    names: list[str], expired: bool, why: ConnectFailure, trusted: Authority
) -> None:
    with running_provider(certificate=trusted.issue(*names, expired=expired)) as server:
        answer = asked(server.base_url() + "/models")
        assert not server.asked
    assert isinstance(answer, HttpFailure)
    assert answer.cause is why


@pytest.mark.parametrize(
    ("url", "place", "host", "target"),
    [
        ("http://h.example/v1/models", ("h.example", 80), "h.example", "/v1/models"),
        ("http://h.example:80/v1", ("h.example", 80), "h.example", "/v1"),
        ("http://H.example:8080/v1", ("h.example", 8080), "h.example:8080", "/v1"),
        ("https://h.example/v1", ("h.example", 443), "h.example", "/v1"),
        ("https://h.example:80/v1", ("h.example", 80), "h.example:80", "/v1"),
        ("http://[::1]:9100/v1/health", ("::1", 9100), "[::1]:9100", "/v1/health"),
        ("http://[::1]", ("::1", 80), "[::1]", "/"),
        ("http://h.example/a?b=c", ("h.example", 80), "h.example", "/a?b=c"),
    ],
)
def test_address_and_headers(
    url: str, place: tuple[str, int], host: str, target: str, trusted: Authority
) -> None:
    assert HttpRequest(url).address == place
    certificate = trusted.issue(place[0])
    ours, theirs = socket.socketpair()
    sent: list[bytes] = []

    def serve() -> None:
        served: socket.socket = theirs
        if url.startswith("https"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            served = context.wrap_socket(theirs, server_side=True)
        with served:
            sent.append(served.recv(4096))
            served.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    answer = send(ours, HttpRequest(url, Secret(TOKEN, "")), _ENOUGH)
    thread.join(_ENOUGH)
    assert isinstance(answer, HttpResponse), answer
    lines = sent[0].decode().split("\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert [line for line in lines if line.startswith("Host:")] == [f"Host: {host}"]
    assert f"Authorization: Bearer {TOKEN}" in lines
    assert "Connection: close" in lines
    assert ours.fileno() == -1


@pytest.mark.parametrize(
    "token", ["a\r\nX: y", "a\n folded", "a\rb", "a\x00b", "a\x7f", "a\ud800"], ids=ascii
)
def test_a_token_that_would_be_more_than_a_token_is_sent_nowhere(
    token: str, provider: Provider
) -> None:
    before = len(provider.asked)
    answer = asked(provider.base_url() + "/models", token=token)
    assert answer == HttpFailure(None, "the token holds characters that can't be sent")
    assert len(provider.asked) == before


@pytest.mark.parametrize("token", ["\u00fc\u20ac", "a\tb", "a b", '"\\'])
def test_any_other_token_is_sent_as_it_is(token: str, provider: Provider) -> None:
    asked(provider.base_url() + "/models", token=token)
    sent = provider.asked[-1].authorization
    assert sent is not None
    assert sent.encode("latin-1").decode() == f"Bearer {token}"


def test_no_representation_shows_a_token_or_a_body() -> None:
    request = HttpRequest("http://h.example", Secret(TOKEN, "${TOKEN}"))
    answer = HttpResponse(200, b"a body", 0.1)
    assert not re.search(f"{TOKEN}|body", f"{request!r} {answer!r}")


def test_nothing_is_left_open_or_running(provider: Provider, trusted: Authority) -> None:
    asked(provider.base_url() + "/models")
    before = threading.active_count(), open_files()
    for _ in range(50):
        asked(provider.base_url() + "/models")
        asked(provider.base_url("close") + "/models")
        asked(provider.base_url(scheme="https") + "/models")
    until = time.monotonic() + _ENOUGH
    while (threading.active_count(), open_files()) > before and time.monotonic() < until:
        threading.Event().wait(0.02)
    assert (threading.active_count(), open_files()) <= before


def open_files() -> int:
    with os.scandir("/proc/self/fd") as found:
        return sum(1 for _ in found)


@pytest.mark.parametrize("native", [False, True])
def test_only_a_native_request_names_anthropics_version(native: bool) -> None:
    token = Secret("token-of-this-test", "${T}")
    expected = {
        "User-Agent": USER_AGENT.encode(),
        "Accept": b"application/json",
        "Authorization": b"Bearer token-of-this-test",
    }
    if native:
        expected["anthropic-version"] = b"2023-06-01"
    assert headers(HttpRequest("http://127.0.0.1/v1/models", token, native=native)) == expected


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_request_with_a_body_and_an_answer_that_says_when_to_come_again(
    method: Literal["POST", "DELETE"],
) -> None:
    received: list[bytes] = []

    def answers(peer: socket.socket, _over: threading.Event) -> None:
        received.append(sockets.request_of(peer))
        peer.sendall(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")

    body = b'{"env": {"A": "\\u00fc"}}' if method == "POST" else None
    with sockets.answering(answers) as port:
        request = HttpRequest(f"http://127.0.0.1:{port}/v1/sessions", method=method, body=body)
        connection = connect_here(*request.address, _ENOUGH)
        assert not isinstance(connection, HttpFailure)
        answer = send(connection, request, _ENOUGH)
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.retry_after) == (429, "7")
    head, _, rest = received[0].partition(b"\r\n\r\n")
    assert head.startswith(f"{method} /v1/sessions HTTP/1.1".encode())
    assert rest == (body or b"")
    assert (b"Content-Type: application/json" in head) == (body is not None)
