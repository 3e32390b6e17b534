"""An inventory as Ansible has it: whose each value is, what it replaced, what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.inventory.pin_edits import PinRequest, edit_pins

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Inventory

VARIABLES: dict[str, Any] = {
    "g1": {"aegis": {"provider": "glm", "model": "m-g1"}, "ansible_user": "deploy"},
    "w1": {"aegis": {"provider": "ollama", "service": "aegis"}, "ansible_user": "deploy"},
}
DECLARED: dict[str, Any] = {
    "groups": {
        "all": {"aegis": {"provider": "ollama", "service": "aegis"}, "ansible_user": "deploy"},
        "gpu": {"aegis": {"provider": "glm", "model": "m-{{ inventory_hostname }}"}},
    },
    "hosts": {},
}


def read(**changes: Any) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    content = {
        "merges": False,
        "groups": {
            "all": {"hosts": [], "children": ["ungrouped", "site"]},
            "site": {"hosts": [], "children": ["gpu", "web"]},
            "gpu": {"hosts": ["g1"], "children": []},
            "web": {"hosts": ["w1", "plain"], "children": []},
        },
        "hosts": ["g1", "w1", "plain"],
        "variables": VARIABLES,
        "declared": DECLARED,
        "configuration": {},
        "host_vars": {"g1": "host_vars/g1.yml"},
        **changes,
    }
    file = InputFile("ansible", "", "ansible:i", json.dumps(content).encode(), 0, printed=True)
    return load_inventory([file])


def load(**changes: Any) -> tuple[Inventory, tuple[Diagnostic, ...]]:
    inventory, found = read(**changes)
    assert inventory is not None, found
    return inventory, found


def of_one(
    variables: dict[str, Any], declared: dict[str, Any] | None = None, **changes: Any
) -> tuple[Inventory, tuple[Diagnostic, ...]]:
    return load(
        variables={"g1": {"aegis": {"provider": "glm"}, **variables}},
        declared={"groups": declared or {}, "hosts": {}},
        **changes,
    )


def test_where_a_nearer_place_replaced_the_provider_that_is_said() -> None:
    variables = {"g1": {"aegis": {"model": "m"}}, "w1": {"aegis": {"service": "s"}}}
    groups = {"all": {"aegis": {"provider": "ollama"}}, "gpu": {"aegis": {"model": "m"}}}
    declared = {"groups": groups, "hosts": {}}
    _, [found] = load(variables=variables, declared=declared)
    assert (found.code, found.hosts) == ("no-provider", ("g1", "w1"))
    assert found.hint == (
        "ansible: group all names one, but to Ansible the 'aegis' of a nearer place replaces it "
        "whole: name the provider there too, or set hash_behaviour = merge"
    )


def test_a_stronger_name_that_is_not_set_there_is_no_rival() -> None:
    _, found = of_one(
        {"ansible_ssh_common_args": "-C", "ansible_ssh_extra_args": "-J a", "ansible_user": "u"},
        {"gpu": {"ansible_ssh_common_args": "-J b", "ansible_ssh_user": "v"}},
    )
    assert [item.code for item in found] == ["ignored-variables"]


def test_a_value_is_that_of_the_group_it_comes_from() -> None:
    inventory, found = load()
    assert found == ()
    host = inventory.hosts["g1"]
    assert host.provider is not None
    assert (host.provider.value, host.provider.holder, host.pinned) == ("glm", "gpu", False)
    assert str(host.provider.span) == "ansible: group gpu"
    assert [(item.value, item.holder) for item in host.provider.overrode] == [("ollama", "all")]
    assert host.overrides["model"].value == "m-g1"
    assert host.target.user == "deploy"
    assert host.settings["user"].overrode == ()


def test_the_mapping_of_the_nearest_group_replaces_the_others_whole() -> None:
    host = load()[0].hosts["g1"]
    assert host.service.unit is None
    assert [(item.key, item.value, item.holder) for item in host.replaced] == [
        ("service", "aegis", "all")
    ]
    assert load()[0].hosts["w1"].replaced == ()


def test_merged_mappings_keep_the_group_of_each_key() -> None:
    merged = {"provider": "glm", "model": "m-g1", "service": "aegis", "env": {"A": "1", "B": "2"}}
    declared = {
        "groups": {
            "all": {"aegis": {**DECLARED["groups"]["all"]["aegis"], "env": {"A": "1"}}},
            "gpu": {"aegis": {**DECLARED["groups"]["gpu"]["aegis"], "env": {"B": "2"}}},
        },
        "hosts": {},
    }
    inventory, found = load(merges=True, variables={"g1": {"aegis": merged}}, declared=declared)
    assert found == ()
    host = inventory.hosts["g1"]
    assert (host.settings["service"].holder, host.overrides["model"].holder) == ("all", "gpu")
    assert {name: item.holder for name, item in host.env.items()} == {"A": "all", "B": "gpu"}
    assert host.replaced == ()


def test_a_host_of_its_own_is_a_pin_and_groups_are_none() -> None:
    declared = {**DECLARED, "hosts": {"g1": {"aegis": {"provider": "glm"}}}}
    host = load(variables={"g1": {"aegis": {"provider": "glm"}}}, declared=declared)[0].hosts["g1"]
    assert host.pinned
    assert host.provider is not None
    assert str(host.provider.span) == "ansible: host g1"


@pytest.mark.parametrize(
    ("effective", "groups", "holder"),
    [
        ("near", {"gpu": "near", "site": "far"}, "gpu"),
        # Of two at the same depth the one with the higher priority, then the later name.
        ("b", {"gpu": "a", "web": "b"}, "web"),
        ("a", {"gpu": "a", "web": "b"}, "gpu"),
        # group_vars/all counts for more than a group's variables in the inventory itself.
        ("far", {"gpu": "near", "all": "far"}, "all"),
        ("filled", {"gpu": "{{ near }}", "all": "far"}, "gpu"),
        ("filled", {"gpu": "near", "all": "{{ far }}"}, "all"),
        ("open", {"gpu": "(vaulted)", "all": "far"}, "gpu"),
        ("from a plugin", {}, "all"),
    ],
)
def test_whose_it_is_follows_ansibles_order_and_what_it_comes_to(
    effective: str, groups: dict[str, str], holder: str
) -> None:
    names = {
        "all": {"hosts": [], "children": ["site"]},
        "site": {"hosts": [], "children": ["gpu", "web"]},
        "gpu": {"hosts": ["g1"], "children": []},
        "web": {"hosts": ["g1"], "children": []},
    }
    declared = {name: {"aegis": {"model": value}} for name, value in groups.items()}
    aegis = {"provider": "glm", "model": effective}
    for group in declared.values():
        group["aegis"]["provider"] = "glm"
    inventory, _ = of_one({"aegis": aegis}, declared, groups=names)
    assert inventory.hosts["g1"].overrides["model"].holder == holder


def test_ansibles_priority_decides_between_groups_beside_each_other() -> None:
    declared = {
        name: {"aegis": {"provider": "glm"}, "ansible_group_priority": priority}
        for name, priority in (("gpu", 10), ("web", 1))
    }
    groups = {name: {"hosts": ["g1"], "children": []} for name in ("gpu", "web")}
    host = of_one({}, declared, groups=groups)[0].hosts["g1"]
    assert host.provider is not None
    assert host.provider.holder == "gpu"


def test_hosts_without_settings_of_ours_are_not_ours() -> None:
    inventory, _ = load()
    assert tuple(inventory.hosts) == ("g1", "w1")
    assert inventory.others == {"plain": ("site", "web")}
    assert inventory.members("web") == ("w1",)


def test_a_template_within_a_list_may_be_any_value() -> None:
    declared = {
        "gpu": {"aegis": {"provider": "glm", "jump": ["near"]}},
        "all": {"aegis": {"provider": "glm", "jump": ["{{ bastion }}"]}},
    }
    inventory, _ = of_one({"aegis": {"provider": "glm", "jump": ["filled"]}}, declared)
    assert inventory.hosts["g1"].settings["jump"].holder == "all"


def test_a_circle_of_groups_which_ansible_itself_refuses_is_an_error() -> None:
    circle = {
        "gpu": {"hosts": ["g1"], "children": ["web"]},
        "web": {"hosts": [], "children": ["gpu"]},
    }
    inventory, [found] = read(groups=circle, hosts=["g1"], variables={"g1": VARIABLES["g1"]})
    assert (inventory, found.code) == (None, "group-cycle")


def test_hosts_that_ansible_reaches_otherwise_are_left_out() -> None:
    inventory, [found] = load(
        variables={**VARIABLES, "plain": {"aegis": {}, "ansible_connection": "winrm"}}
    )
    assert "plain" in inventory.others
    assert (found.code, found.hosts) == ("not-ours", ("plain",))
    assert 'connects with "winrm"' in found.message
    ours = {"provider": "glm", "connection": "ssh"}
    inventory, found_too = of_one({"aegis": ours, "ansible_connection": "winrm"})
    assert ("g1" in inventory.hosts, found_too) == (True, ())


def test_the_configuration_counts_where_no_variable_says_so() -> None:
    configuration = {
        "ansible_user": "root",
        "ansible_port": 2222,
        "ansible_connection": "smart",
        "ansible_host_key_checking": False,
        "ansible_ssh_common_args": "-J bastion",
        "ansible_become_method": "su",
    }
    inventory, found = of_one({"ansible_ssh_port": 22}, configuration=configuration)
    target = inventory.hosts["g1"].target
    assert (target.user, target.port, target.jump) == ("root", 22, ("bastion",))
    assert str(inventory.hosts["g1"].settings["user"].span) == "ansible: configuration"
    assert inventory.hosts["g1"].settings["user"].holder == "all"
    assert [item.message.partition('"')[2].partition('"')[0] for item in found] == [
        "ansible_host_key_checking"
    ]


@pytest.mark.parametrize(
    ("variables", "configuration", "user"),
    [
        ({"ansible_become_user": "app"}, {}, None),
        ({"ansible_become_user": "app"}, {"ansible_become": True}, "app"),
        ({"ansible_become_user": "app", "ansible_become": "yes"}, {}, "app"),
        ({"ansible_become": "no"}, {"ansible_become": True}, None),
        ({}, {"ansible_become": True, "ansible_become_user": "app"}, "app"),
        ({}, {"ansible_become": False, "ansible_become_user": "app"}, None),
        ({"aegis": {"provider": "glm", "become": True, "config_path": "auto"},
          "ansible_become_user": "app"}, {}, "app"),
    ],
)  # fmt: skip
def test_becoming_another_user_is_as_ansible_would(
    variables: dict[str, Any], configuration: dict[str, Any], user: str | None
) -> None:
    variables = {"aegis": {"provider": "glm", "config_path": "auto"}, **variables}
    inventory, found = of_one(variables, configuration=configuration)
    assert inventory.hosts["g1"].target.become_user == user
    assert found == ()


def test_what_nobody_wrote_is_not_said_to_be_set() -> None:
    """Ansible's own defaults are ours; an empty user or key is none to its ``ssh``."""
    inventory, found = of_one(
        {
            "aegis": {"provider": "glm", "config_path": "auto"},
            "ansible_become": True,
            "ansible_user": "",
            "ansible_private_key_file": None,
            "ansible_become_user": "",
            "ansible_host": None,
            "ansible_port": None,
            "ansible_connection": None,
        },
        configuration={"ansible_become_user": "root", "ansible_become_method": "sudo"},
    )
    settings = inventory.hosts["g1"].settings
    assert found == ()
    assert not set(settings) - {"become", "config_path"}
    assert inventory.hosts["g1"].target.become_user == "root"


