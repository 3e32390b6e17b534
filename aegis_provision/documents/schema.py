"""JSON Schema over nodes: every violation as a diagnostic, in our own words.

The library's messages repeat the rejected value, which may be a pasted token. So only the rule
that failed and its place are taken from them. It is asked only where
:mod:`aegis_provision.documents.schema_rules` finds that something is wrong.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.did_you_mean import Suggestions
from aegis_provision.documents.nodes import Mapping, Node, Scalar, Sequence, is_null, plain_value
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.schema_rules import keeps
from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span

_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping ('key: value' lines)",
    "array": "a list",
    "null": "nothing",
}
_MOST_NAMED = 30


def check(node: Node, schema: str, fragment: str = "") -> tuple[Diagnostic, ...]:
    """Return every violation in ``node`` of the schema file ``schema`` (its stem).

    ``fragment`` is a JSON pointer to the part of the schema that applies, such as
    ``/$defs/vars``. No value is repeated where the schema says ``writeOnly``.
    """
    content = plain_value(node)
    if keeps(content, schema, fragment):
        return ()
    validator = _validator(schema, fragment)
    suggestions = Suggestions()
    return tuple(
        found
        for problem in validator.iter_errors(content)
        for found in _explain(node, problem, suggestions)
    )


@cache
def _validator(schema: str, fragment: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    # To JSON Schema 22.0 is an integer; to YAML, and to the settings reader, it is a float.
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _is_int(value))
    strict = extend(Draft202012Validator, {"oneOf": _one_of}, type_checker=types)  # type: ignore[no-untyped-call]
    # Without its "$schema", which would make the library go back to its own reading of types.
    content = {key: part for key, part in load_schema(schema).items() if key != "$schema"}
    resource = DRAFT202012.create_resource(content)
    registry = Registry().with_resource(content["$id"], resource)
    reference = {"$ref": f"{content['$id']}#{fragment}"}
    validator: Draft202012Validator = strict(reference, registry=registry)
    return validator


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rules(problem: ValidationError) -> dict[str, Any]:
    """Return the part of the schema that was broken; ours are all objects."""
    return problem.schema if isinstance(problem.schema, dict) else {}


def _one_of(
    validator: Any, alternatives: Iterable[Any], instance: object, _schema: object
) -> Iterator[ValidationError]:
    """Yield the errors to tell: of alternatives, only those of the one that was meant.

    The library ties the errors of all of them to each other in circles, and those of 100,000 hosts
    fill the memory. Which alternative is meant the first of its errors tells: for a value of
    another type it says so, as ``type`` stands first in our schemas.
    """
    failing = []
    for number, alternative in enumerate(alternatives):
        errors = validator.descend(instance, alternative, schema_path=number)
        first = next(errors, None)
        if first is None:
            return
        if first.validator_value != "null":
            failing.append((first, errors))
    meant = [item for item in failing if not _is_of_another_type(item[0])]
    for first, errors in meant or failing:
        yield first
        yield from errors


def _is_of_another_type(problem: ValidationError) -> bool:
    """Tell whether an alternative is for another type of value altogether."""
    return problem.validator == "type" and not problem.relative_path


def _explain(
    root: Node, problem: ValidationError, suggestions: Suggestions
) -> Iterator[Diagnostic]:
    node = _node_at(root, problem.absolute_path)
    if node is None:
        return
    span, where = _place(root, problem, node)
    match problem.validator:
        case "additionalProperties":
            yield from _unknown_keys(node, problem, suggestions)
        case "required":
            yield _missing_keys(node, span, problem)
        case "type":
            yield _wrong_type(node, span, where, problem)
        case "enum":
            yield _not_one_of(node, span, where, problem, suggestions)
        case "minimum" | "maximum":
            # Of another number the type is told already.
            if _is_int(problem.instance):
                yield _out_of_range(span, where, problem)
        case "pattern" if "propertyNames" in problem.absolute_schema_path:
            words = str(_rules(problem)["description"])
            yield error("bad-name", words, _key_span(node, problem), hint="rename it")
        case "pattern":
            hint = str(_rules(problem).get("description", ""))
            yield error("bad-value", f"{where} is not written as it has to be", span, hint=hint)
        case "minLength":
            yield error(
                "bad-value", f"{where} is empty", span, hint="give it a value, or remove it"
            )
        case rule:
            yield error("schema", f"{where} breaks the schema's rule {quote(str(rule))}", span)


def _node_at(root: Node, path: Iterable[str | int]) -> Node | None:
    node: Node = root
    for step in path:
        if isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step]
        elif isinstance(node, Mapping) and (entry := node.entry(str(step))):
            node = entry.value
        else:
            return None
    return node


def _place(root: Node, problem: ValidationError, node: Node) -> tuple[Span, str]:
    """Return where to point, and what to call it: the nearest named thing."""
    names = [step for step in problem.absolute_path if isinstance(step, str)]
    where = quote(names[-1]) if names else "this file"
    if isinstance(node, Scalar) and node.text == "" and names:
        parent = _node_at(root, list(problem.absolute_path)[:-1])
        if isinstance(parent, Mapping) and (entry := parent.entry(names[-1])):
            return entry.key.span, where
    return node.span, where


def _unknown_keys(
    node: Node, problem: ValidationError, suggestions: Suggestions
) -> Iterator[Diagnostic]:
    known = list(_rules(problem).get("properties", {}))
    prefixes = tuple(
        pattern.removeprefix("^") for pattern in _rules(problem).get("patternProperties", {})
    )
    for entry in node if isinstance(node, Mapping) else ():
        name = entry.key.text
        if name in known or name.startswith(prefixes or ("\0",)):
            continue
        hint = suggestions.did_you_mean(name, known)
        if not hint and len(known) <= _MOST_NAMED:
            hint = "known here: " + ", ".join(known)
        title = _rules(problem).get("title", "this mapping")
        yield error(
            "unknown-key", f"unknown key {quote(name)} in {title}", entry.key.span, hint=hint
        )


def _missing_keys(node: Node, span: Span, problem: ValidationError) -> Diagnostic:
    keys: Any = problem.validator_value
    missing = [key for key in keys if isinstance(node, Mapping) and node.entry(key) is None]
    title = _rules(problem).get("title", "this mapping")
    names = " and ".join(f'"{key}"' for key in missing)
    meanings = (_rules(problem).get("properties", {}).get(key, {}) for key in missing)
    hint = " ".join(meaning["description"] for meaning in meanings if "description" in meaning)
    if isinstance(node, Mapping) and node.entries:
        span = node.entries[0].key.span
    return error("missing-key", f"{title} needs {names}", span, hint=hint)


def _wrong_type(node: Node, span: Span, where: str, problem: ValidationError) -> Diagnostic:
    kinds: Any = problem.validator_value
    types = [kinds] if isinstance(kinds, str) else list(kinds)
    words = " or ".join(_KINDS[kind] for kind in types if kind != "null")
    hint = ""
    if is_null(node):
        hint = "give it a value, or remove it"
    elif "string" in types and isinstance(node, Scalar):
        secret = _rules(problem).get("writeOnly")
        hint = "put quotes around it" + ("" if secret else f": {quote(node.text)}")
    elif isinstance(node, Scalar) and "boolean" in types:
        hint = "write true or false"
    elif "string" in types:
        hint = "write one value, in quotes"
    elif isinstance(node, Scalar) and "object" in types:
        hint = "write 'name:' on a line of its own, with a colon"
    elif isinstance(node, Sequence) and "object" in types:
        hint = "write 'name:' lines, each ending in a colon, rather than '- name'"
    return error(
        "wrong-type", f"{where} must be {words}, and this is {_kind_of(node)}", span, hint=hint
    )


def _kind_of(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return "true or false without quotes"
    if isinstance(node.value, int | float):
        return "a number without quotes"
    return "a string"


def _not_one_of(
    node: Node, span: Span, where: str, problem: ValidationError, suggestions: Suggestions
) -> Diagnostic:
    values: Any = problem.validator_value
    allowed = [str(item) for item in values]
    hint = suggestions.did_you_mean(node.text, allowed) if isinstance(node, Scalar) else ""
    return error("not-allowed", f"{where} must be one of: {', '.join(allowed)}", span, hint=hint)


def _out_of_range(span: Span, where: str, problem: ValidationError) -> Diagnostic:
    low, high = _rules(problem).get("minimum"), _rules(problem).get("maximum")
    words = f"between {low} and {high}"
    if low is None or high is None:
        words = f"at least {low}" if high is None else f"at most {high}"
    message = f"{where} must be {words}"
    return error("out-of-range", message, span, hint="write a number within these bounds")


def _key_span(node: Node, problem: ValidationError) -> Span:
    if isinstance(node, Mapping) and isinstance(problem.instance, str):
        entry = node.entry(problem.instance)
        if entry is not None:
            return entry.key.span
    return node.span
