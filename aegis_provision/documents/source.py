"""Where a value stands: the file it came from, and the stretch of text inside that file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One file's text. Compared by identity: two reads of a file are two sources.

    ``name`` is the path as the operator wrote it (or a made-up name in angle brackets).
    """

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source. Lines and columns count from 1; columns count characters.

    The end is exclusive: a one-character span has ``end_column == column + 1``.
    """

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def holds(self, other: Span) -> bool:
        """Tell whether all of ``other`` lies within this stretch of the same source."""
        return (
            other.source is self.source
            and (self.line, self.column) <= (other.line, other.column)
            and (other.end_line, other.end_column) <= (self.end_line, self.end_column)
        )
