"""What a script prints is the inventory that would stand in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.documents.json_reader import read_json
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.script_output import hosts_to_ask

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Inventory


def printed(content: object, *more: InputFile) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    data = json.dumps(content).encode()
    script = InputFile("inventory", "", "inv.py", data, 0, printed=True)
    return load_inventory([script, *more])


def values(inventory: Inventory) -> dict[str, Any]:
    """Return everything that an inventory says, without the places."""
    return {
        name: (
            host.groups,
            {key: item.value for key, item in host.settings.items()},
            host.provider.value if host.provider else None,
            host.pinned,
            {key: item.value for key, item in host.overrides.items()},
            {key: item.value for key, item in host.env.items()},
            host.target,
        )
        for name, host in inventory.hosts.items()
    }


HOSTS = ("a", "b", "c", "d.example.com")
GROUPS = ("g1", "g2", "g3")
OURS = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from(["glm", "ollama"]),
        "model": st.text('a${}: #"é', max_size=8),
        "timeout_ms": st.integers(1, 9) | st.just("${T}"),
        "port": st.integers(1, 9),
        "become": st.booleans(),
        "jump": st.just(["one", "two"]) | st.just("none"),
        "config_path": st.just("/opt/x.json"),
        "env": st.dictionaries(st.sampled_from(["A", "B"]), st.text("a: é", max_size=4)),
    },
)
FOREIGN = st.dictionaries(
    st.sampled_from(["ec2_id", "tags", "password", "provider", "ansible"]),
    st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.text()),
)
ANSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "ansible_host": st.sampled_from(["10.0.0.1", "fe80::1"]),
        "ansible_user": st.just("deploy"),
        "ansible_ssh_private_key_file": st.just("/k"),
        "ansible_ssh_user": st.sampled_from(["root", "ci"]),
        "ansible_ssh_common_args": st.just("-J bastion"),
        "ansible_winrm_transport": st.just("ntlm"),
    },
)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a fleet as a script prints it, and as it would stand in a file."""
    listed: dict[str, Any] = {"_meta": {"hostvars": {}}}
    file: dict[str, Any] = {}
    seen: set[str] = set()
    hostvars = {host: (draw(OURS), draw(ANSIBLE)) for host in HOSTS}

    def body(host: str) -> dict[str, Any] | None:
        if host in seen:
            return None
        seen.add(host)
        ours, ansible = hostvars[host]
        return {**ours, **ansible}

    for place, group in enumerate(("all", *GROUPS)):
        hosts = draw(st.lists(st.sampled_from(HOSTS), unique=True))
        below = st.lists(st.sampled_from(GROUPS[place:]), unique=True) if GROUPS[place:] else None
        children = draw(below) if below is not None else []
        ours, ansible, foreign = draw(OURS), draw(ANSIBLE), draw(FOREIGN)
        whole = {
            "hosts": hosts,
            "children": children,
            "vars": {**foreign, **ansible, "aegis": ours},
        }
        listed[group] = whole
        file[group] = {
            "hosts": {host: body(host) for host in hosts},
            "children": dict.fromkeys(children),
            "vars": {**ours, **ansible},
        }
    for host, (ours, ansible) in hostvars.items():
        if host in seen:
            listed["_meta"]["hostvars"][host] = {**draw(FOREIGN), "aegis": ours, **ansible}
    return listed, file


@pytest.mark.slow
@given(fleets())
@settings(deadline=None, max_examples=100)
def test_a_script_says_what_a_file_of_the_same_content_says(
    fleet: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    listed, file = fleet
    by_script, found = printed(listed)
    by_file, expected = load_inventory(
        [InputFile("inventory", "", "inv.yml", json.dumps(file).encode(), 0)]
    )
    told = [item.code for item in expected]
    assert [item.code for item in found] == told
    assert (by_script is None) == (by_file is None)
    if by_script is not None and by_file is not None:
        assert values(by_script) == values(by_file)
        assert {name: group.children for name, group in by_script.groups.items()} == {
            name: group.children for name, group in by_file.groups.items()
        }


MINIMAL = {"web": ["h"], "all": {"vars": {"aegis": {"provider": "glm"}}}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"empty": {}, "none": None, "nobody": [], "hosts": {"hosts": []}},
        {"all": {"children": ["web", "ungrouped"], "vars": {"aegis": {"provider": "glm"}}}},
        {"_meta": {}},
        {"_meta": {"hostvars": {}, "schema": "x"}},
        {"_meta": {"hostvars": {"h": None}}},
        {"_meta": {"hostvars": {"h": {"aegis": None, "x": [1, {"y": None}]}}}},
        {"web": {"hosts": ["h"], "vars": None, "children": None, "priority": 3}},
    ],
)
def test_what_scripts_print_besides_is_no_trouble(more: dict[str, Any]) -> None:
    inventory, found = printed({**MINIMAL, **more})
    assert found == ()
    assert inventory is not None
    assert list(inventory.hosts) == ["h"]


