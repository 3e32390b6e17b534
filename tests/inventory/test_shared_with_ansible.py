"""Variables of others beside ours: what is read of them, and what keeps its protection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pin_edits import edit_pins

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Inventory

OURS = "all: {vars: {provider: ollama}, hosts: {h1: }}"
FOREIGN = "ntp_server: ntp.example.com\nhttp_port: 80\nenv: prod\n"
NOTE = (
    "group_vars/all.yml holds no setting of ours, so that nothing of that is read but Ansible's "
    "connection variables"
)
Loaded = tuple["Inventory | None", "tuple[Diagnostic, ...]"]


def script(variables: dict[str, Any] | None = None, **groups: Any) -> InputFile:
    listed = {
        "all": {"hosts": ["h1"], "vars": {"aegis": {"provider": "ollama"}}},
        "_meta": {"hostvars": {"h1": variables or {}}},
        **groups,
    }
    return InputFile("inventory", "", "cmdb.sh", json.dumps(listed).encode(), 0, printed=True)


def yaml(text: str) -> InputFile:
    return InputFile("inventory", "", "i.yml", text.encode(), 0)


def group_vars(text: str, name: str = "all") -> InputFile:
    return InputFile("group_vars", name, f"group_vars/{name}.yml", text.encode(), 0)


def host_vars(text: str) -> InputFile:
    return InputFile("host_vars", "h1", "host_vars/h1.yml", text.encode(), 0)


def load(*files: InputFile, importing: bool = False) -> Loaded:
    return load_inventory(files, with_providers=not importing)


def said(loaded: Loaded) -> list[str]:
    return [item.message for item in loaded[1]]


def provider(loaded: Loaded) -> object:
    inventory, _ = loaded
    assert inventory is not None
    found = inventory.hosts["h1"].provider
    return found.value if found is not None else None


def values(loaded: Loaded) -> dict[str, object]:
    inventory, _ = loaded
    assert inventory is not None
    return {key: item.value for key, item in inventory.hosts["h1"].settings.items()}


@pytest.mark.parametrize("beside", [group_vars(FOREIGN), host_vars(FOREIGN)])
def test_variables_of_ansibles_beside_a_script_are_not_looked_at(beside: InputFile) -> None:
    loaded = load(script(), beside)
    assert (provider(loaded), values(loaded), said(loaded)) == ("ollama", {}, [])


def test_nor_beside_a_file_where_nothing_could_be_ours_which_is_noted() -> None:
    loaded = load(yaml(OURS), group_vars(FOREIGN))
    assert (provider(loaded), values(loaded), said(loaded)) == ("ollama", {}, [NOTE])
    assert loaded[1][0].severity is Severity.NOTE
    several = [group_vars(FOREIGN, "all"), host_vars(FOREIGN), group_vars(FOREIGN, "g")]
    more = group_vars(FOREIGN, "h")
    text = "all: {vars: {provider: ollama}, hosts: {h1: }, children: {g: , h: }}"
    [words] = said(load(yaml(text), *several))
    assert words == NOTE.replace(
        "group_vars/all.yml holds",
        "group_vars/all.yml, host_vars/h1.yml, group_vars/g.yml hold",
    )
    [words] = said(load(yaml(text), *several, more))
    assert words.startswith(
        "group_vars/all.yml, host_vars/h1.yml, group_vars/g.yml and 1 more hold"
    )


@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_the_connection_is_taken_all_the_same(inventory: InputFile) -> None:
    loaded = load(inventory, group_vars(FOREIGN + "ansible_port: 2222\nansible_become_pass: x\n"))
    assert values(loaded) == {"port": 2222}
    assert [item.code for item in loaded[1] if item.code != "foreign-variables"] == [
        "ignored-variables"
    ]


@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_ours_stand_under_aegis(inventory: InputFile) -> None:
    text = "ntp_server: x\nport: 8080\nprovider: aws\naegis: {provider: glm, port: 2222}\n"
    loaded = load(inventory, host_vars(text))
    assert (provider(loaded), values(loaded), said(loaded)) == ("glm", {"port": 2222}, [])


def test_ours_are_stronger_than_ansibles_in_one_place() -> None:
    loaded = load(yaml(OURS), host_vars("ansible_user: a\nansible_port: 1\naegis: {user: b}\n"))
    assert (values(loaded), said(loaded)) == ({"user": "b", "port": 1}, [])


@pytest.mark.parametrize("place", ["vars", "host", "child"])
def test_an_inventory_of_ansibles_with_an_aegis_in_it(place: str) -> None:
    ours = "aegis: {provider: glm, model: m}"
    text = f"""
