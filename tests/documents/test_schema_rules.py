"""The quick answer to whether a document keeps to a schema: always that of the library."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import extend

from aegis_provision.aegis.whatwg_url import is_javascript_url
from aegis_provision.documents.nodes import plain_value
from aegis_provision.documents.schema_rules import keeps, rule_of
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

INVENTORY: Any = {
    "providers": {
        "own": {
            "extends": "glm", "base_url": "https://a.example.com", "auth_token": "${A}",
            "model": "m", "fast_model": "f", "timeout_ms": 5, "allow_http": True,
            "env": {"NAME": "value", "GONE": None},
        },
    },
    "all": {
        "hosts": {"h": None, "i[1:3]": {"port": 22, "jump": ["a", "b"], "become": True}},
        "vars": {
            "address": "10.0.0.1", "port": "22", "user": "u", "connection": "ssh",
            "identity_file": "f", "jump": "a,b", "become_user": "b", "config_path": "/c",
            "read_via": "explicit", "timeout_ms": "${T}", "pin_replaces": {}, "ansible_user": 5,
            "env": {},
        },
        "children": {"g": {"children": {"k": {"hosts": None}}}, "empty": None},
    },
    "beside": {"vars": None},
}  # fmt: skip
PLAYBOOK: Any = [
    {
        "name": "n", "hosts": "all", "serial": [1, "10%"], "pause": "30s", "max_fail": "5%",
        "restart": "changed", "verify": {"health": True, "probe": True, "timeout": "60s"},
        "on_failure": "rollback", "sessions": {"wait": "10m"},
    },
    {"hosts": "a", "max_fail": 0, "serial": 3, "sessions": "refuse"},
]  # fmt: skip

AEGIS: Any = {
    "host": "h", "port": 9100, "baseUrl": "http://a.example.com", "authToken": "t",
    "stallThresholdMs": 5, "dashboardEnabled": True, "webhooks": ["a"], "allowedWorkDirs": [],
    "defaultSessionEnv": {"A": "b"}, "nonsense": None,
}  # fmt: skip

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 65535, 65536, 22.0, 0.5, "", "x", "ssh", "5%", "all", "a b", "-"]
)
NAMES = st.sampled_from(
    ["provider", "port", "hosts", "vars", "children", "ansible_x", "nonsense", "a b", "", "1"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2)
)


def library(schema: str, value: Any) -> bool:
    """Tell what the library says, to which an integer is one that is written as such."""

    def is_int(_: Any, item: Any) -> bool:
        return isinstance(item, int) and not isinstance(item, bool)

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_int)
    strict: Any = extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]
    content = {key: part for key, part in load_schema(schema).items() if key != "$schema"}
    return bool(strict(content).is_valid(value))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each collection in ``value`` with each of its keys or indexes."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys:
            yield value, key
            yield from places(value[key])


@st.composite
def documents(draw: st.DrawFn, valid: Any) -> Any:
    """Return ``valid`` with up to two values changed, added or removed."""
    root = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(0, 2))):
        inside, key = draw(st.sampled_from(list(places(root))))
        what = draw(st.sampled_from(["change", "add", "remove"]))
        if what == "change" or (inside is root and what == "remove"):
            inside[key] = draw(VALUES)
        elif what == "remove":
            del inside[key]
        elif isinstance(inside[key], dict):
            inside[key][draw(NAMES)] = draw(VALUES)
        elif isinstance(inside[key], list):
            inside[key].append(draw(VALUES))
    return root[0]


@pytest.mark.parametrize(("schema", "valid"), [("inventory", INVENTORY), ("playbook", PLAYBOOK)])
def test_all_rules_of_our_schemas_are_known(schema: str, valid: Any) -> None:
    assert keeps(valid, schema)


@pytest.mark.parametrize(("schema", "valid"), [("inventory", INVENTORY), ("playbook", PLAYBOOK)])
def test_the_answer_is_that_of_the_library(schema: str, valid: Any) -> None:
    @given(documents(valid))
    def holds(document: Any) -> None:
        node, _ = read_yaml("t", json.dumps(document).encode())
        assert node is not None
        content = plain_value(node)
        assert keeps(content, schema) == library(schema, content)

    holds()


def test_a_file_of_aegis_passes_only_where_the_library_finds_nothing() -> None:
    schema = load_schema("aegis.config")
    rule = rule_of(schema, formats={"whatwg-url": is_javascript_url})
    assert rule is not None
    passes = rule
    assert passes(AEGIS)
    formats = FormatChecker(formats=())
    formats.checks("whatwg-url")(lambda item: not isinstance(item, str) or is_javascript_url(item))
    validator = Draft202012Validator(schema, format_checker=formats)

    @given(documents(AEGIS))
    def holds(document: Any) -> None:
        assert passes(document) == validator.is_valid(document) or 22.0 in _numbers(document)

    holds()


def _numbers(value: Any) -> set[float]:
    """Return the whole numbers that are written as others: to JavaScript they are integers."""
    return {item[key] for item, key in places([value]) if isinstance(item[key], float)}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ("inventory", {"a b": None}),
        ("inventory", {"": {}}),
        ("inventory", {"all": {"children": {"-g": None}}}),
        ("inventory", {"providers": {"a b": {}}}),
        ("playbook", [{"hosts": "all", "serial": "x%"}]),
        ("playbook", [{"hosts": "all", "pause": "soon"}]),
        ("playbook", []),
    ],
)
def test_names_and_forms_count(schema: str, document: Any) -> None:
    assert (keeps(document, schema), library(schema, document)) == (False, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"enum": [1]},
        {"anyOf": [{}]},
        {"format": "date"},
        {"properties": {"a": {"const": 1}}},
    ],
)
def test_what_is_not_known_is_never_passed(schema: Any) -> None:
    assert rule_of(schema) is None
