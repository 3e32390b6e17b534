"""Whether a document keeps to a JSON Schema, quickly: yes, or else the library has to say why.

The library takes half a minute for a hundred thousand hosts. This knows the part of JSON Schema
(draft 2020-12) that the schemas of this program use, reads nodes as they are, and stops at the
first violation. What it does not know it never passes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.nodes import Mapping, Node, Scalar, Sequence
from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from collections.abc import Mapping as MappingOf

    Rule = Callable[[Node], bool]

_NOTES = frozenset(
    {"$defs", "$id", "$schema", "title", "description", "default", "examples", "writeOnly"}
)
_OBJECT = frozenset({"properties", "patternProperties", "additionalProperties", "propertyNames"})
_BOUNDS = frozenset({"minimum", "maximum"})
_LENGTHS = frozenset({"minLength", "maxLength"})


def keeps(node: Node, schema: str, fragment: str = "") -> bool:
    """Tell whether ``node`` keeps to the schema file ``schema`` (its stem), as far as is known.

    ``fragment`` is a JSON pointer to the part that applies. ``False`` may also mean that a rule of
    the schema is not known here.
    """
    rule = _rule_at(schema, fragment)
    return rule is not None and rule(node)


@cache
def _rule_at(schema: str, fragment: str) -> Rule | None:
    return rule_of(load_schema(schema), fragment)


def rule_of(schema: MappingOf[str, Any], fragment: str = "") -> Rule | None:
    """Return what tells whether a node keeps to a schema, ``None`` where a rule is not known."""
    try:
        return _Compiler(schema).reference(f"#{fragment}")
    except _UnknownRuleError:
        return None


class _UnknownRuleError(Exception):
    """The schema uses something that is not known here."""


class _Compiler:
    """Makes functions of the parts of one schema."""

    def __init__(self, root: MappingOf[str, Any]) -> None:
        self._root = root
        self._referenced: dict[str, Rule] = {}

    def reference(self, reference: str) -> Rule:
        """Return the rule of the part that ``reference`` points to; it may hold itself."""
        known = self._referenced.get(reference)
        if known is not None:
            return known

        def later(node: Node) -> bool:
            return self._referenced[reference](node)

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
        unknown = part.keys() - _SINGLE - _NOTES - _OBJECT - _BOUNDS - _LENGTHS
        if unknown:
            raise _UnknownRuleError(*unknown)
        if _BOUNDS & part.keys():
            rules.append(_between(part.get("minimum"), part.get("maximum")))
        if _LENGTHS & part.keys():
            rules.append(_long(part.get("minLength", 0), part.get("maxLength")))
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
        return _SIMPLE[key](content)

    def _object(self, part: MappingOf[str, Any]) -> Rule:
        of_name = {name: self._rule(item) for name, item in part.get("properties", {}).items()}
        of_pattern = [
            (re.compile(pattern), self._rule(item))
            for pattern, item in part.get("patternProperties", {}).items()
        ]
        of_others = self._rule(part.get("additionalProperties", True))
        names = part.get("propertyNames", True)
        of_key = None if names is True else self._rule(names)

        def keeps_to(node: Node) -> bool:
            if not isinstance(node, Mapping):
                return True
            for entry in node.entries:
                name = entry.key.text
                if of_key is not None and not of_key(_as_name(entry.key)):
                    return False
                rule = of_name.get(name)
                others = True
                if rule is not None:
                    others = False
                    if not rule(entry.value):
                        return False
                for pattern, by_pattern in of_pattern:
                    if pattern.search(name):
                        others = False
                        if not by_pattern(entry.value):
                            return False
                if others and not of_others(entry.value):
                    return False
            return True

        return keeps_to


def _as_name(key: Scalar) -> Scalar:
    """Return a key as the library sees it: text, whatever it looks like."""
    return (
        key
        if key.value.__class__ is str
        else Scalar(key.text, key.text, plain=False, span=key.span)
    )


def _all_of(rules: list[Rule]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def keeps_to(node: Node) -> bool:
        for rule in rules:  # noqa: SIM110 - a generator for each value would take twice as long
            if not rule(node):
                return False
        return True

    return keeps_to


def _one_of(rules: list[Rule]) -> Rule:
    return lambda node: sum(rule(node) for rule in rules) == 1


def _of_type(wanted: str | Collection[str]) -> Rule:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    scalars: set[type] = set()
    for kind in kinds:
        match kind:
            case "string":
                scalars.add(str)
            case "integer":
                scalars.add(int)
            case "boolean":
                scalars.add(bool)
            case "null":
                scalars.add(type(None))
            case "object" | "array":
                pass
            case _:
                raise _UnknownRuleError(kind)
    takes_object, takes_array = "object" in kinds, "array" in kinds

    def keeps_to(node: Node) -> bool:
        if isinstance(node, Scalar):
            return node.value.__class__ in scalars
        return takes_object if isinstance(node, Mapping) else takes_array

    return keeps_to


def _one_of_words(words: Collection[object]) -> Rule:
    if not all(isinstance(word, str) for word in words):
        raise _UnknownRuleError("enum")
    return lambda node: isinstance(node, Scalar) and node.value in words


def _each(rule: Rule) -> Rule:
    return lambda node: not isinstance(node, Sequence) or all(map(rule, node.items))


def _at_least(count: int) -> Rule:
    return lambda node: not isinstance(node, Sequence) or len(node.items) >= count


def _matching(written: str) -> Rule:
    pattern = re.compile(written)

    def keeps_to(node: Node) -> bool:
        value = node.value if isinstance(node, Scalar) else None
        return not isinstance(value, str) or pattern.search(value) is not None

    return keeps_to


def _holding(names: Collection[str]) -> Rule:
    return lambda node: not isinstance(node, Mapping) or all(map(node.entry, names))


def _between(low: int | None, high: int | None) -> Rule:
    def keeps_to(node: Node) -> bool:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (low is None or value >= low) and (high is None or value <= high)

    return keeps_to


def _long(fewest: int, most: int | None) -> Rule:
    def keeps_to(node: Node) -> bool:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            return True
        return len(value) >= fewest and (most is None or len(value) <= most)

    return keeps_to


_SIMPLE: MappingOf[str, Callable[[Any], Rule]] = {
    "type": _of_type,
    "enum": _one_of_words,
    "pattern": _matching,
    "required": _holding,
    "minItems": _at_least,
}
_SINGLE = _SIMPLE.keys() | {"$ref", "oneOf", "items"}
