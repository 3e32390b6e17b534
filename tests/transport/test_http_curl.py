"""Requests by the host's own curl, where its sshd does not forward: over standard input."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.secret import Secret
from aegis_provision.transport.http import NO_TUNNEL
from aegis_provision.transport.http_messages import (
    LARGEST_BODY,
    HttpFailure,
    HttpRequest,
    HttpResponse,
)
from aegis_provision.transport.ssh.commands import SshServices
from tests.fleet import sockets
from tests.fleet.certificates import make_authority
from tests.fleet.clients import logged_in, need, options, target_at
from tests.fleet.openssh import free_port, running_sshd
from tests.fleet.provider_server import running_provider

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Iterator

    from tests.fleet.certificates import Authority
    from tests.fleet.provider_server import Provider
    from tests.fleet.sockets import Behaviour

TOKEN = "token-of-this-test"
_ENOUGH = 20.0
_FORWARDS_NOTHING = "AllowTcpForwarding no"


@contextmanager
def host(directory: Path, *settings: str, timeout: float = 15.0) -> Iterator[SshServices]:
    """Run a host with these settings of its sshd, and log in."""
    home = directory / "operator"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    with running_sshd(directory / "sshd", settings=[_FORWARDS_NOTHING, *settings]) as sshd:
        conn_options = options(home, sshd.known_hosts, timeout=timeout)
        with logged_in(target_at(sshd), conn_options) as transport:
            yield SshServices(transport, conn_options, "root")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServices]:
    need("curl", "curl")
    home = tmp_path_factory.mktemp("home")
    (home / ".curlrc").write_text('header = "X-Of-The-Login: yes"\noutput = "/dev/null"\n')
    variables = f"SetEnv HOME={home} http_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1"
    with host(tmp_path_factory.mktemp("curl"), variables) as found:
        yield found


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider(redirect_to="http://127.0.0.1:1") as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


def conn_options(
    services: SshServices, url: str, token: str | None = TOKEN, timeout: float = _ENOUGH
) -> HttpResponse | HttpFailure:
    return services.request(
        HttpRequest(url, None if token is None else Secret(token, "${T}")), timeout
    )


def test_an_answer_with_the_token_that_was_sent(services: SshServices, provider: Provider) -> None:
    answer = conn_options(services, provider.base_url() + "/models")
    assert isinstance(answer, HttpResponse)
    assert answer.status == 200
    assert answer.body.startswith(b'{"object": "list"')
    assert answer.body.endswith(b"}")
    assert provider.tokens == {TOKEN}


def test_no_token_is_sent_where_there_is_none(services: SshServices, provider: Provider) -> None:
    conn_options(services, provider.base_url() + "/models", token=None)
    assert provider.asked[-1].authorization is None


def test_a_redirect_is_an_answer_and_is_not_followed(
    services: SshServices, provider: Provider
) -> None:
    before = len(provider.asked)
    answer = conn_options(services, provider.base_url("redirect") + "/models")
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.location) == (307, "http://127.0.0.1:1/v1/models")
    assert len(provider.asked) == before + 1


def test_a_body_without_an_end_is_read_to_a_limit(
    services: SshServices, provider: Provider
) -> None:
    answer = conn_options(services, provider.base_url("flood") + "/models", timeout=5.0)
    if isinstance(
        answer, HttpFailure
    ):  # before its version 8.4 curl goes on until the time is over
        assert answer.cause is ConnectFailure.TIMED_OUT
    else:
        assert len(answer.body) == LARGEST_BODY


@pytest.mark.parametrize(
    "body", [b"", b"x", b"\n", b"\n200 \n", b"x\n500 http://evil.example\n", b"{}\n\n404 "]
)
def test_a_body_is_kept_apart_from_the_status(services: SshServices, body: bytes) -> None:
    def answers(peer: socket.socket, _over: threading.Event) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 418 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with sockets.answering(answers) as port:
        answer = conn_options(services, f"http://127.0.0.1:{port}/v1/models")
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.location) == (418, body, "")


def hangs_up(peer: socket.socket, _over: threading.Event) -> None:
    peer.recv(4096)


def garbage(peer: socket.socket, _over: threading.Event) -> None:
    peer.recv(4096)
    peer.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")


def bad_header(peer: socket.socket, _over: threading.Event) -> None:
    peer.recv(4096)
    peer.sendall(b"HTTP/9.9 what\r\n\r\n")


def cut_off(peer: socket.socket, _over: threading.Event) -> None:
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


def says_nothing(_peer: socket.socket, over: threading.Event) -> None:
    over.wait(_ENOUGH)


@pytest.mark.parametrize(
    ("behave", "scheme", "why"),
    [
        (hangs_up, "http", ConnectFailure.HUNG_UP),
        (cut_off, "http", ConnectFailure.HUNG_UP),
        (garbage, "http", ConnectFailure.NOT_HTTP),
        (bad_header, "http", ConnectFailure.NOT_HTTP),
        (says_nothing, "http", ConnectFailure.TIMED_OUT),
        (garbage, "https", ConnectFailure.NOT_TLS),
        (says_nothing, "https", ConnectFailure.TIMED_OUT),
    ],
)
def test_what_is_no_answer(
    behave: Behaviour, scheme: str, why: ConnectFailure, services: SshServices
) -> None:
    timeout = 1.0 if why is ConnectFailure.TIMED_OUT else _ENOUGH
    with sockets.answering(behave) as port:
        answer = conn_options(services, f"{scheme}://127.0.0.1:{port}/v1/models", timeout=timeout)
    assert isinstance(answer, HttpFailure)
    assert answer.cause is why


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("127.0.0.1", ConnectFailure.NOT_LISTENING),
        ("no-such-host.invalid", ConnectFailure.UNKNOWN_NAME),
    ],
)
def test_nothing_listens_there(place: str, why: ConnectFailure, services: SshServices) -> None:
    answer = conn_options(services, f"http://{place}:{free_port()}/v1/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is why


def test_a_certificate_that_does_not_do(tmp_path: Path, authority: Authority) -> None:
    need("curl", "curl")
    strange = make_authority(tmp_path / "strange")
    certificates = {
        strange.issue("127.0.0.1"): ConnectFailure.UNTRUSTED_BY_HOST,
        authority.issue("other.example"): ConnectFailure.WRONG_NAME,
        authority.issue("127.0.0.2"): ConnectFailure.WRONG_NAME,
        authority.issue("127.0.0.1", expired=True): ConnectFailure.EXPIRED,
    }
    with host(tmp_path / "host", f"SetEnv SSL_CERT_FILE={authority.ca_file}") as services:
        for certificate, why in certificates.items():
            with running_provider(certificate=certificate) as server:
                answer = conn_options(services, server.base_url() + "/models")
                assert not server.asked
            assert isinstance(answer, HttpFailure)
            assert answer.cause is why
        with running_provider(certificate=authority.issue("127.0.0.1")) as server:
            answer = conn_options(services, server.base_url() + "/models")
            assert isinstance(answer, HttpResponse)


def test_a_connection_without_a_request_is_not_tried(
    services: SshServices, provider: Provider
) -> None:
    before = len(provider.asked)
    assert services.try_connection(HttpRequest(provider.base_url()), _ENOUGH) == NO_TUNNEL
    assert len(provider.asked) == before


def test_other_schemes_are_not_spoken(services: SshServices, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    answer = conn_options(services, f"file://127.0.0.1:80{tmp_path}/secret")
    assert isinstance(answer, HttpFailure)


@pytest.mark.parametrize("token", ['"', "\\", '\\"', "\\n", "a\tb", "#", "\u00fc\u20ac", "%{url}"])
def test_a_token_arrives_as_it_is(token: str, services: SshServices, provider: Provider) -> None:
    conn_options(services, provider.base_url() + "/models", token=token)
    sent = provider.asked[-1].authorization
    assert sent is not None
    assert sent.encode("latin-1").decode() == f"Bearer {token}"


def test_a_token_can_not_write_files_on_the_host(
    services: SshServices, provider: Provider, tmp_path: Path
) -> None:
    """It may come out of the host's own file, which the login need not be the owner of."""
    planted = tmp_path / "planted"
    before = len(provider.asked)
    answer = conn_options(
        services, provider.base_url() + "/models", token=f'x"\noutput = "{planted}"\n#'
    )
    assert answer == HttpFailure(None, "the token holds characters that can't be sent")
    assert len(provider.asked) == before
    assert not planted.exists()