all:
  vars: {{k3s_version: v1, {ours if place == "vars" else "x: 1"}}}
  hosts:
    h1: {{rack: [1, 2], ansible_ssh_port: 22, {ours if place == "host" else "y: {z: 1}"}}}
  children:
    g:
      vars: {{token: "changeme!", {ours if place == "child" else "w: null"}}}
      children: {{below: {{hosts: {{h1: }}, vars: {{a: b}}}}}}
"""
    loaded = load(yaml(text))
    assert (provider(loaded), values(loaded), said(loaded)) == ("glm", {"port": 22}, [])


def test_without_one_its_other_names_are_errors() -> None:
    text = "all: {vars: {provider: glm, k3s_version: v1}, hosts: {h1: {rack: 1}}}"
    [words] = said(load(yaml(text)))
    assert words == (
        "2 variables in this file are none of our settings: "
        '"k3s_version" (line 1) and "rack" (line 1)'
    )
    assert said(load(yaml("all: {vars: {provider: glm}, hosts: {h1: {rack: 1}}}"))) == [
        '1 variable in this file is none of our settings: "rack" (line 1)'
    ]


def test_they_are_one_error_for_a_file_that_shows_keys_and_places_alone() -> None:
    text = """
all:
  vars: {provider: glm, ntp_server: hunter2, modle: x}
  hosts:
    h1: {rack: 1, http_port: 80, pki: !vault hunter2}
    h2: {rack: 2, a: , b: , c: , d: , e: , f: , timeout: 1}
"""
    found = load(yaml(text))[1]
    assert {item.message: item.hint for item in found[:-1]} == {
        'unknown key "modle" in host settings': 'did you mean "model"?',
        'unknown key "timeout" in host settings': 'did you mean "timeout_ms"?',
    }
    assert found[-1].message == (
        "10 variables in this file are none of our settings: "
        '"ntp_server" (line 3), "rack" (line 5 and 1 more), "http_port" (line 5), '
        '"pki" (line 5), "a" (line 6), "b" (line 6), "c" (line 6), "d" (line 6) and 2 more'
    )
    assert found[-1].hint == (
        "if Ansible has this inventory too, let it read it: -i ansible:i.yml, with settings of "
        "ours under 'aegis'; else remove them"
    )
    assert "hunter2" not in repr(found)


def test_a_secret_among_them_is_an_error_of_its_own() -> None:
    text = "all: {vars: {provider: glm, db: {deep: sk-ant-hunter2hunter2}}, hosts: {h1: }}"
    found = load(yaml(text))[1]
    assert [item.code for item in found] == ["literal-secret", "unknown-variables"]
    assert "hunter2" not in repr([item.message for item in found])


def test_a_template_among_them_is_no_error_of_its_own() -> None:
    text = "all: {vars: {provider: glm, motd: '{{ x }}'}, hosts: {h1: {user: '{{ y }}'}}}"
    found = load(yaml(text))[1]
    assert [item.code for item in found] == ["unknown-variables", "bad-value"]


def test_an_aegis_beside_it_is_enough() -> None:
    text = "all: {vars: {k3s_version: v1}, hosts: {h1: {rack: 1}}}"
    loaded = load(yaml(text), group_vars("aegis: {provider: glm}"))
    assert (provider(loaded), said(loaded)) == ("glm", [])


def test_import_needs_none() -> None:
    text = "all: {vars: {k3s_version: v1, token: x, ansible_user: u}, hosts: {h1: {user: v}}}"
    loaded = load(yaml(text), group_vars(FOREIGN), importing=True)
    assert (provider(loaded), values(loaded), said(loaded)) == (None, {"user": "v"}, [])
    assert said(load(yaml(text)))[0].startswith("2 variables in this file are none of our settings")


def test_recipes_are_looked_at_everywhere() -> None:
    text = """
