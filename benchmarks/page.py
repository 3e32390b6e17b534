"""The results as a section of docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.plot import Panel
from benchmarks.rows import FAR, NEAR, verdict
from benchmarks.samples import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.rows import Result
    from benchmarks.samples import Sample

BEGIN = "<!-- what follows is written by the benchmark -->"
END = "<!-- what came before is written by the benchmark -->"

_LIBRARIES = ("paramiko", "asyncssh", "parallel-ssh", "openssh")
_OTHERS = ("pyinfra", "ansible", "mitogen")
READS = (
    "plan",
    "apply, unchanged",
    *(f"{library} read" for library in _LIBRARIES),
    *(f"{other}, unchanged" for other in _OTHERS),
)
WRITES = ("apply", *(f"{library} write" for library in _LIBRARIES), *_OTHERS)
_INTRODUCTION = """\
Measured by `make bench` in one run, in turns; medians. Each host has an address of its own in
127.0.0.0/8; all are one sshd on the same machine, which takes its share of the processors. "read"
and "write" are loops with a library alone: log in, read the file, perhaps replace it. parallel-ssh
checks no host keys, and writes over the file in place."""


def panels(samples: Sequence[Sample]) -> list[Panel]:
    """Return what is plotted: client CPU a host, changed and unchanged."""
    return [
        Panel(f"{title}: client CPU, ms a host", _lines(samples, names))
        for title, names in (("All to change", WRITES), ("Nothing to change", READS))
    ]


def _lines(samples: Sequence[Sample], names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    sizes = sorted({item.hosts for item in samples if item.away == NEAR})
    found = {}
    for name in names:
        points = []
        for hosts in sizes:
            cpu = value(samples, name, hosts, NEAR, "client_cpu")
            if cpu:
                points.append((hosts, cpu * 1000 / hosts))
        if points:
            found[name] = points
    return found


def section(
    samples: Sequence[Sample],
    results: Sequence[Result],
    skipped: Sequence[str],
    facts: Mapping[str, str],
    plot: str,
) -> str:
    """Return the section as Markdown; ``plot`` is the name of the file with the plot."""
    parts = [
        BEGIN,
        "",
        "## Beside other programs",
        "",
        _INTRODUCTION,
        "",
        f"{'; '.join(f'{name} {words}' for name, words in facts.items())}.",
        "",
        *_results(results),
        "",
        f"![Client CPU a host over the number of hosts]({plot})",
        "",
    ]
    for hosts, away in sorted({(item.hosts, item.away) for item in samples}, key=_course):
        parts += _course_table(samples, hosts, away)
    parts += _floor(samples)
    if skipped:
        parts += ["Not measured:", "", *(f"- {words}" for words in skipped), ""]
    return "\n".join([*parts, END])


def _course(course: tuple[int, float]) -> tuple[float, int]:
    return course[1], course[0]


def _results(results: Sequence[Result]) -> list[str]:
    lines = ["| promise | measured | promised | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {item.title} | {item.measured} | {item.promised} | {verdict(item)} |"
        for item in results
    ]
    return lines


def _course_table(samples: Sequence[Sample], hosts: int, away: float) -> list[str]:
    where = f", {away * 1000:.0f} ms away" if away else ""
    head = ["seconds", "client CPU, ms a host", "far side's CPU, ms a host"]
    if away:
        head.append("round trips after TCP")
    lines = [
        f"| {hosts:,} hosts{where} | {' | '.join(head)} |",
        f"| --- |{' --- |' * len(head)}",
    ]
    for name in (*WRITES, *READS):
        seconds = value(samples, name, hosts, away, "seconds")
        client = value(samples, name, hosts, away, "client_cpu")
        far = value(samples, name, hosts, away, "far_cpu")
        trips = value(samples, name, hosts, away, "round_trips")
        if seconds is None or client is None or far is None or trips is None:
            continue
        a_host = 1000 / hosts
        cells = [name, f"{seconds:.2f}", f"{client * a_host:.1f}", f"{far * a_host:.1f}"]
        lines.append(f"| {' | '.join([*cells, f'{trips:.0f}'] if away else cells)} |")
    return [*lines, ""]


def _floor(samples: Sequence[Sample]) -> list[str]:
    near = [item for item in samples if item.away == NEAR]
    if not near:
        return []
    most = max(item.hosts for item in near)
    floor, name = min(
        (item.far_cpu / item.hosts, item.contestant) for item in near if item.hosts == most
    )
    words = (
        f"The floor: sshd itself takes {floor * 1000:.1f} ms of CPU for a host that is only read "
        f"({name}, {most:,} hosts). No client that logs in to each host can be quicker than that "
        "on the machine that runs both."
    )
    far = [item for item in samples if item.away == FAR]
    if far:
        words += f" {FAR * 1000:.0f} ms away it is the round trips that count: see the table."
    return [words, ""]


def replace_section(page: str, text: str) -> str:
    """Return ``page`` with ``text`` for the section, or behind all else where there is none."""
    if BEGIN in page and END in page:
        before, _, rest = page.partition(BEGIN)
        return before + text + rest.partition(END)[2]
    return f"{page.rstrip()}\n\n{text}\n"