@pytest.mark.parametrize("merges", [False, True])
def test_a_session_variable_out_of_a_vault_is_refused(merges: bool) -> None:
    ours = {"provider": "glm", "env": {"A": "hunter2", "B": "b"}}
    declared = {"aegis": {"provider": "glm", "env": {"A": "(vaulted)", "B": "b"}}}
    _, found = of_one({"aegis": ours}, {"gpu": declared}, merges=merges)
    [refused] = (item for item in found if item.is_error)
    assert (refused.code, refused.hosts) == ("literal-secret", ("g1",))
    assert refused.message.startswith('"env.A" (ansible: group gpu) comes out of a vault')
    assert "hunter2" not in repr(found)


def test_what_is_wrong_is_told_once_for_all_hosts_it_is_wrong_for() -> None:
    wrong = {"aegis": {"provider": "glm", "modell": "m"}}
    declared = {"groups": {"site": wrong}, "hosts": {}}
    _, [found] = load(variables={"g1": wrong, "w1": wrong}, declared=declared)
    assert (found.code, found.hosts, found.place) == (
        "unknown-key",
        ("g1", "w1"),
        "ansible: group site",
    )


def test_a_secret_is_refused_and_not_repeated() -> None:
    _, found = of_one({"aegis": {"provider": "glm", "model": "sk-ant-hunter2hunter2"}})
    [refused] = (item for item in found if item.is_error)
    assert refused.code == "literal-secret"
    assert "to Ansible too it is plain text" in refused.hint
    assert "hunter2" not in repr(found)