@pytest.mark.parametrize(
    ("more", "code", "words", "place"),
    [
        ({"web": "h"}, "wrong-type", "neither a list of hosts nor a group", "inv.py:2:10"),
        ({"web": {"host": ["h"]}}, "wrong-type", "neither a list of hosts", "inv.py:2:10"),
        (
            {"web": {"hosts": "h"}},
            "wrong-type",
            '"hosts" of the group "web" must be',
            "inv.py:3:14",
        ),
        ({"web": [1]}, "wrong-type", "a name must be text", "inv.py:3:5"),
        ({"web": ["h-[1:9]"]}, "bad-name", "can't be a host's name", "inv.py:3:5"),
        ({"web": ["h o"]}, "bad-name", "can't be a host's name", "inv.py:3:5"),
        ({"web": ["h", ""]}, "wrong-type", "a name must be text", "inv.py:4:5"),
        ({"not a group": ["h"]}, "bad-name", "a group's name", "inv.py:12:3"),
        ({"providers": {"hosts": ["h"]}}, "bad-name", 'a group can\'t be called "providers"', ""),
        ({"_meta": []}, "wrong-type", '"_meta" must hold a mapping "hostvars"', ""),
        ({"_meta": {"hostvars": []}}, "wrong-type", '"_meta" must hold a mapping', ""),
        ({"_meta": {"hostvars": {"h": 1}}}, "wrong-type", 'variables of "h" must be a mapping', ""),
        ({"_meta": {"hostvars": {"h": {"aegis": "glm"}}}}, "wrong-type", '"aegis" must be', ""),
        ({"_meta": {"hostvars": {"h": {"aegis": {"modle": "x"}}}}}, "unknown-key", '"modle"', ""),
        ({"_meta": {"hostvars": {"h": {"aegis": {"model": 1}}}}}, "wrong-type", '"model"', ""),
        ({"_meta": {"hostvars": {"h": {"ansible_port": "x"}}}}, "bad-value", '"ansible_port"', ""),
        ({"_meta": {"hostvars": {"i": {}}}}, "unused-variables", 'variables of "i"', ""),
        ({"web": {"hosts": ["h"], "var": {}}}, "unknown-key", '"var" of the group "web"', ""),
    ],
)
def test_errors_have_their_place(more: dict[str, Any], code: str, words: str, place: str) -> None:
    _, found = printed({**MINIMAL, **more})
    [first, *_] = [item for item in found if item.code == code]
    assert words in first.message
    assert first.hint
    assert str(first.span) == place or (not place and first.span is not None)


@pytest.mark.parametrize("content", [[], "x", 1, None])
def test_an_inventory_is_a_mapping_of_groups(content: object) -> None:
    inventory, found = printed(content)
    assert inventory is None
    assert [item.message for item in found][:1] == ["an inventory must be a mapping of groups"]


def test_our_settings_are_stronger_than_ansibles_at_the_same_place() -> None:
    variables = {"ansible_user": "root", "ansible_port": 1, "aegis": {"user": "deploy"}}
    inventory, found = printed({**MINIMAL, "_meta": {"hostvars": {"h": variables}}})
    assert found == ()
    assert inventory is not None
    assert {key: item.value for key, item in inventory.hosts["h"].settings.items()} == {
        "user": "deploy",
        "port": 1,
    }


def test_variables_asked_for_one_by_one_are_a_part_of_the_inventory() -> None:
    """A file in host_vars is stronger than the inventory, and so than all of the script."""
    asked = InputFile(
        "host_vars", "h", "inv.py --host h", b'{"aegis": {"user": "u", "port": 1}}', 0, printed=True
    )
    file = InputFile("host_vars", "h", "host_vars/h.yml", b"user: v", 0)
    inventory, found = printed(MINIMAL, asked, file)
    assert found == ()
    assert inventory is not None
    settings = inventory.hosts["h"].settings
    assert [(item.value, str(item.span)) for item in settings.values()] == [
        ("v", "host_vars/h.yml:1:7"),
        (1, "inv.py --host h:4:13"),
    ]


def test_variables_asked_for_must_be_a_mapping() -> None:
    asked = InputFile("host_vars", "h", "inv.py --host h", b"[]", 0, printed=True)
    _, found = printed(MINIMAL, asked)
    assert [item.message for item in found] == [
        "a host's variables must be a mapping, and this is none"
    ]


@pytest.mark.parametrize(
    ("content", "hosts"),
    [
        ({"a": ["h", "i"], "b": {"hosts": ["i", "j"]}, "c": {"vars": {"x": ["y"]}}}, "hij"),
        ({"a": ["h"], "_meta": {}}, ""),
        ([], ""),
    ],
)
def test_hosts_are_asked_for_only_without_meta(content: object, hosts: str) -> None:
    node, _ = read_json("inv.py", json.dumps(content).encode())
    assert node is not None
    assert hosts_to_ask(node) == tuple(hosts)
