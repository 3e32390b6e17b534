"""TCP connections that begin on the host: what real servers answer, and that all is closed."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.transport.http_messages import (
    Connected,
    HttpFailure,
    HttpRequest,
    HttpResponse,
)
from aegis_provision.transport.local import LocalServices
from aegis_provision.transport.ssh.commands import SshServices
from aegis_provision.transport.ssh.port_forward import Tunnel, tunnel
from tests.fleet import sockets, stalling
from tests.fleet.certificates import make_authority
from tests.fleet.clients import logged_in, options, target_at
from tests.fleet.openssh import free_port, running_sshd
from tests.fleet.provider_server import running_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from tests.fleet.openssh import Sshd

_ENOUGH = 20.0


@pytest.fixture
def connection(sshd: Sshd, home: Path) -> Iterator[Connection]:
    with logged_in(target_at(sshd), options(home, sshd.known_hosts)) as transport:
        yield transport


def opened(connection: Connection, port: int) -> Tunnel:
    found = tunnel(connection, "127.0.0.1", port, opening=_ENOUGH)
    assert isinstance(found, Tunnel), found
    found.settimeout(_ENOUGH)
    return found


def send_all(found: Tunnel, data: bytes) -> None:
    unsent = memoryview(data)
    while unsent:
        unsent = unsent[found.send(bytes(unsent[:65536])) :]


def refused(connection: Connection, host: str, port: int) -> ConnectFailure | None:
    found = tunnel(connection, host, port, opening=_ENOUGH)
    assert isinstance(found, HttpFailure)
    return found.cause


def echoes(peer: socket.socket, _over: threading.Event) -> None:
    while data := peer.recv(65536):
        peer.sendall(data)


def takes_all_then_answers(peer: socket.socket, _over: threading.Event) -> None:
    peer.sendall(b"hello")
    peer.shutdown(socket.SHUT_WR)
    while peer.recv(65536):
        pass


def sends_much(peer: socket.socket, _over: threading.Event) -> None:
    peer.sendall(bytes(8 * 1024 * 1024))


def takes_nothing(_peer: socket.socket, over: threading.Event) -> None:
    over.wait(_ENOUGH)


def read_all(found: Tunnel) -> int:
    size = 0
    while data := found.recv(65536):
        size += len(data)
    return size


def test_bytes_go_both_ways(connection: Connection) -> None:
    with sockets.answering(echoes) as port, opened(connection, port) as found:
        send_all(found, b"there and back")
        assert found.recv(100) == b"there and back"


def test_much_comes_whole(connection: Connection) -> None:
    with sockets.answering(sends_much) as port, opened(connection, port) as found:
        assert read_all(found) == 8 * 1024 * 1024


def test_the_far_side_may_end_its_half_first(connection: Connection) -> None:
    with sockets.answering(takes_all_then_answers) as port, opened(connection, port) as found:
        assert read_all(found) == 5
        send_all(found, b"still taken")


def test_a_far_side_that_closes_is_the_end(connection: Connection) -> None:
    with sockets.answering(sockets.hangs_up) as port, opened(connection, port) as found:
        assert found.recv(1) == b""


def test_nothing_listens_there(connection: Connection) -> None:
    assert refused(connection, "127.0.0.1", free_port()) is ConnectFailure.NOT_LISTENING


def test_a_name_that_the_host_does_not_know(connection: Connection) -> None:
    assert refused(connection, "no-such-host.invalid", 80) is ConnectFailure.UNKNOWN_NAME


def test_an_address_without_a_route_does_not_count_as_nothing_listening(
    connection: Connection,
) -> None:
    """The broadcast address takes no connections: the host's own kernel says so."""
    assert refused(connection, "255.255.255.255", 80) is ConnectFailure.UNREACHABLE


@pytest.mark.parametrize(
    "setting", ["AllowTcpForwarding no", "DisableForwarding yes", "PermitOpen 127.0.0.1:1"]
)
def test_a_host_that_does_not_forward_was_not_asked(
    setting: str, tmp_path: Path, home: Path
) -> None:
    with running_sshd(tmp_path / "sshd", settings=[setting]) as sshd:
        conn_options = options(home, sshd.known_hosts)
        with logged_in(target_at(sshd), conn_options) as connection:
            assert refused(connection, "127.0.0.1", sshd.port) is None


class _Refuses(stalling.Login):
    code, words = 2, "\x1b[2J\u202e no"

    def connection_requested(self, *_: Any) -> Any:
        raise asyncssh.ChannelOpenError(self.code, self.words)


class _Prohibits(_Refuses):
    code, words = 1, "connection refused"


class _Shortage(_Refuses):
    code, words = 4, "connection refused"


