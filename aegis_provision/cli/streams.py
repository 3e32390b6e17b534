"""The process's streams, safe with closed pipes, full disks and narrow encodings."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Literal, TextIO

    from _typeshed import ReadableBuffer

_ASCII = "".join(map(chr, range(32, 127)))


class FaultTolerantDescriptor(io.RawIOBase):
    """An open descriptor whose writes never raise.

    After the first failure all output is dropped: a run must not stop half-way because ``head``
    has read enough. ``lost`` is that failure, unless the reader has closed the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        """Write to ``descriptor``, which stays the caller's to close."""
        super().__init__()
        self.lost: OSError | None = None
        self._descriptor = descriptor
        self._dropping = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write ``data``, or the beginning of it, or drop it; return how much was taken."""
        while not self._dropping:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # A process that shares the pipe set it so; Python would lose what does not fit.
                _wait_until_writable(self._descriptor)
            except OSError as problem:
                self._dropping = True
                if not isinstance(problem, BrokenPipeError):
                    self.lost = problem
        return memoryview(data).nbytes


def _wait_until_writable(descriptor: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    waiting.poll()


class FaultTolerantStream(io.TextIOWrapper):
    """A text stream that printing to never fails.

    Characters that its encoding lacks are escaped, and so are halves of surrogate pairs, which a
    file's name may hold; :class:`FaultTolerantDescriptor` does the rest.
    """

    @classmethod
    def over(cls, stream: TextIO) -> FaultTolerantStream:
        """Return a stream that takes the place of ``stream``, which must not be used any more."""
        plain = cast("io.TextIOWrapper", stream)
        plain.flush()
        descriptor = plain.fileno()
        plain.detach()
        return cls(
            io.BufferedWriter(FaultTolerantDescriptor(descriptor)),
            encoding=plain_encoding(plain.encoding),
            errors="backslashreplace",
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )

    @property
    def lost(self) -> OSError | None:
        """What was lost of the output, and why."""
        return cast("FaultTolerantDescriptor", cast("io.BufferedWriter", self.buffer).raw).lost


def plain_encoding(name: str) -> str:
    """Return the encoding ``name``, or ASCII where it can't write every plain text (``idna``)."""
    try:
        return name if _ASCII.encode(name).decode(name) == _ASCII else "ascii"
    except UnicodeError:
        return "ascii"


def protect_streams() -> None:
    """Replace the process's streams by fault-tolerant ones; a closed one leads to /dev/null.

    Python has no object for a stream whose descriptor is closed, and libraries then print on
    another one.
    """
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = FaultTolerantStream.over(sys.stdout or _nowhere("w"))
    sys.stderr = FaultTolerantStream.over(sys.stderr or _nowhere("w"))


def output_error() -> str | None:
    """Return why a part of the result could not be printed, if so."""
    sys.stdout.flush()
    lost = sys.stdout.lost if isinstance(sys.stdout, FaultTolerantStream) else None
    return None if lost is None else lost.strerror or str(lost)


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    # Takes the lowest free descriptor, so no connection ever gets the number of a standard stream.
    descriptor = os.open(os.devnull, os.O_RDWR)
    return open(descriptor, mode, encoding="utf-8", closefd=False)
