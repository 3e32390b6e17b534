"""The receipt of a write that fails anywhere: never a new one beside an old file, never half."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.remote_state import ReadProblem, RemoteFile
from aegis_provision.errors import WriteFailed
from aegis_provision.planning.plan import restoring_write
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.local import LocalFiles
from tests.fleet.sftp_wire import Trouble, wired
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    age_lock,
    attempt,
    leftovers,
    mode_of,
    plan_write,
    put,
    read_state,
    write_under_lock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.filesystem import Filesystem

EARLIER, LATER = b'{"run": "earlier"}\n', b'{"run": "later"}\n'
MOST_REQUESTS = 60

bases = pytest.mark.parametrize("old", [OLD, None], ids=["over a file", "a new file"])
troubles = pytest.mark.parametrize("trouble", list(Trouble), ids=lambda item: item.name.lower())
both = pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aegis.config.json"


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _receipt(path: Path) -> Path:
    return path.parent / DATA_DIR / "receipt.json"


def _before(path: Path, old: bytes | None) -> None:
    """Put the file and the receipt from before there, or neither."""
    path.unlink(missing_ok=True)
    for name in leftovers(path.parent):
        (path.parent / DATA_DIR / name).unlink()
    if old is not None:
        (path.parent / DATA_DIR).mkdir(mode=0o700, exist_ok=True)
        put(path, old, 0o640)
        put(_receipt(path), EARLIER)


def _write(files: Filesystem, path: Path, receipt: bytes | None = LATER) -> Write:
    return replace(plan_write(read_state(files, path)), receipt=receipt)


def _requests(prepare: Callable[[], Write]) -> Iterator[tuple[int, Write]]:
    """Yield the number of every request of the write that ``prepare`` makes ready each time."""
    write = prepare()
    with wired() as (files, wire):
        assert isinstance(attempt(files, write), WriteResult)
        count = len(wire.requests)
    assert count < MOST_REQUESTS
    for number in range(1, count + 1):
        yield number, prepare()


@bases
@troubles
def test_when_any_request_fails_no_receipt_is_of_a_file_that_is_not_there(
    trouble: Trouble, old: bytes | None, path: Path
) -> None:
    def prepare() -> Write:
        _before(path, old)
        with wired() as (files, _):
            return _write(files, path)

    earlier = None if old is None else EARLIER
    seen = set()
    for number, write in _requests(prepare):
        with wired(at=number, trouble=trouble) as (files, _):
            result = attempt(files, write)
        now = _content(path), _content(_receipt(path))
        seen.add(now)
        assert now in {(old, earlier), (NEW, earlier), (NEW, LATER)}, number
        if isinstance(result, WriteResult):
            told = any("the receipt" in words for words in result.warnings)
            assert now[1] == LATER or told, number
        if now[1] is not None:
            assert mode_of(_receipt(path)) == 0o600
        age_lock(path.parent)
        with wired() as (files, _):
            write_under_lock(files, _write(files, path))
        assert _content(_receipt(path)) == LATER
        assert leftovers(path.parent) <= {"previous", "receipt.json"}
    assert (old, earlier) in seen
    # The receipt goes with the last request, without which the host may not get that far.
    assert (NEW, LATER) in seen or trouble is Trouble.NEVER_ARRIVES


@bases
@troubles
def test_when_any_request_of_a_restore_fails_no_receipt_comes_before_its_file(
    trouble: Trouble, old: bytes | None, path: Path
) -> None:
    def prepare() -> Write:
        _before(path, None)
        if old is not None:
            put(path, old)
        with wired() as (files, _):
            write = _write(files, path)
            write_under_lock(files, write)
        return restoring_write(write)

    seen = set()
    for number, write in _requests(prepare):
        with wired(at=number, trouble=trouble) as (files, _):
            attempt(files, write)
        now = _content(path), _content(_receipt(path))
        seen.add(now)
        assert now in {(NEW, LATER), (old, LATER), (old, None)}, number
    assert (NEW, LATER) in seen
    assert (old, None) in seen or trouble is Trouble.NEVER_ARRIVES


@both
@bases
def test_a_write_leaves_its_receipt_and_its_undoing_none(
    local: bool, old: bytes | None, path: Path
) -> None:
    _before(path, old)
    with wired() as (sftp, _):
        files = LocalFiles(path.parent) if local else sftp
        write = _write(files, path)
        assert write_under_lock(files, write).warnings == ()
        assert (_content(_receipt(path)), mode_of(_receipt(path))) == (LATER, 0o600)
        assert write_under_lock(files, restoring_write(write)).warnings == ()
    assert leftovers(path.parent) == {"previous"}
    assert _content(path) == old


@both
def test_a_receipt_that_can_not_be_put_in_place_is_a_warning(local: bool, path: Path) -> None:
    put(path)
    _receipt(path).mkdir(parents=True)
    (path.parent / DATA_DIR).chmod(0o700)
    with wired() as (sftp, _):
        files = LocalFiles(path.parent) if local else sftp
        (warning,) = write_under_lock(files, _write(files, path)).warnings
    assert warning.startswith("the receipt beside the file is not this write's: ")
    assert path.read_bytes() == NEW
    assert leftovers(path.parent) == {"previous", "receipt.json"}


@both
def test_a_receipt_that_can_not_be_staged_stops_the_write(local: bool, path: Path) -> None:
    put(path)
    (path.parent / DATA_DIR / "receipt.json.new").mkdir(parents=True)
    (path.parent / DATA_DIR).chmod(0o700)
    with wired() as (sftp, _):
        files = LocalFiles(path.parent) if local else sftp
        result = attempt(files, _write(files, path))
    assert isinstance(result, WriteFailed)
    assert "untouched" in result.reason
    assert path.read_bytes() == OLD


def test_a_receipt_is_not_waited_for(path: Path) -> None:
    round_trips = []
    for receipt in (None, LATER):
        _before(path, OLD)
        with wired() as (files, wire):
            write_under_lock(files, _write(files, path, receipt))
            round_trips.append(wire.round_trips)
    assert round_trips[0] == round_trips[1]


@both
def test_a_link_planted_for_the_receipt_is_replaced_and_not_followed(
    local: bool, path: Path
) -> None:
    put(path)
    victim = path.with_name("victim")
    put(victim, b"precious")
    (path.parent / DATA_DIR).mkdir(0o700)
    for name in ("receipt.json", "receipt.json.new"):
        (path.parent / DATA_DIR / name).symlink_to(victim)
    with wired() as (sftp, _):
        files = LocalFiles(path.parent) if local else sftp
        write_under_lock(files, _write(files, path))
    assert victim.read_bytes() == b"precious"
    assert not _receipt(path).is_symlink()
    assert _receipt(path).read_bytes() == LATER


def _nothing(_: Path) -> None:
    return


def _no_directory(receipt: Path) -> None:
    receipt.parent.rmdir()


def _own_is_a_file(receipt: Path) -> None:
    receipt.parent.rmdir()
    receipt.parent.write_bytes(b"")


def _a_link(receipt: Path) -> None:
    receipt.symlink_to(receipt.parent.with_name("aegis.config.json"))


def _a_pipe(receipt: Path) -> None:
    os.mkfifo(receipt)


def _too_large(receipt: Path) -> None:
    receipt.write_bytes(b" " * (1024 * 1024 + 1))


@both
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (_nothing, {None}),
        (_no_directory, {None}),
        (_own_is_a_file, {None, ReadProblem.NOT_A_FILE}),
        (_a_link, {ReadProblem.SYMLINK}),
        (_a_pipe, {ReadProblem.NOT_A_FILE}),
        (_too_large, {ReadProblem.TOO_LARGE}),
    ],
)
def test_any_kind_of_file_in_place_of_a_receipt_is_a_value(
    local: bool, plant: object, found: set[ReadProblem | None], path: Path
) -> None:
    assert callable(plant)
    put(path)
    (path.parent / DATA_DIR).mkdir(0o700)
    plant(_receipt(path))
    with wired() as (sftp, _):
        assert read_state(LocalFiles(path.parent) if local else sftp, path).receipt in found


@both
def test_a_receipt_is_read_with_its_facts(local: bool, path: Path) -> None:
    _before(path, OLD)
    with wired() as (sftp, _):
        found = read_state(LocalFiles(path.parent) if local else sftp, path).receipt
    assert isinstance(found, RemoteFile)
    assert (found.content, found.mode) == (EARLIER, 0o600)
