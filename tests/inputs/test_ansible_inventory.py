"""Inventories that Ansible reads for us: with its own programs, and with stand-ins for them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run
from aegis_provision.inputs import ansible_inventory
from aegis_provision.inputs.inventory_names import absolute_path, ansible_source
from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

CANARY = "canary4f1d"
HERE = Path(sys.executable).parent
INVENTORY = """
[gpu]
g1 ansible_host=10.0.0.1 ansible_ssh_port=2204
g2 ansible_host="{{ inventory_hostname }}.example.com"

[web]
w[1:3]

[site:children]
gpu
web

[gpu:vars]
ansible_ssh_common_args='-o StrictHostKeyChecking=no -o ProxyCommand="ssh -W %h:%p -q u@bastion"'
"""
# By ansible-vault, with the password below: "model_of_gpu: qwen" and a password, the canary.
VAULTED = """\
$ANSIBLE_VAULT;1.1;AES256
39326330653038616135646234376337373333323662396663306235323561373664376137373439
3038643739376563666166643337323065613565666436300a306132323962646364613762383034
34376264663439663063376432316263356161636665396130356261633563396136633936343234
3937626532656531330a323665613163363139313964333637313233643864613531316332333833
66623033386663303066633138663162376232376331346163626661633661323765663661343235
35343437653966656439396566613064383463393961393764373561363033633836626237643563
623333666134346439383961383166323365
"""
FILES = {
    "hosts": INVENTORY,
    "group_vars/gpu/aegis": 'aegis: {provider: glm, model: "{{ model_of_gpu }}"}\n',
    "group_vars/gpu/more.yml": VAULTED,
    "group_vars/site.yml": "aegis: {provider: ollama, service: aegis}\n",
    "host_vars/w1.yml": "ansible_private_key_file: '{{ nowhere | default(omit) }}'\n",
    "host_vars/g2.yml": "aegis: {provider: lm-studio}\n",
    "host_vars/w3.yml": "ansible_host: \"{{ hostvars['g2'].ansible_host }}\"\n",
    "ansible.cfg": "[defaults]\nremote_user = deploy\nvault_password_file = pw\n"
    "no_log = True\ncallback_result_format = yaml\ndisplay_failed_stderr = yes\n"
    "task_timeout = 1\n[privilege_escalation]\nbecome_ask_pass = True\n",
    "pw": "opensesame\n",
}


def write(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def said(
    capsys: pytest.CaptureFixture[str], *args: str, environ: Mapping[str, str]
) -> tuple[int, str, str]:
    code = run(args, environ)
    out, err = capsys.readouterr()
    return code, out, err


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which Ansible's programs are to be written into ``bin``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "hosts").write_text(INVENTORY)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "API_TOKEN": CANARY}


def test_without_ansible_it_is_said_how_to_get_it(
    stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(
        capsys, "validate", "-i", "ansible:hosts", environ={**stand_ins, "PATH": "bin"}
    )
    assert (code, out) == (3, "")
    assert "-i ansible:hosts needs ansible, which is neither on the PATH nor beside" in err
    assert "pip install ansible-core" in err


def test_its_errors_are_told_as_its_own_less_what_is_secret(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    program(
        tmp_path / "bin" / "ansible", f"echo 'ERROR! no' {CANARY} >&2; echo because >&2; exit 4"
    )
    code, _, err = said(capsys, "validate", "-i", "ansible:hosts", environ=stand_ins)
    assert code == 3
    assert err.startswith(
        "error: ansible failed with exit code 4; it says: (a line that holds a secret) | because\n"
        "  = see that this works: ansible-inventory -i hosts --list\n"
    )


NEW_ERRORS = """\
[ERROR]: YAML parsing failed: x
Origin: /i/all.yml:2:1

