"""Root where another user owns the directory or one on its path: as that user, or refused."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.aegis.remote_state import ReadProblem, RemoteUser
from aegis_provision.errors import TransportError, WriteRefused
from aegis_provision.planning.host_plan import check_permissions, refusals
from aegis_provision.planning.plan import Action, HostPlan
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.become import (
    NO_GROUP,
    NO_SERVER,
    NO_WAY,
    SERVERS,
    owner_command,
    owner_problem,
    started,
)
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.host_session import HostSession
from aegis_provision.transport.local import LocalServices
from aegis_provision.transport.sftp.packets import (
    CLOSE,
    FSTAT,
    LSTAT,
    MKDIR,
    OPEN,
    READ,
    STAT,
    WRITE,
)
from tests.fleet.attacker import exchanging
from tests.fleet.clients import need
from tests.fleet.openssh import Sshd, running_sshd
from tests.fleet.sftp_wire import find_sftp_server, wired
from tests.fleet.users import sshd_for, sudoers, user
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    OWNER,
    leftovers,
    mode_of,
    plan_write,
    put,
    target,
    write_over,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.inventory.host import Target
    from tests.fleet.sftp_wire import Wire

pytestmark = pytest.mark.root

NOBODY, GROUP, STRANGER = 65534, 33, 54321
SECRET = b'{"authToken": "of root alone"}'
SERVICES = LocalServices(ConnectOptions(15.0, None, (), False, None, Path("/"), "anna"))
NO_RC_FILES = "SetEnv HOME=/"  # root's own start-up files may take any time
ROUNDS, MOST_REQUESTS = 150, 80
HINT = "set become_user to the user that Aegis runs as"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Yield a server that root logs in to, and that runs what it is asked to."""
    with running_sshd(tmp_path_factory.mktemp("sshd"), settings=[NO_RC_FILES]) as server:
        yield server


@pytest.fixture(scope="module", params=["internal-sftp", "sftp-server"])
def forced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sshd]:
    """Yield a server that runs the SFTP server alone, as root, for every command."""
    command = find_sftp_server() if request.param == "sftp-server" else request.param
    settings = [NO_RC_FILES, f"ForceCommand {command}"]
    with running_sshd(tmp_path_factory.mktemp("forced"), settings=settings) as server:
        yield server


def over(sshd: Sshd, path: Path, **changes: object) -> tuple[Target, ConnectOptions]:
    host_target = replace(
        target(path),
        connection="ssh",
        port=sshd.port,
        user=sshd.user,
        identity_file=str(sshd.client_key),
    )
    options = ConnectOptions(15.0, None, (sshd.known_hosts,), False, None, Path("/"), "anna")
    return replace(host_target, **changes), options  # type: ignore[arg-type] # as the caller says


@pytest.fixture(params=["ssh", "local", "as root"])
def route(request: pytest.FixtureRequest, sshd: Sshd, home: Path) -> tuple[Target, ConnectOptions]:
    """Return a target in the home of the user nobody, and how root connects to it."""
    host_target, options = over(sshd, home / "aegis.config.json")
    if request.param == "local":
        host_target = replace(host_target, connection="local")
    if request.param == "as root":
        host_target = replace(host_target, become_user="root")
    return host_target, options


def write(session: HostSession, deadline: Deadline) -> WriteResult | TransportError:
    try:
        return write_over(session, plan_write(session.read(deadline)), deadline)
    except TransportError as problem:
        return problem


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def roots_own(directory: Path, name: str = "precious") -> Path:
    """Put a file of root's alone into ``directory``."""
    put(directory / name, SECRET, 0o600)
    return directory / name


