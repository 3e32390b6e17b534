"""The inventory's schema: valid, described for editors, and of one mind with the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from aegis_provision.documents.nodes import Source
from aegis_provision.documents.schema import check
from aegis_provision.documents.yaml_reader import read_document
from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = load_schema("inventory")
SETTINGS = {
    "address", "port", "user", "connection", "identity_file", "identity_passphrase", "password",
    "jump", "become", "become_user",
    "become_method",
    "sftp_server_path",
    "site",
    "trust_directory",
    "config_path", "read_via", "service", "restart_command", "api", "api_token", "provider",
    "pin_until", "pin_reason", "pin_replaces", "base_url", "auth_token", "model", "fast_model",
    "timeout_ms", "env",
}  # fmt: skip


@pytest.mark.parametrize("stem", ["inventory", "aegis.config"])
def test_it_is_a_schema_of_its_draft(stem: str) -> None:
    schema = load_schema(stem)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def properties(part: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for key in ("properties", "patternProperties"):
            for name, inner in part.get(key, {}).items():
                yield f"{where}/{name}", inner
        for key, inner in part.items():
            yield from properties(inner, f"{where}/{key}")


def described(part: dict[str, Any]) -> bool:
    target = part.get("$ref", "").rpartition("/")[2]
    return "description" in part or bool(target and "description" in SCHEMA["$defs"][target])


def test_every_property_is_described() -> None:
    found = list(properties(SCHEMA))
    assert len(found) > 30
    assert [where for where, part in found if not described(part)] == []


def test_it_knows_the_settings_of_the_contract() -> None:
    known = SCHEMA["$defs"]["vars"]["properties"]
    assert set(known) == SETTINGS
    assert set(ALIASES.values()) <= SETTINGS
    assert set(SCHEMA["$defs"]["provider"]["properties"]) == {
        "extends", "allow_http", "env", *OVERRIDE_KEYS,
    }  # fmt: skip


def codes(settings: str) -> list[str]:
    node, _ = read_document(Source("t", settings))
    assert node is not None
    return [item.code for item in check(node, "inventory", "/$defs/vars")]


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_every_setting_is_refused_as_a_mapping_in_a_list(key: str) -> None:
    assert "wrong-type" in codes(f"{key}: [{{a: b}}]")


@pytest.mark.parametrize("key", sorted(SETTINGS - {"port", "timeout_ms"}))
def test_no_other_setting_takes_a_number(key: str) -> None:
    assert codes(f"{key}: 5")[0] == "wrong-type"


@pytest.mark.parametrize("setting", ["port: 22.0", "timeout_ms: 1000.0", "port: .inf"])
def test_a_float_is_no_whole_number(setting: str) -> None:
    assert codes(setting) == ["wrong-type"]


@pytest.mark.parametrize("key", ["auth_token", "api_token"])
def test_a_secrets_value_is_not_in_the_hint(key: str) -> None:
    node, _ = read_document(Source("t", f"{key}: 123456"))
    assert node is not None
    (found,) = check(node, "inventory", "/$defs/vars")
    assert "123456" not in found.message + found.hint
