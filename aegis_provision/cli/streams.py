"""The process's own streams, made fit for readers that leave, full disks and closed descriptors."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Literal, TextIO


class EnduringStream(io.TextIOWrapper):
    """A text stream that nobody need be afraid to print on.

    What can't be written is dropped from then on, so that a run on real hosts is never cut off
    half-way because ``head`` has seen enough. ``lost`` says what went wrong, unless it was the
    reader who left: that is theirs to decide.
    """

    lost: OSError | None = None

    @classmethod
    def over(cls, stream: TextIO) -> EnduringStream:
        """Return a stream that takes the place of ``stream``, which must not be used any more."""
        plain = cast("io.TextIOWrapper", stream)
        plain.flush()
        return cls(
            plain.detach(),
            encoding=plain.encoding,
            errors=plain.errors,
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )

    def write(self, text: str, /) -> int:
        """Write ``text``, or drop it."""
        try:
            return super().write(text)
        except OSError as problem:
            self._give_up(problem)
            return len(text)

    def flush(self) -> None:
        """Pass on what was written, or drop it."""
        try:
            super().flush()
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        # What is still buffered, and the interpreter's own last flush, go where all is taken.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not isinstance(problem, BrokenPipeError):
            self.lost = problem


def endure() -> None:
    """Make the process's streams endure; those that were closed at the start lead nowhere.

    Python has no object for a stream whose descriptor was closed, and libraries then print what
    was meant for it elsewhere.
    """
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = EnduringStream.over(sys.stdout or _nowhere("w"))
    sys.stderr = EnduringStream.over(sys.stderr or _nowhere("w"))


def lost_result() -> str | None:
    """Return why a part of the result could not be printed, if so."""
    sys.stdout.flush()
    lost = sys.stdout.lost if isinstance(sys.stdout, EnduringStream) else None
    return None if lost is None else lost.strerror or str(lost)


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    # Takes the lowest free descriptor, so no connection ever gets the number of a standard stream.
    descriptor = os.open(os.devnull, os.O_RDWR)
    return open(descriptor, mode, encoding="utf-8", closefd=False)