def test_neither_token_nor_address_shows_among_the_hosts_processes(services: SshServices) -> None:
    seen: list[bytes] = []

    def looks(peer: socket.socket, _over: threading.Event) -> None:
        peer.recv(4096)
        seen.append(b"\n".join(_command_lines()))
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with sockets.answering(looks) as port:
        conn_options(services, f"http://127.0.0.1:{port}/a-path-of-this-test")
    assert b"curl\0-q\0--config\0-\0" in seen[0]
    assert TOKEN.encode() not in seen[0]
    assert b"a-path-of-this-test" not in seen[0]


def _command_lines() -> Iterator[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                yield (process / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue


def test_what_the_login_shell_prints_is_skipped(tmp_path: Path, provider: Provider) -> None:
    need("curl", "curl")
    noise = "printf '{not ours}\\n200 \\n'; eval \"$SSH_ORIGINAL_COMMAND\""
    with host(tmp_path, f"ForceCommand {noise}") as talkative:
        answer = conn_options(talkative, provider.base_url() + "/models")
    assert isinstance(answer, HttpResponse)
    assert answer.body.startswith(b'{"object": "list"')


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ForceCommand internal-sftp", "the login runs no commands"),
        ("ForceCommand /bin/false", "the login runs no commands"),
        ("MaxSessions 0", "the login runs no commands"),
        ("SetEnv PATH=/nowhere", "there is no curl"),
    ],
)
def test_without_forwarding_and_curl_no_request_is_sent(
    setting: str, words: str, tmp_path: Path, provider: Provider
) -> None:
    with host(tmp_path, setting) as poor:
        answer = conn_options(poor, provider.base_url() + "/models")
    assert isinstance(answer, HttpFailure)
    assert answer.cause is None
    assert answer.reason == f"the host's sshd forwards nothing, and {words}"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_request_with_a_body_and_an_answer_that_says_when_to_come_again(
    services: SshServices, method: Literal["POST", "DELETE"]
) -> None:
    received: list[bytes] = []

    def answers(peer: socket.socket, _over: threading.Event) -> None:
        received.append(sockets.request_of(peer))
        peer.sendall(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}")

    body = json.dumps({"a": 'b"\\\n@', "long": "x" * 5000}).encode() if method == "POST" else None
    with sockets.answering(answers) as port:
        url = f"http://127.0.0.1:{port}/v1/sessions"
        answer = services.request(HttpRequest(url, method=method, body=body), _ENOUGH)
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body) == (429, b"{}")
    # An old curl can't tell.
    assert answer.retry_after in {"7", ""}
    head, _, rest = received[0].partition(b"\r\n\r\n")
    assert head.startswith(f"{method} /v1/sessions HTTP/1.1".encode())
    assert rest == (body or b"")
    assert (b"Content-Type: application/json" in head) == (body is not None)
