"""become: the SFTP server under sudo, on a host that has users of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.aegis.remote_state import ReadProblem
from aegis_provision.errors import Stage
from aegis_provision.transport.become import (
    NO_SERVER,
    NO_WAY,
    SERVERS,
    become_problem,
    begun,
    quoted,
    remote_command,
)
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from tests.fleet.clients import connection, need, options, refusal, target, target_at
from tests.fleet.needs import missing
from tests.fleet.openssh import running_sshd
from tests.fleet.users import doas_conf, sshd_for, sudoers, user
from tests.transport.targets import NEW, plan_write, write_over

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aegis_provision.inventory.host import BecomeMethod, Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from tests.fleet.openssh import Sshd

SERVER = next((place for place in SERVERS if os.access(place, os.X_OK)), "")
NOISE = "#!/bin/sh\necho 'Welcome, you have mail'\necho oops >&2\n"


@dataclass(frozen=True)
class Machine:
    """A host with a login that may become ``aegis`` and may not become ``other``."""

    sshd: Sshd
    login: str
    aegis: str
    other: str
    options: ConnectOptions

    def fails_as(self, become_user: str) -> tuple[str, str, str]:
        host = target_at(self.sshd, user=self.login, become_user=become_user)
        problem = refusal(host, self.options)
        return problem.step, problem.reason, problem.hint


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if os.geteuid() != 0:
        message = "this needs root: it makes users and sudo rules"
        missing(message)
    need("sudo", "sudo")
    directory = tmp_path_factory.mktemp("machine")
    with (
        user("login") as login,
        user("aegis", "/usr/sbin/nologin") as aegis,
        user("other") as other,
        sudoers(f"{login} ALL=({aegis}) NOPASSWD: {SERVER}", f"{login} ALL=({other}) ALL"),
        sshd_for(login, directory) as sshd,
    ):
        yield Machine(sshd, login, aegis, other, options(directory, sshd.known_hosts))


@pytest.mark.root
def test_one_rule_for_the_sftp_server_is_enough(machine: Machine, public_path: Path) -> None:
    file = public_path / "aegis.config.json"
    file.write_text('{"authToken": "x"}')
    shutil.chown(file, machine.aegis)
    file.chmod(0o600)
    host = target_at(
        machine.sshd, user=machine.login, become_user=machine.aegis, config_path=str(file)
    )
    deadline = Deadline.after(60.0)
    with connect(host, machine.options, deadline) as session:
        actual = session.read(deadline)
    assert actual.file is not None
    assert actual.file.content == b'{"authToken": "x"}'


@pytest.mark.root
def test_a_login_without_become_is_only_itself(machine: Machine) -> None:
    connection(target_at(machine.sshd, user=machine.login), machine.options)


@pytest.mark.root
def test_a_password_that_can_not_be_typed(machine: Machine) -> None:
    rule = f"{machine.login} ALL=({machine.other}) NOPASSWD: {SERVERS[0]}"
    assert machine.fails_as(machine.other) == (
        "sudo",
        f"sudo wants a password to become {machine.other}",
        f"allow it with: {rule}",
    )


@pytest.mark.root
def test_a_user_that_is_not_there(machine: Machine) -> None:
    assert machine.fails_as("no-such-user") == (
        "sudo",
        "there is no user no-such-user on the host",
        "correct become_user",
    )


@pytest.mark.root
def test_a_user_that_sudo_does_not_allow(machine: Machine) -> None:
    step, reason, hint = machine.fails_as("root")
    # Whom sudo does not let in at all, it asks for a password first.
    assert (step, reason) in {
        ("sudo", "sudo wants a password to become root"),
        ("sudo", f"sudo does not let {machine.login} become root"),
    }
    assert hint.startswith("allow it with: ")


@pytest.mark.root
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/bin/dash"])
def test_start_up_files_that_print_do_no_harm(
    shell: str, machine: Machine, public_path: Path, tmp_path: Path
) -> None:
    if not os.access(shell, os.X_OK):
        missing(f"there is no {shell} on this machine")
    noisy = public_path / "noisy"
    noisy.write_text(f'{NOISE}exec {shell} "$@"\n')
    noisy.chmod(0o755)
    with (
        user("noisy", str(noisy)) as login,
        sudoers(f"{login} ALL=({machine.aegis}) NOPASSWD: {SERVER}"),
        sshd_for(login, tmp_path / "server", SERVER) as sshd,
    ):
        trusting = options(tmp_path, sshd.known_hosts)
        connection(target_at(sshd, user=login, become_user=machine.aegis), trusting)
        connection(target_at(sshd, user=login), trusting)


@pytest.mark.root
def test_a_login_that_may_not_log_in(machine: Machine, tmp_path: Path) -> None:
    with sshd_for(machine.aegis, tmp_path / "server") as sshd:
        host = target_at(sshd, user=machine.aegis, become_user=machine.other)
        problem = refusal(host, options(tmp_path, sshd.known_hosts))
    assert problem.step == "sudo"
    assert 'it said: "This account is currently not available."' in problem.reason


@pytest.mark.root
def test_doas_and_what_its_line_allows(machine: Machine, public_path: Path) -> None:
    """The line in the refusal is the one that helps."""
    file = public_path / "home" / "aegis.config.json"
    file.parent.mkdir(mode=0o700)
    shutil.chown(file.parent, machine.aegis, machine.aegis)
    deadline = Deadline.after(60.0)

    def asked(become_user: str = machine.aegis) -> Target:
        return target_at(
            machine.sshd, user=machine.login, become_user=become_user, become_method="doas",
            config_path=str(file),
        )  # fmt: skip

    rule = f"permit nopass {machine.login} as {machine.aegis} cmd {SERVER}"
    with doas_conf(f"permit {machine.login} as {machine.other}"):
        refused = refusal(asked(), machine.options)
        assert (refused.step, refused.reason, refused.stage) == (
            "doas",
            f"doas does not let {machine.login} become {machine.aegis}",
            Stage.BECOME,
        )
        assert refused.hint == f"allow it in doas.conf with: {rule}"
        wants = refusal(asked(machine.other), machine.options)
        assert wants.reason == f"doas wants a password to become {machine.other}"
        nobody = refusal(asked("no-such-user"), machine.options)
        assert nobody.reason == "there is no user no-such-user on the host"
    with doas_conf(rule), connect(asked(), machine.options, deadline) as session:
        write_over(session, plan_write(session.read(deadline)), deadline)
        owner = session.login(deadline)
    assert owner is not None
    assert (file.read_bytes(), file.stat().st_uid) == (NEW, owner.uid)
    # Root by doas, in that user's directory: as that user, where doas allows it.
    as_root = f"permit nopass {machine.login} as root cmd {SERVER}"
    with doas_conf(as_root), connect(asked("root"), machine.options, deadline) as session:
        found = session.read(deadline)
        assert found.problem is ReadProblem.UNSAFE_DIRECTORY
        assert NO_WAY in found.detail
    with doas_conf(as_root, rule), connect(asked("root"), machine.options, deadline) as session:
        assert session.read(deadline).for_root
        assert session.login(deadline) == owner


@pytest.mark.root
@pytest.mark.parametrize(
    ("forced", "method", "said"),
    [
        ("internal-sftp", "sudo", ' (it said: "This service allows sftp connections only.")'),
        (SERVER, "doas", ""),
    ],
)
def test_what_serves_sftp_as_the_login_is_not_taken_for_the_other_user(
    forced: str, method: BecomeMethod, said: str, tmp_path: Path
) -> None:
    with running_sshd(tmp_path / "server", settings=[f"ForceCommand {forced}"]) as sshd:
        host = target_at(sshd, become_user="nobody", become_method=method)
        problem = refusal(host, options(tmp_path, sshd.known_hosts))
    assert (problem.step, problem.reason) == (method, f"{NO_COMMANDS}{said}")
    assert "ForceCommand" in problem.hint


def becoming(user_name: str, method: BecomeMethod = "sudo", **changes: Any) -> Target:
    return target("host.example", become_user=user_name, become_method=method, **changes)


def run(
    host: Target, path: Path, shell: Sequence[str] = ("/bin/sh",)
) -> subprocess.CompletedProcess[str]:
    """Run the command for a host as its login shell would, with ``path`` for PATH."""
    return subprocess.run(
        [*shell, "-c", remote_command(host, "a1")],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_without_sudo_on_the_host(tmp_path: Path) -> None:
    host = becoming("aegis")
    problem = become_problem(host, "me", run(host, tmp_path).stderr)
    assert problem.reason == "there is no sudo on the host"
    program(tmp_path, "doas")
    problem = become_problem(host, "me", run(host, tmp_path).stderr)
    assert (problem.reason, problem.hint) == (
        "there is no sudo on the host",
        "doas is there: set become_method to it",
    )


def program(directory: Path, name: str, says: str = 'printf "%s\\n" "$0" "$@"') -> None:
    fake = directory / name
    fake.write_text(f"#!/bin/sh\n{says}\n")
    fake.chmod(0o755)


@pytest.mark.parametrize("method", ["sudo", "doas"])
@pytest.mark.parametrize("shell", [("/bin/sh",), ("busybox", "sh"), ("dash",)], ids=" ".join)
def test_the_command_is_what_a_rule_allows(
    shell: tuple[str, ...], method: BecomeMethod, tmp_path: Path
) -> None:
    need(shell[0], shell[0])
    program(tmp_path, method)
    program(tmp_path, "sftp-server")
    host = becoming("aegis", method, sftp_server_path=f"{tmp_path}/sftp-server")
    done = run(host, tmp_path, (str(shutil.which(shell[0])), *shell[1:]))
    said = [f"{tmp_path}/{method}", "-n", "-u", "aegis", f"{tmp_path}/sftp-server"]
    assert done.stdout == begun("a1").decode() + "\n".join(said) + "\n"


def test_the_first_server_that_is_there_is_the_one_that_the_rule_names(tmp_path: Path) -> None:
    """Fedora's lies elsewhere than Debian's: a rule for the wrong path would allow nothing."""
    host = becoming("aegis")
    for place in SERVERS:
        stderr = f"sftp-server={place}\nsudo: a password is required\n"
        hint = become_problem(host, "me", stderr).hint
        assert hint == f"allow it with: me ALL=(aegis) NOPASSWD: {place}"
    stderr = "sftp-server=/bin/sh\nsudo: a password is required\n"
    assert become_problem(host, "me", stderr).hint.endswith(f"NOPASSWD: {SERVERS[0]}")
    named = becoming("aegis", "doas", sftp_server_path="/opt/sftp-server")
    stderr = "sftp-server=/opt/sftp-server\ndoas: Operation not permitted\n"
    assert become_problem(named, "me", stderr).hint == (
        "allow it in doas.conf with: permit nopass me as aegis cmd /opt/sftp-server"
    )


def test_where_there_is_no_server_the_package_is_named(tmp_path: Path) -> None:
    program(tmp_path, "sudo")
    host = becoming("aegis", sftp_server_path="/nowhere/sftp-server")
    problem = become_problem(host, "me", run(host, tmp_path).stderr)
    assert (problem.reason, problem.hint) == (
        "there is no /nowhere/sftp-server on the host",
        "correct sftp_server_path, or leave it out",
    )
    problem = become_problem(becoming("aegis"), "me", f"{NO_SERVER}\n")
    assert problem.reason == NO_SERVER
    assert "openssh-sftp-server on Debian" in problem.hint


@given(name=st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,20}", fullmatch=True))
def test_the_command_is_one_line_of_harmless_characters(name: str) -> None:
    command = remote_command(becoming(name), "a1")
    assert "\n" not in command
    assert f"sudo -n -u {name} " in command
    assert begun("a1").decode().strip() not in command


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("sudo: a password is required\n", "sudo wants a password to become aegis"),
        (
            "sudo: a terminal is required to read the password; either use -S\n",
            "sudo wants a password to become aegis",
        ),
        ("sudo: unknown user: aegis\n", "there is no user aegis on the host"),
        ("sudo: unknown user aegis\n", "there is no user aegis on the host"),
        (
            "Sorry, user me is not allowed to execute '/x' as aegis on host.\n",
            "sudo does not let me become aegis",
        ),
        ("me is not in the sudoers file.\n", "sudo does not let me become aegis"),
        ("Sorry, user me may not run sudo on host.\n", "sudo does not let me become aegis"),
        (f"{NO_SERVER}\n", NO_SERVER),
        ("/bin/sh: 1: exec: sudo: not found\n", "there is no sudo on the host"),
        ("sh: sudo: command not found\n", "there is no sudo on the host"),
        ("", "the SFTP server did not start as aegis"),
        (
            "odd\x1b[31m\r\nthing",
            'the SFTP server did not start as aegis (it said: "odd [31m thing")',
        ),
    ],
)
def test_sudo_output_in_our_words(stderr: str, reason: str) -> None:
    problem = become_problem(becoming("aegis"), "me", stderr)
    assert (problem.step, problem.reason) == ("sudo", reason)
    assert problem.hint


@given(st.text(max_size=500))
def test_a_quote_of_the_far_side_is_short_and_printable(stderr: str) -> None:
    remark = quoted(stderr)
    assert remark.isprintable()
    assert len(remark) < 150


def test_a_quote_that_looks_like_a_secret_is_none() -> None:
    assert quoted("your key: sk-or-v1-0f1e2d3c4b5a") == " (what it said may hold a secret)"
    assert quoted(" a\n b ") == ' (it said: "a b")'
    assert quoted(" \n") == ""
