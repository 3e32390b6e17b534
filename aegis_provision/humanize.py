"""Counts, lists of names, groups, times and foreign text, as messages and documents write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

MOST_LISTED = 20
"""How many names a message lists."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def counted(number: int, noun: str) -> str:
    """Return ``number`` with its noun: ``1 host``, ``2 hosts``, ``2 batches``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"


def listed(names: Iterable[str], *, between: str = ", ", most: int = MOST_LISTED) -> str:
    """Return ``names`` joined by ``between``: all of them, or ``most`` and ``and 5 more``."""
    every = list(names)
    if len(every) <= most:
        return between.join(every)
    return f"{between.join(every[:most])}{between}and {len(every) - most} more"


def utc_text(when: datetime, timespec: str = "seconds") -> str:
    """Return ``when`` in UTC as ISO 8601: ``2026-11-30T04:51:36Z``."""
    return when.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def utc_time_text(seconds: float) -> str:
    """Return a point in time, in seconds since the epoch, as :func:`utc_text` does."""
    return utc_text(datetime.fromtimestamp(seconds, UTC))


def span_text(seconds: float) -> str:
    """Return a span of time in its two largest units: ``42 s``, ``3 min 20 s``, ``2 d``."""
    whole = max(1, round(seconds))
    units = (
        ("d", whole // _DAY),
        ("h", whole % _DAY // _HOUR),
        ("min", whole % _HOUR // _MINUTE),
        ("s", whole % _MINUTE),
    )
    largest = next(at for at, (_, number) in enumerate(units) if number)
    return " ".join(f"{number} {unit}" for unit, number in units[largest : largest + 2] if number)


def wait_text(seconds: float) -> str:
    """Return how long to wait, as :func:`span_text` does: never too short."""
    return span_text(math.ceil(seconds))


def size_text(size: int) -> str:
    """Return a number of bytes in its largest unit, rounded down: ``16 MiB``, ``4 KiB``."""
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if size >= factor:
            return f"{size // factor:,} {unit}"
    return f"{size} bytes"


def escape_control(text: str) -> str:
    """Return ``text`` with each character that does not print as a backslash escape.

    Text from a host or a file goes through here before it is shown: it must not drive a terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def blank_control(text: str) -> str:
    """Return ``text`` with a blank for each character that does not print."""
    return "".join(char if char.isprintable() else " " for char in text)


K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


def group_by(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    """Return ``items`` by their ``key``; keys and items keep their order."""
    return group_pairs((key(item), item) for item in items)


def group_pairs(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the second parts of ``pairs`` by the first: ``{"a": [1, 2]}`` for a-1, a-2."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