def test_it_is_written_as_the_directorys_owner(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        actual = session.read(deadline)
        assert (actual.for_root, actual.problem) == (True, None)
        assert session.login(deadline) == RemoteUser(NOBODY, frozenset({NOBODY}), NOBODY)
        assert write_over(session, plan_write(actual), deadline).warnings == ()
        assert session.alive(deadline)
        assert write(session, deadline) == WriteResult(str(home / "aegis.config.json"))
    path = home / "aegis.config.json"
    assert (path.read_bytes(), mode_of(path), owner(path)) == (NEW, 0o600, (NOBODY, NOBODY))
    assert owner(home / DATA_DIR) == owner(home / DATA_DIR / "previous") == (NOBODY, NOBODY)
    assert leftovers(home) == {"previous"}


@pytest.mark.parametrize("old", [None, 0o600, 0o644])
def test_a_directory_left_to_roots_group_is_written_too(
    route: tuple[Target, ConnectOptions], home: Path, old: int | None
) -> None:
    path = home / "aegis.config.json"
    os.chown(home, NOBODY, 0)
    if old is not None:
        put(path, OLD, old)
        os.chown(path, NOBODY, 0)
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        actual = session.read(deadline)
        plan = check_permissions(
            HostPlan("a", "glm", str(path), Action.UPDATE, write=plan_write(actual)),
            replace(actual, login=session.login(deadline)),
        )
        assert (plan.message, plan.changes[-1].after) == ("", f"{NOBODY}:{NOBODY}")
        assert plan.write is not None
        assert write_over(session, plan.write, deadline).warnings == ()
    assert (path.read_bytes(), mode_of(path), owner(path)) == (NEW, 0o600, (NOBODY, NOBODY))


def test_a_lock_is_taken_there_without_a_look_before(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    """As over a new connection, where the one that read the host was lost."""
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        planned = plan_write(session.read(deadline))
    with connect(*route, deadline) as session:
        write_over(session, planned, deadline)
    assert owner(home / "aegis.config.json") == (NOBODY, NOBODY)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_racing_for_what_is_roots_its_owner_is_given_nothing(
    kind: str, route: tuple[Target, ConnectOptions], home: Path
) -> None:
    """Our directory is made, looked at, and exchanged for something of root's."""
    precious = home / "precious"
    if kind == "file":
        roots_own(home)
    else:
        precious.mkdir(mode=0o700)
        roots_own(precious)
    opened = os.open(precious, os.O_RDONLY)
    deadline = Deadline.after(240)
    try:
        with connect(*route, deadline) as session:
            planned = plan_write(session.read(deadline))
            with exchanging(home, DATA_DIR, "precious", uid=NOBODY):
                for _ in range(ROUNDS):
                    with suppress(TransportError):
                        session.lock(planned, OWNER, deadline).release(deadline)
                    found = os.fstat(opened)
                    assert (found.st_uid, found.st_gid) == (0, 0)
                    assert found.st_nlink > 0, "it is still there"
    finally:
        os.close(opened)


def test_racing_with_a_link_its_owner_has_nothing_removed_elsewhere(
    route: tuple[Target, ConnectOptions], home: Path, public_path: Path
) -> None:
    victim, before = a_victim(public_path)
    (home / "bait").symlink_to(victim)
    os.chown(home / "bait", NOBODY, NOBODY, follow_symlinks=False)
    deadline = Deadline.after(240)
    with connect(*route, deadline) as session, exchanging(home, DATA_DIR, "bait", uid=NOBODY):
        for _ in range(ROUNDS // 4):
            write(session, deadline)
            assert contents(victim) == before


def a_victim(public_path: Path) -> tuple[Path, dict[str, tuple[bytes, int, int]]]:
    """Return a directory of root's with a file of every name that a write uses, and these."""
    victim = public_path / "victim"
    victim.mkdir(mode=0o755)
    for name in ("lock", "staging", "previous", "receipt.json", "clock"):
        put(victim / name, SECRET)
    for name in ("previous.new", "receipt.json.new"):
        put(victim / name, SECRET)
    os.utime(victim / "lock", (1_000_000_000, 1_000_000_000))
    return victim, contents(victim)


def contents(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        item.name: (item.read_bytes(), item.stat().st_uid, item.stat().st_mode)
        for item in (directory, *directory.iterdir())
        if item.is_file()
    }


@contextmanager
def wired_session(
    path: Path, meanwhile: dict[int, Callable[[], object]] | None = None, uid: int = NOBODY
) -> Iterator[tuple[HostSession, Wire, Wire]]:
    """Yield a session of root's at ``path``, its wire, and that of the owner's server."""
    with (
        wired(meanwhile=meanwhile) as (files, wire),
        wired(user=uid, meanwhile=meanwhile) as (theirs, their_wire),
    ):
        yield (
            HostSession(
                target(path),
                files,
                services=SERVICES,
                user="root",
                as_owner=lambda *_: theirs,
            ),
            wire,
            their_wire,
        )


def test_a_link_that_comes_at_any_moment_leads_root_nowhere(home: Path, public_path: Path) -> None:
    victim, before = a_victim(public_path)
    path, own = home / "aegis.config.json", home / DATA_DIR

    def swap() -> None:
        if own.is_dir() and not own.is_symlink():
            own.rename(home / "aside")
        if not os.path.lexists(own):
            own.symlink_to(victim)

    for number in range(1, MOST_REQUESTS):
        put(path)
        os.chown(path, NOBODY, NOBODY)
        deadline = Deadline.after(60)
        with wired_session(path, {number: swap}) as (session, wire, theirs):
            write(session, deadline)
        assert contents(victim) == before, number
        subprocess.run(["find", str(home), "-mindepth", "1", "-delete"], check=True)
        if max(len(wire.requests), len(theirs.requests)) < number:
            return
    pytest.fail("a write takes more requests than this test is ready for")


def test_what_is_roots_and_comes_at_any_moment_stays_roots(home: Path) -> None:
    path, own, precious = home / "aegis.config.json", home / DATA_DIR, home / "precious"

    def swap() -> None:
        if not precious.is_dir():
            return
        if own.is_dir():
            own.rename(home / "aside")
        precious.rename(own)

    for number in range(1, MOST_REQUESTS):
        precious.mkdir(mode=0o755)
        roots_own(precious, "staging")
        opened = os.open(precious, os.O_RDONLY)
        with wired_session(path, {number: swap}) as (session, wire, theirs):
            write(session, Deadline.after(60))
        found = os.fstat(opened)
        os.close(opened)
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 0, 0o755), number
        left = own if own.is_dir() and own.stat().st_ino == found.st_ino else precious
        assert (left / "staging").read_bytes() == SECRET
        subprocess.run(["find", str(home), "-mindepth", "1", "-delete"], check=True)
        if max(len(wire.requests), len(theirs.requests)) < number:
            return
    pytest.fail("a write takes more requests than this test is ready for")


def test_what_root_alone_may_read_is_not_read_there(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    roots_own(home, "aegis.config.json")
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        actual = session.read(deadline)
    assert (actual.file, actual.problem) == (None, ReadProblem.PERMISSION_DENIED)
    [(reason, hint)] = refusals(actual)
    assert reason == "no permission to read it"
    assert hint.startswith("root works there as the directory's owner: give the file to that user")
    assert "'trust_directory: true'" in hint


def test_a_file_of_roots_there_is_refused_with_what_to_do(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    path = home / "aegis.config.json"
    put(path, OLD, 0o644)
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        actual = session.read(deadline)
        planned = plan_write(actual)
        with pytest.raises(WriteRefused, match="can't give the file to its owner"):
            write_over(session, planned, deadline)
        told = check_permissions(
            HostPlan("a", "glm", str(path), Action.UPDATE, write=planned),
            replace(actual, login=session.login(deadline)),
        )
    assert told.message == f"the login (uid {NOBODY}) can't keep its owner (uid 0)"
    assert told.hint.startswith("root works there as the directory's owner")
    assert (path.read_bytes(), owner(path)) == (OLD, (0, 0))
    assert leftovers(home) == set()


def test_a_user_whom_the_host_does_not_know(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    os.chown(home, STRANGER, STRANGER)
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        assert isinstance(write(session, deadline), WriteResult)
        assert session.login(deadline) == RemoteUser(STRANGER, frozenset({STRANGER}), STRANGER)
    path = home / "aegis.config.json"
    assert owner(path) == owner(home / DATA_DIR) == (STRANGER, STRANGER)


def test_such_a_user_is_never_in_roots_group(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    os.chown(home, STRANGER, 0)
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        session.read(deadline)
        assert session.login(deadline) == RemoteUser(STRANGER, frozenset({NO_GROUP}), NO_GROUP)


@pytest.mark.parametrize("local", [True, False], ids=["local", "ssh"])
def test_trusted_it_is_written_by_path_and_nothing_is_given_away(
    local: bool, forced: Sshd, home: Path
) -> None:
    path = home / "aegis.config.json"
    host_target, options = over(forced, path, trust_directory=True)
    deadline = Deadline.after(60)
    host_target = replace(host_target, connection="local" if local else "ssh")
    with connect(host_target, options, deadline) as session:
        actual = session.read(deadline)
        assert not actual.for_root
        assert isinstance(write(session, deadline), WriteResult)
    assert (path.read_bytes(), owner(path)) == (NEW, (NOBODY, NOBODY))
    assert (owner(home / DATA_DIR), mode_of(home / DATA_DIR)) == ((0, 0), 0o700)


@pytest.mark.parametrize("uid", [NOBODY, 0])
def test_trusted_the_mode_of_our_directory_is_not_changed_by_path(home: Path, uid: int) -> None:
    (home / DATA_DIR).mkdir(mode=0o755)
    os.chown(home / DATA_DIR, uid, uid)
    host_target = replace(target(home / "aegis.config.json"), trust_directory=True)
    deadline = Deadline.after(60)
    options = ConnectOptions(15.0, None, (), False, None, Path("/"), "anna")
    with connect(host_target, options, deadline) as session:
        result = write(session, deadline)
    assert isinstance(result, WriteRefused)
    assert "others may look into" in result.reason
    assert (mode_of(home / DATA_DIR), owner(home / DATA_DIR)) == (0o755, (uid, uid))


def test_without_commands_the_host_is_refused(forced: Sshd, sshd: Sshd, home: Path) -> None:
    path = home / "aegis.config.json"
    put(path, SECRET)
    os.chown(path, NOBODY, NOBODY)
    before = path.stat()
    with connect(*over(sshd, path), Deadline.after(60)) as session:
        planned = plan_write(session.read(Deadline.after(60)))
    deadline = Deadline.after(60)
    with connect(*over(forced, path), deadline) as session:
        actual = session.read(deadline)
        assert session.previous(str(path), deadline) is None
        assert actual.receipt is None
        with pytest.raises(WriteRefused) as caught:
            session.lock(planned, OWNER, deadline)
    words = f"its directory, or one on the way to it, belongs to uid {NOBODY}, and {NO_COMMANDS}"
    assert (caught.value.step, caught.value.reason) == ("prepare", words)
    assert HINT in caught.value.hint
    assert "'trust_directory: true'" in caught.value.hint
    assert (actual.file, actual.directory, actual.problem) == (
        None,
        None,
        ReadProblem.UNSAFE_DIRECTORY,
    )
    [(reason, hint)] = refusals(actual)
    assert reason == f"root must not read or write by path there ({words})"
    assert hint == caught.value.hint
    now = path.stat()
    assert (now.st_ino, now.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert os.listdir(home) == [path.name]  # noqa: PTH208 - names are wanted


def test_a_host_that_allows_one_session_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, home: Path
) -> None:
    directory = tmp_path_factory.mktemp("one-session")
    path = home / "aegis.config.json"
    with running_sshd(directory, settings=[NO_RC_FILES, "MaxSessions 1"]) as server:
        deadline = Deadline.after(60)
        with connect(*over(server, path), deadline) as session:
            assert isinstance(write(session, deadline), WriteResult)
    assert owner(path) == (NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        (["({owner}) NOPASSWD: {server}", "(root) NOPASSWD: {server}"], WriteResult),
        (["(root) NOPASSWD: {server}"], WriteRefused),
    ],
)
def test_who_becomes_root_there_becomes_its_owner_by_sudo(
    rules: list[str], outcome: type, home: Path, tmp_path: Path
) -> None:
    path = home / "aegis.config.json"
    server = find_sftp_server()
    with user("login") as login, user("owner", "/usr/sbin/nologin") as name:
        uid = int(subprocess.check_output(["id", "-u", name]))
        os.chown(home, uid, uid)
        told = [f"{login} ALL={rule.format(owner=name, server=server)}" for rule in rules]
        with sudoers(*told), sshd_for(login, tmp_path / "server") as sshd:
            deadline = Deadline.after(60)
            host_target, options = over(sshd, path, user=login, become_user="root")
            with connect(host_target, options, deadline) as session:
                actual = session.read(deadline)
                if outcome is WriteResult:
                    assert isinstance(write(session, deadline), WriteResult)
                    assert owner(path)[0] == uid
                else:
                    assert actual.problem is ReadProblem.UNSAFE_DIRECTORY
                    assert NO_WAY in actual.detail


def test_a_user_has_the_groups_that_the_host_gives_them(sshd: Sshd, home: Path) -> None:
    with user("owner", "/usr/sbin/nologin") as name:
        subprocess.run(["usermod", "-a", "-G", str(GROUP), name], check=True)
        ids = [int(subprocess.check_output(["id", which, name])) for which in ("-u", "-g")]
        os.chown(home, *ids)
        deadline = Deadline.after(60)
        with connect(*over(sshd, home / "aegis.config.json"), deadline) as session:
            session.read(deadline)
            assert session.login(deadline) == RemoteUser(ids[0], frozenset({ids[1], GROUP}), ids[1])


def test_root_under_another_name_is_root_too(home: Path) -> None:
    """Nothing but the host's own word tells so: it is asked before anything is written."""
    path = home / "aegis.config.json"
    deadline = Deadline.after(60)
    with wired() as (files, _), wired(user=NOBODY) as (theirs, _):
        session = HostSession(
            target(path),
            files,
            services=SERVICES,
            user="toor",
            as_owner=lambda *_: theirs,
        )
        planned = plan_write(session.read(deadline))
        write_over(session, planned, deadline)
    assert owner(path) == (NOBODY, NOBODY)


def test_a_server_that_runs_as_root_all_the_same_is_refused(home: Path) -> None:
    path = home / "aegis.config.json"
    deadline = Deadline.after(60)
    with wired_session(path, uid=0) as (session, _, _):
        result = write(session, deadline)
    assert isinstance(result, WriteRefused)
    assert "runs as root, though" in result.reason
    assert os.listdir(home) == []  # noqa: PTH208 - names are wanted


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_in_its_own_directory_root_writes_itself_and_takes_ours_back(
    local: bool, sshd: Sshd, public_path: Path
) -> None:
    """An earlier version gave our directory to the file's owner."""
    path = public_path / "aegis.config.json"
    put(path, OLD, 0o600)
    os.chown(path, NOBODY, NOBODY)
    (public_path / DATA_DIR).mkdir(mode=0o755)
    os.chown(public_path / DATA_DIR, NOBODY, NOBODY)
    host_target, options = over(sshd, path)
    host_target = replace(host_target, connection="local" if local else "ssh")
    deadline = Deadline.after(60)
    with connect(host_target, options, deadline) as session:
        assert session.login(deadline) == RemoteUser(0, frozenset({0}))
        actual = session.read(deadline)
        assert not actual.for_root
        write_over(session, plan_write(actual), deadline)
        assert session.login(deadline) == RemoteUser(0, frozenset({0}))
    assert (path.read_bytes(), owner(path)) == (NEW, (NOBODY, NOBODY))
    assert (owner(public_path / DATA_DIR), mode_of(public_path / DATA_DIR)) == ((0, 0), 0o700)


def test_where_ours_can_not_be_taken_back_nothing_is_written(public_path: Path) -> None:
    path = public_path / "aegis.config.json"
    put(path, OLD, 0o600)
    os.chown(path, NOBODY, NOBODY)
    (public_path / DATA_DIR).mkdir(mode=0o700)
    os.chown(public_path / DATA_DIR, NOBODY, NOBODY)
    deadline = Deadline.after(60)
    with wired(without=frozenset({"lsetstat@openssh.com"})) as (files, _):
        session = HostSession(
            target(path),
            files,
            services=SERVICES,
            user="root",
            as_owner=lambda *_: pytest.fail("the way is root's alone"),
        )
        result = write(session, deadline)
    assert isinstance(result, WriteRefused)
    directory = public_path / DATA_DIR
    assert result.reason == (
        f"{directory} belongs to uid {NOBODY}, and root must not write by path in it"
    )
    assert result.hint == f"give it to root on the host: chown root {directory}"
    assert path.read_bytes() == OLD


def test_in_its_own_directory_root_needs_no_more_round_trips(public_path: Path) -> None:
    path = public_path / "a" / "b" / "c" / "aegis.config.json"
    path.parent.mkdir(parents=True)
    deadline = Deadline.after(60)
    round_trips = {}
    for trusted in (True, False):
        put(path)
        with wired() as (files, wire):
            session = HostSession(
                replace(target(path), trust_directory=trusted),
                files,
                services=SERVICES,
                user="root",
                as_owner=lambda *_: pytest.fail("the way is root's alone"),
            )
            begun = wire.round_trips
            planned = plan_write(session.read(deadline))
            round_trips[trusted, "read"] = wire.round_trips - begun
            write_over(session, planned, deadline)
            round_trips[trusted, "write"] = wire.round_trips - begun
        subprocess.run(["rm", "-r", str(path.parent / DATA_DIR)], check=True)
    assert round_trips[True, "read"] == round_trips[False, "read"]
    # A directory that another user could have exchanged is looked at before the lock is made in it.
    assert round_trips[True, "write"] == round_trips[False, "write"] + 1


def test_root_opens_no_file_that_aegis_looks_for_in_another_users_directory(
    sshd: Sshd, home: Path, public_path: Path
) -> None:
    precious = roots_own(public_path)
    (home / "config.json").symlink_to(precious)
    path = public_path / "aegis.config.json"
    put(path)
    paths = [str(home / "config.json"), str(home / "none.json"), str(path)]
    deadline = Deadline.after(60)
    with connect(*over(sshd, path), deadline) as session:
        assert not session.read(deadline).for_root
        link, none, own = session.searched(paths, deadline)
        assert (link.file, link.readable) == (None, False)
        assert (none.file, none.readable) == (None, True)
        assert own.file is not None
        assert own.file.content == OLD


def test_what_aegis_looks_for_is_read_as_the_one_user_whose_directories_they_are(
    sshd: Sshd, home: Path
) -> None:
    precious = roots_own(home)
    (home / "link.json").symlink_to(precious)
    put(home / "aegis.config.json")
    os.chown(home / "aegis.config.json", NOBODY, NOBODY)
    deadline = Deadline.after(60)
    with connect(*over(sshd, Path("auto")), deadline) as session:
        paths = [str(home / name) for name in ("link.json", "aegis.config.json")]
        link, own = session.searched(paths, deadline)
        assert (link.file, link.readable) == (None, False)
        assert own.file is not None
        assert own.file.content == OLD
        assert session.read(deadline, paths[1]).for_root


def test_what_aegis_looks_for_takes_two_round_trips(public_path: Path) -> None:
    path = public_path / "aegis.config.json"
    put(path)
    os.chown(path, NOBODY, NOBODY)
    paths = [str(public_path / f"{number}.json") for number in range(8)] + [str(path)]
    for name, uid, most in (("nobody", NOBODY, 2), ("root", None, 3)):
        deadline = Deadline.after(60)
        with wired(user=uid) as (files, wire):
            session = HostSession(
                target(path),
                files,
                services=SERVICES,
                user=name,
                as_owner=lambda *_: pytest.fail("the way is root's alone"),
            )
            session.read(deadline)
            begun = wire.round_trips
            found = session.searched(paths, deadline)
            assert wire.round_trips - begun <= most
        assert [item.path for item in found if item.file is not None] == [str(path)]


def test_another_login_is_asked_nothing_more(home: Path) -> None:
    path = home / "aegis.config.json"
    deadline = Deadline.after(60)
    with wired(user=NOBODY) as (files, wire):
        session = HostSession(
            target(path),
            files,
            services=SERVICES,
            user="nobody",
            as_owner=lambda *_: pytest.fail("it is not root"),
        )
        planned = plan_write(session.read(deadline))
        assert wire.requests == [STAT, *[LSTAT] * 4, OPEN, FSTAT, READ]
        session.lock(planned, OWNER, deadline).confirm()
    assert wire.requests[8:] == [CLOSE, MKDIR, LSTAT, OPEN, WRITE]


def served(uid: int, gid: int, path: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", owner_command(uid, gid, "a-mark")],
        env={"PATH": path},
        input=b"\0\0\0\5\1\0\0\0\3",
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "tcsh", "fish", "zsh"])
def test_any_login_shell_runs_it(shell: str) -> None:
    words = [need(shell, shell), "-c", owner_command(NOBODY, NOBODY, "a-mark")]
    done = subprocess.run(words, input=b"\0\0\0\5\1\0\0\0\3", capture_output=True, check=False)
    assert done.stdout.startswith(started(NOBODY, "a-mark")), done.stderr
    assert done.returncode == 0


def test_the_script_itself_does_not_pass_for_its_output() -> None:
    """A wrapper that repeats what it was asked does not pass for the SFTP server's start."""
    assert started(NOBODY, "a-mark") == b"started:65534:a-mark\n"
    assert started(NOBODY, "a-mark").strip() not in owner_command(NOBODY, 1, "a-mark").encode()


def test_without_setpriv_runuser_does_and_without_it_su(public_path: Path) -> None:
    for name in ("id", "getent", "true", "grep"):
        (public_path / name).symlink_to(f"/usr/bin/{name}")
    done = served(NOBODY, NOBODY, str(public_path))
    assert done.stdout.startswith(started(NOBODY, "a-mark")), done.stderr
    for name in ("setpriv", "runuser"):  # as busybox has them, or not at all
        (public_path / name).write_text("#!/bin/sh\nexit 1\n")
        (public_path / name).chmod(0o755)
    (public_path / "su").symlink_to("/usr/bin/su")
    done = served(NOBODY, NOBODY, str(public_path))
    assert done.stdout.startswith(started(NOBODY, "a-mark")), done.stderr
    unknown = served(STRANGER, STRANGER, str(public_path))
    assert (unknown.returncode, unknown.stdout) == (126, b"")
    assert NO_WAY in unknown.stderr.decode()


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (f"{NO_WAY}\n", f"it can't be worked with as uid 7: {NO_WAY}"),
        (f"noise\n{NO_SERVER}\n", f"it can't be worked with as uid 7: {NO_SERVER}"),
        ("odd\x1b", 'the SFTP server did not start as uid 7 (it said: "odd")'),
        ("", "the SFTP server did not start as uid 7"),
    ],
)
def test_why_it_did_not_start(stderr: str, words: str) -> None:
    assert owner_problem(7, stderr) == words


def test_the_servers_are_looked_for_where_they_lie() -> None:
    assert all(place in owner_command(1, 1, "m") for place in SERVERS)


def _made_for(
    sshd: Sshd, parent: Path, user: int | None, become_user: str | None = None
) -> tuple[int, int, bool] | str:
    """Let root make a directory in ``parent`` and remove it: its owner and mode, or why not."""
    deadline = Deadline.after(60)
    target = over(sshd, Path("/etc/aegis.config.json"), become_user=become_user)
    with connect(*target, deadline) as session:
        try:
            made = session.make_directory(str(parent), user, deadline)
        except PermissionError as problem:
            return str(problem.strerror)
        path = Path(made.path)
        found = (owner(path)[0], mode_of(path), made.is_theirs)
        (path / ".claude").mkdir()
        os.chown(path / ".claude", *owner(path))
        assert session.remove_directory(made.path, deadline)
        assert session.remove_directory(made.path, deadline)
        # Whose it is could have put links in it: root removes nothing there.
        login = session.login(deadline)
        assert login is not None
        assert login.uid == found[0]
    assert not path.exists()
    return found


def test_a_directory_is_made_for_a_user_where_root_may_and_else_as_the_parents_owner(
    sshd: Sshd, home: Path, public_path: Path
) -> None:
    link, shared, inner = (public_path / name for name in ("link", "shared", "shared/inner"))
    link.symlink_to(home)
    inner.mkdir(parents=True)
    inner.chmod(0o1777)
    shared.chmod(0o1777)
    assert _made_for(sshd, home, NOBODY) == (NOBODY, 0o700, True)
    assert _made_for(sshd, link, STRANGER) == (NOBODY, 0o755, False)
    assert _made_for(sshd, shared, STRANGER) == (STRANGER, 0o700, True)
    assert _made_for(sshd, shared, 0) == (0, 0o700, True)
    assert _made_for(sshd, shared, None) == (0, 0o755, False)
    assert _made_for(sshd, public_path, STRANGER) == (0, 0o755, False)
    need("sudo", "sudo")
    for parent in (home, shared):
        assert _made_for(sshd, parent, NOBODY, "nobody") == (NOBODY, 0o700, True)
    assert _made_for(sshd, shared, STRANGER, "nobody") == (NOBODY, 0o755, False)
    assert _made_for(sshd, public_path, NOBODY, "nobody") == "Permission denied"
    shared.chmod(0o777)
    for parent in (shared, inner):
        assert _made_for(sshd, parent, STRANGER) == (
            f"users other than root can change what lies in {shared}, "
            "and there is no one user as whom to work there"
        )
    assert list(shared.rglob("aegis-provision-*")) == []
