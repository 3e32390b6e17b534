"""Commands over SSH: with any login shell, and over a connection that is lost."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.commands import LARGEST_OUTPUT, CompletedCommand, NoCommands
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import HttpRequest
from aegis_provision.transport.ssh.commands import SshServices
from tests.fleet import stalling, users
from tests.fleet.clients import logged_in, need, options, refusal, target_at
from tests.fleet.openssh import running_sshd
from tests.fleet.relay import stopping_in_a_packet
from tests.fleet.sftp_wire import find_sftp_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from tests.fleet.openssh import Sshd
    from tests.fleet.stalling import Login

_ENOUGH = 30.0
HARD = "printf '%s|' 'a b' \"it's\" 'back\\slash' 'ends\\' '!x' '$HOME' '%d' '`id`'\necho \u00fc"
PLAIN = b"a b|it's|back\\slash|ends\\|!x|$HOME|%d|`id`|\xc3\xbc\n"


@pytest.fixture
def session(sshd: Sshd, home: Path) -> Iterator[HostSession]:
    with connect(target_at(sshd), options(home, sshd.known_hosts), Deadline.after(60)) as opened:
        yield opened


def run(session: HostSession, command: str, seconds: float = _ENOUGH) -> CompletedCommand:
    return session.run(command, Deadline.after(seconds))


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("echo out; echo err >&2; exit 7", 7, b"out\nerr\n"),
        ("cat", 0, b""),
        ("exec >&- 2>&-; sleep 0.4; exit 3", 3, b""),
        ("kill -TERM $$", -1, b""),
        (HARD, 0, PLAIN),
    ],
    ids=["says and ends", "reads nothing", "closes its output first", "is killed", "quoting"],
)
def test_status_and_output(command: str, status: int, output: bytes, session: HostSession) -> None:
    assert run(session, command) == CompletedCommand(status, output)


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        ("internal-sftp", ' (it said: "This service allows sftp connections only.'),
        ("SFTP_SERVER", ""),
        ('echo sorry: "$SSH_ORIGINAL_COMMAND"', ' (it said: "sorry: exec /bin/sh -c'),
    ],
)
def test_a_command_of_the_hosts_in_place_of_ours_is_no_success(
    forced: str, said: str, tmp_path: Path, home: Path
) -> None:
    forced = forced.replace("SFTP_SERVER", find_sftp_server())
    with running_sshd(tmp_path / "sshd", settings=[f"ForceCommand {forced}"]) as sshd:
        where = options(home, sshd.known_hosts)
        with logged_in(target_at(sshd), where) as transport:
            services = SshServices(transport, where, sshd.user)
            with pytest.raises(NoCommands) as caught:
                services.run("restart-aegis", Deadline.after(_ENOUGH))
    assert caught.value.reason.startswith(f"the host runs no commands for this login{said}")
    assert "ForceCommand" in caught.value.hint


def test_only_so_much_of_the_output_is_kept(session: HostSession) -> None:
    completed = run(session, f"head -c {2 * LARGEST_OUTPUT} /dev/zero")
    assert completed.status == 0
    assert LARGEST_OUTPUT - 100 < len(completed.output) <= LARGEST_OUTPUT


@pytest.mark.parametrize("command", ["exec sleep 60", "exec yes"], ids=["silent", "talking"])
def test_one_that_does_not_end_is_left_at_the_deadline(command: str, session: HostSession) -> None:
    began = time.monotonic()
    completed = run(session, f"echo $$; {command}", seconds=2.0)
    assert completed.status is None
    assert time.monotonic() - began < 10
    pid = completed.output.split()[0].decode()
    assert run(session, f"kill {pid} 2>/dev/null; echo here").output == b"here\n"


@pytest.mark.parametrize("child", ["sleep 60", "yes"], ids=["silent", "talking"])
def test_a_child_that_keeps_the_output_open_is_not_waited_for(
    child: str, session: HostSession, tmp_path: Path
) -> None:
    began = time.monotonic()
    completed = run(session, f"{child} & echo $! >{tmp_path}/pid; exit 4")
    assert completed.status == 4
    assert time.monotonic() - began < 10
    run(session, f"kill $(cat {tmp_path}/pid)")


def test_the_connection_serves_files_and_commands_in_turn(session: HostSession) -> None:
    for _ in range(20):
        assert run(session, "true").status == 0
        assert session.alive(Deadline.after(_ENOUGH))


def test_without_time_left_the_error_is_the_deadline(session: HostSession) -> None:
    with pytest.raises(Unreachable, match="the host's deadline passed"):
        run(session, "true", seconds=0)


@pytest.mark.root
@pytest.mark.parametrize(
    ("shell", "package"), [("bash", "bash"), ("dash", "dash"), ("tcsh", "tcsh"), ("fish", "fish")]
)
def test_any_login_shell(shell: str, package: str, tmp_path: Path, home: Path) -> None:
    path = need(shell, package)
    with users.user("shell", path) as name, users.sshd_for(name, tmp_path / "sshd") as sshd:
        login = target_at(sshd, user=name)
        with connect(login, options(home, sshd.known_hosts), Deadline.after(60)) as session:
            completed = run(session, HARD)
    assert completed.status == 0
    assert completed.output.endswith(PLAIN), "after what the shell itself prints"


@pytest.mark.root
def test_a_login_that_runs_nothing(tmp_path: Path, home: Path) -> None:
    shell = shutil.which("false")
    assert shell is not None
    with users.user("false", shell) as name, users.sshd_for(name, tmp_path / "sshd") as sshd:
        login = target_at(sshd, user=name)
        with connect(login, options(home, sshd.known_hosts), Deadline.after(60)) as session:
            with pytest.raises(NoCommands):
                run(session, "echo here")
            assert session.alive(Deadline.after(_ENOUGH))


def _kill_connection(session: HostSession) -> str:
    """Return a command that kills the sshd process which serves this connection."""
    found = run(session, "echo $PPID").output.strip().decode()
    return f"kill -9 {found}; exec sleep 60"


def test_a_connection_lost_in_the_middle_is_no_status(session: HostSession) -> None:
    with pytest.raises(Unreachable, match="command: the connection was lost"):
        run(session, _kill_connection(session))
    with pytest.raises(Unreachable):
        run(session, "true")


def test_a_host_that_stops_in_the_middle_of_a_packet_is_silent_and_not_gone(
    sshd: Sshd, home: Path
) -> None:
    known_hosts, begun, goes_on = (home / name for name in ("known_hosts", "begun", "goes_on"))
    known_hosts.write_text(f"* {sshd.host_key.read_text()}")
    impatient, request = options(home, known_hosts, timeout=1.0), HttpRequest("http://127.0.0.1:9/")
    for pipe in (begun, goes_on):
        os.mkfifo(pipe)

    def shorten(transport: Connection) -> None:
        transport.packetizer.rest_within = 0.3  # type: ignore[attr-defined] # our own class

    def stop_once_begun() -> None:
        begun.read_bytes()
        stops.set()
        goes_on.write_bytes(b"")

    with (
        stopping_in_a_packet(sshd.port) as (port, stops),
        logged_in(target_at(sshd, port=port), impatient) as transport,
        ThreadPoolExecutor() as pool,
    ):
        shorten(transport)
        pool.submit(stop_once_begun)
        services = SshServices(transport, impatient, "root")
        with pytest.raises(Unreachable, match="command: the host stopped answering"):
            services.run(f"echo >{begun}; cat {goes_on}; echo done", Deadline.after(_ENOUGH))
    with (
        stopping_in_a_packet(sshd.port) as (port, stops),
        logged_in(target_at(sshd, port=port), impatient) as transport,
    ):
        shorten(transport)
        stops.set()
        with pytest.raises(Unreachable, match="tunnel: no answer in time"):
            SshServices(transport, impatient, "root").request(request, 2.0)
    with stopping_in_a_packet(sshd.port, at_login=True) as (port, _):
        stalled = refusal(target_at(sshd, port=port), impatient)
    assert str(stalled) == "login: no answer in time"


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (stalling.StallsAtRequest, "no answer in time"),
        (stalling.StallsAtSession, "no answer in time"),
        (stalling.RefusesSessions, "the host refused to open a channel"),
        (stalling.HangsUpAtRequest, "the host closed the connection"),
    ],
)
def test_a_server_that_does_not_answer(
    factory: type[Login], reason: str, sshd: Sshd, home: Path, tmp_path: Path
) -> None:
    with stalling.serving(factory, sshd, tmp_path) as port:
        patient = options(home, tmp_path / "known_hosts", timeout=3.0)
        with logged_in(target_at(sshd, port=port), patient) as transport:
            began = time.monotonic()
            with pytest.raises(Unreachable) as caught:
                SshServices(transport, patient, "root").run("true", Deadline.after(_ENOUGH))
    assert (caught.value.step, caught.value.reason) == ("command", reason)
    assert time.monotonic() - began < 20
