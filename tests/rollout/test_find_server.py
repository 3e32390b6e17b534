"""Finding the Aegis of a host: real processes, through a real sshd and by every shell."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    ReadsNone,
    ReadsOther,
    ReadsTarget,
    TargetFile,
    path_in_use,
    paths_of,
    reading_of,
)
from aegis_provision.aegis.find_server_output import Directory
from aegis_provision.aegis.identify_server import AegisServer, EnvironmentToken, UnknownServer
from aegis_provision.inventory.host import Service
from aegis_provision.rollout.find_server import find_files, find_server
from aegis_provision.rollout.find_server_command import server_command, server_script
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.local import connect_local
from aegis_provision.transport.ssh.commands import for_login_shell
from tests.fleet import users
from tests.fleet.aegis_server import Place, load
from tests.fleet.clients import need, options, target, target_at
from tests.fleet.openssh import running_sshd
from tests.fleet.server_process import listening, server_process
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.inventory.host import Host
    from aegis_provision.transport.host_session import HostSession
    from tests.fleet.openssh import Sshd

NOBODY = 65534
TOKEN = "token-of-the-environment"


@pytest.fixture
def session(sshd: Sshd, tmp_path: Path) -> Iterator[HostSession]:
    where = options(tmp_path, sshd.known_hosts)
    with connect(target_at(sshd), where, deadline()) as opened:
        yield opened


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a working directory whose name a shell would change."""
    directory = tmp_path / "the work'dir"
    directory.mkdir()
    return directory


def deadline() -> Deadline:
    return Deadline.after(60)


def host(
    api: str = "127.0.0.1:9100", *, unit: str | None = None, become_user: str | None = None
) -> Host:
    """Return a host whose API is at ``api``, as the inventory says."""
    words = f"api: '{api}'"
    inventory, _ = specified(f"all:\n  hosts:\n    a: {{provider: ollama, {words}}}\n")
    found = inventory.hosts["a"]
    target = replace(found.target, become_user=become_user)
    return replace(found, target=target, service=Service(unit, None, api, None))


def find(
    session: HostSession, api: str = "127.0.0.1:9100", *, become_user: str | None = None
) -> AegisServer | UnknownServer:
    return find_server(host(api, become_user=become_user), session, deadline())


def reason(found: AegisServer | UnknownServer) -> str:
    assert isinstance(found, UnknownServer)
    return found.reason


def test_directory_home_and_config_of_the_process_that_serves_the_api(
    session: HostSession, tmp_path: Path, work: Path
) -> None:
    env = {
        "HOME": str(tmp_path / "a home"),
        "AEGIS_PORT": "9",
        "AEGIS_HOST": "::1",
        "AEGIS_AUTH_TOKEN": TOKEN,
        "OTHER": "SECRET\nHOME=/not-this",
    }
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        words = ("--config", "my config.json", "--port", "9101")
        with server_process(tmp_path, work, *words, env=env, listener=listener):
            server = find(session, api)
            output = session.run(
                server_command(None, int(api[10:]), None), deadline(), server_script()
            ).output
    assert isinstance(server, AegisServer)
    assert (server.directory, server.home) == (str(work), str(tmp_path / "a home"))
    assert (server.config, server.port, server.host) == ("my config.json", "9101", "::1")
    assert server.token is EnvironmentToken.SET
    assert server.user is not None
    assert server.user.uid == os.geteuid()
    assert TOKEN.encode() not in output
    assert b"SECRET" not in output


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ((), None),
        (("--config",), None),
        (("--config=/x.json",), None),
        (("--config", ""), ""),
        (("--config", "/x.json", "--config", "/y.json"), "/x.json"),
        (("--port", "--config", "/x.json"), "/x.json"),
    ],
)
def test_the_words_are_read_as_aegis_reads_them(
    words: tuple[str, ...], config: str | None, session: HostSession, tmp_path: Path
) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, tmp_path, *words, listener=listener):
            server = find(session, api)
    assert isinstance(server, AegisServer)
    assert server.config == config


def test_without_home_the_users_own_counts(session: HostSession, tmp_path: Path) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, tmp_path, listener=listener):
            server = find(session, api)
    assert isinstance(server, AegisServer)
    entry = subprocess.run(["getent", "passwd", str(os.geteuid())], capture_output=True, check=True)
    assert server.home == entry.stdout.decode().split(":")[5]
    assert server.token is EnvironmentToken.ABSENT


