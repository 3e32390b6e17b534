"""Who can change where a path leads, the superuser aside.

The superuser may write by path only where no one else can exchange what the path leads to between
two requests: whoever owns a directory, or may write in it, can put a link or another directory in
the place of anything there (rename(2)). So every directory on the way counts, that of the file
included, and those that a symbolic link on the way leads through.
"""

from __future__ import annotations

import posixpath
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_provision.transport.filesystem import FileStat, Filesystem
    from aegis_provision.transport.futures import Future

_ROOT = 0
_GROUP_WRITES, _OTHERS_WRITE = 0o020, 0o002
_NOT_UTF8 = "\ufffd"  # in place of what could not be decoded: the real target is not known
_MOST_LINKS = 40  # as Linux counts them, path_resolution(7)


@dataclass(frozen=True, slots=True)
class PathOwners:
    """Who besides the superuser can change where a path leads.

    ``uids`` are the users who can. ``open_at`` is a directory of the superuser's in which others
    may write, or a path that could not be looked at; ``None`` for none. ``gid`` is the group of
    the last directory.
    """

    uids: frozenset[int] = frozenset()
    open_at: str | None = None
    gid: int = _ROOT

    @property
    def only_root(self) -> bool:
        """Tell whether the superuser alone can."""
        return not self.uids and self.open_at is None

    @property
    def only_user(self) -> int | None:
        """Return the one user who can, ``None`` where it is no one, or more than one."""
        if len(self.uids) != 1 or self.open_at is not None:
            return None
        return next(iter(self.uids))

    @property
    def words(self) -> str:
        """Say who can change the way, where it is not the superuser alone."""
        if self.open_at is not None:
            return f"users other than root can change what lies in {self.open_at}"
        users = " and ".join(f"uid {uid}" for uid in sorted(self.uids))
        return f"its directory, or one on the way to it, belongs to {users}"


class AskedOwners:
    """The answer to who can change what lies in ``directory``, an absolute path.

    All directories on the way are asked for at one go; links on the way take further questions.
    """

    def __init__(self, files: Filesystem, directory: str) -> None:
        """Ask."""
        self._files = files
        self._left = ["/", *_names(directory)]
        self._way: list[tuple[str, FileStat]] = []
        self._uids: set[int] = set()
        self._links = 0
        self._asked: dict[str, Future[FileStat]] = {}
        self._ask("", self._left)

    def get(self) -> PathOwners:
        """Return it. Raises :class:`Unreachable`."""
        while self._left:
            name = self._left.pop(0)
            if name == "..":
                del self._way[max(1, len(self._way) - 1) :]
                continue
            stopped = self._enter(name)
            if stopped is not None:
                return stopped
        path, facts = self._way[-1]
        return self._found(path if _takes_new_entries(facts) else None, facts.gid)

    def _enter(self, name: str) -> PathOwners | None:
        """Go on to ``name``; return what is known where the way ends there."""
        parent, directory = self._way[-1] if self._way else ("", None)
        path = posixpath.join(parent, name)
        try:
            facts = self._facts(path)
            target = self._files.readlink(path) if stat.S_ISLNK(facts.mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return self._found(parent if directory and _takes_new_entries(directory) else None)
        except OSError:
            return self._found(path)
        if directory is not None and _takes_new_entries(directory):
            if not directory.mode & stat.S_ISVTX:
                return self._found(parent)
            self._count(facts)  # of a sticky directory's entries their owners dispose, see inode(7)
        if target is None:
            self._way.append((path, facts))
            self._count(facts)
            return None
        return self._follow(path, target)

    def _count(self, facts: FileStat) -> None:
        self._uids |= {facts.uid} - {_ROOT}

    def _follow(self, link: str, target: str) -> PathOwners | None:
        self._links += 1
        if self._links > _MOST_LINKS or _NOT_UTF8 in target:
            return self._found(link)
        if target.startswith("/"):
            del self._way[1:]
        self._left = [*_names(target), *self._left]
        self._ask(self._way[-1][0], self._left)
        return None

    def _found(self, open_at: str | None, gid: int = _ROOT) -> PathOwners:
        return PathOwners(frozenset(self._uids), open_at, gid)

    def _ask(self, start: str, names: Iterable[str]) -> None:
        """Ask for the facts of everything that ``names`` lead through from ``start`` on."""
        path = start
        for name in names:
            if name == "..":
                return
            path = posixpath.join(path, name)
            if path not in self._asked:
                self._asked[path] = self._files.submit_lstat(path)

    def _facts(self, path: str) -> FileStat:
        return self._asked[path].get() if path in self._asked else self._files.lstat(path)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def _takes_new_entries(directory: FileStat) -> bool:
    """Tell whether users that nothing names may make entries in a directory of the superuser's.

    What another user lets others do in a directory of their own is that user's decision: files are
    worked with as this user there.
    """
    return directory.uid == _ROOT and _others_write(directory)


def _others_write(directory: FileStat) -> bool:
    """Tell whether others than the owner may write; the superuser's own group is no other."""
    return bool(
        directory.mode & _OTHERS_WRITE
        or (directory.mode & _GROUP_WRITES and directory.gid != _ROOT)
    )
