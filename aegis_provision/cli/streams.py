"""The process's own streams, made fit for readers that leave, full disks and narrow encodings."""

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


class EnduringDescriptor(io.RawIOBase):
    """An open descriptor whose writes never raise.

    What can't be written is dropped from then on, so that a run on real hosts is never cut off
    half-way because ``head`` has seen enough. ``lost`` says what went wrong, unless it was the
    reader who left: that is theirs to decide. All that prints ends here, libraries that find the
    binary stream beneath the text included.
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

    A character that its encoding lacks is written as a backslash escape, and so is half of a
    surrogate pair, which a file's name may hold; see :class:`EnduringDescriptor` for the rest.
    """

    @classmethod
    def over(cls, stream: TextIO) -> FaultTolerantStream:
        """Return a stream that takes the place of ``stream``, which must not be used any more."""
        plain = cast("io.TextIOWrapper", stream)
        plain.flush()
        descriptor = plain.fileno()
        plain.detach()
        return cls(
            io.BufferedWriter(EnduringDescriptor(descriptor)),
            encoding=plain_encoding(plain.encoding),
            errors="backslashreplace",
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )

    @property
    def lost(self) -> OSError | None:
        """What was lost of the output, and why."""
        return cast("EnduringDescriptor", cast("io.BufferedWriter", self.buffer).raw).lost


def plain_encoding(name: str) -> str:
    """Return the encoding ``name``, or ASCII where it can't write every plain text (``idna``)."""
    try:
        return name if _ASCII.encode(name).decode(name) == _ASCII else "ascii"
    except UnicodeError:
        return "ascii"


def protect_streams() -> None:
    """Make the process's streams endure; those that were closed at the start lead nowhere.

    Python has no object for a stream whose descriptor was closed, and libraries then print what
    was meant for it elsewhere.
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
