"""The lock: one writer at a time, a dead run's lock expires, and no update is lost."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Locked, TransportError, WriteRefused
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.data_dir import LOCK_EXPIRES_AFTER
from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.lock import LockOwner
from tests.fleet.sftp_wire import wired
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    OWNER,
    age_lock,
    attempt,
    leftovers,
    plan_write,
    put,
    read_state,
    write_now,
    write_under_lock,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.transport.filesystem import Filesystem

OTHERS = b'{"authToken": "of another"}\n'
MOST_REQUESTS = 60


def _leave_lock(directory: Path, text: str = "") -> Path:
    own = directory / DATA_DIR
    own.mkdir(mode=0o700, exist_ok=True)
    lock = own / "lock"
    lock.write_text(text or json.dumps({"owner": "bert@desk", "since": "2026-01-01 10:00:00 UTC"}))
    return lock


def test_the_holder_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    lock = _leave_lock(tmp_path)
    before = lock.read_bytes()
    with wired() as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "held by bert@desk since 2026-01-01 10:00:00 UTC" in result.reason
    assert "broken in" in result.hint
    assert lock.read_bytes() == before
    assert leftovers(tmp_path) == {"lock"}


@pytest.mark.parametrize("text", ["{", "[]", '{"owner": 1}', "\x00\x1b", '"x"'])
def test_a_lock_without_a_name_holds_all_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path, text)
    with wired() as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "did not leave a name" in result.reason


def _refused(path: Path, text: str) -> WriteRefused:
    put(path)
    _leave_lock(path.parent, text)
    with wired() as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    return result


@pytest.mark.parametrize(
    ("owner", "since", "told"),
    [
        ("\x1b[2Janna", "\u202enow", "[2Janna since now"),
        ("anna\r\n\x00\x7f\x9b@desk", "\u2028\u200bnow\t", "anna@desk since now"),
        ("x" * 120, "y" * 121, f"{'x' * 120} since {'y' * 120}"),
        ("x" * 119 + "\x1b" + "z", "now", f"{'x' * 119} since now"),
        (["\x1b"], {"\x07": 1}, "['\\x1b'] since {'\\x07': 1}"),
    ],
)
def test_a_name_in_a_lock_can_not_drive_the_terminal(
    tmp_path: Path, owner: object, since: object, told: str
) -> None:
    result = _refused(tmp_path / "aegis.config.json", json.dumps({"owner": owner, "since": since}))
    assert result.reason == f"another run is writing here (held by {told})"
    assert result.reason.isprintable()


def test_a_name_without_end_is_no_name(tmp_path: Path) -> None:
    text = json.dumps({"owner": "x" * 5000, "since": "now"})
    result = _refused(tmp_path / "aegis.config.json", text)
    assert "did not leave a name" in result.reason
    assert len(result.reason) < 100


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_a_dead_runs_lock_is_broken(tmp_path: Path, local: bool) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path)
    age_lock(tmp_path)
    with wired() as (sftp, _):
        write_now(LocalFiles(tmp_path) if local else sftp, path)
    assert path.read_bytes() == NEW
    assert leftovers(tmp_path) == {"previous"}


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
@pytest.mark.parametrize(
    ("age", "holds"),
    [
        (-2_306_480_362, False),
        (-120, False),
        (-50, True),
        (LOCK_EXPIRES_AFTER - 60, True),
        (LOCK_EXPIRES_AFTER + 2, False),
    ],
)
def test_a_lock_of_another_time_than_the_hosts(
    tmp_path: Path, age: int, holds: bool, local: bool
) -> None:
    """The host's clock was wrong when it was made, or is now: it would never expire."""
    path = tmp_path / "aegis.config.json"
    put(path)
    lock = _leave_lock(tmp_path)
    then = time.time() - age
    os.utime(lock, (then, then))
    with wired() as (sftp, _):
        files = LocalFiles(tmp_path) if local else sftp
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, Locked if holds else WriteResult)
    assert path.read_bytes() == (OLD if holds else NEW)
    if isinstance(result, Locked):
        start, seconds, _ = result.hint.rpartition("in ")[0], *result.hint.split()[-2:]
        assert start == f"wait until it is done; a dead run's lock, {lock}, is broken "
        assert 0 <= LOCK_EXPIRES_AFTER - age - int(seconds) <= 30


