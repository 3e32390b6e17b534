"""Connections that a ProxyCommand makes; what ssh makes of the same config stands beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.ssh.proxy_command import run_proxy_command
from tests.fleet.clients import connection, logged_in, need, options, refusal, target_at
from tests.fleet.openssh import free_port
from tests.fleet.proxy_command import RELAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.transport.connect_options import ConnectOptions
    from tests.fleet.openssh import Sshd


@pytest.fixture
def relay(tmp_path: Path) -> str:
    """Return a ProxyCommand that connects to the host and port behind it."""
    script = tmp_path / "relay.py"
    script.write_text(RELAY)
    return f"{sys.executable} {script}"


def with_config(
    home: Path, sshd: Sshd, config: str, environ: Mapping[str, str] = os.environ
) -> ConnectOptions:
    path = home / "config"
    path.write_text(config)
    return options(home, sshd.known_hosts, ssh_config=path, environ=dict(environ), timeout=10.0)


def test_a_connection_that_a_program_makes(sshd: Sshd, relay: str, home: Path) -> None:
    config = f"Host gpu\n HostName 127.0.0.1\n HostKeyAlias {sshd.entry}\n"
    config += f" ProxyCommand {relay} %h %p # no comment\n"
    before = sshd.log.read_text().count("Accepted publickey")
    connection(target_at(sshd, address="gpu"), with_config(home, sshd, config))
    assert sshd.log.read_text().count("Accepted publickey") == before + 1


def test_tokens_are_filled_in_and_the_shell_is_the_operators(
    sshd: Sshd, relay: str, home: Path
) -> None:
    said = home / "said"
    config = f"Host gpu\n HostName 127.0.0.1\n HostKeyAlias {sshd.entry}\n ProxyCommand "
    config += f"sh -c 'echo \"%h %n %r %p %k %% $WORD $0\" >{said}; exec {relay} %h %p'\n"
    environ = {**os.environ, "WORD": "mine", "SHELL": shutil.which("bash") or "/bin/sh"}
    connection(target_at(sshd, address="gpu"), with_config(home, sshd, config, environ))
    ours, port = said.read_text(), sshd.port
    assert ours == f"127.0.0.1 gpu {sshd.user} {port} {sshd.entry} % mine sh\n"
    need("ssh", "openssh-client")
    subprocess.run(
        ["ssh", "-F", home / "config", "-p", str(port), "-l", sshd.user, "-i", sshd.client_key,
         "-o", f"UserKnownHostsFile={sshd.known_hosts}", "-o", "BatchMode=yes", "gpu", "true"],
        env=environ, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert said.read_text() == ours


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            "sh -c 'echo no way >&2; exit 3'",
            "; the ProxyCommand ended with status 3; it says: no way",
        ),
        (
            "printf 'a\\nb\\033[1m\\n' >&2",
            "; the ProxyCommand ended; it says: a / b\\x1b[1m",
        ),
        (
            "sh -c 'kill -9 $$'",
            "; signal 9 ended the ProxyCommand",
        ),
        (
            "no-such-program-here",
            "; the ProxyCommand ended with status 127; it says: ",
        ),
    ],
    ids=["refused", "control characters", "killed", "not there"],
)
def test_one_that_fails_is_told_with_what_it_says(
    command: str, reason: str, sshd: Sshd, home: Path
) -> None:
    conn_options = with_config(home, sshd, f"ProxyCommand {command}\n")
    problem = refusal(target_at(sshd), conn_options)
    assert problem.step == "handshake"
    assert problem.reason.startswith("the host closed the connection")
    assert reason in problem.reason
    assert "by hand" in problem.hint


def test_much_that_is_said_is_told_in_part(sshd: Sshd, home: Path) -> None:
    command = "sh -c 'seq 100000 >&2; echo the end >&2; exit 1'"
    problem = refusal(target_at(sshd), with_config(home, sshd, f"ProxyCommand {command}\n"))
    assert problem.reason.endswith("99999 / 100000 / the end")
    assert len(problem.reason) < 600


def test_one_that_says_nothing_is_left_at_the_deadline_and_killed(sshd: Sshd, home: Path) -> None:
    pids = home / "pids"
    command = f"sh -c 'sleep 1000 & echo $$ $! >{pids}; trap : TERM; wait; wait'"
    conn_options = with_config(home, sshd, f"ProxyCommand {command}\n")
    begun = time.monotonic()
    problem = refusal(target_at(sshd), conn_options, seconds=3.0)
    assert str(problem) == "handshake: the host's deadline passed"
    assert time.monotonic() - begun < 10
    assert [is_running(pid) for pid in pids.read_text().split()] == [False, False]
    problem = refusal(target_at(sshd), replace(conn_options, timeout=0.5))
    assert problem.reason == "no answer in time"
    assert problem.hint.startswith("the ProxyCommand still runs: run the ProxyCommand")


def test_it_ends_with_the_connection(sshd: Sshd, relay: str, home: Path) -> None:
    pid = home / "pid"
    config = f"ProxyCommand sh -c 'echo $$ >{pid}; exec {relay} %h %p'\n"
    with connect(target_at(sshd), with_config(home, sshd, config), Deadline.after(30.0)):
        assert is_running(pid.read_text().strip())
    until = time.monotonic() + 10
    while is_running(pid.read_text().strip()) and time.monotonic() < until:
        pass
    assert not is_running(pid.read_text().strip())


def is_running(pid: str) -> bool:
    """Tell whether a process is there; a zombie counts."""
    return Path(f"/proc/{pid}").exists()


def test_a_shell_that_can_not_be_run(sshd: Sshd, home: Path) -> None:
    conn_options = with_config(home, sshd, "ProxyCommand true\n", {"SHELL": "/no/such/shell"})
    problem = refusal(target_at(sshd), conn_options)
    assert str(problem) == (
        "connect: the shell /no/such/shell can't run the ProxyCommand: No such file or directory"
    )


def test_none_goes_straight(sshd: Sshd, home: Path) -> None:
    config = "Host 127.0.0.1\n ProxyCommand none\nHost *\n ProxyCommand false\n"
    connection(target_at(sshd), with_config(home, sshd, config))


def test_the_bastions_own_command_is_run_and_the_hosts_is_not(
    sshd: Sshd, relay: str, home: Path
) -> None:
    config = (
        f"Host gate\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n"
        f" HostKeyAlias {sshd.entry}\n ProxyCommand {relay} %h %p\n"
        f"Host *\n IdentityFile {sshd.client_key}\n ProxyCommand false\n"
    )
    before = sshd.log.read_text().count("Accepted publickey")
    connection(target_at(sshd, jump=("gate",)), with_config(home, sshd, config))
    assert sshd.log.read_text().count("Accepted publickey") == before + 2
    with pytest.raises(Unreachable, match=r"bastion .*: handshake: .* ended with status 1"):
        connect(
            target_at(sshd, jump=(f"127.0.0.1:{sshd.port}",)),
            with_config(home, sshd, config),
            Deadline.after(30.0),
        )


def test_more_is_sent_than_a_pipe_holds() -> None:
    data = os.urandom(1_000_000)
    with run_proxy_command("cat", os.environ) as stream:
        stream.settimeout(0.2)
        sent = 0
        with suppress(TimeoutError):  # cat waits for us to read
            while sent < len(data):
                sent += stream.send(data[sent:])
        assert 0 < sent < len(data)
        received = b""
        while len(received) < len(data):
            received += stream.recv(65536)
            while sent < len(data):
                try:
                    sent += stream.send(data[sent:])
                except TimeoutError:
                    break
        assert received == data
    with pytest.raises(BrokenPipeError):
        stream.send(b"x")


def test_a_port_that_nothing_listens_at_is_the_programs_to_tell(
    sshd: Sshd, relay: str, home: Path
) -> None:
    host = target_at(sshd, port=free_port())
    problem = refusal(host, with_config(home, sshd, f"ProxyCommand {relay} %h %p\n"))
    assert "ConnectionRefusedError" in problem.reason


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Ciphers aes256-ctr\nMACs hmac-sha2-512", None),
        ("KexAlgorithms ecdh-sha2-nistp384", None),
        ("Ciphers 3des-cbc", "Ciphers 3des-cbc leaves no algorithm that is used here"),
        ("MACs umac-64@openssh.com", "MACs umac-64@openssh.com leaves no algorithm"),
    ],
)
def test_ciphers_of_the_config_are_the_only_ones(
    line: str, words: str | None, sshd: Sshd, home: Path
) -> None:
    conn_options = with_config(home, sshd, f"{line}\n")
    if words is None:
        with logged_in(target_at(sshd), conn_options) as transport:
            cipher = vars(transport)["remote_cipher"]
            assert cipher == ("aes256-ctr" if "Ciphers" in line else "aes128-gcm@openssh.com")
    else:
        assert words in refusal(target_at(sshd), conn_options).reason