def test_the_end_of_a_pin_is_not_said_of_a_group() -> None:
    ours = {"aegis": {"provider": "glm", "pin_until": "2099-01-01"}}
    _, [found] = of_one(ours, {"gpu": ours})
    assert (found.code, found.hosts) == ("not-a-pin", ("g1",))


def test_settings_that_are_no_mapping_are_an_error() -> None:
    _, found = of_one({"aegis": "glm"}, {"gpu": {"aegis": "glm"}})
    assert "wrong-type" in {item.code for item in found}


def test_what_a_line_of_ini_left_of_a_mapping_is_answered_with_its_quotes() -> None:
    _, found = of_one({"aegis": "{provider:glm}"})
    [wrong] = (item for item in found if item.code == "wrong-type")
    assert wrong.hint == (
        """put quotes around it on the host's line: aegis='{"provider": "glm", ...}'"""
    )


def test_with_no_host_of_ours_it_is_said_where_settings_go() -> None:
    file = InputFile("ansible", "", "ansible:i", b'{"merges": false, "groups": {}, "hosts": [], '
                     b'"variables": {}, "declared": {"groups": {}, "hosts": {}}, '
                     b'"configuration": {}, "host_vars": {}}', 0, printed=True)  # fmt: skip
    inventory, [found] = load_inventory([file])
    assert inventory is None
    assert "group_vars/all/aegis.yml" in found.hint
    data = json.loads(file.data)
    data |= {"hosts": ["a", "b"], "groups": {"web": {"hosts": ["a", "b"], "children": []}}}
    inventory, [found] = load_inventory([replace(file, data=json.dumps(data).encode())])
    assert inventory is None
    assert found.message.startswith("no host of Ansible's inventory (a, b) has the variable")
    assert "group_vars/web/aegis.yml" in found.hint


