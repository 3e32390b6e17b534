"""What is promised, and how a measurement is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """A promise about two contestants' times.

    ``at_most``: ours takes at most ``bound`` times as long as the other. ``at_least``: the other
    takes at least ``bound`` times as long as ours.
    """

    name: str
    title: str
    ours: str
    other: str
    kind: Literal["at_most", "at_least"]
    bound: float


ROWS = (
    Row("plan", "plan, nothing to change / bare read loop", "plan", "read loop", "at_most", 1.2),
    Row("apply", "apply, all to change / bare write loop", "apply", "write loop", "at_most", 1.8),
    Row("ansible", "ansible-playbook copy / apply", "apply", "ansible", "at_least", 15),
    Row("pyinfra", "pyinfra files.put / apply", "apply", "pyinfra", "at_least", 1.5),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    name: str
    title: str
    ours: str
    other: str
    measured: str
    promised: str
    kept: bool


def compare(row: Row, samples: Mapping[str, Sequence[float]]) -> Result:
    """Hold the medians of both contestants against the promise."""
    ours, other = median(samples[row.ours]), median(samples[row.other])
    ratio = ours / other if row.kind == "at_most" else other / ours
    kept = ratio <= row.bound if row.kind == "at_most" else ratio >= row.bound
    words = "at most" if row.kind == "at_most" else "at least"
    return Result(
        row.name,
        row.title,
        f"{ours:.2f} s",
        f"{other:.2f} s",
        f"{ratio:.2f} x",
        f"{words} {row.bound:g} x",
        kept,
    )


def table(results: Sequence[Result]) -> str:
    """Return the results as a table."""
    head = ("", "ours", "other", "measured", "promised", "")
    body = [
        (item.title, item.ours, item.other, item.measured, item.promised, _verdict(item))
        for item in results
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *body)
    )


def _verdict(result: Result) -> str:
    return "pass" if result.kept else "MISS"
