"""The playbook's schema as an editor uses it: alone, with a description for every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from aegis_provision.documents.nodes import Source
from aegis_provision.documents.schema import check
from aegis_provision.documents.yaml_reader import read_document
from aegis_provision.packaged_files import load_schema
from aegis_provision.playbook.plays import OnFailure, Restart, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic

SCHEMA = load_schema("playbook")
PLAY = SCHEMA["$defs"]["play"]["properties"]


def properties(schema: object, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every property that the schema knows, with its path."""
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield f"{path}/{name}", part
        for key, part in schema.items():
            yield from properties(part, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from properties(part, f"{path}/{index}")


def by_schema(text: str) -> tuple[Diagnostic, ...]:
    node, found = read_document(Source("rollout.yml", text))
    assert node is not None
    assert found == ()
    return check(node, "playbook")


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


KEYS = dict(properties(SCHEMA))


@pytest.mark.parametrize("path", KEYS)
def test_every_key_is_described(path: str) -> None:
    assert KEYS[path]["description"].endswith(".")


def test_words_are_those_of_the_values() -> None:
    assert PLAY["restart"]["enum"] == list(Restart)
    assert set(PLAY["on_failure"]["enum"]) == set(OnFailure)
    assert PLAY["sessions"]["oneOf"][0]["enum"] == list(Sessions)


@pytest.mark.parametrize(
    ("play", "code", "words"),
    [
        ("{serial: 0}", "out-of-range", '"serial" must be at least 1'),
        ("{serial: some}", "bad-value", '"serial" is not written as it has to be'),
        ("{pause: soon}", "bad-value", '"pause" is not written as it has to be'),
        ("{max_fail: true}", "wrong-type", '"max_fail" must be a whole number or a string'),
        ("{sessions: {wait: x}}", "bad-value", '"wait" is not written as it has to be'),
        ("{sessions: wiat}", "not-allowed", '"sessions" must be one of: wait, refuse, ignore'),
        ("{pause: }", "wrong-type", '"pause" must be a whole number or a string'),
    ],
)
def test_an_editor_sees_what_the_schema_can_know(play: str, code: str, words: str) -> None:
    [found] = by_schema(f"- {{hosts: all, {play[1:]}")
    assert found.code == code
    assert found.message.startswith(words)


def test_an_empty_value_is_reported_at_its_key() -> None:
    [found] = by_schema("- hosts: all\n- hosts: all\n  pause:\n")
    assert str(found.span) == "rollout.yml:3:3"