def test_an_empty_token_in_the_environment_is_found(session: HostSession, tmp_path: Path) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        env = {"AEGIS_AUTH_TOKEN": "", "MANUS_AUTH_TOKEN": TOKEN}
        with server_process(tmp_path, tmp_path, env=env, listener=listener):
            server = find(session, api)
    assert isinstance(server, AegisServer)
    assert server.token is EnvironmentToken.EMPTY


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "tcsh", "fish", "zsh"])
def test_any_login_shell_runs_it(shell: str, tmp_path: Path) -> None:
    line = for_login_shell(server_command("it's!.service", 9100, "no such user"))
    done = subprocess.run(
        [need(shell, shell), "-c", line], input=server_script(), capture_output=True, check=False
    )
    assert done.stdout.endswith(b"aegis-provision:end 1\n"), done.stderr
    assert (done.returncode, done.stderr) == (0, b"")


def test_it_is_short_enough_for_dropbear() -> None:
    """dropbear ends the connection over a command of more than 9000 bytes (its MAX_CMD_LEN)."""
    for method in ("sudo", "doas"):
        command = server_command("u" * 255, 65535, "a" * 32, "/" + "p" * 255, method)
        assert len(for_login_shell(command)) < 8000


def test_busybox_runs_it(tmp_path: Path) -> None:
    busybox = need("busybox", "busybox")
    subprocess.run([busybox, "--install", "-s", str(tmp_path)], check=True)
    with listening(("127.0.0.1", 0)) as (listener,):
        port = listener.getsockname()[1]
        with server_process(tmp_path, tmp_path, "--config", "x", listener=listener):
            command = server_command(None, port, None).replace("/bin/sh", f"{tmp_path}/sh")
            usual = b"$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
            script = server_script().replace(usual, b"$PATH")
            words = [str(tmp_path / "sh"), "-c", command]
            done = subprocess.run(
                words, env={"PATH": str(tmp_path)}, input=script, capture_output=True, check=True
            )
    lines = done.stdout.decode().splitlines()
    assert f"aegis-provision:directory {tmp_path}" in lines
    assert "aegis-provision:config x" in lines


def test_nothing_listens(session: HostSession) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        port = listener.getsockname()[1]
    assert reason(find(session, f"127.0.0.1:{port}")) == f"nothing listens at 127.0.0.1:{port}"


def test_what_is_not_node_is_not_aegis(session: HostSession, tmp_path: Path) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, tmp_path, name="docker-proxy", listener=listener):
            assert "is not Node.js" in reason(find(session, api))


def test_of_two_that_listen_the_address_tells(session: HostSession, tmp_path: Path) -> None:
    four, six = tmp_path / "four", tmp_path / "six"
    four.mkdir()
    six.mkdir()
    with listening(("127.0.0.1", 0), ("::1", 0)) as (first, second), ExitStack() as stack:
        port = first.getsockname()[1]
        stack.enter_context(server_process(tmp_path, four, listener=first))
        stack.enter_context(server_process(tmp_path, six, listener=second))
        found = [find(session, f"{name}:{port}") for name in ("127.0.0.1", "[::1]", "localhost")]
    assert [item.directory for item in found[:2] if isinstance(item, AegisServer)] == [
        str(four),
        str(six),
    ]
    assert reason(found[2]) == f"several processes listen at localhost:{port}"


def test_a_wildcard_serves_the_loopback_address(session: HostSession, tmp_path: Path) -> None:
    with listening(("0.0.0.0", 0)) as (listener,):  # noqa: S104
        port = listener.getsockname()[1]
        with server_process(tmp_path, tmp_path, listener=listener):
            assert isinstance(find(session, f"127.0.0.1:{port}"), AegisServer)


def test_a_directory_that_is_gone(session: HostSession, work: Path, tmp_path: Path) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, work, listener=listener):
            work.rmdir()
            assert reason(find(session, api)) == "its working directory does not exist any more"


def test_a_directory_whose_name_ends_with_a_line_feed(session: HostSession, tmp_path: Path) -> None:
    (tmp_path / "odd\n").mkdir()
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, tmp_path / "odd\n", listener=listener):
            assert "can't be shown" in reason(find(session, api))


@pytest.mark.root
def test_the_process_of_another_user_is_found_by_root(
    session: HostSession, public_path: Path
) -> None:
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(public_path, public_path, user=NOBODY, listener=listener):
            server = find(session, api)
    assert isinstance(server, AegisServer)
    assert server.user is not None
    assert server.user.uid == NOBODY


