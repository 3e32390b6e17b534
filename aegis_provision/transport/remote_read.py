"""Reads a host's target and what surrounds it: facts, and no judgement."""

from __future__ import annotations

import posixpath
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.aegis.remote_state import (
    ReadProblem,
    RemoteDirectory,
    RemoteFile,
    RemoteState,
    RemoteUser,
)
from aegis_provision.aegis.search_order import shadowing
from aegis_provision.errors import Unreachable
from aegis_provision.transport.data_dir import PREVIOUS, RECEIPT, beside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.receipts import FoundReceipt
    from aegis_provision.transport.filesystem import FileStat, Filesystem, ReadHandle
    from aegis_provision.transport.futures import Future

LARGEST_CONFIG = 1024 * 1024
"""How many bytes a configuration may have; Aegis' own has a few hundred."""

_STATUS = "/proc/self/status"
_LARGEST_STATUS = 64 * 1024
_STATUS_LINE = re.compile(rb"^(Uid|Gid|Groups):[ \t]*(.*)$", re.MULTILINE)


def read_remote_state(files: Filesystem, target: Target) -> RemoteState:
    """Return what is at ``target``'s path. Raises :class:`Unreachable` alone."""
    return AskedActual(files, absolute_path(files, target), target.read_via).get()


def absolute_path(files: Filesystem, target: Target) -> str:
    """Return ``target``'s path as an absolute one. Raises :class:`Unreachable` alone."""
    try:
        return files.absolute(target.config_path)
    except OSError as problem:
        raise _unreadable(problem) from None


class AskedActual:
    """The answer to what is at ``path``, and around it. The file itself is opened by ``get()``."""

    def __init__(self, files: Filesystem, path: str, read_via: str) -> None:
        """Ask what there is; nothing is opened."""
        self._files = files
        self._path = path
        directory = posixpath.dirname(path)
        self._directory = files.submit_stat(directory)
        self._ways = _ask_ways(files, shadowing(path, read_via), directory)
        self._asked = files.submit_lstat(path)

    def get(self) -> RemoteState:
        """Return it. Raises :class:`Unreachable` alone."""
        try:
            return self._get()
        except OSError as problem:
            raise _unreadable(problem) from None

    def _get(self) -> RemoteState:
        path = self._path
        directory, problem = _directory(self._directory)
        if directory is None:
            return RemoteState(path, problem=problem)
        shadows = _existing(self._files, self._ways)
        found = _target(self._files, path, self._asked)
        if found is None or isinstance(found, RemoteFile):
            return RemoteState(path, found, directory, shadows)
        problem, detail = found
        return RemoteState(
            path, directory=directory, shadows=shadows, problem=problem, detail=detail
        )


def _unreadable(problem: OSError) -> Unreachable:
    return Unreachable("read", f"the file could not be read ({_words(problem)})")


def read_previous(files: Filesystem, path: str) -> bytes | None:
    """Return the file that a write kept beside the target at ``path``, ``None`` for none.

    Only a regular file counts. Raises :class:`Unreachable` alone.
    """
    try:
        facts, content = files.read_whole(beside(path, PREVIOUS), LARGEST_CONFIG + 1)
    except OSError:
        return None
    if not stat.S_ISREG(facts.mode) or len(content) > LARGEST_CONFIG:
        return None
    return content


def read_receipt(files: Filesystem, path: str) -> FoundReceipt:
    """Return what lies where the receipt of the target at ``path`` would be.

    Raises :class:`Unreachable` alone.
    """
    return _receipt(files, path, files.submit_lstat(beside(path, RECEIPT)))


def read_receipt_and_login(files: Filesystem, path: str) -> tuple[FoundReceipt, RemoteUser | None]:
    """Return what :func:`read_receipt` and :func:`read_login` do, asked for at one go.

    Raises :class:`Unreachable` alone.
    """
    receipt = files.submit_lstat(beside(path, RECEIPT))
    status = _ask_status(files.submit_open(_STATUS))
    return _receipt(files, path, receipt), _login(status)


def read_login(files: Filesystem) -> RemoteUser | None:
    """Return as whom ``files`` works on a Linux host, by proc(5); ``None`` elsewhere."""
    return _login(_ask_status(files.submit_open(_STATUS)))


def _receipt(files: Filesystem, path: str, asked: Future[FileStat]) -> FoundReceipt:
    try:
        found = _target(files, beside(path, RECEIPT), asked)
    except OSError:
        return ReadProblem.NOT_A_FILE
    return found[0] if isinstance(found, tuple) else found