1 foo: hunter2
2 b: [
       ^ column 7

<<< caused by >>>

YAML: y
[WARNING]: z
"""
OLD_ERRORS = """\
ERROR! Syntax Error

The error appears to be in 'x': line 2

The offending line appears to be:

foo: hunter2
b: [
   ^ here
"""


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (NEW_ERRORS, NEW_ERRORS.replace("\n1 foo: hunter2\n2 b: [\n       ^ column 7\n\n", "")),
        (OLD_ERRORS, OLD_ERRORS.partition("\n\nThe offending")[0]),
        ("[WARNING]: a\n[WARNING]: b\n", "[WARNING]: a\n[WARNING]: b\n"),
        ("Error processing keyword 'port': x", "Error processing option 'port': x"),
        ("ERROR: no\nTraceback (most recent call last):\n  File x\n    y = hunter2\n", "ERROR: no"),
        (
            "[ERROR]: Attempting to decrypt but no vault secrets found\n1 hunter2\n[WARNING]: b",
            "a vault stays closed: nothing that opens it was found\n[WARNING]: b",
        ),
    ],
)
def test_lines_that_ansible_quotes_are_not_told(errors: str, told: str) -> None:
    assert ansible_inventory.without_source(errors) == told


def test_where_it_may_want_a_vaults_password_it_is_said_how_it_gets_one(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "Decryption failed (no vault secrets were found that could decrypt)."
    program(tmp_path / "bin" / "ansible", f"echo '{words}' >&2; exit 4")
    code, _, err = said(capsys, "validate", "-i", "ansible:hosts", environ=stand_ins)
    assert code == 3
    assert "it says: a vault stays closed: nothing that opens it was found\n" in err
    assert "; a vault's password is not asked for here: set ANSIBLE_VAULT_PASSWORD_FILE\n" in err


def printed(*words: str) -> str:
    message = f"aegis-provision-begins {' '.join(words)} aegis-provision-ends"
    return f"cat <<'E'\nlocalhost | SUCCESS => {json.dumps({'msg': message})}\nE"


def test_an_inventory_that_ansible_passes_over_is_named(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "bin"
    complaint = "[WARNING]: Unable to parse /i/bad.ini as an inventory source"
    program(where / "ansible", f"echo '{complaint}' >&2; {printed('host=YQ==', 'config=')}")
    program(where / "ansible-inventory", """echo '{"ungrouped": {"hosts": ["a"]}}'""")
    code, _, err = said(capsys, "hosts", "-i", "ansible:hosts", environ=stand_ins)
    assert code == 3
    assert 'warning: Ansible can\'t read "/i/bad.ini", so that hosts and groups of it are' in err
    assert "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true" in err


def test_where_ansible_finds_no_host_it_is_not_said_that_settings_are_missing(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin" / "ansible", printed("config=", "PLAYBOOK_DIR=bnVsbA=="))
    program(tmp_path / "bin" / "ansible-inventory", "echo '{}'")
    code, _, err = said(capsys, "hosts", "-i", "ansible:hosts", environ=stand_ins)
    assert code == 3
    assert err.startswith("error: Ansible finds no host in hosts\n")
    assert "ansible-inventory -i hosts --graph" in err


def test_the_program_that_prints_something_else_is_named(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin" / "ansible", "echo hello")
    _, _, err = said(capsys, "hosts", "-i", "ansible:hosts", environ=stand_ins)
    assert err.startswith("error: ansible prints no result of the task that it was given\n")
    assert "= see what it prints: ansible -i hosts localhost -m debug -a var=aegis\n" in err
    program(tmp_path / "bin" / "ansible", printed("host=YQ==", "config="))
    program(tmp_path / "bin" / "ansible-inventory", "echo hello")
    _, _, err = said(capsys, "hosts", "-i", "ansible:hosts", environ=stand_ins)
    assert err.startswith("error: ansible-inventory prints a value that is no JSON\n")


def test_it_has_its_time(
    tmp_path: Path,
    stand_ins: Mapping[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ansible_inventory, "LONGEST", 0.1)
    program(tmp_path / "bin" / "ansible", "exec /bin/sleep 60")
    code, _, err = said(capsys, "validate", "-i", "ansible:hosts", environ=stand_ins)
    assert code == 3
    assert "error: ansible is not done after 0 seconds, and was ended" in err


def test_an_inventory_that_is_not_there_is_not_asked_for(
    stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "validate", "-i", "ansible:nowhere", environ=stand_ins)
    assert code == 3
    assert err.startswith("error: the inventory nowhere does not exist, so that Ansible is not")


def test_it_gets_what_the_operator_has_and_all_sources_at_once(
    tmp_path: Path, stand_ins: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    body = 'echo "$0 $1 $2 $3 $4 $5 $6" >>calls; env >>environ; tty >>calls; exit 4'
    program(tmp_path / "bin" / "ansible", body)
    flags = ("-i", "ansible:hosts", "-i", "ansible:h1,h2,")
    given = {**stand_ins, "ANSIBLE_VAULT_PASSWORD_FILE": "pw", "ANSIBLE_BECOME_ASK_PASS": "1"}
    said(capsys, "validate", *flags, environ=given)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [f"{tmp_path}/bin/ansible localhost -i hosts -i h1,h2, -m", "not a tty"]
    environ = (tmp_path / "environ").read_text().splitlines()
    assert {"ANSIBLE_VAULT_PASSWORD_FILE=pw", "ANSIBLE_BECOME_ASK_PASS=false"} <= set(environ)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_programs_beside_the_interpreter_are_asked_in_an_environment_of_ours(
    tmp_path: Path, stand_ins: Mapping[str, str]
) -> None:
    ours = f"ours= aegis={coded('{}')}"
    answer = printed(
        f"host={coded('g1')}", ours, f"host={coded('g2')}", ours,
        "config=", f"PLAYBOOK_DIR={coded(json.dumps('plays'))}",
    )  # fmt: skip
    listed = '{"all": {"children": ["gpu"]}, "gpu": {"hosts": ["g1", "g2"]}}'
    program(tmp_path / "ansible", f"env >environ\n{answer}")
    program(tmp_path / "ansible-inventory", f"echo \"$@\" >calls; echo '{listed}'")
    (tmp_path / "host_vars" / "g1").mkdir(parents=True)
    given = {
        **stand_ins, "PATH": "/usr/bin:/bin", "LC_ALL": "C", "ANSIBLE_ASK_PASS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "yaml",
    }  # fmt: skip
    (file,), found = ansible_inventory.read_ansible_inventory(["hosts"], 0, given)
    assert found == ()
    assert json.loads(file.data)["host_vars"] == {
        "g1": "host_vars/g1/aegis.yml",
        "g2": "host_vars/g2.yml",
    }
    calls = (tmp_path / "calls").read_text()
    assert calls == "-i hosts --playbook-dir plays --list --export\n"
    environ = set((tmp_path / "environ").read_text().splitlines())
    assert {
        "LC_ALL=C.UTF-8",
        "ANSIBLE_ASK_PASS=false",
        "ANSIBLE_STDOUT_CALLBACK=minimal",
    } <= environ


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({"LANG": "de_DE.UTF-8"}, {}),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, {}),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, {"LC_ALL": "C.UTF-8"}),
        ({}, {"LC_ALL": "C.UTF-8"}),
    ],
)
def test_its_locale_is_one_of_utf8(environ: Mapping[str, str], added: Mapping[str, str]) -> None:
    assert ansible_inventory._utf8_locale(environ) == added  # noqa: SLF001


def test_a_home_is_filled_in_as_no_shell_does_it_after_a_colon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/op")
    assert ansible_source(Path("ansible:~/hosts")) == "/home/op/hosts"
    assert absolute_path(Path("ansible:~/hosts"), Path("/here")) == "ansible:/home/op/hosts"
    assert ansible_source(Path("ansible:~h1,h2")) == "~h1,h2"
    assert ansible_source(Path("ansible:~no-such-user-here/x")) == "~no-such-user-here/x"


@pytest.mark.parametrize(
    ("named", "source", "absolute"),
    [
        ("hosts", None, "/here/hosts"),
        ("ansible:hosts", "hosts", "ansible:/here/hosts"),
        ("ansible:/srv/hosts", "/srv/hosts", "ansible:/srv/hosts"),
        ("ansible:h1,", "h1,", "ansible:h1,"),
        ("ansible:", "", "ansible:"),
    ],
)
def test_what_is_for_ansible(named: str, source: str | None, absolute: str) -> None:
    assert ansible_source(Path(named)) == source
    assert absolute_path(Path(named), Path("/here")) == absolute


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A directory with an inventory of Ansible's, and the environment of its operator."""
    found = shutil.which("ansible", path=f"{os.environ['PATH']}:{HERE}")
    if found is None:
        missing("this needs Ansible: pip install ansible-core")
    directory = tmp_path_factory.mktemp("fleet")
    write(directory, FILES)
    environ = {
        "PATH": f"{Path(found).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "LANG": "C.UTF-8",
    }
    return directory, environ


@pytest.mark.slow
def test_ansible_itself_fills_in_what_is_ours(
    fleet: tuple[Path, dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory, environ = fleet
    monkeypatch.chdir(directory)
    code, out, err = said(
        capsys, "hosts", "-i", "ansible:hosts", "--format", "json", environ=environ
    )
    assert code == 0, err
    shown = json.loads(out)
    assert shown["_meta"]["hostvars"] == {
        "g1": {
            "ansible_host": "10.0.0.1",
            "ansible_port": 2204,
            "ansible_user": "deploy",
            "aegis": {"provider": "glm", "model": "qwen", "jump": ["u@bastion"]},
        },
        "g2": {
            "ansible_host": "g2.example.com",
            "ansible_user": "deploy",
            "aegis": {"provider": "lm-studio", "jump": ["u@bastion"]},
        },
        **{
            name: {"ansible_user": "deploy", "aegis": {"provider": "ollama", "service": "aegis"}}
            for name in ("w1", "w2")
        },
        "w3": {
            "ansible_host": "g2.example.com",
            "ansible_user": "deploy",
            "aegis": {"provider": "ollama", "service": "aegis"},
        },
    }
    resolved = shown["_meta"]["resolved"]
    assert {name: item["pinned"] for name, item in resolved.items()} == {
        "g1": False, "g2": True, "w1": False, "w2": False, "w3": False,
    }  # fmt: skip
    assert resolved["g1"]["groups"] == ["site", "gpu"]
    assert 'StrictHostKeyChecking in "ansible_ssh_common_args" changes how Ansible connects' in err
    assert '"ansible_password" changes how Ansible connects, and is not taken here' in err
    assert CANARY not in out + err


@pytest.mark.slow
def test_a_host_that_ansible_cant_fill_in_is_named_in_its_words(
    fleet: tuple[Path, dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory, environ = fleet
    monkeypatch.chdir(directory)
    (directory / "host_vars" / "w2.yml").write_text('aegis: {provider: "{{ nowhere }}"}\n')
    try:
        code, _, err = said(capsys, "validate", "-i", "ansible:hosts", environ=environ)
    finally:
        (directory / "host_vars" / "w2.yml").unlink()
    assert code == 3
    assert "Ansible can't fill in the variables of 1 host: " in err
    assert "'nowhere' is undefined (on 1 host: w2)\n" in err
    assert "= see it with: ansible -i hosts w2 -m debug -a var=aegis\n" in err