class _Stalls(stalling.Login):
    def connection_requested(self, *_: Any) -> Any:
        return stalling.never()


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (_Prohibits, None),
        (_Refuses, ConnectFailure.UNREACHABLE),
        (_Shortage, ConnectFailure.UNREACHABLE),
        (_Stalls, ConnectFailure.TIMED_OUT),
    ],
)
def test_what_another_server_says(
    factory: type[stalling.Login], why: ConnectFailure | None, sshd: Sshd, home: Path
) -> None:
    with stalling.serving(factory, sshd, home) as port:
        conn_options = options(home, home / "known_hosts")
        with logged_in(target_at(sshd, port=port), conn_options) as connection:
            found = tunnel(connection, "127.0.0.1", 1, opening=1.0)
    assert isinstance(found, HttpFailure)
    assert found.cause is why
    assert found.reason.isprintable()


def test_a_connection_that_is_gone_is_the_hosts_failure(connection: Connection) -> None:
    connection.close()
    with pytest.raises(Unreachable) as caught:
        tunnel(connection, "127.0.0.1", 1, opening=1.0)
    assert caught.value.step == "tunnel"


def test_many_in_turn_leave_nothing(connection: Connection) -> None:
    before = set(threading.enumerate())
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with sockets.answering(echoes) as port:
        for _ in range(50):
            with opened(connection, port) as found:
                send_all(found, b"x")
                assert found.recv(1) == b"x"
            refused(connection, "127.0.0.1", 1)
        assert len(os.listdir("/proc/self/fd")) - files <= 2  # noqa: PTH208 - the listener's own
        assert connection.is_active()
    assert set(threading.enumerate()) <= before


def test_a_far_side_that_takes_nothing_keeps_nobody(connection: Connection) -> None:
    with sockets.answering(takes_nothing) as port:
        found = opened(connection, port)
        found.settimeout(0.5)
        with found, pytest.raises(TimeoutError):
            send_all(found, bytes(64 * 1024 * 1024))


def test_a_far_side_that_never_answers_and_one_that_hangs_up_differ(
    connection: Connection, home: Path
) -> None:
    services = SshServices(connection, options(home), "root")
    with sockets.answering(takes_nothing) as port:
        answers = [
            services.request(HttpRequest(f"http://127.0.0.1:{port}/"), 0.3) for _ in range(10)
        ]
    assert [answer.cause for answer in answers if isinstance(answer, HttpFailure)] == [
        ConnectFailure.TIMED_OUT
    ] * 10


def test_a_connection_is_tried_without_a_request(
    connection: Connection, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path / "ca")
    strange = make_authority(tmp_path / "strange")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    services = SshServices(connection, options(home), "root")
    local = LocalServices(options(home))
    with (
        running_provider() as plain,
        running_provider(certificate=authority.issue("127.0.0.1")) as trusted,
        running_provider(certificate=strange.issue("127.0.0.1")) as untrusted,
        running_provider(certificate=authority.issue("other.example")) as other,
        sockets.answering(takes_nothing) as silent,
    ):
        expected = {
            plain.base_url(): Connected,
            trusted.base_url(): Connected,
            untrusted.base_url(): ConnectFailure.UNTRUSTED,
            other.base_url(): ConnectFailure.WRONG_NAME,
            plain.base_url(scheme="https"): ConnectFailure.NOT_TLS,
            f"http://127.0.0.1:{free_port()}/": ConnectFailure.NOT_LISTENING,
            "http://no-such-host.invalid/": ConnectFailure.UNKNOWN_NAME,
            f"https://127.0.0.1:{silent}/": ConnectFailure.TIMED_OUT,
        }
        for url, outcome in expected.items():
            timeout = 0.5 if outcome is ConnectFailure.TIMED_OUT else _ENOUGH
            for found in (
                services.try_connection(HttpRequest(url), timeout),
                local.try_connection(HttpRequest(url), timeout),
            ):
                if isinstance(found, HttpFailure):
                    assert found.cause is outcome, url
                else:
                    assert outcome is Connected, url
                    assert 0 < found.seconds < timeout
        asked = [*plain.asked, *trusted.asked, *untrusted.asked, *other.asked]
    assert asked == []


def test_an_ipv6_literal_in_a_url_leads_there(connection: Connection, home: Path) -> None:
    hosts: list[bytes] = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            hosts.append(peer.recv(4096))
            peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        services = SshServices(connection, options(home), "root")
        answer = services.request(HttpRequest(f"http://[::1]:{port}/v1/health"), _ENOUGH)
        thread.join(_ENOUGH)
    assert isinstance(answer, HttpResponse), answer
    assert f"Host: [::1]:{port}\r\n".encode() in hosts[0]
