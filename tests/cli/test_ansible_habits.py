"""What an Ansible user hands to -i: it is recognised, and one next step is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

VAULTED = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
CONVERT = (
    "convert it with: ansible-inventory -i i --list --yaml --export (vaulted files come out "
    "decrypted: look through the result before you keep it)"
)
PLAY = "- hosts: all\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: Capture, *args: str) -> tuple[int, str]:
    code = run(args, {})
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem", "step"),
    [
        (
            "[gpu]\ng1\n[gpu:vars]\naegis={'provider': 'glm'}\n",
            "i:1:1: error: this is an inventory in INI format, and only YAML is read",
            "let Ansible read it: -i ansible:i",
        ),
        (
            "[gpu]\ng1\n",
            "i:1:1: error: this is an inventory in INI format, and only YAML is read",
            CONVERT,
        ),
        (
            VAULTED,
            "error: i is encrypted with ansible-vault, and nothing is decrypted here",
            "let Ansible decrypt it: -i ansible:i, where settings of ours stand under 'aegis'",
        ),
        (
            PLAY,
            "i:1:1: error: i is a playbook, and -i names an inventory",
            "name the playbook without a flag: aegis-provision plan i -i INVENTORY",
        ),
        (
            f"{PLAY}  roles: [x]\n",
            "i:1:1: error: i is a playbook of Ansible's, and -i names an inventory",
            "name the inventory that it runs on, as Ansible reads it: -i ansible:INVENTORY",
        ),
        (
            "- import_playbook: other.yml\n",
            "i:1:1: error: i is a playbook of Ansible's, and -i names an inventory",
            "name the inventory that it runs on, as Ansible reads it: -i ansible:INVENTORY",
        ),
        (
            "plugin: aws_ec2\nregions: [eu]\n",
            "i:1:1: error: i configures a plugin of Ansible's, and none is run here",
            "let Ansible run it: -i ansible:i, with settings of ours under 'aegis'",
        ),
        (
            "collections:\n- name: a.b\nroles: []\n",
            "i:1:1: error: i lists what ansible-galaxy installs, and -i names an inventory",
            "name a file that lists hosts",
        ),
        (
            "provider: glm\nansible_user: u\naegis: {model: m}\n",
            "i:1:1: error: i holds variables of one group or host, and -i names an inventory",
            "name the inventory: 'group_vars/' and 'host_vars/' beside it are read with it",
        ),
        (
            "; mine\n[defaults]\ninventory = hosts\n",
            "i:1:1: error: this is a configuration of Ansible's, and -i names an inventory",
            "the inventory that it names is read by: -i ansible:",
        ),
        (
            "- g1\n- g2\n",
            "i:1:1: error: this file must be a mapping ('key: value' lines), and this is a list",
            "write 'name:' lines, each ending in a colon, rather than '- name'",
        ),
    ],
)
def test_a_file_is_recognised_for_what_it_is(
    text: str, problem: str, step: str, here: Path, capsys: Capture
) -> None:
    (here / "i").write_text(text)
    code, err = said(capsys, "validate", "-i", "i")
    assert code == 3
    lines = err.splitlines()
    assert lines[0] == problem
    assert [line for line in lines if line.startswith("  = ")] == [f"  = {step}"]


def test_groups_may_have_the_names_of_settings_and_of_others(here: Path, capsys: Capture) -> None:
    (here / "i").write_text("plugin: {hosts: {h: {provider: ollama}}}\nroles: {hosts: {h: }}\n")
    assert said(capsys, "validate", "-i", "i") == (0, "")
    (here / "i").write_text("user: {hosts: {h: {provider: ollama}}}\n")
    assert said(capsys, "validate", "-i", "i") == (0, "")


@pytest.mark.parametrize("named", ["h1,h2,", "h1,", "h1.example.com,h2"])
def test_a_list_with_commas_is_no_inventory_file(named: str, capsys: Capture) -> None:
    code, err = said(capsys, "validate", "-i", named)
    assert code == 3
    assert err == (
        f"error: {named} is a list of hosts, and no inventory file\n"
        f"  = write the hosts into a file: 'aegis-provision init' writes a starter\n1 error\n"
    )


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_an_inventory_that_is_not_there_is_all_that_is_told(
    command: str, here: Path, capsys: Capture
) -> None:
    (here / "broken.yml").write_text("all: {hosts: {h: {foo: 1}}}")
    (here / "play.yml").write_text(f"{PLAY}  roles: [x]\n")
    named = ("-i", "nowhere.yml", "-i", "broken.yml")
    code, err = said(capsys, command, *named, "play.yml")
    assert code == 3
    assert err == (
        "error: the inventory nowhere.yml does not exist\n"
        "  = name another with -i, or write a starter with 'aegis-provision init'\n1 error\n"
    )


SOME = "all: {hosts: {a: {provider: ollama}, b: , c: }}\n"


@pytest.mark.parametrize(
    "args",
    [
        ("hosts", "a"),
        ("hosts", "--limit", "a"),
        ("hosts", "--host", "a"),
        ("explain", "a", "provider"),
        ("render", "a"),
    ],
)
def test_hosts_without_a_provider_do_not_matter_where_none_is_chosen(
    args: tuple[str, ...], here: Path, capsys: Capture
) -> None:
    (here / "inventory.yml").write_text(SOME)
    code, err = said(capsys, *args)
    assert (code, "error" in err) == (0, False)
    code, err = said(capsys, *(arg if arg != "a" else "c" for arg in args))
    assert code == 3
    assert "no provider is named for this host" in err
    assert "(on 1 host: c)" in err


@pytest.mark.parametrize("args", [("validate",), ("hosts",), ("plan",), ("plan", "-l", "a:b")])
def test_where_one_is_chosen_they_do(args: tuple[str, ...], here: Path, capsys: Capture) -> None:
    (here / "inventory.yml").write_text(SOME)
    code, err = said(capsys, *args)
    assert (code, "no provider is named for this host" in err) == (3, True)


def test_a_template_without_quotes_is_one_of_ansibles(here: Path, capsys: Capture) -> None:
    (here / "inventory.yml").write_text("all:\n  hosts:\n    h:\n      model: {{ m }}\n")
    code, err = said(capsys, "validate")
    assert code == 3
    assert "error: this is a template of Ansible's, which is not filled in here\n" in err


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("a.yml", ["a.yml"]),
        ("a.yml:b.yml", ["a.yml", "b.yml"]),
        ("ansible:hosts", ["ansible:hosts"]),
        ("a.yml:ansible:/srv/hosts:b.yml", ["a.yml", "ansible:/srv/hosts", "b.yml"]),
        ("ansible:a:ansible:b", ["ansible:a", "ansible:b"]),
    ],
)
def test_several_inventories_in_the_variable(value: str, paths: list[str], capsys: Capture) -> None:
    assert run(["validate"], {"AEGIS_PROVISION_INVENTORY": value, "PATH": ""}) == 3
    err = capsys.readouterr().err
    by_ansible = [path.removeprefix("ansible:") for path in paths if path.startswith("ansible:")]
    by_us = [path for path in paths if not path.startswith("ansible:")]
    assert all(f"the inventory {path} does not exist\n" in err for path in by_us)
    # Of several that Ansible is to read together the first that is not there is told.
    assert all(f"{path} does not exist, so that Ansible" in err for path in by_ansible[:1])
    assert err.count("does not exist") == len(by_us) + bool(by_ansible)