def test_a_file_of_ours_beside_it_holds_recipes_and_is_weaker() -> None:
    content = {
        "merges": False,
        "groups": {"gpu": {"hosts": ["g1"], "children": []}},
        "hosts": ["g1"],
        "variables": {"g1": {"aegis": {"provider": "gateway"}}},
        "declared": {"groups": {"gpu": {"aegis": {"provider": "gateway"}}}, "hosts": {}},
        "configuration": {},
        "host_vars": {},
    }
    ours = b"providers: {gateway: {extends: glm}}\nall: {vars: {provider: ollama, user: u}}\n"
    files = [
        InputFile("ansible", "", "ansible:i", json.dumps(content).encode(), 1, printed=True),
        InputFile("inventory", "", "r.yml", ours, 0),
    ]
    inventory, found = load_inventory(files)
    assert found == ()
    assert inventory is not None
    host = inventory.hosts["g1"]
    assert host.provider is not None
    assert (host.provider.value, host.target.user) == ("gateway", "u")


def test_patterns_name_what_is_not_ours_and_pass_over_it_in_a_list() -> None:
    inventory, _ = load()
    with pytest.raises(PatternError, match='"plain" has no settings of ours in Ansible'):
        match_hosts("plain", inventory, lambda _: "")
    assert match_hosts("@x.retry", inventory, lambda _: "plain\nw1\n") == ("w1",)
    assert match_hosts("gpu:web", inventory, lambda _: "") == ("g1", "w1")
    with pytest.raises(PatternError, match="names no host that has settings of ours"):
        match_hosts("@x.retry", inventory, lambda _: "plain\n")


