"""What is promised, and how a measurement is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.samples import Unit, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.samples import Sample

NEAR, FAR = 0.0, 0.05
HOSTS = 100
"""How many hosts the promises are about."""


@dataclass(frozen=True, slots=True)
class Row:
    """A promise about two contestants' medians.

    ``at_most``: ours takes at most ``bound`` times as much as the other. ``at_least``: the other
    takes at least ``bound`` times as much as ours.
    """

    name: str
    ours: str
    other: str
    kind: Literal["at_most", "at_least"]
    bound: float
    unit: Unit = "seconds"
    away: float = NEAR


ROWS = (
    Row("plan", "plan", "paramiko read", "at_most", 1.0),
    Row("plan-cpu", "plan", "asyncssh read", "at_most", 1.0, unit="client_cpu"),
    Row("apply", "apply", "paramiko write", "at_most", 1.3),
    Row("ansible", "apply", "ansible", "at_least", 24),
    Row("mitogen", "apply", "mitogen", "at_least", 17),
    Row("pyinfra", "apply", "pyinfra", "at_least", 1.8),
    Row("unchanged", "apply, unchanged", "ansible, unchanged", "at_least", 25),
    Row("far", "apply", "paramiko write", "at_most", 1.05, away=FAR),
)
_UNITS: dict[Unit, str] = {"seconds": "", "client_cpu": ", client CPU", "far_cpu": ", far CPU"}


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table. ``kept`` is ``None`` where a side was not measured."""

    name: str
    title: str
    ours: str
    other: str
    measured: str
    promised: str
    kept: bool | None


def compare(row: Row, samples: Sequence[Sample], hosts: int) -> Result:
    """Hold the medians of both contestants on ``hosts`` hosts against the promise."""
    ours = value(samples, row.ours, hosts, row.away, row.unit)
    other = value(samples, row.other, hosts, row.away, row.unit)
    words = "at most" if row.kind == "at_most" else "at least"
    upper, lower = (row.ours, row.other) if row.kind == "at_most" else (row.other, row.ours)
    where = f", {row.away * 1000:.0f} ms away" if row.away else ""
    title, promised = f"{upper} / {lower}{_UNITS[row.unit]}{where}", f"{words} {row.bound:g} x"
    if ours is None or other is None:
        return Result(row.name, title, "", "", "not measured", promised, None)
    ratio = ours / other if row.kind == "at_most" else other / ours
    kept = ratio <= row.bound if row.kind == "at_most" else ratio >= row.bound
    return Result(row.name, title, f"{ours:.2f} s", f"{other:.2f} s", f"{ratio:.2f} x", promised,
                  kept)  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """Return the results as a table."""
    head = ("", "ours", "other", "measured", "promised", "")
    body = [
        (item.title, item.ours, item.other, item.measured, item.promised, verdict(item))
        for item in results
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *body)
    )


def verdict(result: Result) -> str:
    """Return whether the promise was kept, in one word."""
    return "?" if result.kept is None else "met" if result.kept else "NOT MET"
