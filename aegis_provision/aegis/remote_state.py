"""What was read from a host, as facts. Planning decides what they mean."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TypeAlias

from aegis_provision.values import dataclass


class ReadProblem(Enum):
    """Why a target could not be read although its host answered."""

    NO_DIRECTORY = "no_directory"
    PERMISSION_DENIED = "permission_denied"
    SYMLINK = "symlink"
    NOT_A_FILE = "not_a_file"
    TOO_LARGE = "too_large"
    UNSAFE_DIRECTORY = "unsafe_directory"
    NO_PATH = "no_path"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A regular file: its bytes (they hold secrets), permission bits (``0o7777``) and owner.

    ``mtime`` is when it was last written, in seconds by the host's clock; files are compared
    without it.
    """

    content: bytes = field(repr=False)
    mode: int
    uid: int
    gid: int
    mtime: int = field(default=0, compare=False)


FoundReceipt: TypeAlias = RemoteFile | ReadProblem | None
"""What was found where the receipt of a write would be: a file, why it can't be read, nothing."""


@dataclass(frozen=True, slots=True)
class RemoteDirectory:
    """The directory the target lies in."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class RemoteUser:
    """As whom files are written on the host.

    ``gids`` holds the supplementary groups too, ``gid`` is the one that new files get; ``None``
    where it could not be learnt.
    """

    uid: int
    gids: frozenset[int]
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What was found at a host's target path.

    ``path`` is absolute. ``file`` is ``None`` where there is no file, or ``problem`` says why it
    could not be read; ``detail`` then adds what is known (a link's destination, a size).
    ``shadows`` lists absolute paths of files that Aegis would read instead. ``login`` is ``None``
    if it is unknown. ``receipt`` is what lies at the place of the last write's, unchecked.
    ``for_root`` means that root logged in and works as the directory's owner. ``can_rename`` is
    false where the host's SFTP server does not rename over a file.
    """

    path: str
    file: RemoteFile | None = None
    directory: RemoteDirectory | None = None
    shadows: tuple[str, ...] = ()
    problem: ReadProblem | None = None
    detail: str = ""
    login: RemoteUser | None = None
    receipt: FoundReceipt = None
    for_root: bool = False
    can_rename: bool = True
