"""Host ranges, as in Ansible (``web[01:20]``, ``db[1:9:2]``): expanded, and made of host names."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_HOSTS = 100_000
"""How many hosts one entry may stand for."""

_MOST_DIGITS = 9
_SHORTEST_RANGE = 4
_FEWER = "split it into several ranges"
_FORMS = "write [01:08], [1:9:2] or [a:f]"
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"([0-9]{1,18}):([0-9]{1,18})(?::([0-9]{1,18}))?")
_LETTERS = re.compile(r"([a-z]):([a-z])(?::([0-9]{1,9}))?|([A-Z]):([A-Z])(?::([0-9]{1,9}))?")
_DIGITS = re.compile(r"([0-9]+)")


class RangeError(ValueError):
    """A range that is malformed; the text says how, and ``hint`` what to write."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep the parts."""
        super().__init__(message)
        self.hint = hint


def is_range(name: str) -> bool:
    """Tell whether ``name`` holds a range, right or wrong."""
    return "[" in name or "]" in name


def expand_range(name: str) -> list[str]:
    """Return the names that ``name`` stands for, in order, both ends included.

    The width of the first number is kept (``[01:10]``), several ranges multiply. Raises
    :class:`RangeError`.
    """
    parts: list[list[str]] = []
    count, end = 1, 0
    for match in _BRACKETS.finditer(name):
        parts.append([name[end : match.start()]])
        values = _values(match.group(1))
        count *= len(values)
        if count > MOST_HOSTS:
            raise RangeError(f"this stands for more than {MOST_HOSTS:,} hosts", _FEWER)
        parts.append([f"{value}" for value in values])
        end = match.end()
    parts.append([name[end:]])
    if any(char in literal for (literal, *_) in parts[::2] for char in "[]"):
        raise RangeError("brackets that do not pair up", _FORMS)
    return ["".join(pieces) for pieces in itertools.product(*parts)]


def _values(inside: str) -> list[str]:
    if match := _NUMBERS.fullmatch(inside):
        first, last, step = match.groups()
        width = len(first) if first.startswith("0") else 0
        if width and len(first) != len(last):
            raise RangeError(
                f"[{inside}]: both ends need the same number of digits",
                "fill up with zeros: [01:08]",
            )
        numbers = _stepped(inside, int(first), int(last), step)
        return [f"{number:0{width}d}" for number in numbers]
    if match := _LETTERS.fullmatch(inside):
        first, last, step = (group for group in match.groups()[:3])
        if first is None:
            first, last, step = match.groups()[3:]
        return [chr(code) for code in _stepped(inside, ord(first), ord(last), step)]
    raise RangeError("what stands in brackets is no range", _FORMS)


def _stepped(inside: str, first: int, last: int, step: str | None) -> range:
    if step is not None and int(step) == 0:
        raise RangeError(
            f"[{inside}]: a step of 0 never gets there", "leave the step out, or name one"
        )
    if first > last:
        raise RangeError(f"[{inside}] runs backwards", "write the lower end first")
    numbers = range(first, last + 1, int(step) if step else 1)
    if len(numbers) > MOST_HOSTS:
        raise RangeError(f"[{inside}] stands for more than {MOST_HOSTS:,} hosts", _FEWER)
    return numbers


def compress(names: Sequence[str]) -> list[str]:
    """Return ``names`` in order, with ``n-[01:04]`` for ``n-01, n-02, n-03, n-04`` in a row.

    Only neighbours are folded, and only four or more; an inventory's range of the same text has
    the same hosts.
    """
    found: list[str] = []
    for run in _neighbours(names):
        if len(run) < _SHORTEST_RANGE:
            found.extend(run)
        else:
            found.append(_folded(run))
    return found


def truncate(names: Sequence[str], most: int) -> list[str]:
    """Return ``names`` folded, at most ``most`` of them; the last then says how many are left."""
    shown = compress(names)
    if len(shown) <= most:
        return shown
    rest = sum(len(expand_range(name)) for name in shown[most:])
    return [*shown[:most], f"and {rest} more (-v names all)"]


def _neighbours(names: Sequence[str]) -> Iterator[list[str]]:
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
    if max(len(first), len(number)) > _MOST_DIGITS:
        return False
    width = len(first) if first.startswith("0") else 0
    expected = f"{int(first) + len(run):0{width}d}"
    return number == expected and (not width or len(number) == width)


def _folded(run: Sequence[str]) -> str:
    first, last = _DIGITS.split(run[0]), _DIGITS.split(run[-1])
    return "".join(
        part if part == last[at] else f"[{part}:{last[at]}]" for at, part in enumerate(first)
    )
