"""A JSON object of our own making, as one line and back; reading it checks each field's type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from aegis_provision.humanize import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from enum import StrEnum

Value = TypeVar("Value")
Word = TypeVar("Word", bound="StrEnum")


class LineError(Exception):
    """An object is not what it must be; the text says in what."""


def encode(content: Mapping[str, object]) -> bytes:
    """Return ``content`` as one line. What a host sent can't break it: JSON escapes new lines."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def marker(event: str) -> bytes:
    """Return bytes that every line of ``event`` holds: where they are missing there is none."""
    return f'"event":"{event}"'.encode()


def moment(when: datetime) -> str:
    """Return ``when`` as ISO 8601 in UTC, with milliseconds."""
    return utc_text(when, "milliseconds")


def moment_at(seconds: float) -> str:
    """Return what :func:`moment` does of seconds since the epoch."""
    return moment(datetime.fromtimestamp(seconds, UTC))


@dataclass(frozen=True, slots=True)
class JsonFields:
    """The fields of an object, each taken out with the type it must have.

    All methods raise :class:`LineError`. Other fields are no error: a later version of the tool
    may have more to say.
    """

    content: Mapping[str, Any]

    @classmethod
    def of(cls, line: bytes) -> JsonFields:
        """Return the fields of ``line``."""
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            raise LineError("it is no JSON") from None
        return cls._object(content, "it")

    @classmethod
    def _object(cls, content: object, what: str) -> JsonFields:
        if not isinstance(content, dict):
            raise LineError(f"{what} is no object")
        return cls(content)

    def text(self, key: str) -> str:
        """Return a string."""
        return self._typed(key, str, "text")

    def text_or_none(self, key: str) -> str | None:
        """Return a string, ``None`` where there is none."""
        return self.text(key) if self.has(key) else None

    def word(self, words: type[Word], key: str) -> Word:
        """Return the member of ``words`` that a string names."""
        try:
            return words(self.text(key))
        except ValueError:
            raise LineError(f'"{key}" is a word that this version does not know') from None

    def whole(self, key: str) -> int:
        """Return an integer."""
        return self._typed(key, int, "a whole number")

    def number(self, key: str) -> float:
        """Return a number."""
        value = self.content.get(key)
        return float(value) if isinstance(value, int) else self._typed(key, float, "a number")

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        value = self.content.get(key)
        if not isinstance(value, bool):
            raise LineError(f'"{key}" is neither true nor false')
        return value

    def when(self, key: str) -> datetime:
        """Return a moment in UTC."""
        try:
            value = datetime.fromisoformat(self.text(key))
            if value.tzinfo is not None:
                return value.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise LineError(f'"{key}" is no time')

    def has(self, key: str) -> bool:
        """Tell whether there is a value, one other than null."""
        return self.content.get(key) is not None

    def part(self, key: str) -> JsonFields:
        """Return an object."""
        return self._object(self.content.get(key), f'"{key}"')

    def parts(self, key: str) -> tuple[JsonFields, ...]:
        """Return a list of objects."""
        return tuple(self._object(item, f'an item of "{key}"') for item in self._list(key))

    def items(self, key: str) -> Iterator[tuple[str, JsonFields]]:
        """Yield the entries of an object of objects."""
        for name, value in self.part(key).content.items():
            yield name, self._object(value, f'"{name}" of "{key}"')

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return _texts(self._list(key), key)

    def lists_of_texts(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Return a list of lists of strings."""
        return tuple(_texts(item, key) for item in self._list(key))

    def _list(self, key: str) -> list[object]:
        return self._typed(key, list, "a list")

    def _typed(self, key: str, kind: type[Value], words: str) -> Value:
        value = self.content.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise LineError(f'"{key}" is not {words}')
        return value


def _texts(items: object, key: str) -> tuple[str, ...]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise LineError(f'"{key}" does not hold texts')
    return tuple(items)
