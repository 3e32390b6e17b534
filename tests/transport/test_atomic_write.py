"""The atomic write, broken off at every request: old or new, never half, and a true result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import TransportError, Unreachable, WriteFailed, WriteRefused
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.lock import take_lock
from tests.fleet.sftp_wire import Trouble, wired
from tests.transport.targets import (
    DATA_DIR,
    DATA_FILES,
    NEW,
    OLD,
    OWNER,
    age_lock,
    attempt,
    leftovers,
    mode_of,
    plan_write,
    put,
    read_state,
    write_now,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_REQUESTS = 60


def _requests(path: Path, *, old: bytes | None) -> Iterator[int]:
    """Yield the number of every request of a write, each time with everything as before it."""
    count = 1
    for number in range(1, MOST_REQUESTS):
        if number > count:
            return
        _reset(path, old)
        if number == 1:
            with wired() as (files, _):
                write = plan_write(read_state(files, path))
            with wired() as (files, wire):
                attempt(files, write)
                count = len(wire.requests)
            _reset(path, old)
        yield number
    pytest.fail("a write takes more requests than this test is ready for")


def _reset(path: Path, old: bytes | None) -> None:
    own = path.parent / DATA_DIR
    for name in leftovers(path.parent):
        (own / name).unlink()
    if own.is_dir():
        own.rmdir()
    path.unlink(missing_ok=True)
    if old is not None:
        put(path, old, 0o640)


def _check_truth(
    result: WriteResult | TransportError, now: bytes | None, old: bytes | None
) -> None:
    if isinstance(result, WriteResult):
        assert now == NEW
    elif (
        isinstance(result, Unreachable | WriteRefused)
        or "the file there is untouched" in result.reason
    ):
        assert now == old
    elif "was replaced, but not checked" in result.reason:
        assert now == NEW
    else:
        assert "is not known" in result.reason
        assert now in {old, NEW}


@pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "a new file"])
@pytest.mark.parametrize("trouble", list(Trouble), ids=lambda trouble: trouble.name.lower())
def test_when_any_request_fails_the_file_is_whole_and_the_next_write_succeeds(
    tmp_path: Path, trouble: Trouble, old: bytes | None
) -> None:
    path = tmp_path / "aegis.config.json"
    results = set()
    for number in _requests(path, old=old):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(at=number, trouble=trouble) as (files, _):
            result = attempt(files, write)
        results.add(type(result))
        now = path.read_bytes() if path.exists() else None
        assert now in {old, NEW}, number
        _check_truth(result, now, old)
        if now is not None:
            assert mode_of(path) & ~0o640 == 0
        assert {item.name for item in tmp_path.iterdir()} <= {path.name, DATA_DIR}
        assert leftovers(tmp_path) <= DATA_FILES
        for name in leftovers(tmp_path):
            assert mode_of(tmp_path / DATA_DIR / name) & ~0o640 == 0
        if trouble is Trouble.FAILS and not isinstance(result, WriteResult):
            assert leftovers(tmp_path) <= {"previous", "lock"}
        age_lock(tmp_path)
        with wired() as (files, _):
            write_now(files, path)
        assert path.read_bytes() == NEW
        assert leftovers(tmp_path) <= {"previous"}
    assert WriteFailed in results


@pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "a new file"])
def test_a_request_that_fails_leaves_no_lock(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "aegis.config.json"
    kept = []
    for number in _requests(path, old=old):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(at=number, trouble=Trouble.FAILS) as (files, _):
            result = attempt(files, write)
        if "lock" in leftovers(tmp_path):
            kept.append(result)
    assert len(kept) == 1, "only where removing the lock itself fails"
    assert isinstance(kept[0], WriteResult)
    assert "lock" in kept[0].warnings[0]


def test_a_write_does_not_wait_for_each_of_its_requests(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, OLD, 0o640)
    with wired() as (files, wire):
        write_now(files, path)
        assert len(wire.requests) > 30
        assert wire.round_trips <= 12


def test_an_edit_at_any_moment_is_not_lost_but_in_one_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    edited = b'{"authToken": "edited"}\n'
    lost, said = [], set()
    for number in _requests(path, old=OLD):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={number: lambda: put(path, edited, 0o640)}) as (files, _):
            result = attempt(files, write)
        if path.read_bytes() != edited:
            assert isinstance(result, WriteResult)
            lost.append(number)
        else:
            assert not isinstance(result, Unreachable)
            said.add(str(result))
    assert len(lost) == 1
    assert "compare: the file changed since the plan saw it" in said
    assert "read back: what is there now is not what was written" in said


def test_a_mode_that_is_not_the_one_that_was_set_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    said = set()
    for number in _requests(path, old=OLD):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={number: lambda: path.chmod(0o660)}) as (files, _):
            said.add(str(attempt(files, write)))
    assert any("the new file is there, but with mode 0660" in words for words in said)


def test_a_file_that_comes_at_any_moment_where_the_plan_saw_none_is_never_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "aegis.config.json"
    come = b'{"authToken": "come"}\n'
    refused = 0
    for number in _requests(path, old=None):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))

        def come_now() -> None:
            if not path.exists():
                put(path, come)

        with wired(meanwhile={number: come_now}) as (files, _):
            result = attempt(files, write)
        if isinstance(result, WriteRefused):
            refused += 1
            assert path.read_bytes() == come
            assert leftovers(tmp_path) == set()
        else:
            assert path.read_bytes() == NEW
    assert refused > 5


def test_a_lock_taken_away_before_the_rename_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    results = []
    for number in _requests(path, old=OLD):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))

        def take_away() -> None:
            (tmp_path / DATA_DIR / "lock").unlink(missing_ok=True)

        with wired(meanwhile={number: take_away}) as (files, _):
            result = attempt(files, write)
        _check_truth(result, path.read_bytes(), OLD)
        results.append(result)
    broken = [result for result in results if isinstance(result, WriteRefused)]
    assert len(broken) > 3
    assert all("the lock was broken" in result.reason for result in broken)


@pytest.mark.parametrize("missing", ["fsync@openssh.com", "lsetstat@openssh.com"])
def test_a_server_without_an_extension_that_can_be_spared(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired(without=frozenset({missing})) as (files, _):
        write_now(files, path)
    assert path.read_bytes() == NEW


def test_a_server_that_says_it_can_rename_over_a_file_and_cannot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired(without=frozenset({"posix-rename@openssh.com"})) as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "posix-rename@openssh.com" in result.reason
    assert "untouched" in result.reason
    assert path.read_bytes() == OLD
    assert leftovers(tmp_path) == set()


def test_such_a_server_can_still_make_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    with wired(without=frozenset({"posix-rename@openssh.com"})) as (files, _):
        write_now(files, path)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nothing_depends_on_the_servers_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "aegis.config.json"
    modes: list[tuple[str, int]] = []

    def note() -> None:
        own = tmp_path / DATA_DIR
        modes.extend((name, mode_of(own / name)) for name in leftovers(tmp_path))
        modes.extend([(DATA_DIR, mode_of(own))] if own.exists() else [])

    for number in range(1, 25):
        put(path, OLD)
        with wired(umask=umask, meanwhile={number: note}) as (files, _):
            write_now(files, path)
    assert {"lock", "staging", "previous.new", DATA_DIR} <= {name for name, _ in modes}
    assert {mode for name, mode in modes if name != DATA_DIR} == {0o600}
    assert {mode for name, mode in modes if name == DATA_DIR} == {0o700}
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o664, 0o640, 0o600, 0o400, 0o4755, 0o2640])
def test_the_mode_is_kept_less_what_others_could_use(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, OLD, mode)
    with wired() as (files, _):
        write_now(files, path)
    assert mode_of(path) == mode & 0o750
    previous = tmp_path / DATA_DIR / "previous"
    assert previous.read_bytes() == OLD
    assert mode_of(previous) == mode & 0o600


def _file(own: Path) -> None:
    own.write_bytes(b"mine")


def _link(own: Path) -> None:
    own.with_name("elsewhere").mkdir(0o700)
    own.symlink_to("elsewhere")


def _dangling(own: Path) -> None:
    own.symlink_to("nowhere")


@pytest.mark.parametrize("plant", [_file, _link, _dangling])
@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_our_directory_must_be_one(tmp_path: Path, plant: object, local: bool) -> None:
    assert callable(plant)
    path = tmp_path / "aegis.config.json"
    put(path)
    plant(tmp_path / DATA_DIR)
    before = sorted(tmp_path.rglob("*"))
    with wired() as (sftp, _):
        files = LocalFiles(tmp_path) if local else sftp
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "is not a directory" in result.reason
    assert sorted(tmp_path.rglob("*")) == before
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("plant", [_file, _link, _dangling])
def test_our_directory_must_still_be_one_where_it_was_seen(tmp_path: Path, plant: object) -> None:
    assert callable(plant)
    path = tmp_path / "aegis.config.json"
    put(path)
    plant(tmp_path / DATA_DIR)
    before = sorted(tmp_path.rglob("*"))
    with wired() as (files, _), pytest.raises(WriteRefused, match="is not a directory"):
        take_lock(files, plan_write(read_state(files, path)), OWNER, at_once=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_our_directory_is_shut_where_others_could_look_in(tmp_path: Path, local: bool) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    (tmp_path / DATA_DIR).mkdir()
    (tmp_path / DATA_DIR).chmod(0o777)
    with wired() as (sftp, _):
        write_now(LocalFiles(tmp_path) if local else sftp, path)
    assert mode_of(tmp_path / DATA_DIR) == 0o700


def test_our_directory_is_refused_where_it_cannot_be_shut_safely(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    (tmp_path / DATA_DIR).mkdir()
    (tmp_path / DATA_DIR).chmod(0o755)
    with wired(without=frozenset({"lsetstat@openssh.com"})) as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "others may look into" in result.reason
    assert "0700" in result.hint
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("name", ["staging", "previous.new"])
def test_a_link_planted_for_our_files_is_not_followed(tmp_path: Path, name: str) -> None:
    path, victim = tmp_path / "aegis.config.json", tmp_path / "victim"
    put(path)
    put(victim, b"precious")
    (tmp_path / DATA_DIR).mkdir(0o700)
    (tmp_path / DATA_DIR / name).symlink_to(victim)
    with wired() as (files, _):
        write_now(files, path)
    assert victim.read_bytes() == b"precious"
    assert path.read_bytes() == NEW
    assert leftovers(tmp_path) == {"previous"}


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_staging_that_cannot_be_removed_leaves_no_lock(tmp_path: Path, local: bool) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    (tmp_path / DATA_DIR / "staging").mkdir(parents=True)
    (tmp_path / DATA_DIR).chmod(0o700)
    with wired() as (sftp, _):
        files = LocalFiles(tmp_path) if local else sftp
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteFailed)
    assert "untouched" in result.reason
    assert leftovers(tmp_path) == {"staging"}


def test_a_refused_first_write_leaves_nothing_at_all(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired() as (files, _):
        write = plan_write(read_state(files, path))
        put(path, b"{}")
        result = attempt(files, write)
    assert isinstance(result, WriteRefused)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_the_previous_file_of_another_time_is_not_kept_for_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired() as (files, _):
        write_now(files, path)
        path.unlink()
        write_now(files, path)
    assert leftovers(tmp_path) == set()


def test_a_new_file_is_private_and_its_directorys_owners(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    with wired(umask=0) as (files, _):
        write_now(files, path)
    assert mode_of(path) == 0o600
    assert path.stat().st_uid == tmp_path.stat().st_uid


def test_words_of_the_host_never_reach_a_message(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    said = b"\x1b[2J\xff\xfeowned"
    for number in _requests(path, old=OLD):
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(at=number, trouble=Trouble.FAILS, words=said) as (files, _):
            result = attempt(files, write)
        text = (
            repr(result.warnings) if isinstance(result, WriteResult) else str(result) + result.hint
        )
        assert "owned" not in text
        assert "\x1b" not in text