@pytest.mark.parametrize("name", ["lock", "clock"])
def test_a_file_that_goes_before_it_is_looked_for_is_no_full_disk(
    tmp_path: Path, name: str
) -> None:
    """SFTP says "failure" where something is there; by then another operator took it away."""
    path = tmp_path / "aegis.config.json"
    put(path)
    lock = _leave_lock(tmp_path)
    if name == "clock":
        age_lock(tmp_path)
    came = tmp_path / DATA_DIR / name
    came.write_bytes(lock.read_bytes())
    requests: list[int] = []
    for number in range(1, MOST_REQUESTS):
        put(path)
        lock.parent.mkdir(exist_ok=True)
        lock.write_text("of another")
        if name == "clock":
            age_lock(tmp_path)
        came.write_text("of another")
        with wired() as (files, _):
            write = plan_write(read_state(files, path), NEW)
        with wired(meanwhile={number: lambda: came.unlink(missing_ok=True)}) as (files, wire):
            result = attempt(files, write)
            requests = wire.requests
        assert "disk" not in str(result), number
        if len(requests) < number:
            return
    pytest.fail("a write takes more requests than this test is ready for")


def test_our_directory_that_goes_meanwhile_is_made_anew(tmp_path: Path) -> None:
    """The operator before us leaves none behind where nothing was written."""
    path, own = tmp_path / "aegis.config.json", tmp_path / DATA_DIR
    results = set()
    for number in range(1, 8):
        put(path)
        own.mkdir(mode=0o700, exist_ok=True)
        for name in leftovers(tmp_path):
            (own / name).unlink()

        def go() -> None:
            with suppress(OSError):
                own.rmdir()

        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={number: go}) as (files, _):
            result = attempt(files, write)
        results.add(type(result))
        assert isinstance(result, WriteResult), (number, result)
    assert results == {WriteResult}


def test_a_clock_file_that_a_dead_run_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path)
    age_lock(tmp_path)
    (tmp_path / DATA_DIR / "clock").write_bytes(b"")
    with wired() as (files, _):
        write_now(files, path)
    assert leftovers(tmp_path) == {"previous"}


@pytest.mark.parametrize("expired", [True, False], ids=["over an expired lock", "over no lock"])
def test_a_second_writer_at_any_moment_of_the_first_never_wins_too(
    tmp_path: Path, expired: bool
) -> None:
    path = tmp_path / "aegis.config.json"
    winners = set()
    for number in range(1, MOST_REQUESTS):
        put(path)
        for name in leftovers(tmp_path):
            (tmp_path / DATA_DIR / name).unlink()
        if expired:
            _leave_lock(tmp_path)
            age_lock(tmp_path)
        with wired() as (files, _):
            write, rival = (
                plan_write(read_state(files, path)),
                plan_write(read_state(files, path), OTHERS),
            )
        results: list[WriteResult | TransportError] = []

        def second(
            rival: object = rival, results: list[WriteResult | TransportError] = results
        ) -> None:
            with wired() as (files, _):
                results.append(attempt(files, rival, LockOwner("bert@desk")))  # type: ignore[arg-type]

        with wired(meanwhile={number: second}) as (files, wire):
            first = attempt(files, write)
            last = len(wire.requests)
        if last < number:
            break
        assert isinstance(first, WriteResult) + isinstance(results[0], WriteResult) == 1, (
            number,
            first,
            results,
        )
        assert path.read_bytes() == (NEW if isinstance(first, WriteResult) else OTHERS)
        winners.add(isinstance(first, WriteResult))
        age_lock(tmp_path)
        with wired() as (files, _):
            write_now(files, path)
        assert leftovers(tmp_path) == {"previous"}
    else:
        pytest.fail("a write takes more requests than this test is ready for")
    assert winners == {True, False}


