"""Many names in one message: the first of them, and how many more there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_LISTED = 20
"""How many names a message lists."""


def listed(names: Iterable[str], *, between: str = ", ", most: int = MOST_LISTED) -> str:
    """Return ``names`` joined by ``between``: all of them, or ``most`` and ``and 5 more``."""
    every = list(names)
    if len(every) <= most:
        return between.join(every)
    return f"{between.join(every[:most])}{between}and {len(every) - most} more"
