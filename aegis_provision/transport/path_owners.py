"""Who can change where a path leads, the superuser aside.

The superuser may write by path only if no one else can exchange what the path leads to between two
requests: the owner of a directory, and every user who may write in it, can put a link or another
directory in the place of anything there (rename(2)). So every directory of the path counts, the
file's own included, and those that its symbolic links lead through.
"""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_provision.transport.filesystem import FileStat, Filesystem, Future

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
        """Return the one user who can, ``None`` if there is none, or more than one."""
        if len(self.uids) != 1 or self.open_at is not None:
            return None
        return next(iter(self.uids))

    @property
    def description(self) -> str:
        """Say who can change where the path leads, if it is not the superuser alone."""
        if self.open_at is not None:
            return f"users other than root can change what lies in {self.open_at}"
        users = " and ".join(f"uid {uid}" for uid in sorted(self.uids))
        return f"its directory, or one on the way to it, belongs to {users}"


class OwnersQuery:
    """Asks who can change what lies in ``directory``, an absolute path.

    All directories of the path are asked for at once; symbolic links in it take further requests.
    """

    def __init__(self, files: Filesystem, directory: str) -> None:
        """Submit the first requests."""
        self._files = files
        self._remaining = ["/", *_names(directory)]
        self._entered: list[tuple[str, FileStat]] = []
        self._uids: set[int] = set()
        self._links = 0
        self._futures: dict[str, Future[FileStat]] = {}
        self._submit("", self._remaining)

    def get(self) -> PathOwners:
        """Return the owners. Raises :class:`Unreachable`."""
        while self._remaining:
            name = self._remaining.pop(0)
            if name == "..":
                del self._entered[max(1, len(self._entered) - 1) :]
                continue
            owners = self._enter(name)
            if owners is not None:
                return owners
        path, found = self._entered[-1]
        return self._owners(path if _takes_new_entries(found) else None, found.gid)

    def _enter(self, name: str) -> PathOwners | None:
        """Go on to ``name``; return what is known if the path ends there."""
        parent, directory = self._entered[-1] if self._entered else ("", None)
        path = posixpath.join(parent, name)
        try:
            found = self._lstat(path)
            target = self._files.readlink(path) if stat.S_ISLNK(found.mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return self._owners(parent if directory and _takes_new_entries(directory) else None)
        except OSError:
            return self._owners(path)
        if directory is not None and _takes_new_entries(directory):
            if not directory.mode & stat.S_ISVTX:
                return self._owners(parent)
            self._count(found)  # in a sticky directory only an entry's owner moves it, see inode(7)
        if target is None:
            self._entered.append((path, found))
            self._count(found)
            return None
        return self._follow(path, target)

    def _count(self, found: FileStat) -> None:
        self._uids |= {found.uid} - {_ROOT}

    def _follow(self, link: str, target: str) -> PathOwners | None:
        self._links += 1
        if self._links > _MOST_LINKS or _NOT_UTF8 in target:
            return self._owners(link)
        if target.startswith("/"):
            del self._entered[1:]
        self._remaining = [*_names(target), *self._remaining]
        self._submit(self._entered[-1][0], self._remaining)
        return None

    def _owners(self, open_at: str | None, gid: int = _ROOT) -> PathOwners:
        return PathOwners(frozenset(self._uids), open_at, gid)

    def _submit(self, start: str, names: Iterable[str]) -> None:
        """Ask for the lstat of everything that ``names`` lead through from ``start`` on."""
        path = start
        for name in names:
            if name == "..":
                return
            path = posixpath.join(path, name)
            if path not in self._futures:
                self._futures[path] = self._files.submit_lstat(path)

    def _lstat(self, path: str) -> FileStat:
        return self._futures[path].get() if path in self._futures else self._files.lstat(path)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def _takes_new_entries(directory: FileStat) -> bool:
    """Tell whether users other than its owner may make entries in a directory of the superuser's.

    In another user's own directory that is this user's decision: we work as this user there. The
    superuser's own group counts as the superuser.
    """
    writable = _OTHERS_WRITE if directory.gid == _ROOT else _OTHERS_WRITE | _GROUP_WRITES
    return directory.uid == _ROOT and bool(directory.mode & writable)