@pytest.mark.parametrize("left", ["expired", "by a dead worker of ours"])
def test_a_living_lock_that_comes_at_any_moment_is_left_alone(tmp_path: Path, left: str) -> None:
    """It takes the place of the one that was left, or, once that is broken, that of our own."""
    owner = OWNER if left == "expired" else replace(OWNER, mark="new", dead=frozenset({"old"}))
    path, lock = tmp_path / "aegis.config.json", tmp_path / DATA_DIR / "lock"
    living = json.dumps({"owner": "cleo@desk", "since": "just now"}).encode()
    seen = set()
    for number in range(1, MOST_REQUESTS):
        put(path)
        for name in leftovers(tmp_path):
            (tmp_path / DATA_DIR / name).unlink()
        if left == "expired":
            _leave_lock(tmp_path)
            age_lock(tmp_path)
        else:
            _leave_lock(tmp_path, json.dumps({"owner": OWNER.name, "since": "", "mark": "old"}))
        ours: list[bool] = []

        def come(ours: list[bool] = ours) -> None:
            found = lock.read_text() if lock.exists() else ""
            ours.append(OWNER.name in found and '"old"' not in found)
            put(lock, living)

        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={number: come}) as (files, wire):
            result = attempt(files, write, owner)
        if len(wire.requests) < number:
            break
        if isinstance(result, WriteResult):
            assert ours == [True], f"a lock that came first was overlooked at {number}"
            continue
        assert isinstance(result, WriteRefused)
        assert lock.read_bytes() == living, number
        assert "clock" not in leftovers(tmp_path)
        seen.add(result.step)
    assert seen == {"lock", "check the lock"}


def _count_up(files: Filesystem, path: Path, name: str) -> bool:
    actual = read_state(files, path)
    assert actual.file is not None
    number = json.loads(actual.file.content)["number"]
    content = json.dumps({"number": number + 1, "by": name}).encode()
    result = attempt(files, plan_write(actual, content), LockOwner(name))
    if isinstance(result, WriteResult):
        return True
    assert isinstance(result, WriteRefused), result
    return False


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_many_writers_at_once_lose_no_update(tmp_path: Path, local: bool) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, b'{"number": 0}')
    begin = threading.Barrier(3)
    written: list[str] = []
    broken: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with wired() as (sftp, _):
                files = LocalFiles(tmp_path) if local else sftp
                begin.wait(timeout=30)
                written.extend(name for _ in range(40) if _count_up(files, path, name))
        except BaseException as problem:  # noqa: BLE001 - told by the thread that asked
            broken.append(problem)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("anna", "bert", "cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not broken
    assert json.loads(path.read_bytes())["number"] == len(written)
    assert len(written) >= 3
    assert leftovers(tmp_path) == {"previous"}


def test_of_two_who_break_an_expired_lock_at_once_at_most_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    for _ in range(25):
        put(path)
        _leave_lock(tmp_path)
        age_lock(tmp_path)
        begin = threading.Barrier(2)
        results: dict[bytes, WriteResult | TransportError] = {}

        def work(
            content: bytes,
            begin: threading.Barrier = begin,
            results: dict[bytes, WriteResult | TransportError] = results,
        ) -> None:
            with wired() as (files, _):
                write = plan_write(read_state(files, path), content)
                begin.wait(timeout=30)
                results[content] = attempt(files, write)

        threads = [threading.Thread(target=work, args=(content,)) for content in (NEW, OTHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(results) == 2
        winners = [
            content for content, result in results.items() if isinstance(result, WriteResult)
        ]
        assert len(winners) <= 1, results
        if winners:
            assert path.read_bytes() == winners[0]


def test_the_lock_says_who_holds_it_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    seen: list[dict[str, str]] = []

    def note() -> None:
        lock = tmp_path / DATA_DIR / "lock"
        if lock.exists() and lock.read_text():
            seen.append(json.loads(lock.read_text()))

    with wired() as (files, _):
        write = plan_write(read_state(files, path))
    with wired(meanwhile={8: note}) as (files, _):
        write_under_lock(files, write)
    assert seen[0]["owner"] == OWNER.name
    assert seen[0]["since"].endswith("UTC")