def _ask_status(opened: Future[ReadHandle]) -> Future[tuple[FileStat, bytes]] | None:
    try:
        return opened.get().submit_whole(_LARGEST_STATUS)
    except OSError:
        return None


def _login(asked: Future[tuple[FileStat, bytes]] | None) -> RemoteUser | None:
    try:
        text = asked.get()[1] if asked is not None else b""
    except OSError:
        return None
    fields = {match[1]: match[2].split() for match in _STATUS_LINE.finditer(text)}
    try:
        # The second number is the effective one, which files are made with.
        uid, gid = int(fields[b"Uid"][1]), int(fields[b"Gid"][1])
        groups = {int(number) for number in fields[b"Groups"]}
    except (KeyError, IndexError, ValueError):
        return None
    return RemoteUser(uid, frozenset({gid, *groups}))


@dataclass(frozen=True, slots=True)
class _Way:
    """Paths in one directory, and the answer to whether that is there, ``None`` for surely."""

    directory: Future[FileStat] | None
    paths: tuple[str, ...]


def _ask_ways(files: Filesystem, paths: Iterable[str], known: str) -> tuple[_Way, ...]:
    """Ask for the directories of ``paths``. ``known`` is a directory that surely is.

    Most hosts have no other directory of Aegis', and then one question answers for all in it.
    """
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        by_directory.setdefault(posixpath.dirname(path), []).append(path)
    return tuple(
        _Way(None if directory == known else files.submit_lstat(directory), tuple(inside))
        for directory, inside in by_directory.items()
    )


def _existing(files: Filesystem, ways: Iterable[_Way]) -> tuple[str, ...]:
    """Return those paths that are there."""
    there = [path for way in ways if _is_there(way.directory) for path in way.paths]
    asked = [(path, files.submit_lstat(path)) for path in there]
    return tuple(path for path, answer in asked if _is_there(answer))


def _is_there(asked: Future[FileStat] | None) -> bool:
    if asked is None:
        return True
    try:
        asked.get()
    except OSError:
        return False
    return True


def _target(
    files: Filesystem, path: str, asked: Future[FileStat]
) -> RemoteFile | tuple[ReadProblem, str] | None:
    """Return what is at ``path``: a file, why it is not to be read, or nothing at all."""
    try:
        found = _kind_problem(files, path, asked.get())
        if found is not None:
            return found
        facts, content = files.read_whole(path, LARGEST_CONFIG + 1)
    except PermissionError:
        return ReadProblem.PERMISSION_DENIED, ""
    except FileNotFoundError:
        return None
    # Another file may have taken the place of the one seen: what was opened is what counts.
    if not stat.S_ISREG(facts.mode):
        return ReadProblem.NOT_A_FILE, ""
    if len(content) > LARGEST_CONFIG:
        return ReadProblem.TOO_LARGE, f"more than {LARGEST_CONFIG} bytes"
    mode = stat.S_IMODE(facts.mode)
    return RemoteFile(content, mode, facts.uid, facts.gid, facts.mtime)


def _directory(asked: Future[FileStat]) -> tuple[RemoteDirectory | None, ReadProblem | None]:
    try:
        facts = asked.get()
    except PermissionError:
        return None, ReadProblem.PERMISSION_DENIED
    except (FileNotFoundError, NotADirectoryError):
        return None, ReadProblem.NO_DIRECTORY
    if not stat.S_ISDIR(facts.mode):
        return None, ReadProblem.NO_DIRECTORY
    return RemoteDirectory(stat.S_IMODE(facts.mode), facts.uid, facts.gid), None


def _kind_problem(files: Filesystem, path: str, facts: FileStat) -> tuple[ReadProblem, str] | None:
    if stat.S_ISLNK(facts.mode):
        return ReadProblem.SYMLINK, _leads_to(files, path)
    if not stat.S_ISREG(facts.mode):
        return ReadProblem.NOT_A_FILE, ""
    if facts.size > LARGEST_CONFIG:
        return ReadProblem.TOO_LARGE, f"{facts.size} bytes"
    return None


def _leads_to(files: Filesystem, path: str) -> str:
    try:
        return f"it leads to {files.readlink(path)}"
    except OSError:  # it is none any more, or the server does not tell
        return ""


def _words(problem: OSError) -> str:
    return problem.strerror or "the server only says: failure"
