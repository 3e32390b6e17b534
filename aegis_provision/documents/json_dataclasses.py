"""Dataclasses as JSON, and back with each value checked against the type of its field.

A dataclass is an object whose keys are the names of its fields. Fields hold text, numbers, flags,
words (``StrEnum`` or ``Literal``), times in UTC, tuples, mappings from text, other dataclasses, and
``None`` where the type says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as type_hints

from aegis_provision.documents.json_fields import LineError, moment

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class JsonCodec:
    """Turns dataclasses into JSON and back.

    ``names`` are the types whose names their annotations use and their modules import for the type
    checker only. ``left_out`` holds fields that are not in the JSON, with what they are then.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    left_out: Mapping[type, Mapping[str, object]] = field(default_factory=dict)
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
        left_out = self.left_out.get(type(value), {})
        return {
            item.name: self.encode(getattr(value, item.name))
            for item in fields(cast("Any", value))
            if item.name not in left_out
        }

    def decode(self, kind: type[Value], content: object) -> Value:
        """Return the ``kind`` that ``content``, out of ``json.loads``, is of.

        Other keys are no error: a later version of the tool may have more to say. Raises
        :class:`LineError`.
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
        return _time if kind is datetime else _scalar(kind)

    def _object(self, kind: type) -> Callable[[Any, str], Any]:
        left_out = self.left_out.get(kind, {})
        hints = type_hints(kind, localns=dict(self.names))
        shape = [
            (item.name, f'"{item.name}"', self._decoder(hints[item.name]))
            for item in fields(kind)
            if item.name not in left_out
        ]

        def decode(value: Any, what: str) -> Any:
            known = _checked(value, dict, f"{what} is no object")
            found = {name: read(known.get(name), quoted) for name, quoted, read in shape}
            return kind(**found, **left_out)

        return decode


def _checked(value: Any, kind: type[Value], problem: str) -> Value:
    if not isinstance(value, kind):
        raise LineError(problem)
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
            raise LineError(f"{what} is a word that this version does not know")
        return choices[word]

    return decode


def _scalar(kind: type) -> Callable[[Any, str], Any]:
    accepted = (int, float) if kind is float else (kind,)

    def decode(value: Any, what: str) -> Any:
        if not isinstance(value, accepted) or isinstance(value, bool) is not (kind is bool):
            raise LineError(f"{what} is not {_WORDS[kind]}")
        try:
            return kind(value)
        except OverflowError:
            raise LineError(f"{what} is too large") from None

    return decode


def _time(value: Any, what: str) -> datetime:
    try:
        found = datetime.fromisoformat(_checked(value, str, f"{what} is not text"))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise LineError(f"{what} is no time")