@pytest.mark.root
def test_directories_that_keep_the_user_of_a_server_out_are_told(
    session: HostSession, public_path: Path
) -> None:
    closed = public_path / "closed"
    file = closed / ".aegis/config.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    os.chown(file, NOBODY, NOBODY)
    closed.chmod(0o700)
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        env = {"HOME": str(closed)}
        with server_process(public_path, public_path, user=NOBODY, env=env, listener=listener):
            server = find(session, api)
            assert isinstance(server, AegisServer)
            found = find_files(server, session, deadline(), str(file))
    assert server.directories[str(closed)] == Directory(0, 0, 0o700)
    assert server.directories["/"].mode & 0o001
    owned = TargetFile(str(file), NOBODY, NOBODY, 0o600, exists=True)
    assert reading_of(found, owned) == ReadsNone(denied=True)


@pytest.mark.root
def test_a_login_may_not_look_into_it_but_as_become_user(tmp_path: Path, public_path: Path) -> None:
    with (
        users.user("login") as login,
        users.user("aegis") as owner,
        users.sshd_for(login, tmp_path / "sshd") as sshd,
        listening(("127.0.0.1", 0)) as (listener,),
    ):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        uid = int(subprocess.check_output(["id", "-u", owner]))
        where = options(tmp_path, sshd.known_hosts)
        with (
            server_process(public_path, public_path, user=uid, listener=listener),
            connect(target_at(sshd, user=login), where, deadline()) as session,
        ):
            alone = find(session, api)
            refused = find(session, api, become_user=owner)
            with users.sudoers(f"{login} ALL=({owner}) NOPASSWD: ALL"):
                found = find(session, api, become_user=owner)
    assert reason(alone) == f"the process that listens at {api} may not be looked into by {login}"
    assert refused == alone
    assert isinstance(found, AegisServer)
    assert found.directory == str(public_path)


@pytest.mark.root
def test_a_process_in_another_mount_namespace_is_unknown(
    session: HostSession, tmp_path: Path
) -> None:
    unshare = [need("unshare", "util-linux"), "-m"]
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, tmp_path, wrapper=unshare, listener=listener):
            assert "a container" in reason(find(session, api))


def test_a_login_that_may_only_transfer_files(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "sshd", settings=["ForceCommand internal-sftp"]) as sshd:
        where = options(tmp_path, sshd.known_hosts)
        with connect(target_at(sshd), where, deadline()) as session:
            assert reason(find(session)) == "the host runs no commands for this login"
            assert session.alive(deadline())


def test_a_host_with_one_session_at_a_time(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "sshd", settings=["MaxSessions 1"]) as sshd:
        where = options(tmp_path, sshd.known_hosts)
        with connect(target_at(sshd), where, deadline()) as session:
            assert reason(find(session)) == "nothing listens at 127.0.0.1:9100"
            assert session.alive(deadline())
            assert reason(find(session)) == "nothing listens at 127.0.0.1:9100"


# As systemd 252 tells it.
_EXEC_START = (
    "ExecStart={ path=/usr/bin/node ; argv[]=/usr/bin/node dist/server.js --config my.json ; "
    "ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
)
_SYSTEMCTL = """\
#!/bin/sh
for unit; do :; done
[ "$unit" = aegis.service ] || {{ echo LoadState=not-found; exit; }}
cat {shown}
"""


@pytest.fixture
def systemd_host(tmp_path: Path) -> Iterator[tuple[HostSession, Path]]:
    """Yield a session with a host whose systemctl shows what stands in the file."""
    commands, shown = tmp_path / "bin", tmp_path / "shown"
    commands.mkdir()
    systemctl = commands / "systemctl"
    systemctl.write_text(_SYSTEMCTL.format(shown=shown))
    systemctl.chmod(0o755)
    setting = f"SetEnv PATH={commands}:/usr/bin:/bin"
    with running_sshd(tmp_path / "sshd", settings=[setting]) as sshd:
        where = options(tmp_path, sshd.known_hosts)
        with connect(target_at(sshd), where, deadline()) as session:
            yield session, shown


def unit(pid: int, directory: Path, *more: str) -> str:
    return "\n".join(
        [
            _EXEC_START,
            f'Environment=AEGIS_AUTH_TOKEN={TOKEN} AEGIS_PORT=9200 "OTHER=SECRET words"',
            f"WorkingDirectory={directory}",
            "LoadState=loaded",
            "User=root",
            f"MainPID={pid}",
            *more,
        ]
    )


