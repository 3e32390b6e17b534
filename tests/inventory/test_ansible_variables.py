"""Ansible's connection variables mean what they mean to Ansible, or it is said that they don't."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.documents.quoting import hide_values
from aegis_provision.inventory.ansible_variables import ALIASES, STRONGER, UNSUPPORTED
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.settings import SettingsReader

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Host

# As ansible-core 2.19 obeys them.
MEANINGS: list[tuple[str, str, object]] = [
    ("ansible_host: a.example", "address", "a.example"),
    ("ansible_port: '2222'", "port", 2222),
    ("ansible_port: 2222", "port", 2222),
    ("ansible_user: u", "user", "u"),
    ("ansible_ssh_private_key_file: /k", "identity_file", "/k"),
    ("ansible_ssh_host: 127.4.0.1", "address", "127.4.0.1"),
    ("ansible_ssh_port: 2204", "port", 2204),
    ("ansible_ssh_port: '2204'", "port", 2204),
    ("ansible_ssh_user: root", "user", "root"),
    ("ansible_private_key_file: /srv/k", "identity_file", "/srv/k"),
    ("ansible_become: yes, config_path: /c", "become_user", "root"),
    ("ansible_become_user: a, config_path: /c", "become_user", "a"),
    ("ansible_become_method: sudo", "become_method", "sudo"),
    ("ansible_become_method: ansible.builtin.sudo", "become_method", "sudo"),
    ("ansible_become_method: ansible.legacy.sudo", "become_method", "sudo"),
    ("ansible_become_method: doas", "become_method", "doas"),
    ("ansible_become_method: community.general.doas", "become_method", "doas"),
    ("ansible_connection: ssh", "connection", "ssh"),
    ("ansible_connection: smart", "connection", "ssh"),
    ("ansible_connection: paramiko", "connection", "ssh"),
    ("ansible_connection: paramiko_ssh", "connection", "ssh"),
    ("ansible_connection: ansible.builtin.ssh", "connection", "ssh"),
    ("ansible_connection: ansible.legacy.ssh", "connection", "ssh"),
    ("ansible_connection: ansible.builtin.paramiko_ssh", "connection", "ssh"),
    ("ansible_connection: ansible.legacy.paramiko_ssh", "connection", "ssh"),
    ("ansible_connection: local", "connection", "local"),
    ("ansible_connection: ansible.builtin.local", "connection", "local"),
    ("ansible_connection: ansible.legacy.local", "connection", "local"),
    # Of two names in one place the older one counts, and of the key files the longer one.
    ("ansible_host: a, ansible_ssh_host: b", "address", "b"),
    ("ansible_ssh_host: b, ansible_host: a", "address", "b"),
    ("ansible_port: 1, ansible_ssh_port: 2", "port", 2),
    ("ansible_user: u, ansible_ssh_user: v", "user", "v"),
    ("ansible_ssh_private_key_file: /k, ansible_private_key_file: /l", "identity_file", "/k"),
]


def load(text: str, *more: InputFile) -> tuple[dict[str, Host], tuple[Diagnostic, ...]]:
    file = InputFile("inventory", "", "i.yml", text.encode(), 0)
    inventory, found = load_inventory([file, *more])
    assert inventory is not None
    return dict(inventory.hosts), found


def with_settings(settings: str) -> tuple[dict[str, Host], tuple[Diagnostic, ...]]:
    return load(f"all: {{hosts: {{h: {{provider: glm, {settings}}}}}}}")


def printed(variables: dict[str, Any]) -> tuple[dict[str, Host], tuple[Diagnostic, ...]]:
    listed = {
        "all": {"hosts": ["h"], "vars": {"aegis": {"provider": "glm"}}},
        "_meta": {"hostvars": {"h": variables}},
    }
    data = json.dumps(listed).encode()
    inventory, found = load_inventory([InputFile("inventory", "", "s.sh", data, 0, printed=True)])
    assert inventory is not None
    return dict(inventory.hosts), found


@pytest.mark.parametrize(("settings", "key", "value"), MEANINGS)
def test_the_names(settings: str, key: str, value: object) -> None:
    hosts, found = with_settings(settings)
    assert getattr(hosts["h"].target, key) == value
    assert found == ()


@pytest.mark.parametrize(("older", "key"), [(name, ALIASES[name]) for name in STRONGER.values()])
def test_a_script_may_use_the_older_names(older: str, key: str) -> None:
    hosts, found = printed({older: "2204"})
    assert str(getattr(hosts["h"].target, key)) == "2204"
    assert found == ()


def test_of_a_script_ours_is_stronger_than_both_names_in_one_place() -> None:
    hosts, found = printed(
        {"ansible_user": "u", "ansible_ssh_user": "v", "aegis": {"user": "deploy"}}
    )
    assert hosts["h"].target.user == "deploy"
    assert found == ()


@pytest.mark.parametrize(
    "other", ["SSH", "ansible.builtin.smart", "ansible.builtin.winrm", "docker"]
)
def test_other_connections_are_refused(other: str) -> None:
    [found] = with_settings(f"ansible_connection: {other}")[1]
    assert (found.severity, found.message) == (
        Severity.ERROR,
        '"ansible_connection" must be ssh or local',
    )


def test_a_name_of_an_older_kind_far_away_beats_the_near_one_for_ansible_so_it_is_refused() -> None:
    text = """
