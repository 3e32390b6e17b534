"""Servers that answer wrongly, or not: connecting ends in time, names the step, prints nothing."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.errors import Passing, Stage, Unreachable
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.ssh import paramiko_internals
from aegis_provision.transport.ssh.handshake import open_transport
from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops
from tests.fleet import sockets, stalling
from tests.fleet.clients import options, refusal, target, target_at
from tests.fleet.openssh import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd
    from tests.fleet.sockets import Behaviour

SHORT = 0.5  # where nothing else has to be done within it
SOON = 3.0  # where a handshake on a busy machine has to be
_ENOUGH = 40.0


@pytest.fixture(autouse=True)
def quiet_and_in_time(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Check that nothing is printed, and that nothing is left to wait for at the end."""
    before = set(threading.enumerate())
    began = time.monotonic()
    yield
    assert time.monotonic() - began < _ENOUGH
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread for thread in left if not thread.daemon and thread.is_alive()] == []
    assert tuple(capfd.readouterr()) == ("", "")


NO_TIME = "no answer in time"
NO_SSH = "what answers there is no SSH server"
NO_WORD = "the host closed the connection before it said anything in SSH"
CLOSED = "the host closed the connection"
BROKEN = "what the host sends is not proper SSH"


def test_half_a_packet_is_not_waited_for_without_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paramiko_internals, "_REST_WITHIN", 0.2)
    with sockets.answering(sockets.drips_a_packet) as port:
        problem = refusal(target("127.0.0.1", port), options(home, timeout=SHORT))
    assert (problem.step, problem.reason) == ("handshake", NO_TIME)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (sockets.says_nothing, NO_TIME),
        (sockets.hangs_up, NO_WORD),
        (sockets.prints_lines_without_end, NO_SSH),
        (sockets.prints_one_line_without_end, NO_SSH),
        (sockets.drips_lines, NO_TIME),
        (sockets.speaks_http, NO_SSH),
        (sockets.speaks_old_ssh, "the host speaks an outdated version of SSH"),
        (sockets.stops_after_the_banner, NO_TIME),
        (sockets.hangs_up_after_the_banner, CLOSED),
        (sockets.talks_garbage_after_the_banner, BROKEN),
    ],
)
def test_what_is_no_ssh_server(behave: Behaviour, reason: str, home: Path) -> None:
    timeout = SHORT if reason == NO_TIME else _ENOUGH
    with sockets.answering(behave) as port:
        problem = refusal(target("127.0.0.1", port), options(home, timeout=timeout))
    assert (problem.step, problem.reason) == ("handshake", reason)
    assert problem.hint


def test_a_reset_before_the_banner_may_pass_as_hanging_up_does(home: Path) -> None:
    conn_options, deadline = options(home), Deadline.after(_ENOUGH)
    [hop] = resolve_hops(target("127.0.0.1", 22), conn_options)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        with pytest.raises(Unreachable) as caught:
            open_transport(connection, hop, conn_options, deadline)
    assert str(caught.value) == f"handshake: {NO_WORD}"
    assert caught.value.passing is Passing.UNSAID


GOOD = {
    "kex": "curve25519-sha256@libssh.org",
    "host_key": "ssh-ed25519",
    "cipher": "aes128-ctr",
    "mac": "hmac-sha2-256",
}


@pytest.mark.parametrize(
    ("outdated", "missing"),
    [
        ({"kex": "diffie-hellman-group1-sha1"}, "key exchange"),
        ({"kex": "diffie-hellman-group14-sha1"}, "key exchange"),
        ({"kex": "diffie-hellman-group-exchange-sha1"}, "key exchange"),
        ({"host_key": "ssh-rsa"}, "host key"),
        ({"host_key": "ssh-dss"}, "host key"),
        ({"cipher": "aes128-cbc"}, "cipher"),
        ({"cipher": "3des-cbc"}, "cipher"),
        ({"cipher": "arcfour"}, "cipher"),
        ({"mac": "hmac-md5"}, "MAC"),
        ({"mac": "hmac-sha1"}, "MAC"),
    ],
)
def test_outdated_algorithms_are_not_used(
    outdated: dict[str, str], missing: str, home: Path
) -> None:
    with sockets.answering(sockets.offers(GOOD | outdated)) as port:
        problem = refusal(target("127.0.0.1", port), options(home))
    assert str(problem) == f"handshake: the host offers no modern {missing}"
    assert problem.hint == "update its sshd: SHA-1, CBC and DSA are not used"


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


_HOST_KEY = _text(b"ssh-ed25519")
_POINT = _text(bytes(range(32)))


@pytest.mark.parametrize(
    "reply",
    [
        b"\x1f",
        b"\x1f" + _text(b"") * 3,
        b"\x1f" + _text(b"x") + _POINT + _text(b"x"),
        b"\x1f" + _text(_HOST_KEY + _text(b"short")) + _POINT + _text(b"x"),
        b"\x1f" + _text(_HOST_KEY + _POINT) + _POINT + _text(_HOST_KEY + _text(bytes(64))),
        b"\x1f" + _text(_text(b"\xff\xfe")) + _text(b"\xff" * 32) + _text(b"\xff"),
        b"\x15",
        b"\xfa",
    ],
    ids=[
        "empty",
        "blanks",
        "no key",
        "short key",
        "wrong signature",
        "no text",
        "early",
        "unknown",
    ],
)
def test_a_garbled_key_exchange_is_this_hosts_failure_alone(reply: bytes, home: Path) -> None:
    with sockets.answering(sockets.offers(GOOD, reply)) as port:
        problem = refusal(target("127.0.0.1", port), options(home))
    assert problem.step == "handshake"
    assert problem.reason in {BROKEN, CLOSED}


