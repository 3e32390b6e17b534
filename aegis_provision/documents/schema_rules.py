"""Whether a value keeps to a JSON Schema, quickly: yes, or else the library has to say why.

The library takes seconds for a hundred thousand hosts, and as long to be loaded as a dozen hosts
take to be read. This knows the part of JSON Schema (draft 2020-12) that the schemas of this program
use, and stops at the first violation. What it does not know it never passes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Rule = Callable[[Any], bool]

_NOTES = frozenset(
    {"$defs", "$id", "$schema", "title", "description", "default", "examples", "writeOnly"}
)
_OBJECT = frozenset({"properties", "patternProperties", "additionalProperties", "propertyNames"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "minProperties"})
_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def keeps(value: object, schema: str, fragment: str = "") -> bool:
    """Tell whether ``value`` keeps to the schema file ``schema`` (its stem), as far as is known.

    ``fragment`` is a JSON pointer to the part that applies. ``False`` may also mean that a rule of
    the schema is not known here.
    """
    rule = _rule_at(schema, fragment)
    return rule is not None and rule(value)


@cache
def _rule_at(schema: str, fragment: str) -> Rule | None:
    return rule_of(load_schema(schema), fragment)


def rule_of(
    schema: Mapping[str, Any],
    fragment: str = "",
    *,
    formats: Mapping[str, Callable[[str], bool]] | None = None,
) -> Rule | None:
    """Return what tells whether a value keeps to a schema, ``None`` where a rule is not known.

    ``formats`` tell of a text whether it is of a format. A ``float`` never passes as an integer.
    """
    try:
        return _Compiler(schema, formats or {}).reference(f"#{fragment}")
    except _UnknownRuleError:
        return None


class _UnknownRuleError(Exception):
    """The schema uses something that is not known here."""


class _Compiler:
    """Makes functions of the parts of one schema."""

    def __init__(
        self, root: Mapping[str, Any], formats: Mapping[str, Callable[[str], bool]]
    ) -> None:
        self._root = root
        self._formats = formats
        self._referenced: dict[str, Rule] = {}

    def reference(self, reference: str) -> Rule:
        """Return the rule of the part that ``reference`` points to; it may hold itself."""
        known = self._referenced.get(reference)
        if known is not None:
            return known

        def later(value: Any) -> bool:
            return self._referenced[reference](value)

        self._referenced[reference] = later
        part: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            part = part[step]
        rule = self._referenced[reference] = self._rule(part)
        return rule

    def _rule(self, part: Any) -> Rule:
        if isinstance(part, bool):
            return lambda _: part
        rules = [self._keyword(key, content) for key, content in part.items() if key in _SINGLE]
        unknown = part.keys() - _SINGLE - _NOTES - _OBJECT - _BOUNDS - _SIZES
        if unknown:
            raise _UnknownRuleError(*unknown)
        if _BOUNDS & part.keys():
            rules.append(_between(*map(part.get, ("minimum", "maximum", "exclusiveMinimum"))))
        if "minLength" in part or "maxLength" in part:
            rules.append(_sized(str, part.get("minLength", 0), part.get("maxLength")))
        if "minItems" in part:
            rules.append(_sized(list, part["minItems"], None))
        if "minProperties" in part:
            rules.append(_sized(dict, part["minProperties"], None))
        if _OBJECT & part.keys():
            rules.append(self._object(part))
        return _all_of(rules)

    def _keyword(self, key: str, content: Any) -> Rule:
        match key:
            case "$ref":
                return self.reference(content)
            case "oneOf":
                return _one_of([self._rule(item) for item in content])
            case "items":
                return _each(self._rule(content))
            case "format":
                if content not in self._formats:
                    raise _UnknownRuleError(content)
                return _of_format(self._formats[content])
        return _SIMPLE[key](content)

    def _object(self, part: Mapping[str, Any]) -> Rule:
        of_name = {name: self._rule(item) for name, item in part.get("properties", {}).items()}
        of_pattern = [
            (re.compile(pattern), self._rule(item))
            for pattern, item in part.get("patternProperties", {}).items()
        ]
        of_others = self._rule(part.get("additionalProperties", True))
        names = part.get("propertyNames", True)
        of_key = None if names is True else self._rule(names)

        def keeps_to(value: Any) -> bool:
            if not isinstance(value, dict):
                return True
            for name, item in value.items():
                if of_key is not None and not of_key(name):
                    return False
                rule = of_name.get(name)
                if rule is not None and not rule(item):
                    return False
                others = rule is None
                for pattern, by_pattern in of_pattern:
                    if pattern.search(name):
                        others = False
                        if not by_pattern(item):
                            return False
                if others and not of_others(item):
                    return False
            return True

        return keeps_to


def _all_of(rules: list[Rule]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def keeps_to(value: Any) -> bool:
        for rule in rules:  # noqa: SIM110 - a generator for each value would take twice as long
            if not rule(value):
                return False
        return True

    return keeps_to


def _one_of(rules: list[Rule]) -> Rule:
    return lambda value: sum(rule(value) for rule in rules) == 1


def _of_type(wanted: str | Collection[str]) -> Rule:
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    if not kinds <= _TYPES.keys() | {"number"}:
        raise _UnknownRuleError(*kinds)
    types = {_TYPES[kind] for kind in kinds - {"number"}}
    if "number" not in kinds:
        return lambda value: value.__class__ in types
    types |= {int, float}
    # What is no number (NaN) is left to the library.
    return lambda value: value.__class__ in types and value == value


def _one_of_words(words: Collection[object]) -> Rule:
    if not all(isinstance(word, str) for word in words):
        raise _UnknownRuleError("enum")
    return lambda value: isinstance(value, str) and value in words


def _each(rule: Rule) -> Rule:
    return lambda value: not isinstance(value, list) or all(map(rule, value))


def _matching(written: str) -> Rule:
    pattern = re.compile(written)
    return lambda value: not isinstance(value, str) or pattern.search(value) is not None


def _of_format(holds: Callable[[str], bool]) -> Rule:
    return lambda value: not isinstance(value, str) or holds(value)


def _holding(names: Collection[str]) -> Rule:
    return lambda value: not isinstance(value, dict) or value.keys() >= set(names)


def _between(low: int | None, high: int | None, above: int | None) -> Rule:
    def keeps_to(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
        )

    return keeps_to


def _sized(kind: type, fewest: int, most: int | None) -> Rule:
    def keeps_to(value: Any) -> bool:
        if not isinstance(value, kind):
            return True
        size = len(value)  # type: ignore[arg-type] # each of the kinds has a length
        return size >= fewest and (most is None or size <= most)

    return keeps_to


_SIMPLE: Mapping[str, Callable[[Any], Rule]] = {
    "type": _of_type,
    "enum": _one_of_words,
    "pattern": _matching,
    "required": _holding,
}
_SINGLE = _SIMPLE.keys() | {"$ref", "oneOf", "items", "format"}