def test_a_unit_that_does_not_run_tells_where_it_will_look(
    systemd_host: tuple[HostSession, Path], tmp_path: Path
) -> None:
    session, shown = systemd_host
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    shown.write_text(unit(0, tmp_path / "link"))
    server = find_server(without_api("aegis.service"), session, deadline())
    assert server == AegisServer(
        str(real), "/root", "my.json", None, running=False, port="9200", token=EnvironmentToken.SET
    )
    command = server_command("aegis.service", 1, None)
    output = session.run(command, deadline(), server_script()).output
    assert output.endswith(b"aegis-provision:end 1\n")
    assert TOKEN.encode() not in output
    assert b"SECRET" not in output


@pytest.mark.parametrize(("text", "directory"), [("", "/"), ("~", "/root"), ("!/tmp", "/tmp")])
def test_the_working_directory_of_a_unit_that_does_not_run(
    text: str, directory: str, systemd_host: tuple[HostSession, Path]
) -> None:
    session, shown = systemd_host
    shown.write_text(
        unit(0, Path("/usr")).replace("WorkingDirectory=/usr", f"WorkingDirectory={text}")
    )
    server = find_server(without_api("aegis.service"), session, deadline())
    assert isinstance(server, AegisServer)
    assert server.directory == directory


def without_api(unit: str) -> Host:
    return replace(host("127.0.0.1:1", unit=unit), settings={})


def test_the_main_process_of_a_unit_tells_what_it_runs_with(
    systemd_host: tuple[HostSession, Path], tmp_path: Path, work: Path
) -> None:
    session, shown = systemd_host
    asked = without_api("aegis.service")
    with server_process(tmp_path, work, "--config", "my.json", env={"HOME": "/h"}) as process:
        shown.write_text(unit(process.pid, work))
        server = find_server(asked, session, deadline())
        shown.write_text(unit(process.pid, tmp_path))
        changed = find_server(asked, session, deadline())
        gone = find_server(without_api("b.service"), session, deadline())
    assert isinstance(server, AegisServer)
    assert (server.directory, server.home, server.config) == (str(work), "/h", "my.json")
    assert server.running
    assert reason(changed) == "aegis.service was changed since its process was started"
    assert reason(gone) == "nothing listens at 127.0.0.1:1"


def test_the_files_that_it_looks_at_are_read(
    session: HostSession, tmp_path: Path, work: Path
) -> None:
    home = tmp_path / "home"
    (home / ".aegis").mkdir(parents=True)
    (home / ".aegis" / "config.yml").write_text("x")
    (work / "aegis.config.json").write_text('{"authToken": "x"}')
    (tmp_path / "way").symlink_to(work)
    path = str(tmp_path / "way" / "aegis.config.json")
    server = AegisServer(str(work), str(home), "missing.json", None, running=True)
    found = find_files(server, session, deadline(), path)
    states = [(item.real_path, item.file is not None) for item in found.in_order() if item]
    assert states == [
        (str(work / "missing.json"), False),
        (None, False),
        (None, False),
        (str(work / "aegis.config.json"), True),
        (str(home / ".aegis/config.yaml"), False),
        (str(home / ".aegis/config.yml"), True),
        (str(home / ".aegis/config.json"), False),
        (str(work / "manus.config.json"), False),
        (None, False),
    ]
    real = found.files[path].real_path
    assert real is not None
    assert reading_of(found, TargetFile(real, 0, 0, 0o600, exists=True)) == ReadsTarget()
    assert path_in_use(found) == str(work / "aegis.config.json")
    assert not isinstance(path_in_use(found), NotChecked)


def test_on_this_machine_links_are_followed_too(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("{}")
    (tmp_path / "aegis.config.json").symlink_to(real)
    server = AegisServer(str(tmp_path), str(tmp_path / "home"), None, None, running=True)
    where = options(tmp_path)
    with connect_local(target("", connection="local"), where, deadline()) as session:
        found = find_files(server, session, deadline())
    path = str(tmp_path / "aegis.config.json")
    assert found.real_path(path) == str(real)
    assert path_in_use(found) == path


def test_the_start_of_the_process_is_told(session: HostSession, tmp_path: Path, work: Path) -> None:
    before = time.time()
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, work, listener=listener):
            server = find(session, api)
    assert isinstance(server, AegisServer)
    assert server.started is not None
    assert before - 1 <= server.started <= time.time() + 1
    assert server.is_older_than(server.started + 1)
    assert not server.is_older_than(server.started)
    assert not replace(server, started=None).is_older_than(server.started + 1)


def test_a_directory_is_passed_over(session: HostSession, tmp_path: Path, work: Path) -> None:
    (work / ".aegis/config.yaml").mkdir(parents=True)
    file = work / "aegis.config.json"
    file.write_text("{}")
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        with server_process(tmp_path, work, listener=listener):
            server = find(session, api)
            assert isinstance(server, AegisServer)
            found = find_files(server, session, deadline())
    assert path_in_use(found) == str(file)


