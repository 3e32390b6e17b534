"""Reads a host's target and what surrounds it, as it is, and the files that Aegis looks for."""

from __future__ import annotations

import errno
import posixpath
import re
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.file_in_use import SearchedFile
from aegis_provision.aegis.remote_state import (
    FoundReceipt,
    ReadProblem,
    RemoteDirectory,
    RemoteFile,
    RemoteState,
    RemoteUser,
)
from aegis_provision.aegis.search_order import shadowing
from aegis_provision.errors import Unreachable
from aegis_provision.transport.data_dir import (
    OLD_PREVIOUS,
    PREVIOUS,
    RECEIPT,
    STAGING,
    beside,
    data_dir,
)
from aegis_provision.transport.filesystem import Failed, then, wait_for_answers
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.filesystem import FileStat, Filesystem, Future, ReadHandle

LARGEST_CONFIG = 1024 * 1024
"""How many bytes a configuration may have; Aegis' own has a few hundred."""

READ_STEP = "read"
"""What errors call the step in which the host could not read the target."""

# limits.h of Linux: macOS and the BSDs have the same for a name, and less for a path.
_LONGEST_NAME, _LONGEST_PATH = 255, 4095
_STATUS = "/proc/self/status"
_LARGEST_STATUS = 64 * 1024
_STATUS_LINE = re.compile(rb"^(Uid|Gid|Groups):[ \t]*(.*)$", re.MULTILINE)


def absolute_path(files: Filesystem, target: Target) -> str:
    """Return ``target``'s path as an absolute one. Raises only :class:`Unreachable`."""
    try:
        return files.absolute(target.config_path)
    except OSError as problem:
        raise _unreadable(problem, target.config_path) from None


class StateQuery:
    """Asks what is at ``path`` and around it, in three round trips: what is there, open, read.

    With ``ask_login`` it asks too as whom files are written. ``data_dir`` is the stat of our own
    directory.
    """

    def __init__(
        self, files: Filesystem, path: str, read_via: str, *, ask_login: bool = False
    ) -> None:
        """Submit the first requests; nothing beside or at ``path`` is opened."""
        self._files = files
        self._path = path
        directory = posixpath.dirname(path)
        self._directory = files.submit_stat(directory)
        self._shadows = _submit_directories(files, shadowing(path, read_via), directory)
        self._target = _FileQuery(files, path)
        self._receipt = _FileQuery(files, beside(path, RECEIPT))
        self.data_dir = files.submit_lstat(data_dir(path))
        self._login = _LoginQuery(files) if ask_login else None

    def get(self) -> RemoteState:
        """Return the state. Raises only :class:`Unreachable`."""
        try:
            return self._get()
        except OSError as problem:
            raise _unreadable(problem, self._path) from None

    def _get(self) -> RemoteState:
        directory, problem = _directory(self._directory)
        if self._login is not None:
            self._login.read()
        state = RemoteState(self._path, directory=directory, problem=problem)
        if directory is not None:
            state = self._read(state)
        return replace(state, login=self._login.get() if self._login is not None else None)

    def _read(self, state: RemoteState) -> RemoteState:
        """Return ``state`` with what is in the directory."""
        queries = (self._target, self._receipt)
        possible = _in_existing(self._shadows)
        wait_for_answers((self.data_dir, *(query.found for query in queries)))
        for query in queries:
            query.open()
        shadows = [(path, self._files.submit_lstat(path)) for path in possible]
        wait_for_answers(query.opened for query in queries)
        for query in queries:
            query.read()
        state = replace(state, shadows=tuple(path for path, found in shadows if _exists(found)))
        file = self._target.get()
        if isinstance(file, tuple):
            problem, detail = file
            return replace(state, problem=problem, detail=detail)
        return replace(state, file=file, receipt=_receipt(self._receipt))


def _unreadable(problem: OSError, path: str) -> Unreachable:
    """Return why ``path`` can't be read; what SFTP has no word for is found in the path."""
    told = problem.errno is not None and problem.errno != errno.ENAMETOOLONG
    name = max(path.split("/"), key=_length)
    if not told and _length(name) > _LONGEST_NAME:
        return Unreachable(
            READ_STEP,
            f"a name in config_path has {_length(name)} bytes, and file systems take "
            f"{_LONGEST_NAME} at most",
            "correct config_path",
        )
    if not told and _length(path) > _LONGEST_PATH:
        return Unreachable(
            READ_STEP,
            f"config_path has {_length(path)} bytes, and systems take {_LONGEST_PATH} at most",
            "correct config_path",
        )
    reason = problem.strerror or "the server only says: failure"
    return Unreachable(READ_STEP, f"the file could not be read ({reason})")