all:
  vars: {provider: glm, ansible_ssh_user: root}
  hosts:
    h: {ansible_user: deploy}
    i: {ansible_user: deploy}
    same: {ansible_user: root}
    ours: {user: deploy}
    older: {ansible_ssh_user: deploy}
    none:
"""
    hosts, found = load(text)
    first, second = found
    assert first.message == (
        '"ansible_user" is nearer to the host, and yet Ansible takes "ansible_ssh_user", '
        "wherever it is set"
    )
    assert first.hint == 'use one of the two names in both places, or "user" here'
    assert (str(first.span), first.hosts) == ("i.yml:5:23", ("h",))
    assert [(str(item.span), item.message) for item in first.related] == [
        ("i.yml:3:43", "this is what Ansible takes")
    ]
    assert (str(second.span), second.hosts) == ("i.yml:6:23", ("i",))
    assert {name: host.target.user for name, host in hosts.items() if name not in "hi"} == {
        "same": "root", "ours": "deploy", "older": "deploy", "none": "root",
    }  # fmt: skip


def test_one_warning_for_all_hosts_of_a_group() -> None:
    text = """
all: {vars: {provider: glm, ansible_ssh_port: 1}}
g: {vars: {ansible_port: 2}, hosts: {'h[1:3]': }}
"""
    [found] = load(text)[1]
    assert (found.code, found.hosts) == ("ambiguous-names", ("h1", "h2", "h3"))


def test_what_a_newer_name_far_away_says_is_beaten_as_anything_else() -> None:
    text = "all: {vars: {provider: glm, ansible_host: a}, hosts: {h: {ansible_ssh_host: b}}}"
    hosts, found = load(text)
    assert (hosts["h"].target.address, found) == ("b", ())


def test_two_names_in_two_files_of_one_host() -> None:
    later = InputFile("host_vars", "h", "host_vars/h.yml", b"ansible_host: b", 0)
    _, found = load("all: {hosts: {h: {provider: glm, ansible_ssh_host: a}}}", later)
    assert [item.code for item in found] == ["ambiguous-names"]


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_a_template_is_an_error(name: str) -> None:
    value = "'{{ inventory_hostname }}'"
    found = with_settings(f"{name}: {value}")[1]
    if name in {"ansible_port", "ansible_ssh_port", "ansible_become"}:  # of another type anyway
        assert {item.code for item in found} <= {"bad-value", "wrong-type"}
        assert len(found) == 1
        return
    [problem] = found
    assert problem.message == (
        f'"{name}" holds a template of Ansible\'s, which is not filled in here'
    )
    assert problem.hint == (
        "write the value itself, or let Ansible fill it in: -i ansible:PATH, with settings of ours "
        "under 'aegis'"
    )


@pytest.mark.parametrize("key", ["provider", "address", "model", "base_url", "user"])
def test_so_it_is_under_our_own_name(key: str) -> None:
    found = load(f"all: {{hosts: {{h: {{provider: glm}}, i: {{{key}: '{{{{ x }}}}'}}}}}}")[1]
    words = f'"{key}" holds a template of Ansible\'s, which is not filled in here'
    assert words in [item.message for item in found]
    assert not [item for item in found if item.code == "unknown-provider"]


def test_a_command_may_hold_a_template_of_its_own() -> None:
    assert with_settings("restart_command: \"docker ps --format '{{.ID}}'\"")[1] == ()


OPTIONS = "name a bastion with 'jump', and say the rest in your ssh config (--ssh-config)"
PROGRAM = "no ssh program is run: say what it is for in your ssh config (--ssh-config)"
PASSWORD = (
    "log in with a key, from your agent or with 'identity_file', or name a variable of your "
    "environment: 'password: ${NAME}'"
)
AGENT = (
    "put the key into your agent (ssh-add), or name a variable of your environment: "
    "'identity_passphrase: ${NAME}'"
)
KEY = "put the key into a file, and name it with 'identity_file'"
HOST_KEYS = (
    "host keys are always checked: name a file with --known-hosts, or say --host-key accept-new"
)
SUDO = "'become' is 'sudo -n', or 'doas -n' with 'become_method: doas': allow it there"
INSTEAD = {
    "ansible_sftp_extra_args": OPTIONS,
    "ansible_scp_extra_args": OPTIONS,
    "ansible_paramiko_proxy_command": "name a bastion with 'jump'",
    "ansible_ssh_executable": PROGRAM,
    "ansible_sftp_executable": PROGRAM,
    "ansible_scp_executable": PROGRAM,
    "ansible_ssh_transfer_method": "files always go through SFTP: allow it on the host",
    "ansible_password": PASSWORD,
    "ansible_ssh_pass": PASSWORD,
    "ansible_ssh_password": PASSWORD,
    "ansible_paramiko_pass": PASSWORD,
    "ansible_paramiko_password": PASSWORD,
    "ansible_private_key_passphrase": AGENT,
    "ansible_ssh_private_key_passphrase": AGENT,
    "ansible_private_key": KEY,
    "ansible_ssh_private_key": KEY,
    "ansible_ssh_pkcs11_provider": (
        "add the token to your agent (ssh-add -s), or name it in your ssh config (--ssh-config)"
    ),
    "ansible_host_key_checking": HOST_KEYS,
    "ansible_ssh_host_key_checking": HOST_KEYS,
    "ansible_paramiko_host_key_checking": HOST_KEYS,
    "ansible_paramiko_host": "name it with 'address'",
    "ansible_paramiko_port": "name it with 'port'",
    "ansible_paramiko_user": "name it with 'user'",
    "ansible_paramiko_private_key_file": "name it with 'identity_file'",
    "ansible_become_method": SUDO,
    "ansible_become_exe": SUDO,
    "ansible_become_flags": SUDO,
    "ansible_sudo_exe": SUDO,
    "ansible_sudo_flags": SUDO,
    "ansible_su_exe": SUDO,
    "ansible_su_flags": SUDO,
    "ansible_doas_exe": SUDO,
    "ansible_doas_flags": SUDO,
    "ansible_sudo_user": "name that user with 'become_user'",
    "ansible_su_user": "name that user with 'become_user'",
    "ansible_doas_user": "name that user with 'become_user'",
}


def test_every_name_that_leads_elsewhere_is_in_the_table_above() -> None:
    assert INSTEAD.keys() == UNSUPPORTED.keys()


@pytest.mark.parametrize("name", INSTEAD)
def test_what_leads_elsewhere_is_a_warning_with_what_stands_for_it(name: str) -> None:
    [found] = with_settings(f"{name}: 'x y'")[1]
    assert found.severity is Severity.WARNING
    assert found.code == "ansible-leads-elsewhere"
    assert found.message == f'"{name}" changes how Ansible connects, and is not taken here'
    assert found.hint == INSTEAD[name]
    assert str(found.span) == "i.yml:1:34"


@pytest.mark.parametrize("name", INSTEAD)
def test_of_a_script_too(name: str) -> None:
    [found] = printed({"rack": 1, name: "x y"})[1]
    assert found.message == f'"{name}" changes how Ansible connects, and is not taken here'
    assert str(found.span) == "s.sh:16:9"


def test_each_is_one_warning_at_the_first_place() -> None:
    text = """
