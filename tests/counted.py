"""Text that tells how much work is done with it: a bound on that needs no clock."""

from __future__ import annotations


class Counted(str):
    """A name or a key that counts how often it is compared, all of them together."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__