@pytest.mark.parametrize("become_user", [None, "aegis"])
@pytest.mark.parametrize(
    ("server", "step", "reason"),
    [
        (stalling.StallsAtLogin, "login", NO_TIME),
        (stalling.StallsAtSession, "session", NO_TIME),
        (stalling.RefusesSessions, "session", "the host refused to open a channel"),
        (stalling.StallsAtRequest, "sftp", NO_TIME),
        (stalling.HangsUpAtRequest, "sftp", CLOSED),
        (stalling.StallsInSftp, "sftp", NO_TIME),
        (stalling.HangsUpInSftp, "sftp", CLOSED),
        (stalling.TalksWithoutEnd, "sftp", "the login shell prints without end"),
    ],
)
def test_a_server_that_stops_half_way(
    server: type[stalling.Login],
    step: str,
    reason: str,
    become_user: str | None,
    sshd: Sshd,
    home: Path,
) -> None:
    with stalling.serving(server, sshd, home) as port:
        host = target_at(sshd, port=port, become_user=become_user)
        timeout = SOON if reason == NO_TIME else _ENOUGH
        problem = refusal(host, options(home, home / "known_hosts", timeout=timeout))
    assert (problem.step, problem.reason) == (step, reason)
    assert problem.hint


def test_a_server_that_refuses_what_is_asked_of_a_session(sshd: Sshd, home: Path) -> None:
    with stalling.serving(stalling.Login, sshd, home) as port:
        host, reached = target_at(sshd, port=port), options(home, home / "known_hosts")
        no_sftp = refusal(host, reached)
        no_commands = refusal(replace(host, become_user="aegis"), reached)
    assert (no_sftp.step, no_sftp.reason) == ("sftp", "the host offers no SFTP")
    assert (no_commands.step, no_commands.reason) == ("sudo", NO_COMMANDS)


def test_a_server_that_hangs_up_at_login(sshd: Sshd, home: Path) -> None:
    with stalling.serving(stalling.HangsUpAtLogin, sshd, home) as port:
        problem = refusal(target_at(sshd, port=port), options(home, home / "known_hosts"))
    assert problem.step == "login"
    assert problem.reason.startswith("the host hung up during the login as ")


def test_a_server_that_hangs_up_once_it_let_us_in(sshd: Sshd, home: Path) -> None:
    """As sshd does where it can't change into its ChrootDirectory."""
    with stalling.serving(stalling.HangsUpAtSession, sshd, home) as port:
        problem = refusal(target_at(sshd, port=port), options(home, home / "known_hosts"))
    assert (problem.step, problem.reason) == ("session", CLOSED)
    assert "ChrootDirectory" in problem.hint


def test_output_in_place_of_sftp_is_in_the_error(sshd: Sshd, home: Path) -> None:
    with stalling.serving(stalling.PrintsAndEnds, sshd, home) as port:
        host = target_at(sshd, port=port)
        plain = refusal(host, options(home, home / "known_hosts"))
        host = target_at(sshd, port=port, become_user="aegis")
        become = refusal(host, options(home, home / "known_hosts"))
    said = '(it said: "This account is currently not available.")'
    assert str(plain) == f"sftp: the login shell answered instead of SFTP {said}"
    assert str(become) == f"sudo: {NO_COMMANDS} {said}"


@pytest.mark.parametrize(
    ("server", "step"),
    [
        (stalling.StallsAtLogin, "login"),
        (stalling.StallsInSftp, "sftp"),
    ],
)
def test_the_deadline_ends_what_the_timeout_would_not(
    server: type[stalling.Login], step: str, sshd: Sshd, home: Path
) -> None:
    with stalling.serving(server, sshd, home) as port:
        host = target_at(sshd, port=port)
        patient = options(home, home / "known_hosts", timeout=60.0)
        problem = refusal(host, patient, seconds=SOON)
    assert (problem.step, problem.reason) == (step, "the host's deadline passed")
    assert problem.hint == "raise --deadline"


def test_the_deadline_ends_a_handshake(home: Path) -> None:
    with sockets.answering(sockets.says_nothing) as port:
        problem = refusal(target("127.0.0.1", port), options(home, timeout=60.0), seconds=SHORT)
    assert str(problem) == "handshake: the host's deadline passed"


def test_a_deadline_that_has_passed_connects_to_nothing(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        host = target("127.0.0.1", listener.getsockname()[1])
        assert refusal(host, options(home), seconds=0.0).hint == "raise --deadline"
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_connection_that_was_open_ends_in_time_too(sshd: Sshd, home: Path) -> None:
    with connect(
        target_at(sshd), options(home, sshd.known_hosts), Deadline.after(_ENOUGH)
    ) as session:
        assert session.read(Deadline.after(_ENOUGH)).file is None
        with pytest.raises(Unreachable) as caught:
            session.read(Deadline.after(0.0))
        assert session.read(Deadline.after(_ENOUGH)).file is None
    assert str(caught.value) == "sftp: the host's deadline passed"


def test_a_port_that_nothing_listens_on(home: Path) -> None:
    problem = refusal(target("127.0.0.1", free_port()), options(home))
    assert str(problem) == "connect: nothing listens there"
    assert problem.stage is Stage.PORT


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64, "a..b", "256.1.1.1"])
def test_an_unknown_name(name: str, home: Path) -> None:
    problem = refusal(target(name), options(home))
    assert str(problem) == "connect: the name is not known"
    assert problem.hint == "check the spelling, or set 'address'"
    assert problem.stage is Stage.NAME
