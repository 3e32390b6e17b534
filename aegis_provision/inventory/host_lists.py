"""Names that count up, folded into the ranges that an inventory would have for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_provision.inventory.ranges import expand_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORTH_FOLDING = 4
_LONGEST_NUMBER = 9
_DIGITS = re.compile(r"([0-9]+)")


def compress(names: Sequence[str]) -> list[str]:
    """Return ``names`` in order, with ``n-[01:04]`` for ``n-01, n-02, n-03, n-04`` in a row.

    Only neighbours are folded, and only four or more; an inventory's range of the same text has
    the same hosts.
    """
    found: list[str] = []
    for run in _runs(names):
        if len(run) < _WORTH_FOLDING:
            found.extend(run)
        else:
            found.append(_range(run))
    return found


def truncate(names: Sequence[str], most: int) -> list[str]:
    """Return ``names`` folded, at most ``most`` of them; the last then says how many are left."""
    shown = compress(names)
    if len(shown) <= most:
        return shown
    rest = sum(len(expand_range(name)) for name in shown[most:])
    return [*shown[:most], f"and {rest} more (-v names all)"]


def _runs(names: Sequence[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for name in names:
        if run and _goes_on(run, name):
            run.append(name)
            continue
        if run:
            yield run
        run = [name]
    if run:
        yield run


def _goes_on(run: Sequence[str], name: str) -> bool:
    """Tell whether ``name`` is the first of ``run`` with one number higher by the run's length."""
    parts, others = _DIGITS.split(run[0]), _DIGITS.split(name)
    if len(parts) != len(others):
        return False
    differ = [at for at, part in enumerate(parts) if part != others[at]]
    if len(differ) != 1 or differ[0] % 2 == 0:
        return False
    first, number = parts[differ[0]], others[differ[0]]
    if max(len(first), len(number)) > _LONGEST_NUMBER:
        return False
    width = len(first) if first.startswith("0") else 0
    expected = f"{int(first) + len(run):0{width}d}"
    return number == expected and (not width or len(number) == width)


def _range(run: Sequence[str]) -> str:
    first, last = _DIGITS.split(run[0]), _DIGITS.split(run[-1])
    return "".join(
        part if part == last[at] else f"[{part}:{last[at]}]" for at, part in enumerate(first)
    )