all:
  vars: {provider: glm, ansible_ssh_pass: x}
  hosts:
    a: {ansible_ssh_common_args: -o User=x, ansible_ssh_pass: y}
    b: {ansible_ssh_pass: z}
"""
    first, second = load(text)[1]
    assert first.message == (
        '"ansible_ssh_pass" changes how Ansible connects, and is not taken here, in 3 places'
    )
    assert str(first.span) == "i.yml:3:25"
    assert second.message == (
        'User in "ansible_ssh_common_args" changes how Ansible connects, and is not taken here'
    )
    assert str(second.span) == "i.yml:5:9"


@pytest.mark.parametrize(
    "settings",
    [
        "ansible_ssh_common_args: -J b, jump: b",
        "ansible_ssh_pass: x, identity_file: /k",
        "ansible_ssh_pass: x, ansible_ssh_private_key_file: /k",
        "ansible_sudo_user: u, become_user: u, config_path: /c",
        "ansible_paramiko_port: 1, ansible_port: 1",
        "ansible_ssh_common_args: ''",
        "ansible_ssh_common_args: null",
        "ansible_ssh_transfer_method: sftp",
        "ansible_ssh_transfer_method: smart",
        "ansible_host_key_checking: true",
        "ansible_host_key_checking: True",
        "ansible_ssh_host_key_checking: yes",
        "ansible_paramiko_host_key_checking: '1'",
    ],
)
def test_what_is_settled_or_changes_nothing_is_merely_noted(settings: str) -> None:
    [found] = with_settings(settings)[1]
    assert (found.severity, found.code) == (Severity.NOTE, "ignored-variables")


@pytest.mark.parametrize(
    "settings",
    ["ansible_become_method: su", "ansible_ssh_transfer_method: scp",
     "ansible_host_key_checking: false", "ansible_ssh_common_args: [a]",
     "ansible_ssh_pass: x, user: u", "ansible_become_flags: sudo"],
)  # fmt: skip
def test_what_changes_something_is_not(settings: str) -> None:
    [found] = with_settings(settings)[1]
    assert found.severity is Severity.WARNING


def test_after_a_way_that_is_not_taken_no_later_one_counts() -> None:
    """To ``ssh`` the first of several counts; the later one would lead elsewhere."""
    hosts, [found, _] = with_settings(
        "ansible_ssh_extra_args: -J b, ansible_ssh_common_args: -o ProxyCommand=nc"
    )
    assert hosts["h"].target.jump is None
    assert found.message.startswith('ProxyCommand in "ansible_ssh_common_args" changes how')


@pytest.mark.parametrize(
    ("settings", "user", "jump"),
    [
        ("ansible_user: null", None, ("b",)),
        ("ansible_user: ''", None, ("b",)),
        ("ansible_ssh_user: null", "u", ("b",)),
        ("ansible_user: null, user: me", "me", ("b",)),
        ("ansible_user: me, ansible_ssh_user: null", "me", ("b",)),
        ("ansible_ssh_common_args: ''", "u", None),
        ("ansible_ssh_common_args: null", "u", None),
        ("ansible_ssh_common_args: -C", "u", None),
        ("ansible_ssh_common_args: '', jump: a", "u", ("a",)),
        ("ansible_ssh_common_args: -o ProxyCommand=nc", "u", None),
        ("ansible_ssh_args: -o ProxyCommand=nc", "u", None),
        ("ansible_ssh_extra_args: -o ProxyCommand=nc", "u", ("b",)),
        ("ansible_ssh_args: -C", "u", ("b",)),
        ("aegis: {service: s}, rack: 1, ansible_user: null", None, ("b",)),
        ("aegis: {user: me}, rack: 1, ansible_user: ''", "me", ("b",)),
    ],
)
def test_what_is_not_set_hides_the_same_variable_farther_away(
    settings: str, user: str | None, jump: tuple[str, ...] | None
) -> None:
    """As ansible-core hands it to ``ssh``: one name is hidden, others of that setting are not."""
    far = "ansible_user: u, ansible_ssh_common_args: -J b"
    text = f"all: {{vars: {{provider: glm}}}}\ng: {{vars: {{{far}}}, hosts: {{h: {{{settings}}}}}}}"
    hosts, found = load(text)
    assert (hosts["h"].target.user, hosts["h"].target.jump) == (user, jump)
    assert [item for item in found if item.severity is Severity.ERROR] == []


def test_what_is_not_set_says_nothing_of_other_names() -> None:
    text = """