def states(found: FoundFiles) -> list[tuple[str, bool]]:
    return [(item.path, item.file is not None) for item in found.in_order() if item is not None]


@pytest.mark.parametrize("there", ["aegis.config.json", "home/.aegis/config.yaml", ""])
@pytest.mark.parametrize("home", ["home", "", None], ids=["home", "empty", "missing"])
def test_what_the_command_tells_of_files_is_what_sftp_finds(
    there: str, home: str | None, session: HostSession, tmp_path: Path, work: Path
) -> None:
    (tmp_path / "link").symlink_to(work)
    path = str(tmp_path / "link" / "aegis.config.json")
    if there:
        (work / there).parent.mkdir(parents=True, exist_ok=True)
        (work / there).write_text("{}")
    env = {} if home is None else {"HOME": home}
    with listening(("127.0.0.1", 0)) as (listener,):
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        words = ("--config", "a/../missing.json")
        with server_process(tmp_path, work, *words, env=env, listener=listener):
            server = find_server(host(api), session, deadline(), path)
    assert isinstance(server, AegisServer)
    # Node.js takes '..' away from the text, the shell's test follows it.
    assert set(paths_of(server)) - set(server.looks) == {str(work / "missing.json")}
    assert server.target == str(work / "aegis.config.json")
    found = find_files(replace(server, looks={}, target=None), session, deadline(), path)
    told = find_files(server, session, deadline(), path, found.files[path].file)
    assert states(told) == states(found)
    assert told.real_path(path) == found.real_path(path)


@pytest.mark.root
def test_what_a_login_can_not_look_at_is_not_called_missing(
    tmp_path: Path, public_path: Path
) -> None:
    closed = public_path / "closed"
    closed.mkdir(mode=0o700)
    with users.user("login") as login, users.sshd_for(login, tmp_path / "sshd") as sshd:
        uid = int(subprocess.check_output(["id", "-u", login]))
        where = options(tmp_path, sshd.known_hosts)
        with (
            listening(("127.0.0.1", 0)) as (listener,),
            connect(target_at(sshd, user=login), where, deadline()) as session,
        ):
            api = f"127.0.0.1:{listener.getsockname()[1]}"
            env = {"HOME": str(closed)}
            with server_process(public_path, public_path, user=uid, env=env, listener=listener):
                server = find(session, api)
    assert isinstance(server, AegisServer)
    assert str(closed / ".aegis/config.yaml") not in server.looks
    assert not server.looks[str(public_path / "aegis.config.json")].exists


FILES = (
    "work/.aegis/config.yaml",
    "work/.aegis/config.yml",
    "work/aegis.config.json",
    "home/.aegis/config.yaml",
    "home/.aegis/config.yml",
    "home/.aegis/config.json",
    "work/manus.config.json",
    "home/.manus/config.json",
    "named.json",
)
CONTENTS = (None, '{"authToken": "x"}', '{"port": "x"}', "[]")


@settings(max_examples=60)
@given(
    st.tuples(*[st.sampled_from(CONTENTS) for _ in FILES]), st.booleans(), st.sampled_from(FILES)
)
def test_the_file_in_use_is_the_one_that_aegis_takes(
    contents: tuple[str | None, ...],
    named: bool,
    written: str,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        place = Place(root)
        place.settle({"config": str(root / "named.json") if named else None})
        for file, content in zip(FILES, contents, strict=True):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                (root / file).write_text(content)
        config = str(root / "named.json") if named else None
        server = AegisServer(str(root / "work"), str(root / "home"), config, None, running=True)
        where = options(root)
        with connect_local(target("", connection="local"), where, deadline()) as session:
            found = find_files(server, session, deadline(), str(root / written))
        taken = load(place).path
        if taken is not None:
            assert path_in_use(found) == taken
        existed = (root / written).exists()
        real = TargetFile(str(root / written), os.geteuid(), os.getegid(), 0o600, exists=existed)
        reading = reading_of(found, real)
        (root / written).write_text(CONTENTS[1] or "")
        after = load(place).path
        match reading:
            case ReadsTarget():
                assert after == str(root / written)
                assert existed or taken is None
            case ReadsOther(path, today_only=True):
                assert (taken, after, existed) == (path, str(root / written), False)
            case ReadsOther(path):
                assert after == path != str(root / written)
            case _:
                assert after is None
