"""The lock: one writer at a time, no dead run in the way for ever, and no update ever lost."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.local_files import LocalFiles
from aegis_provision.transport.protocol import TransportError, WriteRefused, Written
from tests.fleet.sftp_wire import wired
from tests.transport.targets import (
    NEW,
    OWN,
    OWNER,
    age_lock,
    attempt,
    leftovers,
    look,
    plan_write,
    put,
    safe_write,
    write_now,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.transport.filesystem import Filesystem

OTHERS = b'{"authToken": "of another"}\n'
MOST_REQUESTS = 60


def _leave_lock(directory: Path, text: str = "") -> Path:
    own = directory / OWN
    own.mkdir(mode=0o700, exist_ok=True)
    lock = own / "lock"
    lock.write_text(text or json.dumps({"owner": "bert@desk", "since": "2026-01-01 10:00:00 UTC"}))
    return lock


def test_whoever_holds_it_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    lock = _leave_lock(tmp_path)
    before = lock.read_bytes()
    with wired() as (files, _):
        end = attempt(files, plan_write(look(files, path)))
    assert isinstance(end, WriteRefused)
    assert "held by bert@desk since 2026-01-01 10:00:00 UTC" in end.reason
    assert "broken in" in end.hint
    assert lock.read_bytes() == before
    assert leftovers(tmp_path) == {"lock"}


@pytest.mark.parametrize("text", ["{", "[]", '{"owner": 1}', "\x00\x1b", '"x"'])
def test_a_lock_without_a_name_holds_all_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path, text)
    with wired() as (files, _):
        end = attempt(files, plan_write(look(files, path)))
    assert isinstance(end, WriteRefused)
    assert "did not leave a name" in end.reason


def test_a_name_in_a_lock_can_not_drive_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path, json.dumps({"owner": "\x1b[2J" + "x" * 5000, "since": "\u202e"}))
    with wired() as (files, _):
        end = attempt(files, plan_write(look(files, path)))
    assert isinstance(end, WriteRefused)
    assert end.reason.isprintable()
    assert len(end.reason) < 300


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


def test_a_clock_that_a_dead_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    _leave_lock(tmp_path)
    age_lock(tmp_path)
    (tmp_path / OWN / "clock").write_bytes(b"")
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
            (tmp_path / OWN / name).unlink()
        if expired:
            _leave_lock(tmp_path)
            age_lock(tmp_path)
        with wired() as (files, _):
            write, rival = plan_write(look(files, path)), plan_write(look(files, path), OTHERS)
        ends: list[Written | TransportError] = []

        def second(rival: object = rival, ends: list[Written | TransportError] = ends) -> None:
            with wired() as (files, _):
                ends.append(attempt(files, rival, "bert@desk"))  # type: ignore[arg-type]

        with wired(meanwhile={number: second}) as (files, wire):
            first = attempt(files, write)
            last = len(wire.requests)
        if last < number:
            break
        assert isinstance(first, Written) + isinstance(ends[0], Written) == 1, (number, first, ends)
        assert path.read_bytes() == (NEW if isinstance(first, Written) else OTHERS)
        winners.add(isinstance(first, Written))
        age_lock(tmp_path)
        with wired() as (files, _):
            write_now(files, path)
        assert leftovers(tmp_path) == {"previous"}
    else:
        pytest.fail("a write takes more requests than this test is ready for")
    assert winners == {True, False}


def test_a_living_lock_that_comes_at_any_moment_is_left_alone(tmp_path: Path) -> None:
    """It takes the expired one's place, or, once that is broken, that of our own."""
    path, lock = tmp_path / "aegis.config.json", tmp_path / OWN / "lock"
    living = json.dumps({"owner": "cleo@desk", "since": "just now"}).encode()
    seen = set()
    for number in range(1, MOST_REQUESTS):
        put(path)
        for name in leftovers(tmp_path):
            (tmp_path / OWN / name).unlink()
        _leave_lock(tmp_path)
        age_lock(tmp_path)
        ours: list[bool] = []

        def come(ours: list[bool] = ours) -> None:
            ours.append(lock.exists() and OWNER.encode() in lock.read_bytes())
            put(lock, living)

        with wired() as (files, _):
            write = plan_write(look(files, path))
        with wired(meanwhile={number: come}) as (files, wire):
            end = attempt(files, write)
        if len(wire.requests) < number:
            break
        if isinstance(end, Written):
            assert ours == [True], f"a lock that came first was overlooked at {number}"
            continue
        assert isinstance(end, WriteRefused)
        assert lock.read_bytes() == living, number
        assert "clock" not in leftovers(tmp_path)
        seen.add(end.step)
    assert seen == {"lock", "check the lock"}


def _count_up(files: Filesystem, path: Path, name: str) -> bool:
    actual = look(files, path)
    assert actual.file is not None
    number = json.loads(actual.file.content)["number"]
    content = json.dumps({"number": number + 1, "by": name}).encode()
    end = attempt(files, plan_write(actual, content), name)
    if isinstance(end, Written):
        return True
    assert isinstance(end, WriteRefused), end
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
        ends: dict[bytes, Written | TransportError] = {}

        def work(
            content: bytes,
            begin: threading.Barrier = begin,
            ends: dict[bytes, Written | TransportError] = ends,
        ) -> None:
            with wired() as (files, _):
                write = plan_write(look(files, path), content)
                begin.wait(timeout=30)
                ends[content] = attempt(files, write)

        threads = [threading.Thread(target=work, args=(content,)) for content in (NEW, OTHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(ends) == 2
        winners = [content for content, end in ends.items() if isinstance(end, Written)]
        assert len(winners) <= 1, ends
        if winners:
            assert path.read_bytes() == winners[0]


def test_the_lock_says_who_holds_it_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    seen: list[dict[str, str]] = []

    def note() -> None:
        lock = tmp_path / OWN / "lock"
        if lock.exists() and lock.read_text():
            seen.append(json.loads(lock.read_text()))

    with wired() as (files, _):
        write = plan_write(look(files, path))
    with wired(meanwhile={8: note}) as (files, _):
        safe_write(files, write)
    assert seen[0]["owner"] == OWNER
    assert seen[0]["since"].endswith("UTC")
