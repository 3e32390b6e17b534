"""The inventory in Ansible's protocol, and as a tree that fits on a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.report.hosts_report import (
    graph_lines,
    host_document,
    host_lines,
    hosts_document,
)
from aegis_provision.report.json_documents import as_text
from tests.inventory.inventories import Files, inventories, load
from tests.report.fleets import PINS, inventory
from tests.schemas import check_document

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Inventory


def hostvars(name: str) -> Any:
    return hosts_document(inventory(), [name])["_meta"]["hostvars"][name]


@given(files=inventories())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_documents_are_what_their_schemas_say(files: Files) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    check_document("hosts", hosts_document(loaded[0], list(loaded[0].hosts)))
    for host in loaded[0].hosts.values():
        check_document("host", host_document(host))


@given(files=inventories())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_members_of_all_groups_are_those_of_each(files: Files) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    found = loaded[0]
    assert found.members_by_group() == {name: found.members(name) for name in found.groups}


def test_a_host_has_its_own_settings_and_a_group_has_its_own() -> None:
    whole = hosts_document(inventory(), ["gpu-08.example.com"])
    assert hostvars("gpu-08.example.com") == {
        "ansible_port": 2222,
        "aegis": {"jump": ["a", "b"], "provider": "glm"},
    }
    assert hostvars("gpu-07.example.com") == {}
    assert whole["gpu"] == {
        "hosts": ["gpu-08.example.com"],
        "children": [],
        "vars": {
            "aegis": {
                "provider": "ollama",
                "model": "qwen2.5-coder:32b",
                "env": {"ANTHROPIC_MODEL": "x"},
            }
        },
    }
    assert whole["all"]["vars"]["aegis"]["jump"] == "none"
    assert whole["builders"]["hosts"] == []


def test_what_comes_of_it_stands_beside_it() -> None:
    resolved = hosts_document(inventory(), ["gpu-07.example.com", "gpu-08.example.com"])["_meta"]
    assert resolved["resolved"] == {
        "gpu-07.example.com": {"provider": "ollama", "pinned": False, "groups": ["gpu"]},
        "gpu-08.example.com": {"provider": "glm", "pinned": True, "groups": ["gpu"]},
    }


def test_one_host_has_all_that_counts_for_it() -> None:
    assert host_document(inventory().hosts["gpu-08.example.com"]) == {
        "schema": "aegis-provision/host/v1",
        "ansible_user": "deploy",
        "ansible_become_user": "aegis",
        "ansible_port": 2222,
        "aegis": {
            "jump": ["a", "b"],
            "config_path": "/c",
            "read_via": "explicit",
            "provider": "glm",
            "env": {"ANTHROPIC_MODEL": "x"},
        },
    }


def test_a_removed_variable_is_null_and_comes_back_as_that() -> None:
    text = "all:\n  vars: {provider: glm, env: {A: x}}\n  hosts: {h: {env: {A: null}}}\n"
    found = inventory(text)
    assert host_document(found.hosts["h"])["aegis"]["env"] == {"A": None}
    back = load_back(as_text(hosts_document(found, ["h"])), "all: {}")
    assert meaning(back) == meaning(found)
    lines = [line.plain.split() for line in host_lines(found.hosts["h"])]
    assert ["env.A", "null"] in [words[:2] for words in lines]


def test_two_hundred_hosts_with_eleven_pins_are_one_screen() -> None:
    found = inventory()
    assert len(found.hosts) == 200
    for width in (80, 100):
        lines = [line.plain for line in graph_lines(found, list(found.hosts), width)]
        assert len(lines) <= 24
        assert all(len(line) <= width for line in lines)
        assert lines[0] == f"@all  (200 hosts, {PINS} pins)  provider: openrouter"
        text = "\n".join(lines)
        pinned = [host.name for host in found.hosts.values() if host.pinned]
        assert len(pinned) == PINS
        assert all(name in text for name in pinned)
        assert "    glm (pin): 2  gpu-08.example.com, gpu-21.example.com" in lines


def load_back(text: str, providers: str) -> Inventory:
    files = [
        InputFile("inventory", "", "fleet.sh", text.encode(), 0, printed=True),
        InputFile("inventory", "", "providers.yml", providers.encode(), 1),
    ]
    found, diagnostics = load_inventory(files)
    assert [item.message for item in diagnostics if item.severity is Severity.ERROR] == []
    assert found is not None
    return found


def meaning(found: Inventory) -> list[object]:
    """Return what makes a difference to a run, host by host."""
    return [
        (
            host.name,
            set(host.groups),
            host.pinned,
            {(item.key, item.value, item.holder) for item in host.effective()},
            {(item.key, item.value) for item in host.ignored},
            host.target,
        )
        for host in sorted(found.hosts.values(), key=lambda host: host.name)
    ]


@pytest.mark.slow
@given(files=inventories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_inventory_script_that_prints_it_gives_the_same_fleet(files: Files) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    providers = "\n".join(files[0].lines).partition('"upper":')[0]
    text = as_text(hosts_document(loaded[0], list(loaded[0].hosts)))
    assert meaning(load_back(text, providers)) == meaning(loaded[0])


def test_a_fleet_with_ranges_pins_and_bastions_comes_back_as_it_was() -> None:
    found = inventory()
    text = as_text(hosts_document(found, list(found.hosts)))
    back = load_back(text, "all: {}")
    assert list(back.hosts) == list(found.hosts)
    assert meaning(back) == meaning(found)


def test_a_pin_that_ends_says_when_and_stands_apart_from_those_that_do_not() -> None:
    found = inventory(
        "all:\n  vars: {provider: openrouter}\n  hosts:\n    a: {provider: glm}\n"
        "    b: {provider: glm, pin_until: '2027-12-31'}\n    c: {provider: glm}\n"
    )
    lines = [line.plain for line in graph_lines(found, list(found.hosts), 100)]
    assert lines[1:] == ["  glm (pin): 2  a, c", "  glm (pin until 2027-12-31): 1  b"]
