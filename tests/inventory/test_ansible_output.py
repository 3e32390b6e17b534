"""What Ansible's programs print, read: what is for us is kept, and nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from aegis_provision.inventory.ansible_output import (
    AnsibleOutputError,
    document,
    read_listed,
    read_resolved,
    task_arguments,
)

CANARY = "canary4f1d"


def coded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def printed(*words: str, host: str = "localhost", status: str = "SUCCESS") -> bytes:
    """Return what the callback ``minimal`` prints of one host's result."""
    message = f"aegis-provision-begins {' '.join(words)} aegis-provision-ends"
    result = json.dumps({"changed": False, "msg": message}, indent=4)
    return f"[WARNING]: of the operator's\n{host} | {status} => {result}\n".encode()


def host(name: str) -> str:
    return f"host={base64.b64encode(name.encode()).decode()}"


def test_the_task_is_one_json_argument_that_prints_nothing_but_names_it_knows() -> None:
    text = json.loads(task_arguments())["msg"]
    assert "groups['all']" in text
    assert "['inventory_hostname']" not in text
    assert "inventory_hostname" in json.loads(task_arguments(of_each=True))["msg"]
    assert "{% if 'aegis' in found %}" in text
    assert "{% if true %}" in json.loads(task_arguments(every_host=True))["msg"]
    # A password is told by its name alone: its value is not even filled in.
    shown = text.partition("for name in ")[2].partition(" if")[0]
    assert "ansible_user" in shown
    assert "ansible_password" not in shown
    assert "ansible_password" in text


def test_values_come_back_as_they_were() -> None:
    ours = {"provider": "glm", "env": {"A": "ü", "B": None}}
    words = [
        host("gpu-ü"), "ours=", f"aegis={coded(ours)}", f"ansible_port={coded(22)}",
        "ansible_password=",
        f"ansible_ssh_common_args={coded('-J b -o ProxyCommand=' + CANARY)}",
        host("plain"),
        "config=", f"DEFAULT_REMOTE_USER={coded('root')}", f"PLAYBOOK_DIR={coded(None)}",
        f"DEFAULT_HASH_BEHAVIOUR={coded('merge')}", f"ansible_ssh_args={coded('-F ' + CANARY)}",
    ]  # fmt: skip
    resolved = read_resolved(printed(*words))
    assert resolved.hosts == ("gpu-ü", "plain")
    assert resolved.variables == {
        "gpu-ü": {
            "aegis": ours,
            "ansible_port": 22,
            "ansible_password": "...",
            "ansible_ssh_common_args": "-J b -o ProxyCommand=...",
        }
    }
    assert resolved.configuration["DEFAULT_REMOTE_USER"] == "root"
    assert resolved.configuration["ansible_ssh_args"] == "-F ..."
    assert (resolved.merges, resolved.playbook_dir, resolved.failures) == (True, "", {})
    assert CANARY not in repr(resolved)


def test_of_each_host_the_failures_are_kept_beside_what_the_others_say() -> None:
    output = printed(host("a"), "ours=", f"aegis={coded({})}", host="a") + (
        b'b | FAILED! => {\n    "changed": false,\n    "msg": "\'x\' is undefined"\n}\n'
    )
    resolved = read_resolved(output)
    assert resolved.failures == {"b": "'x' is undefined"}
    assert resolved.variables == {"a": {"aegis": {}}}


def test_what_only_a_task_of_the_host_can_say_is_asked_of_that() -> None:
    asked = json.loads(task_arguments(of_each=True))["msg"]
    assert "lookup('ansible.builtin.vars', name) | to_json" in asked
    assert "default('?')" in json.loads(task_arguments())["msg"]
    words = [host("a"), "ours=", f"aegis={coded({})}", "ansible_host=?", host("b"), "config="]
    resolved = read_resolved(printed(*words, f"DEFAULT_REMOTE_USER={coded('root')}"))
    assert resolved.unresolved == ("a",)
    own = read_resolved(
        printed(host("a"), "ours=", f"ansible_host={coded('h')}", f"aegis={coded({})}", host="a")
        + b'c | FAILED! => {"msg": "the connection plugin \'x.y.lxd\' was not found"}\n'
        + b'd | FAILED! => {"msg": "no"}\n'
    )
    whole = resolved.completed(own, ["b", "c", "d"])
    assert whole.hosts == ("a", "b", "c", "d")
    assert whole.variables == {
        "a": {"ansible_host": "h", "aegis": {}},
        "c": {"aegis": {}, "ansible_connection": "x.y.lxd"},
    }
    assert (whole.failures, whole.unresolved) == ({"d": "no"}, ())
    assert whole.configuration["DEFAULT_REMOTE_USER"] == "root"


@pytest.mark.parametrize(
    "output",
    [
        b"", b"nothing", b"\xff\xfe", b"localhost | SUCCESS => {broken",
        printed(host("a"), "aegis=%%%"), printed(host("a"), "aegis=AAAA"), printed("host=%"),
        printed("ours="),
    ],
)  # fmt: skip
def test_other_output_is_an_error(output: bytes) -> None:
    with pytest.raises(AnsibleOutputError):
        read_resolved(output)


def test_of_what_is_listed_other_variables_are_not_kept() -> None:
    listed = {
        "_meta": {"hostvars": {"h": {"ansible_host": "10.0.0.1", "db_password": CANARY}}},
        "gpu": {
            "hosts": ["h"],
            "children": ["old"],
            "vars": {
                "aegis": {"auth_token": {"__ansible_vault": f"$ANSIBLE_VAULT;{CANARY}"}},
                "ansible_user": {"__ansible_unsafe": "u"},
                "ansible_password": CANARY,
                "ansible_ssh_common_args": f"-o ProxyCommand='sshpass -p {CANARY} ssh gw'",
                "ansible_group_priority": 5,
                "other": CANARY,
            },
        },
        "none": {"vars": {"other": CANARY}},
    }
    found = read_listed(json.dumps(listed).encode())
    assert found == {
        "groups": {
            "gpu": {"hosts": ["h"], "children": ["old"]},
            "none": {"hosts": [], "children": []},
        },
        "declared": {
            "groups": {
                "gpu": {
                    "aegis": {"auth_token": "(vaulted)"},
                    "ansible_user": "u",
                    "ansible_password": "...",
                    "ansible_ssh_common_args": "-o ProxyCommand=...",
                    "ansible_group_priority": 5,
                }
            },
            "hosts": {"h": {"ansible_host": "10.0.0.1"}},
        },
    }


@pytest.mark.parametrize("output", [b"[]", b"1", b"{", b"", b"\xff"])
def test_a_list_of_another_form_is_an_error(output: bytes) -> None:
    with pytest.raises(AnsibleOutputError):
        read_listed(output)


def test_the_document_holds_what_both_said() -> None:
    resolved = read_resolved(
        printed(
            host("h"), "ours=", f"aegis={coded({})}", "config=",
            f"DEFAULT_TRANSPORT={coded('ssh')}",
            f"DEFAULT_REMOTE_PORT={coded(None)}", f"DEFAULT_HASH_BEHAVIOUR={coded('replace')}",
        )
    )  # fmt: skip
    listed = read_listed(b'{"_meta": {}, "gpu": {"hosts": ["h"]}}')
    made = document(listed, resolved, {"h": "host_vars/h.yml", "other": "x"})
    content = json.loads(made)
    assert content["configuration"] == {"ansible_connection": "ssh"}
    assert content["host_vars"] == {"h": "host_vars/h.yml"}
    assert (content["merges"], content["hosts"]) == (False, ["h"])