all: {vars: {provider: glm, user: far}}
upper: {vars: {ansible_user: null, ansible_ssh_user: }, children: {one: , two: , three: }}
one: {vars: {user: u}, hosts: {a: , b: , c: {ansible_user: null}}}
two: {vars: {ansible_user: null, ansible_ssh_common_args: -C}, hosts: {a: , c: }}
three: {vars: {ansible_user: v, jump: j}, hosts: {a: , c: }}
"""
    hosts, found = load(text)
    conflicts = [item for item in found if item.severity is Severity.ERROR]
    assert [(item.code, item.hosts) for item in conflicts] == [("ambiguous-groups", ("a", "c"))]
    assert hosts["a"].target.jump == ("j",)
    assert hosts["b"].target.user == "u"
    assert [item.value for item in hosts["b"].settings["user"].overrode] == ["far"]
    twice = "all: {vars: {provider: glm}, hosts: {'h[1:2]': {user: x}, h2: {ansible_user: }}}"
    hosts, found = load(twice)
    assert (hosts["h2"].target.user, found) == ("x", ())


@pytest.mark.parametrize(
    ("near", "far", "codes"),
    [
        ("ansible_ssh_extra_args: -J a", "ansible_ssh_common_args: -J b", ["ambiguous-names"]),
        ("ansible_ssh_common_args: -J a", "ansible_ssh_args: -J b", ["ambiguous-names"]),
        ("ansible_ssh_common_args: -J a", "ansible_ssh_extra_args: -J b", []),
        ("ansible_ssh_extra_args: -J a", "ansible_ssh_common_args: -J a", []),
        ("ansible_ssh_extra_args: -J a", "ansible_ssh_common_args: -C", []),
        ("ansible_ssh_extra_args: -J a", "jump: b", []),
        (
            "ansible_ssh_common_args: -C, ansible_ssh_extra_args: -J a",
            "ansible_ssh_common_args: -J b",
            [],
        ),
        ("ansible_user: a", "ansible_ssh_user: null", []),
    ],
)
def test_arguments_that_come_first_for_ssh_beat_nearer_ones(
    near: str, far: str, codes: list[str]
) -> None:
    text = f"all: {{vars: {{provider: glm, {far}}}, hosts: {{h: {{{near}}}}}}}"
    hosts, found = load(text)
    assert [item.code for item in found if item.severity is Severity.ERROR] == codes
    assert hosts["h"].target.jump == (None if "user" in near else ("a",))


def test_all_others_get_one_note() -> None:
    [found] = with_settings(
        "ansible_python_interpreter: /p, ansible_become_pass: x, ansible_a: [y]"
    )[1]
    assert found.severity is Severity.NOTE
    assert found.message == (
        "variables of Ansible's that mean nothing here are ignored: "
        '"ansible_python_interpreter", "ansible_become_pass", "ansible_a"'
    )
    assert str(found.span) == "i.yml:1:34"
    text = "all: {vars: {ansible_a: 1}, hosts: {h: {provider: glm, ansible_b: 1, ansible_a: 2, "
    [found] = load(f"{text}ansible_c: 1, ansible_d: 1, ansible_e: 1}}}}}}")[1]
    assert found.message.endswith('"ansible_a", "ansible_b", "ansible_c" and 2 more')
    assert str(found.span) == "i.yml:1:14"


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ("ansible_ssh_common_args: '-o ProxyJump=u@b:22'", "jump", ("u@b:22",)),
        ("ansible_ssh_extra_args: -J b, ansible_ssh_args: -J a", "jump", ("a",)),
        ("ansible_ssh_common_args: -J b, jump: none", "jump", ()),
        ("ansible_ssh_common_args: -o ProxyJump=none", "jump", ()),
        ("ansible_ssh_args: -C -o ControlMaster=auto", "jump", None),
    ],
)
def test_a_bastion_among_arguments_of_ssh_is_taken(settings: str, key: str, value: object) -> None:
    hosts, found = with_settings(settings)
    assert getattr(hosts["h"].target, key) == value
    assert [item for item in found if item.code != "ignored-variables"] == []


@pytest.mark.parametrize(
    ("arguments", "named", "instead"),
    [
        ("-F ssh.cfg", "-F", "name that ssh config with --ssh-config"),
        ("-o StrictHostKeyChecking=no", "StrictHostKeyChecking", HOST_KEYS),
        ("-l u -F x", "-l, -F", "name it with 'user'; name that ssh config with --ssh-config"),
        ("-b 10.0.0.1 -p 5", "-b, -p", f"name it with 'port'; {OPTIONS}"),
    ],
)
def test_what_else_leads_elsewhere_in_arguments_of_ssh_is_named(
    arguments: str, named: str, instead: str
) -> None:
    [found] = with_settings(f"ansible_ssh_common_args: {arguments}")[1]
    assert found.severity is Severity.WARNING
    assert found.message.startswith(f'{named} in "ansible_ssh_common_args" change')
    assert found.hint == instead


@pytest.mark.parametrize("name", ["ansible_ssh_extra_args", "ansible_note"])
def test_their_lines_are_not_quoted(name: str) -> None:
    [found] = with_settings(f"{name}: 'login is hunter2'")[1]
    assert not found.quotable
    assert "hunter2" not in found.message + found.hint


def test_what_was_read_says_nothing_of_ansible() -> None:
    assert list(SettingsReader().ansible_diagnostics()) == []


@pytest.mark.parametrize("name", ALIASES)
def test_the_names_that_count_are_known_where_lines_are_quoted(name: str) -> None:
    assert hide_values(f"{name}: x") is None
    assert hide_values(f"{name}_x: x") is not None