providers: {own: {extends: glm, modle: x}}
all: {vars: {aegis: {provider: own}, x: 1}, hosts: {h1: }}
"""
    assert said(load(yaml(text))) == ['unknown key "modle" in provider']


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("provder: glm", '"provder"'),
        ("{provider: glm, modle: x}", '"modle"'),
        ("{prot: 2222, user: x}", '"prot"'),
        ("base-url: https://x.example.com", '"base-url"'),
    ],
)
@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_a_slip_in_settings_of_ours_stays_an_error(
    inventory: InputFile, settings: str, words: str
) -> None:
    [found] = load(inventory, host_vars(settings))[1]
    assert (found.severity, found.message) == (
        Severity.ERROR,
        f"unknown key {words} in host settings",
    )
    assert found.hint.startswith("did you mean")


@pytest.mark.parametrize("settings", ["users: [a, b]", "http_port: 80", "app: web", "mode: '1'"])
@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_a_name_that_is_merely_like_ours_is_none(inventory: InputFile, settings: str) -> None:
    found = load(inventory, host_vars(settings))[1]
    assert [item.code for item in found] in ([], ["foreign-variables"])


def test_beside_a_file_a_slip_among_other_names_stays_an_error() -> None:
    found = said(load(yaml(OURS), group_vars("ntp_server: x\nprovder: glm\n")))
    assert found == [
        'unknown key "provder" in host settings',
        '1 variable in this file is none of our settings: "ntp_server" (line 1)',
    ]
    assert said(load(script(), group_vars("ntp_server: x\nprovder: glm\n"))) == []


def test_beside_a_file_names_of_ours_among_others_stay_an_error() -> None:
    found = said(load(yaml(OURS), group_vars("ntp_server: x\nport: 8080\n")))
    assert found == ['1 variable in this file is none of our settings: "ntp_server" (line 1)']
    assert said(load(yaml(OURS), group_vars("env: prod\n"))) == [
        "\"env\" must be a mapping ('key: value' lines), and this is a string"
    ]


def test_beside_a_script_they_are_a_warning() -> None:
    loaded = load(script(), group_vars("ntp_server: x\nport: 8080\nenv: prod\n"))
    assert values(loaded) == {}
    [found] = loaded[1]
    assert (found.severity, found.code, found.quotable) == (Severity.WARNING, "not-ours", False)
    assert found.message == (
        '"port" is not read: other names stand in the same place, so that they are taken for '
        "Ansible's variables"
    )
    assert found.hint == "put settings of ours under 'aegis:' there"
    assert str(found.span) == "group_vars/all.yml:2:1"
    text = "x: 1\nprovider: glm\nuser: u\nmodel: m\nport: 1\n"
    [words] = said(load(script(), group_vars(text)))
    assert words.startswith('"provider", "user", "model" and 1 more are not read: ')
    [words] = said(load(script(), group_vars(text.replace("port: 1\n", ""))))
    assert words.startswith('"provider", "user", "model" are not read: ')


@pytest.mark.parametrize(
    ("settings", "expected", "messages"),
    [
        ("port: 2222", {"port": 2222}, []),
        ("env: prod", {}, []),
        ("env: {A: b}", {}, []),
        (
            "{env: prod, port: 8080}",
            {},
            [('"port" is not read: other names stand in the same place, so that they are taken for '
             "Ansible's variables")],
        ),
        (
            "{provider: glm, env: prod}",
            {},
            ["\"env\" must be a mapping ('key: value' lines), and this is a string"],
        ),
        ("{provider: {host: x}, port: 8080}", {}, None),
    ],
)  # fmt: skip
def test_beside_a_script_a_mapping_of_our_names_alone_is_ours_if_it_can_be(
    settings: str, expected: dict[str, object], messages: list[str] | None
) -> None:
    loaded = load(script(), host_vars(settings))
    if messages is None:
        assert [item.code for item in loaded[1]] == ["not-ours"]
    else:
        assert said(loaded) == messages
    assert values(loaded) == expected


@pytest.mark.parametrize("name", ["ageis", "agis", "Aegis", "aegiss"])
def test_aegis_itself_may_be_misspelt(name: str) -> None:
    settings = {"ntp": 1, name: {"provider": "glm"}}
    words = f'"{name}" holds settings of ours, which stand under aegis'
    for loaded in (
        load(script(settings)),
        load(script(), host_vars(json.dumps(settings))),
    ):
        [found] = loaded[1]
        assert (found.severity, found.message, found.hint) == (
            Severity.ERROR, words, 'did you mean "aegis"?',
        )  # fmt: skip


@pytest.mark.parametrize("other", [{"ageis": {"x": 1}}, {"ageis": "x"}, {"regis": {}}])
def test_what_is_merely_called_like_it_is_not(other: dict[str, Any]) -> None:
    assert said(load(script(other))) == []


@pytest.mark.parametrize("value", ["glm", "[glm]", "1"])
def test_aegis_is_a_mapping(value: str) -> None:
    [found] = load(yaml(OURS), host_vars(f"aegis: {value}"))[1]
    assert found.message == '"aegis" must be a mapping of our settings'
    assert said(load(yaml(OURS), host_vars("aegis:\nx: 1"))) == []


VAULTED = "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"


@pytest.mark.parametrize("tag", [VAULTED, "!unsafe x", "!x {a: 1}", "!y [b]", "!!binary aGk="])
@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_a_tag_in_a_variable_that_is_not_read_is_no_error(inventory: InputFile, tag: str) -> None:
    loaded = load(inventory, group_vars(f"ntp_password: {tag}\nx: 0644\nx: 1\n"))
    assert not [item for item in loaded[1] if item.severity is Severity.ERROR]
    loaded = load(inventory, group_vars(f"ansible_become_pass: {tag}"))
    assert [item.code for item in loaded[1]] == ["ignored-variables"]


@pytest.mark.parametrize("name", ["provider", "ansible_user", "auth_token"])
def test_in_one_of_ours_it_is(name: str) -> None:
    found = load(yaml(OURS), group_vars(f"ansible_become_pass: {VAULTED}{name}: {VAULTED}"))[1]
    [tag] = [item for item in found if item.code == "unknown-tag"]
    assert str(tag.span) == f"group_vars/all.yml:4:{len(name) + 3}"
    assert tag.message == "this is encrypted with ansible-vault, and nothing is decrypted here"
    assert tag.hint == (
        "write a reference such as ${GLM_API_KEY}, or let Ansible decrypt it: -i ansible:PATH, "
        "with settings of ours under 'aegis'"
    )


def test_under_aegis_too() -> None:
    text = f"x: !a b\naegis:\n  model: !c d\n  timeout_ms: 0600\nntp: {VAULTED}"
    found = load(yaml(OURS), group_vars(text))[1]
    assert [(item.code, str(item.span)) for item in found] == [
        ("unknown-tag", "group_vars/all.yml:3:10"),
        ("ambiguous-number", "group_vars/all.yml:4:15"),
    ]


def test_and_where_an_alias_brings_it_there() -> None:
    text = "ansible_x: &a !vault x\nprovider: *a\n"
    found = load(yaml(OURS), group_vars(text))[1]
    assert "unknown-tag" in [item.code for item in found]


def test_a_tag_in_a_strict_inventory_is_an_error_outside_of_ansibles_variables() -> None:
    text = "all: {vars: {provider: glm, ansible_x: !v x, model: !w y}, hosts: {h1: !z }}"
    found = load(yaml(text))[1]
    assert [(item.code, item.span and item.span.column) for item in found][:2] == [
        ("unknown-tag", 53),
        ("unknown-tag", 72),
    ]


def test_an_encrypted_file_of_variables_is_noted() -> None:
    data = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
    loaded = load(yaml(OURS), group_vars(data))
    assert provider(loaded) == "ollama"
    [found] = loaded[1]
    assert (found.severity, found.message) == (
        Severity.NOTE,
        "group_vars/all.yml is encrypted with ansible-vault, so it is not read",
    )
    [found] = load(yaml(data))[1]
    assert (found.severity, found.message) == (
        Severity.ERROR,
        "i.yml is encrypted with ansible-vault, and nothing is decrypted here",
    )
    assert found.hint


def test_a_provider_of_others_is_no_pin_to_be_taken_away() -> None:
    files = (script(), host_vars("ntp: x\nprovider: aws\n"))
    inventory, _ = load(*files)
    assert inventory is not None
    assert edit_pins(inventory, files, ["h1"], None).changes == {"h1": "unchanged"}
    assert edit_pins(inventory, files, ["h1"], None).contents == {}


def test_a_pin_under_aegis_is_edited_by_hand() -> None:
    files = (yaml(OURS), host_vars("ntp: x\naegis: {provider: glm}\n"))
    inventory, _ = load(*files)
    assert inventory is not None
    taken = edit_pins(inventory, files, ["h1"], None)
    assert (taken.contents, taken.changes) == ({}, {"h1": "unchanged"})
    [found] = taken.diagnostics
    assert found.message == "the host's provider stands under 'aegis', among variables of others"
    assert str(found.span) == "host_vars/h1.yml:2:19"


@pytest.mark.parametrize(
    ("setting", "fits"),
    [
        ("port: 22", True), ("port: '22'", True), ("port: 2.5", False), ("port: true", False),
        ("port: [22]", False), ("port:", False), ("become_user: u\nconfig_path: /c", True),
        ("become: false", True), ("become: 'yes'", False), ("become: 1", False),
        ("jump: [a]", True), ("jump: a", True), ("jump: {a: b}", False), ("env: {A: b}", True),
        ("env: [a]", False), ("connection: local", True), ("connection: docker", False),
        ("connection: [ssh]", False), ("model: m", True), ("model: 5", False),
        ("timeout_ms: 5", True), ("timeout_ms: false", False), ("base_url: https://x/v1", True),
        ("user: no", True),
    ],
)  # fmt: skip
def test_beside_a_script_one_name_of_ours_is_read_where_its_value_may_be_one(
    setting: str, fits: bool
) -> None:
    inventory, found = load(script(), host_vars(setting))
    assert found == ()
    assert inventory is not None
    own = {item.key for item in inventory.hosts["h1"].effective() if item.holder_kind == "host"}
    assert bool(own or inventory.hosts["h1"].ignored) is fits


@pytest.mark.parametrize("text", ["[aegis, x]", "aegis"])
def test_what_is_no_mapping_is_the_only_error(text: str) -> None:
    for loaded in (load(yaml(OURS), group_vars(text)), load(script(), group_vars(text))):
        assert [(item.code, str(item.span)) for item in loaded[1]] == [
            ("wrong-type", "group_vars/all.yml:1:1")
        ]
    for importing in (False, True):
        assert [item.code for item in load(yaml(text), importing=importing)[1]] == ["wrong-type"]


@pytest.mark.parametrize("inventory", [script(), yaml(OURS)])
def test_connection_variables_alone_are_no_mapping_of_others(inventory: InputFile) -> None:
    loaded = load(inventory, group_vars("ansible_port: 2222"))
    assert (values(loaded), said(loaded)) == ({"port": 2222}, [])