def test_for_an_import_hosts_without_any_variable_are_there_too() -> None:
    inventory, found = load(variables={"g1": {}, "plain": {"ansible_user": "u"}})
    assert [item.code for item in found] == ["no-provider"]
    assert tuple(inventory.hosts) == ("g1", "plain")
    assert inventory.hosts["plain"].target.user == "u"


def test_where_ansible_merges_a_pin_is_what_the_host_says_for_itself() -> None:
    ours = {"provider": "glm", "service": "s", "read_via": "search", "env": {"A": "a", "B": "b"}}
    declared = {
        "groups": {"gpu": {"aegis": {"provider": "glm", "service": "s", "env": {"A": "a"}}}},
        "hosts": {"g1": {"aegis": {"read_via": "search", "env": {"B": "b"}}}},
    }
    inventory, _ = load(merges=True, variables={"g1": {"aegis": ours}}, declared=declared)
    [found] = edit_pins(inventory, (), ["g1"], PinRequest("ollama")).diagnostics
    assert found.hint == (
        'write into host_vars/g1.yml beside the inventory: \'aegis: {"provider": "ollama", '
        '"read_via": "search", "env": {"B": "b"}}\', which Ansible merges with the \'aegis\' of '
        "the host's groups"
    )


def test_a_pin_is_not_written_but_it_is_said_where_and_what() -> None:
    declared = {**DECLARED, "hosts": {}}
    ours = {"provider": "glm", "model": "m", "service": "aegis", "env": {"A": "1"}}
    variables = {"g1": {"aegis": ours, "ansible_user": "deploy"}}
    inventory, _ = load(variables=variables, declared=declared)
    request = PinRequest("ollama", {"model": "q"}, date(2026, 12, 31), "a trial")
    edits = edit_pins(inventory, (), ["g1"], request)
    [found] = edits.diagnostics
    assert (found.code, found.hosts, edits.contents) == ("cannot-edit", ("g1",), {})
    path, _, rest = found.hint.removeprefix("write into ").partition(" beside the inventory: ")
    assert path == "host_vars/g1.yml"
    written, _, _ = rest.removeprefix("'aegis: ").partition("'")
    assert json.loads(written) == {
        "provider": "ollama", "model": "q", "pin_until": "2026-12-31", "pin_reason": "a trial",
        "service": "aegis", "env": {"A": "1"},
    }  # fmt: skip


def test_a_pin_of_ansibles_is_ended_there() -> None:
    declared = {**DECLARED, "hosts": {"g1": {"aegis": {"provider": "glm"}}}}
    inventory, _ = load(variables={"g1": {"aegis": {"provider": "glm"}}}, declared=declared)
    [found] = edit_pins(inventory, (), ["g1"], None).diagnostics
    assert found.is_error
    assert "see host_vars/g1.yml beside the inventory" in found.hint
