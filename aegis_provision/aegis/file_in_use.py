"""Which file a running Aegis reads: ours, another one, or none.

Aegis reads its file at its start, so what counts is what its next start finds: the target as it
will be after our write, and every other file as it is (docs/aegis.md, "Which file is read").
"""

from __future__ import annotations

import posixpath
from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import (
    SESSION_ENV,
    RejectedConfig,
    parse_config,
    read_unchecked,
    shown_key,
    syntax_of,
)
from aegis_provision.aegis.identify_server import UnknownServer
from aegis_provision.aegis.search_order import search_paths
from aegis_provision.humanize import listed
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.aegis.identify_server import AegisServer, ServerUser
    from aegis_provision.aegis.remote_state import RemoteFile

DEFAULT_NAME = "aegis.config.json"
_READ, _SEARCH = 0o4, 0o1
_ROOT = 0


@dataclass(frozen=True, slots=True)
class SearchedFile:
    """What lies at a path that Aegis looks at.

    ``real_path`` is the path with links resolved, ``None`` where it leads nowhere. ``file`` is
    ``None`` if there is none; ``readable`` is false if something is there that can't be read.
    """

    path: str
    real_path: str | None = None
    file: RemoteFile | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class TargetFile:
    """The file that we write: its path with links resolved, and its owner and mode afterwards."""

    real_path: str
    uid: int
    gid: int
    mode: int
    exists: bool


@dataclass(frozen=True, slots=True)
class ReadsTarget:
    """Aegis reads the target at its next start."""


@dataclass(frozen=True, slots=True)
class ReadsOther:
    """Aegis does not read the target, or should not.

    ``path`` is the file that it reads. It ``shadows`` the target if Aegis would read that without
    it; with ``denied`` the target comes first, and Aegis may not read it. With ``today_only`` the
    target is new and would come before that file, whose settings Aegis would lose.
    """

    path: str
    shadows: bool = False
    today_only: bool = False
    denied: bool = False


@dataclass(frozen=True, slots=True)
class ReadsNone:
    """Aegis finds no file, the target included; ``denied`` says that it may not read the target."""

    denied: bool = False


@dataclass(frozen=True, slots=True)
class NotChecked:
    """It is not known which file Aegis reads."""

    reason: str

    @property
    def warning(self) -> str:
        """Return what to tell the operator."""
        return f"that Aegis reads this file was not checked: {self.reason}"


Reading = ReadsTarget | ReadsOther | ReadsNone | NotChecked


