"""A value that must not be printed, and the one way to read it."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, final

_ANY = ("utf-8", "surrogatepass")


@final
class Secret:
    """A secret string that fails closed.

    It is no ``str``: a subclass would lose its mask when formatted, joined or quoted. ``str``
    and ``repr`` show only where it came from; ``pickle`` and ``copy`` raise :class:`TypeError`.
    Two secrets are equal when their values are; they are not hashable.
    """

    __slots__ = ("__value", "origin")

    SHORTEST_SEARCHED: Final = 6

    def __init__(self, value: str, origin: str) -> None:
        """Keep ``value``; ``origin`` names the source, such as ``${GLM_API_KEY}``."""
        self.__value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the value. Only modules on the list in the tests may call this."""
        return self.__value

    def matches(self, text: str) -> bool:
        """Tell whether ``text`` is the secret value, without taking it out of its box."""
        return hmac.compare_digest(self.__value.encode(*_ANY), text.encode(*_ANY))

    def within(self, text: str) -> bool:
        """Tell whether ``text`` holds the secret value anywhere.

        Values shorter than :attr:`SHORTEST_SEARCHED` count only as the whole text: a token
        such as ``a`` is in every text, and hiding all of them would tell more than it hides.
        """
        if len(self.__value) < self.SHORTEST_SEARCHED:
            return self.matches(text)
        return self.__value in text

    def __repr__(self) -> str:
        return f"Secret({self.origin})"

    def __str__(self) -> str:
        return f"<secret from {self.origin}>"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Secret):
            return self.reveal() == other.reveal()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a set of secrets would be a leak waiting to happen

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")
