"""The few file operations that reading and safe writing are made of, over SFTP or at home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``lstat`` and ``stat`` tell. ``mode`` holds the type bits too; times in seconds."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime: int


class OpenFile(Protocol):
    """A file that was just made and is being written."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        ...

    def facts(self) -> Facts:
        """Return the open file's facts."""
        ...

    def chown(self, uid: int, gid: int) -> None:
        """Change the open file's owner."""
        ...

    def chmod(self, mode: int) -> None:
        """Change the open file's permission bits."""
        ...

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written, in seconds since the epoch."""
        ...

    def sync(self) -> None:
        """Bring the content to the disk, where the far side can."""
        ...

    def close(self) -> None:
        """Close the file; leaving a ``with`` block does so too."""
        ...

    def let_go(self) -> None:
        """Close the file without asking how that went."""
        ...


class Filesystem(Protocol):
    """File operations on one host.

    They raise ``FileNotFoundError``, ``FileExistsError``, ``PermissionError`` and other
    ``OSError``, as ``os`` does, and :class:`~.protocol.Unreachable` once the connection is gone.
    """

    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path, links in its directory resolved."""
        ...

    def lstat(self, path: str) -> Facts:
        """Return a file's facts, a link's own where it is one."""
        ...

    def stat(self, path: str) -> Facts:
        """Return a file's facts, following links."""
        ...

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """Return a file's content, at most ``limit`` bytes."""
        ...

    def read_whole(self, path: str, limit: int) -> tuple[Facts, bytes]:
        """Return a file's facts and its content, at most ``limit`` bytes.

        Both are those of one open file, whatever is put at ``path`` meanwhile.
        """
        ...

    def create(self, path: str) -> OpenFile:
        """Make a file that is not there yet, 0600 from its birth, and open it for writing."""
        ...

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        ...

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        ...

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        ...

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        ...

    def replace(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``, atomically replacing what is there."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``; ``FileExistsError`` where something is there."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...