def _length(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))


def read_previous(files: Filesystem, path: str) -> bytes | None:
    """Return the file that a write kept beside the target at ``path``, ``None`` if there is none.

    While a staging file lies there, the last write did not replace the target: what it put aside
    counts. Only a regular file does. Raises only :class:`Unreachable`.
    """
    staged = files.submit_lstat(beside(path, STAGING))
    kept = _read_kept(files, beside(path, PREVIOUS))
    if not _exists(staged):
        return kept
    aside = _read_kept(files, beside(path, OLD_PREVIOUS))
    return kept if aside is None else aside


def _read_kept(files: Filesystem, path: str) -> bytes | None:
    try:
        found, content = files.read_whole(path, LARGEST_CONFIG + 1)
    except OSError:
        return None
    if not stat.S_ISREG(found.mode) or len(content) > LARGEST_CONFIG:
        return None
    return content


def read_login(files: Filesystem) -> RemoteUser | None:
    """Return the user as whom ``files`` works on Linux, by proc(5); ``None`` elsewhere."""
    query = _LoginQuery(files)
    query.read()
    return query.get()


class _LoginQuery:
    """Asks as whom files are written, in two steps: the answer is in a file of the kernel's."""

    def __init__(self, files: Filesystem) -> None:
        self._opened = files.submit_open(_STATUS)
        self._status: Future[tuple[FileStat, bytes]] = Failed(FileNotFoundError())

    def read(self) -> None:
        self._status = then(self._opened, lambda file: file.submit_whole(_LARGEST_STATUS))

    def get(self) -> RemoteUser | None:
        try:
            _, text = self._status.get()
        except OSError:
            return None
        fields = {match[1]: match[2].split() for match in _STATUS_LINE.finditer(text)}
        try:
            # The second number is the effective one, which files are made with.
            uid, gid = int(fields[b"Uid"][1]), int(fields[b"Gid"][1])
            groups = {int(number) for number in fields[b"Groups"]}
        except (KeyError, IndexError, ValueError):
            return None
        return RemoteUser(uid, frozenset({gid, *groups}), gid)


def _receipt(query: _FileQuery) -> FoundReceipt:
    try:
        file = query.get()
    except OSError:
        return ReadProblem.NOT_A_FILE
    return file[0] if isinstance(file, tuple) else file


@dataclass(frozen=True, slots=True)
class _Directory:
    """Paths in one directory, and its stat under way; ``None`` if the directory surely exists."""

    future: Future[FileStat] | None
    paths: tuple[str, ...]


def _submit_directories(
    files: Filesystem, paths: Iterable[str], existing: str
) -> tuple[_Directory, ...]:
    """Ask for the directories of ``paths``; the directory ``existing`` surely exists.

    Most hosts have no other directory of Aegis': one request answers for all paths in it.
    """
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        by_directory.setdefault(posixpath.dirname(path), []).append(path)
    return tuple(
        _Directory(None if directory == existing else files.submit_lstat(directory), tuple(inside))
        for directory, inside in by_directory.items()
    )


def _in_existing(directories: Iterable[_Directory]) -> list[str]:
    """Return those paths whose directory exists."""
    return [path for item in directories if _exists(item.future) for path in item.paths]


def _exists(future: Future[FileStat] | None) -> bool:
    if future is None:
        return True
    try:
        future.get()
    except OSError:
        return False
    return True


class _FileQuery:
    """Asks what is at ``path``, and what is in it, in three steps.

    Only a regular file is opened: to open a pipe would wait for its writer. ``found`` is the first
    step's answer, ``opened`` the second one's.
    """

    def __init__(self, files: Filesystem, path: str) -> None:
        self._files = files
        self._path = path
        self.found = files.submit_lstat(path)
        self.opened: Future[ReadHandle] = Failed(FileNotFoundError())
        self._whole: Future[tuple[FileStat, bytes]] = Failed(FileNotFoundError())

    def open(self) -> None:
        self.opened = then(self.found, self._open)

    def _open(self, found: FileStat) -> Future[ReadHandle]:
        if not stat.S_ISREG(found.mode) or found.size > LARGEST_CONFIG:
            return Failed(OSError())
        return self._files.submit_open(self._path)

    def read(self) -> None:
        self._whole = then(self.opened, lambda file: file.submit_whole(LARGEST_CONFIG + 1))

    def get(self) -> RemoteFile | tuple[ReadProblem, str] | None:
        """Return the file, why it can't be read, or ``None`` for no file. Raises ``OSError``."""
        try:
            problem = _kind_problem(self._files, self._path, self.found.get())
            if problem is not None:
                return problem
            found, content = self._whole.get()
        except PermissionError:
            return ReadProblem.PERMISSION_DENIED, ""
        except FileNotFoundError:
            return None
        # Another file may have come to this path since the first step: the one opened counts.
        if not stat.S_ISREG(found.mode):
            return ReadProblem.NOT_A_FILE, ""
        if len(content) > LARGEST_CONFIG:
            return ReadProblem.TOO_LARGE, f"more than {LARGEST_CONFIG} bytes"
        return RemoteFile(content, stat.S_IMODE(found.mode), found.uid, found.gid, found.mtime)