class _Use(IntEnum):
    """What Aegis does with a file; of several obstacles the largest value counts."""

    TAKEN = 0
    UNKNOWN = 1
    PASSED_OVER = 2


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What lies at the paths that ``server`` looks at, by path."""

    server: AegisServer
    files: Mapping[str, SearchedFile] = field(default_factory=dict)

    def real_path(self, path: str) -> str:
        """Return a path with links resolved, itself where that is not known."""
        found = self.files.get(path)
        return path if found is None or found.real_path is None else found.real_path

    def in_order(self) -> tuple[SearchedFile | None, ...]:
        """Return the files in the order in which they are looked for, ``None`` for unknown ones."""
        paths = search_paths(self.server.directory, self.server.home, self.server.config)
        return tuple(None if path is None else self.files.get(path) for path in paths)


def paths_of(server: AegisServer) -> tuple[str, ...]:
    """Return the paths that ``server`` looks at, each once, as far as they are known."""
    paths = search_paths(server.directory, server.home, server.config)
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def reading_of(found: FoundFiles | UnknownServer, target: TargetFile) -> Reading:
    """Return which file Aegis reads after the target was written, whose content it then takes."""
    if isinstance(found, UnknownServer):
        return NotChecked(found.reason)
    after = _reads(found, target)
    if isinstance(after, ReadsTarget) and not target.exists:
        today = _reads(found, None)
        if isinstance(today, ReadsOther):
            return ReadsOther(today.path, shadows=True, today_only=True)
        if isinstance(today, NotChecked):
            return today
    return after


def reading_now(found: FoundFiles | UnknownServer, path: str) -> Reading:
    """Return whether Aegis reads the target at ``path`` as it is."""
    if isinstance(found, UnknownServer):
        return NotChecked(found.reason)
    item = found.files.get(path)
    file = None if item is None else item.file
    if file is None:
        return NotChecked(f"{path} can't be read")
    real_path = found.real_path(path)
    target = TargetFile(real_path, file.uid, file.gid, file.mode, exists=True)
    return reading_of(found, target)


def path_in_use(found: FoundFiles) -> str | NotChecked:
    """Return the path that ``config_path: auto`` means.

    It is the file that Aegis reads; else the first that it finds and does not take, so that the
    plan says what is wrong with it; else its ``--config``, or the default in its directory.
    """
    today = _reads(found, None)
    if isinstance(today, NotChecked):
        return today
    if isinstance(today, ReadsOther):
        return today.path
    there = (item for item in found.in_order() if item is not None and item.file is not None)
    first = next(there, None)
    if first is not None:
        return first.path
    server = found.server
    name = DEFAULT_NAME if server.config is None else server.config
    path, *_ = search_paths(server.directory, None, name)
    return path or NotChecked("its --config names no file")


def _reads(found: FoundFiles, target: TargetFile | None) -> Reading:
    """Return which file Aegis reads; without a ``target``, as things are now."""
    server = found.server
    denied = False
    for item in found.in_order():
        if item is None:
            return NotChecked("the home that Aegis runs with is not known")
        if target is not None and item.real_path == target.real_path:
            paths = (item.path, target.real_path)
            use = _may_read(server, paths, target.uid, target.gid, target.mode)
            if use is _Use.TAKEN:
                return ReadsTarget()
            denied = denied or use is _Use.PASSED_OVER
        else:
            use = _use_of(item, server)
            if use is _Use.TAKEN:
                shadows = not denied and _looks_at(found, target)
                return ReadsOther(item.path, shadows=shadows, denied=denied)
        if use is _Use.UNKNOWN:
            if denied:
                return ReadsNone(denied)
            return NotChecked(f"whether Aegis takes {item.path} is not known")
    return ReadsNone(denied)


def _looks_at(found: FoundFiles, target: TargetFile | None) -> bool:
    if target is None:
        return False
    return any(item is not None and item.real_path == target.real_path for item in found.in_order())


def _use_of(item: SearchedFile, server: AegisServer) -> _Use:
    """Tell what Aegis does with a file that it finds."""
    if not item.readable:
        return _Use.UNKNOWN
    if item.file is None:
        return _Use.PASSED_OVER
    config = parse_config(item.file.content, syntax=syntax_of(item.path))
    if isinstance(config, RejectedConfig):
        if config.is_doubtful:
            return _Use.UNKNOWN
        # One on which it dies or fails its sessions is read all the same.
        if any(reason.startswith("Aegis ignores") for reason in config.reasons):
            return _Use.PASSED_OVER
    paths = (item.path, item.real_path or item.path)
    return _may_read(server, paths, item.file.uid, item.file.gid, item.file.mode)


def reads_own(server: AegisServer, path: str, file: RemoteFile) -> bool:
    """Tell whether ``server`` surely reads a file at ``path`` with the owner of ``file``."""
    user = server.user
    if user is None or user.uid == _ROOT:
        return True
    paths = (path, server.target or path)
    return user.uid == file.uid and _reaches(server, user, paths) is _Use.TAKEN


def _may_read(server: AegisServer, paths: Sequence[str], uid: int, gid: int, mode: int) -> _Use:
    """Tell whether ``server`` may read a file; an unknown user is taken to be the right one.

    ``paths`` are the file's own path and that with links resolved.
    """
    user = server.user
    if user is None or user.uid == _ROOT:
        return _Use.TAKEN
    return max(_lets(user, uid, gid, mode, _READ), _reaches(server, user, paths))


def _reaches(server: AegisServer, user: ServerUser, paths: Sequence[str]) -> _Use:
    """Tell whether ``user`` may go through all directories on the way to ``paths``.

    One that the host did not tell of is taken to let the user through.
    """
    way = {above for path in paths for above in _directories_above(path)}
    directories = (server.directories[path] for path in way if path in server.directories)
    uses = (_lets(user, item.uid, item.gid, item.mode, _SEARCH) for item in directories)
    return max(uses, default=_Use.TAKEN)


def _directories_above(path: str) -> Iterator[str]:
    while path != (path := posixpath.dirname(path)):
        yield path


def _lets(user: ServerUser, uid: int, gid: int, mode: int, bit: int) -> _Use:
    """Tell whether a mode gives ``user`` the right ``bit``.

    An access list can only add to what the group's bits allow at most, see acl(5).
    """
    owner, group, others = (mode >> 6 & bit, mode >> 3 & bit, mode & bit)
    if user.uid == uid:
        return _Use.TAKEN if owner else _Use.PASSED_OVER
    if gid in user.gids:
        return _Use.TAKEN if group else _Use.PASSED_OVER
    if others:
        return _Use.TAKEN
    return _Use.UNKNOWN if group else _Use.PASSED_OVER


def describe(
    reading: Reading | None, found: FoundFiles | UnknownServer | None
) -> tuple[str, str] | None:
    """Return why Aegis does not read the target, and the remedy; ``None`` if nothing says so."""
    if not isinstance(found, FoundFiles):
        return None
    server = found.server
    auto = "set config_path: auto"
    match reading:
        case ReadsOther(other, denied=True):
            message, hint = _kept_out(server)
            return f"{message}, and reads {other} instead", hint
        case ReadsOther(other, shadows, today_only):
            message = f"Aegis reads {other} instead of it{_missing(server)}"
            if today_only:
                message = f"Aegis reads {other} today, and would lose its settings to the new file"
            hint = f"{auto}, or config_path: {other}"
            if shadows:
                hint = f"{hint}; or {_carry_over(found, other)}move {other} away"
            return message, hint
        case ReadsNone(denied=True):
            return _kept_out(server)
        case ReadsNone():
            return (
                f"Aegis does not look for a file there: it runs in {server.directory}"
                f"{_missing(server)}"
            ), auto
        case _:
            return None


def _kept_out(server: AegisServer) -> tuple[str, str]:
    """Return that the server may not read the target, and the remedy."""
    user = server.user
    runs = f"Aegis can't read it: it runs as uid {user.uid if user else '?'}, whom"
    paths = () if server.target is None else (server.target,)
    if user is not None and _reaches(server, user, paths) is _Use.PASSED_OVER:
        return (
            f"{runs} a directory on the way to it keeps out",
            "let that user through (chmod), or set config_path to a file that it can reach",
        )
    return (
        f"{runs} its owner and mode keep out",
        "give the file to the user that Aegis runs as, or set become_user to it",
    )


def _carry_over(found: FoundFiles, path: str) -> str:
    """Return what to do with the other settings of the file at ``path``, nothing for none."""
    item = found.files.get(path)
    if item is None or item.file is None:
        return ""
    config = read_unchecked(item.file.content, syntax=syntax_of(path))
    names = [shown_key(name) for name in config.root if name != SESSION_ENV]
    return f"carry its other settings over ({listed(names)}) and " if names else ""


def _missing(server: AegisServer) -> str:
    return f" (it is started with --config {server.config})" if server.config is not None else ""


def files_by_path(files: Sequence[SearchedFile]) -> Mapping[str, SearchedFile]:
    """Return ``files`` by their paths."""
    return {item.path: item for item in files}
