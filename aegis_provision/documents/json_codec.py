"""Dataclasses as JSON, and back with each value checked against the type of its field.

A dataclass is an object whose keys are the names of its fields. Fields hold text, numbers, flags,
words (``StrEnum`` or ``Literal``), times in UTC, tuples, mappings from text, other dataclasses, and
``None`` where the type says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as type_hints

from aegis_provision.humanize import utc_text
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class DecodeError(Exception):
    """A value is not what it must be; the text says in what."""


def json_line(content: Mapping[str, object]) -> bytes:
    """Return ``content`` as one line. What a host sent can't break it: JSON escapes new lines."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the object that ``data`` holds. Raises :class:`DecodeError`."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise DecodeError("it is no JSON") from None
    return _checked(content, dict, "it is no object")


def moment(when: datetime) -> str:
    """Return ``when`` as ISO 8601 in UTC, with milliseconds."""
    return utc_text(when, "milliseconds")


def moment_at(seconds: float) -> str:
    """Return what :func:`moment` does of seconds since the epoch."""
    return moment(datetime.fromtimestamp(seconds, UTC))


def parse_moment(value: object, name: str) -> datetime:
    """Return the time in UTC that ``value`` means; ``name`` is what an error calls it.

    Raises :class:`DecodeError`.
    """
    try:
        when = datetime.fromisoformat(_checked(value, str, f"{name} is not text"))
        if when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise DecodeError(f"{name} is no time")


@dataclass(frozen=True, slots=True)
class JsonCodec:
    """Turns dataclasses into JSON and back.

    ``names`` are the types whose names their annotations use and their modules import for the type
    checker only. ``left_out`` holds fields that are not in the JSON, with what they are then;
    ``renamed`` those with another key in the JSON; ``added`` those that JSON of an earlier version
    lacks, with what they were then.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    left_out: Mapping[type, Mapping[str, object]] = field(default_factory=dict)
    renamed: Mapping[type, Mapping[str, str]] = field(default_factory=dict)
    added: Mapping[type, Mapping[str, object]] = field(default_factory=dict)
    _decoders: dict[Any, Callable[[Any, str], Any]] = field(default_factory=dict)

    def encode(self, value: object) -> Any:
        """Return ``value`` as ``json.dumps`` takes it."""
        match value:
            case StrEnum():
                return value.value
            case None | str() | int() | float():
                return value
            case datetime():
                return moment(value)
            case tuple():
                return [self.encode(item) for item in value]
            case Mapping():
                return {key: self.encode(item) for key, item in value.items()}
        left_out, renamed = self._shape_of(type(value))
        return {
            renamed.get(item.name, item.name): self.encode(getattr(value, item.name))
            for item in fields(cast("Any", value))
            if item.name not in left_out
        }

    def decode(self, kind: type[Value], content: object) -> Value:
        """Return the ``kind`` that ``content``, out of ``json.loads``, is of.

        Other keys are no error: a later version of the tool may have more to say. Raises
        :class:`DecodeError`.
        """
        return cast("Value", self._decoder(kind)(content, "it"))

    def _decoder(self, kind: Any) -> Callable[[Any, str], Any]:
        if kind not in self._decoders:
            self._decoders[kind] = self._make_decoder(kind)
        return self._decoders[kind]

    def _make_decoder(self, kind: Any) -> Callable[[Any, str], Any]:
        arguments = get_args(kind)
        match get_origin(kind):
            case origin if origin in (Union, UnionType):
                (other,) = (self._decoder(item) for item in arguments if item is not NoneType)
                return lambda value, what: None if value is None else other(value, what)
            case origin if origin is Literal:
                return _choice({item: item for item in arguments})
            case origin if origin is tuple:
                return _items(self._decoder(arguments[0]))
            case origin if origin is Mapping:
                return _entries(self._decoder(arguments[1]))
        if is_dataclass(kind):
            return self._object(cast("type", kind))
        if issubclass(kind, StrEnum):
            return _choice({item.value: item for item in kind})
        return parse_moment if kind is datetime else _scalar(kind)

    def _object(self, kind: type) -> Callable[[Any, str], Any]:
        left_out, renamed = self._shape_of(kind)
        added = self.added.get(kind, {})
        hints = type_hints(kind, localns=dict(self.names))
        shape = []
        for name in (item.name for item in fields(kind) if item.name not in left_out):
            key = renamed.get(name, name)
            shape.append((name, key, f'"{key}"', self._decoder(hints[name])))

        def decode(value: Any, what: str) -> Any:
            content = _checked(value, dict, f"{what} is no object")
            values = {
                name: added[name]
                if name in added and key not in content
                else read(content.get(key), quoted)
                for name, key, quoted, read in shape
            }
            return kind(**values, **left_out)

        return decode

    def _shape_of(self, kind: type) -> tuple[Mapping[str, object], Mapping[str, str]]:
        return self.left_out.get(kind, {}), self.renamed.get(kind, {})


def _checked(value: Any, kind: type[Value], problem: str) -> Value:
    if not isinstance(value, kind):
        raise DecodeError(problem)
    return value


def _items(item: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def decode(value: Any, what: str) -> Any:
        found = _checked(value, list, f"{what} is not a list")
        return tuple([item(one, f"an item of {what}") for one in found])

    return decode


def _entries(entry: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def decode(value: Any, what: str) -> Any:
        found = _checked(value, dict, f"{what} is no object")
        return {key: entry(one, f'"{key}" of {what}') for key, one in found.items()}

    return decode


def _choice(choices: Mapping[str, object]) -> Callable[[Any, str], Any]:
    def decode(value: Any, what: str) -> Any:
        word = _checked(value, str, f"{what} is not text")
        if word not in choices:
            raise DecodeError(f"{what} is a word that this version does not know")
        return choices[word]

    return decode


def _scalar(kind: type) -> Callable[[Any, str], Any]:
    accepted = (int, float) if kind is float else (kind,)

    def decode(value: Any, what: str) -> Any:
        if not isinstance(value, accepted) or isinstance(value, bool) is not (kind is bool):
            raise DecodeError(f"{what} is not {_WORDS[kind]}")
        try:
            return kind(value)
        except OverflowError:
            raise DecodeError(f"{what} is too large") from None

    return decode