def _directory(future: Future[FileStat]) -> tuple[RemoteDirectory | None, ReadProblem | None]:
    try:
        found = future.get()
    except PermissionError:
        return None, ReadProblem.PERMISSION_DENIED
    except (FileNotFoundError, NotADirectoryError):
        return None, ReadProblem.NO_DIRECTORY
    if not stat.S_ISDIR(found.mode):
        return None, ReadProblem.NO_DIRECTORY
    return RemoteDirectory(stat.S_IMODE(found.mode), found.uid, found.gid), None


def _kind_problem(files: Filesystem, path: str, found: FileStat) -> tuple[ReadProblem, str] | None:
    if stat.S_ISLNK(found.mode):
        return ReadProblem.SYMLINK, _leads_to(files, path)
    if not stat.S_ISREG(found.mode):
        return ReadProblem.NOT_A_FILE, ""
    if found.size > LARGEST_CONFIG:
        return ReadProblem.TOO_LARGE, f"{found.size} bytes"
    return None


def _leads_to(files: Filesystem, path: str) -> str:
    try:
        return f"it leads to {files.readlink(path)}"
    except OSError:  # it is no link any more, or the server does not tell
        return ""


def read_searched(
    files: Filesystem, paths: Iterable[str], closed: Collection[str] = ()
) -> tuple[SearchedFile, ...]:
    """Return what lies at ``paths``, which are absolute. Raises only :class:`Unreachable`.

    In directories that are ``closed`` no file is opened: there one counts as not readable.
    """
    asked = [(path, files.submit_real_path(path), _Search(files, path, closed)) for path in paths]
    for _, _, search in asked:
        search.wait()
    for _, _, search in asked:
        search.go_on()
    return tuple(_searched(files, path, real, search) for path, real, search in asked)


class _Search:
    """The stat and the content of a file, asked for in two steps."""

    def __init__(self, files: Filesystem, path: str, closed: Collection[str]) -> None:
        is_closed = posixpath.dirname(path) in closed
        self._found = files.submit_lstat(path) if is_closed else None
        self._opened = None if is_closed else files.submit_open(path)
        self._content: Future[tuple[FileStat, bytes]] = Failed(PermissionError())

    def wait(self) -> None:
        for future in (self._found, self._opened):
            with suppress(OSError):
                if future is not None:
                    future.get()

    def go_on(self) -> None:
        if self._opened is not None:
            self._content = then(self._opened, lambda file: file.submit_whole(LARGEST_CONFIG + 1))

    def get(self) -> tuple[FileStat, bytes]:
        if self._found is not None:
            self._found.get()
        return self._content.get()


def _searched(
    files: Filesystem, path: str, real: Future[str], content: Future[tuple[FileStat, bytes]]
) -> SearchedFile:
    real_path = _real_path(real)
    try:
        found, data = _content(files, real_path, content)
    except (FileNotFoundError, NotADirectoryError):
        return SearchedFile(path, real_path)
    except OSError:
        return SearchedFile(path, real_path, readable=False)
    # Aegis passes over what is no file and over a directory; it would read a longer file.
    if not stat.S_ISREG(found.mode):
        return SearchedFile(path, real_path)
    if len(data) > LARGEST_CONFIG:
        return SearchedFile(path, real_path, readable=False)
    mode = stat.S_IMODE(found.mode)
    return SearchedFile(path, real_path, RemoteFile(data, mode, found.uid, found.gid, found.mtime))


def _content(
    files: Filesystem, real_path: str | None, content: Future[tuple[FileStat, bytes]]
) -> tuple[FileStat, bytes]:
    try:
        return content.get()
    except OSError as problem:
        # On this machine a link is not opened; an SFTP server follows it.
        if problem.errno != errno.ELOOP or real_path is None:
            raise
        return files.read_whole(real_path, LARGEST_CONFIG + 1)


def _real_path(future: Future[str]) -> str | None:
    try:
        return future.get()
    except OSError:
        return None
