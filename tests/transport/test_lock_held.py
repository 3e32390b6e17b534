"""A lock that outlives its write: renewed, lost, rebound, and the write restored under it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Locked, TransportError, WriteFailed, WriteRefused
from aegis_provision.planning.plan import restoring_write
from aegis_provision.transport.atomic_write import WriteResult, atomic_write
from aegis_provision.transport.data_dir import LOCK_EXPIRES_AFTER, DataDir
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.lock import (
    LockOwner,
    WriteLock,
    create_or_break,
    read_lock,
    take_lock,
)
from tests.fleet.sftp_wire import Trouble, wired
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    OWNER,
    age_lock,
    attempt,
    deadline,
    leftovers,
    mode_of,
    plan_write,
    put,
    read_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.filesystem import Filesystem

LATER = b'{"authToken": "later"}\n'
LONG_AGO = 1_000_000_000
MOST_REQUESTS = 60


@contextmanager
def files_of(kind: str, home: Path) -> Iterator[Filesystem]:
    if kind == "local":
        yield LocalFiles(home)
        return
    with wired() as (files, _):
        yield files


both = pytest.mark.parametrize("kind", ["local", "sftp"])
bases = pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "a new file"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aegis.config.json"


def prepare(path: Path, old: bytes | None) -> None:
    path.unlink(missing_ok=True)
    for name in leftovers(path.parent):
        (path.parent / DATA_DIR / name).unlink()
    if (path.parent / DATA_DIR).is_dir():
        (path.parent / DATA_DIR).rmdir()
    if old is not None:
        put(path, old, 0o640)


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@both
def test_a_lock_is_read_without_a_write(kind: str, path: Path) -> None:
    prepare(path, OLD)
    with files_of(kind, path.parent) as files:
        assert read_lock(files, str(path)) is None
        assert not (path.parent / DATA_DIR).exists()
        lock = take_lock(files, plan_write(read_state(files, path)), OWNER)
        found = read_lock(files, str(path))
        assert found is not None
        assert found.holder == OWNER.name
        assert found.since.endswith("UTC")
        now = (path.parent / DATA_DIR / "lock").stat().st_mtime
        assert LOCK_EXPIRES_AFTER - 1 <= found.seconds_left(now) <= LOCK_EXPIRES_AFTER
        assert found.seconds_left(now + LOCK_EXPIRES_AFTER + 9) <= -8
        assert found.seconds_left(now - 3600) == 0, "a wrong clock made it"
        assert leftovers(path.parent) == {"lock"}
        assert lock.is_still_ours()
        (path.parent / DATA_DIR / "lock").write_bytes(b"[")
        broken = read_lock(files, str(path))
        assert broken is not None
        assert (broken.holder, broken.since) == ("", "")


@both
def test_what_is_left_on_the_file_system(kind: str, path: Path) -> None:
    with files_of(kind, path.parent) as files:
        found, known = files.submit_space(str(path.parent)).get(), os.statvfs(path.parent)
        assert not found.read_only
        assert found.free >= found.available > 0
        assert abs(found.available - known.f_bavail * known.f_frsize) < known.f_blocks * 41
        with pytest.raises(FileNotFoundError):
            files.submit_space(str(path.parent / "gone")).get()
        if files.extensions is not None:
            assert {"posix-rename@openssh.com", "statvfs@openssh.com"} <= files.extensions


@both
@bases
def test_a_write_its_undoing_and_a_write_again_under_one_lock(
    kind: str, old: bytes | None, path: Path
) -> None:
    prepare(path, old)
    lock_file, previous = (path.parent / DATA_DIR / name for name in ("lock", "previous"))
    with files_of(kind, path.parent) as files:
        write = plan_write(read_state(files, path))
        lock = take_lock(files, write, OWNER)
        lock.confirm()
        held = lock_file.read_bytes()
        atomic_write(lock, write, deadline())
        assert (content(path), content(previous)) == (NEW, old)
        atomic_write(lock, restoring_write(write), deadline())
        assert (content(path), content(previous)) == (old, NEW)
        assert mode_of(previous) == 0o600
        again = plan_write(read_state(files, path), LATER)
        atomic_write(lock, again, deadline())
        assert (content(path), content(previous)) == (LATER, old)
        assert lock_file.read_bytes() == held
        assert lock.release(deadline()) == ()
    assert leftovers(path.parent) == ({"previous"} if old is not None else set())


@both
@bases
def test_where_nothing_was_written_nothing_is_left(
    kind: str, old: bytes | None, path: Path
) -> None:
    prepare(path, old)
    with files_of(kind, path.parent) as files:
        lock = take_lock(files, plan_write(read_state(files, path)), OWNER)
        assert leftovers(path.parent) == {"lock"}
        lock.renew(deadline())
        assert lock.release(deadline()) == ()
    assert not (path.parent / DATA_DIR).exists()


@both
def test_a_second_operator_is_kept_out_until_it_is_given_back(kind: str, path: Path) -> None:
    put(path)
    with files_of(kind, path.parent) as files, files_of(kind, path.parent) as others:
        write = plan_write(read_state(files, path))
        lock = take_lock(files, write, OWNER)
        atomic_write(lock, write, deadline())
        rival = plan_write(read_state(others, path), LATER)
        refused = attempt(others, rival, LockOwner("bert@desk"))
        assert isinstance(refused, Locked)
        assert f"held by {OWNER.name}" in refused.reason
        lock.release(deadline())
        assert isinstance(attempt(others, rival, LockOwner("bert@desk")), WriteResult)


@both
def test_of_our_own_locks_those_of_the_dead_alone_are_taken_over(kind: str, path: Path) -> None:
    put(path)
    with files_of(kind, path.parent) as files, files_of(kind, path.parent) as others:
        write = plan_write(read_state(files, path))
        take_lock(files, write, replace(OWNER, mark="living")).confirm()
        for dead in ((), ("other",), ("",)):
            heir = replace(OWNER, mark="heir", dead=frozenset(dead))
            assert isinstance(attempt(others, write, heir), Locked)
        heir = replace(heir, dead=frozenset({"other", "living"}))
        assert attempt(others, write, heir) == WriteResult(str(path))
    assert leftovers(path.parent) == {"previous"}


def test_an_empty_lock_is_taken_for_that_of_the_dead_if_nobody_fills_it(path: Path) -> None:
    put(path)
    write = plan_write(read_state(LocalFiles(path.parent), path))
    heir = replace(OWNER, mark="heir", dead=frozenset({"old"}))
    lock = path.parent / DATA_DIR / "lock"
    living = take_lock(LocalFiles(path.parent), write, LockOwner("bert@desk"))
    content = lock.read_bytes()
    lock.write_bytes(b"")
    assert isinstance(attempt(LocalFiles(path.parent), write), Locked)

    def fill() -> None:
        lock.write_bytes(content)

    with wired(meanwhile={6: fill}) as (files, _):
        result = attempt(files, write, heir)
    assert isinstance(result, Locked)
    assert "held by bert@desk" in result.reason
    lock.write_bytes(b"")
    assert attempt(LocalFiles(path.parent), write, heir) == WriteResult(str(path))
    assert not living.is_still_ours()


@both
def test_an_undo_is_refused_where_the_file_has_moved_on(kind: str, path: Path) -> None:
    put(path)
    with files_of(kind, path.parent) as files:
        write = plan_write(read_state(files, path))
        lock = take_lock(files, write, OWNER)
        atomic_write(lock, write, deadline())
        put(path, LATER)
        with pytest.raises(WriteRefused, match="the file changed"):
            atomic_write(lock, restoring_write(write), deadline())
        lock.release(deadline())
    assert path.read_bytes() == LATER
    assert leftovers(path.parent) == {"previous"}


@both
def test_renewing_makes_it_young_by_the_hosts_own_clock(kind: str, path: Path) -> None:
    put(path)
    (path.parent / DATA_DIR).mkdir(mode=0o700)
    with files_of(kind, path.parent) as files:
        lock = create_or_break(DataDir(files, str(path.parent / DATA_DIR), made=False), OWNER)
        lock.confirm()
        place = path.parent / DATA_DIR / "lock"
        os.utime(place, (LONG_AGO, LONG_AGO))
        lock.renewed -= 300
        lock.renew(deadline())
        assert place.stat().st_mtime == pytest.approx(LONG_AGO + 300, abs=2)
        lock.renew(deadline())
        assert place.stat().st_mtime == pytest.approx(LONG_AGO + 300, abs=3)
        lock.release(deadline())
    assert leftovers(path.parent) == set()


@both
@pytest.mark.parametrize("away", [0, 100, LOCK_EXPIRES_AFTER * 2], ids=str)
def test_anothers_lock_is_never_renewed(kind: str, away: int, path: Path) -> None:
    (path.parent / DATA_DIR).mkdir(mode=0o700)
    with files_of(kind, path.parent) as files:
        lock = create_or_break(DataDir(files, str(path.parent / DATA_DIR), made=False), OWNER)
        place = path.parent / DATA_DIR / "lock"
        put(place, b"another's")
        os.utime(place, (LONG_AGO, LONG_AGO))
        lock.renewed -= away
        lock.renew(deadline())
    assert place.stat().st_mtime == LONG_AGO


@both
@pytest.mark.parametrize("renewed", [True, False], ids=["renewed", "not renewed"])
def test_anothers_lock_is_not_removed_by_who_was_away_for_long(
    kind: str, renewed: bool, path: Path
) -> None:
    (path.parent / DATA_DIR).mkdir(mode=0o700)
    with files_of(kind, path.parent) as files:
        lock = create_or_break(DataDir(files, str(path.parent / DATA_DIR), made=False), OWNER)
        put(path.parent / DATA_DIR / "lock", b"another's")
        lock.renewed -= LOCK_EXPIRES_AFTER + 1
        if renewed:
            lock.renew(deadline())
        lock.release(deadline())
    assert (path.parent / DATA_DIR / "lock").read_bytes() == b"another's"


@both
def test_a_lock_that_was_broken_stops_the_write_and_is_not_given_back(
    kind: str, path: Path
) -> None:
    put(path)
    with files_of(kind, path.parent) as files:
        write = plan_write(read_state(files, path))
        lock = take_lock(files, write, OWNER)
        put(path.parent / DATA_DIR / "lock", b"another's")
        with pytest.raises(WriteRefused, match="the lock was broken by another run"):
            atomic_write(lock, write, deadline())
        assert lock.release(deadline()) == ()
    assert path.read_bytes() == OLD
    assert (path.parent / DATA_DIR / "lock").read_bytes() == b"another's"


STAGED = ("staging", "previous.new", "receipt.json.new")


@bases
@pytest.mark.parametrize("trouble", [None, Trouble.FAILS], ids=["no trouble", "fails"])
def test_what_the_next_holder_staged_is_left_alone_at_any_moment(
    trouble: Trouble | None, old: bytes | None, path: Path
) -> None:
    """The lock goes to another run, which stages its files; then something of ours fails."""
    own, results = path.parent / DATA_DIR, set()
    for number in range(1, MOST_REQUESTS):
        prepare(path, old)
        with wired() as (files, wire):
            write = replace(plan_write(read_state(files, path)), receipt=b"{}")
            lock = take_lock(files, write, OWNER)

            def come() -> None:
                for name in ("lock", *STAGED):
                    put(own / name, b"another's")

            begun = len(wire.requests)
            wire.meanwhile = {begun + number: come}
            wire.at, wire.trouble = begun + number, trouble
            try:
                result: WriteResult | TransportError = atomic_write(lock, write, deadline())
            except TransportError as problem:
                result = problem
            last = len(wire.requests) - begun
            wire.at = 0
            lock.release(deadline())
        if last < number:
            break
        results.add(type(result))
        if isinstance(result, WriteRefused) or "untouched" in str(result):
            left = {name: content(own / name) for name in ("lock", *STAGED)}
            if content(own / "previous") == b"another's":
                # It came after the last look at the lock: what goes out together is done.
                left["previous.new"] = b"another's"
            assert left == dict.fromkeys(left, b"another's"), number
    else:
        pytest.fail("a write takes more requests than this test is ready for")
    assert results >= {WriteRefused if trouble is None else WriteFailed}


@bases
def test_a_connection_that_goes_before_the_rename_leaves_the_file_surely_untouched(
    old: bytes | None, path: Path
) -> None:
    """Only from the rename on it is not known what became of it."""
    told = {}
    rename = None
    for trouble in (Trouble.NEVER_ARRIVES, Trouble.NEVER_ANSWERED):
        for number in range(1, MOST_REQUESTS):
            prepare(path, old)
            with wired() as (files, wire):
                write = plan_write(read_state(files, path))
                lock = take_lock(files, write, OWNER)
                begun = len(wire.requests)
                wire.at, wire.trouble = begun + number, trouble
                try:
                    result: WriteResult | TransportError = atomic_write(lock, write, deadline())
                except TransportError as problem:
                    result = problem
            if isinstance(result, WriteResult):
                break
            assert isinstance(result, WriteFailed)
            told[trouble, number] = (result.step, result.reason.rpartition("; ")[2], result.hint)
    expires = f"the lock there expires in {LOCK_EXPIRES_AFTER} seconds"
    unknown = ("rename", "whether the file was replaced is not known", "plan again")
    for (trouble, number), (step, words, hint) in told.items():
        if step == "rename":
            assert (step, words, hint) == unknown
            rename = rename or number
            assert number - rename <= 1, "only what opens the file goes with it"
        elif step == "read back":
            assert (words, hint) == ("the file was replaced, but not checked", "plan again")
        else:
            assert (words, hint) == ("the file there is untouched", expires), (trouble, number)
    assert rename is not None
    assert told[Trouble.NEVER_ARRIVES, rename] == told[Trouble.NEVER_ANSWERED, rename] == unknown
    assert told[Trouble.NEVER_ARRIVES, 1][1] == "the file there is untouched"


@bases
def test_after_a_lost_connection_it_goes_on_over_another(old: bytes | None, path: Path) -> None:
    prepare(path, old)
    with wired() as (files, wire):
        write = plan_write(read_state(files, path))
        lock = take_lock(files, write, OWNER)
        atomic_write(lock, write, deadline())
        wire.close()
        with wired() as (others, _):
            again = lock.rebind(others)
            assert isinstance(again, WriteLock)
            atomic_write(again, restoring_write(write), deadline())
            assert again.release(deadline()) == ()
    assert content(path) == old
    assert leftovers(path.parent) == {"previous"}


@pytest.mark.parametrize("others", [b"another's", None], ids=["another's", "gone"])
def test_a_lock_that_is_not_ours_any_more_is_not_taken_over(
    others: bytes | None, path: Path
) -> None:
    put(path)
    with wired() as (files, _):
        lock = take_lock(files, plan_write(read_state(files, path)), OWNER)
        (path.parent / DATA_DIR / "lock").unlink()
        if others is not None:
            put(path.parent / DATA_DIR / "lock", others)
        with wired() as (again, _):
            assert lock.rebind(again) is None
    assert content(path.parent / DATA_DIR / "lock") == others


def test_a_lock_that_can_not_be_read_is_refused(path: Path) -> None:
    put(path)
    with wired() as (files, _):
        lock = take_lock(files, plan_write(read_state(files, path)), OWNER)
        with (
            wired(at=1, trouble=Trouble.FAILS) as (again, _),
            pytest.raises(WriteRefused, match="lock: the host says no more than 'failure'"),
        ):
            lock.rebind(again)


def _undo_requests(path: Path, old: bytes | None) -> Iterator[tuple[int, Write]]:
    """Yield the number of every request of an undo, each time after the write was done."""
    write = _written(path, old)
    with wired() as (files, wire):
        attempt(files, restoring_write(write))
        count = len(wire.requests)
    assert count < MOST_REQUESTS
    for number in range(1, count + 1):
        yield number, _written(path, old)


def _written(path: Path, old: bytes | None) -> Write:
    prepare(path, old)
    with wired() as (files, _):
        write = plan_write(read_state(files, path))
        assert isinstance(attempt(files, write), WriteResult)
        return write


@bases
@pytest.mark.parametrize("trouble", list(Trouble), ids=lambda trouble: trouble.name.lower())
def test_when_any_request_of_a_restore_fails_the_file_is_whole_and_the_result_is_true(
    trouble: Trouble, old: bytes | None, path: Path
) -> None:
    results: set[type] = set()
    for number, write in _undo_requests(path, old):
        with wired(at=number, trouble=trouble) as (files, _):
            result = attempt(files, restoring_write(write))
        results.add(type(result))
        _check_truth(result, content(path), old)
        age_lock(path.parent)
        if content(path) == NEW:
            with wired() as (files, _):
                assert isinstance(attempt(files, restoring_write(write)), WriteResult), number
        assert content(path) == old
        assert leftovers(path.parent) <= {"previous", "previous.old", "lock"}
    assert WriteFailed in results


def _check_truth(
    result: WriteResult | TransportError, now: bytes | None, old: bytes | None
) -> None:
    if isinstance(result, WriteResult):
        assert now == old
    elif not isinstance(result, WriteFailed) or "the file there is untouched" in result.reason:
        assert now == NEW
    elif "the file was replaced, but not checked" in result.reason:
        assert now == old
    else:
        assert "whether the file was replaced is not known" in result.reason
        assert now in {old, NEW}


@bases
def test_a_write_that_time_ran_out_on_is_cleaned_up_after(old: bytes | None, path: Path) -> None:
    results: list[WriteResult | TransportError] = []
    for number in range(1, MOST_REQUESTS):
        prepare(path, old)
        with wired() as (files, wire):
            write = plan_write(read_state(files, path))
            lock = take_lock(files, write, OWNER)

            def run_out() -> None:
                files.stream.deadline = Deadline.after(0)

            wire.meanwhile = {len(wire.requests) + number: run_out}
            try:
                results.append(atomic_write(lock, write, deadline()))
            except TransportError as problem:
                results.append(problem)
            files.stream.deadline, wire.meanwhile = Deadline.after(20), {}
            assert lock.release(deadline()) == (), number
        assert leftovers(path.parent) <= {"previous", "previous.old"}, number
        assert content(path) in {old, NEW}
        if isinstance(results[-1], WriteResult):
            break
    assert len(results) > 5
    assert all(isinstance(result, WriteFailed) for result in results[:-1])
