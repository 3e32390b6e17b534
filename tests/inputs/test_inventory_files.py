"""Which files beside an inventory belong to it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run
from aegis_provision.inputs.inventory_files import belongs_to

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = "all: {vars: {provider: glm}, hosts: {eu-01.example.com: }, children: {eu.west: }}"


@pytest.fixture(autouse=True)
def beside_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    (tmp_path / "host_vars").mkdir()


def user_of_the_host(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["hosts", "--host", "eu-01.example.com", "--format", "json"], {}) == 0
    out, said = capsys.readouterr()
    assert said == ""
    user: str = json.loads(out).get("ansible_user", "")
    return user


@pytest.mark.parametrize("ending", ["", ".yml", ".yaml", ".json", "/connection.yml"])
def test_a_file_named_after_a_host_with_dots_is_read(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "host_vars" / f"eu-01.example.com{ending}"
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"user": "deploy"}')
    assert user_of_the_host(capsys) == "deploy"


@pytest.mark.parametrize("name", ["README.md", "eu-01.example.com.bak", ".hidden", "notes.txt"])
def test_other_files_are_passed_over(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host_vars" / name).write_bytes(b"user: [\xff")
    assert run(["validate"], {}) == 0
    assert "error" not in capsys.readouterr().err


def test_a_file_name_that_is_nearly_a_hosts_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host_vars" / "eu-01.exampel.com").write_text("user: deploy")
    assert run(["validate"], {}) == 0
    said = capsys.readouterr().err
    assert 'warning: no host is called "eu-01.exampel.com"' in said
    assert "so host_vars/eu-01.exampel.com is not used" in said
    assert '= did you mean "eu-01.example.com"?' in said


def test_all_files_of_a_group_or_host_count_at_any_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = ("main", "a.yml", "b.yaml", "c.json", "sub/d.yml", "sub/deep/e")
    # As Ansible, whose find_vars_files passes over the same.
    unread = (".f.yml", "g~", "h.yml~", "i.bak", "j.orig", "k.yml.retry", "l.cfg", "m.pyc", "n.ini",
              ".git/o.yml", "sub/.p", "sub/q~", "~/r.txt", "old~/s.yml")  # fmt: skip
    for kind, subject in (("group_vars", "all"), ("host_vars", "eu-01.example.com")):
        for number, name in enumerate((*read, *unread)):
            file = tmp_path / kind / subject / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"env": {f"{kind.upper()}_{number}": "x"}}))
    assert run(["hosts", "--host", "eu-01.example.com", "--format", "json"], {}) == 0
    out, said = capsys.readouterr()
    assert (
        "warning: not read in group_vars/all: .f.yml, g~, h.yml~, i.bak, j.orig, and 6 more" in said
    )
    assert "warning: not read in group_vars/all/sub: .p, q~\n" in said
    assert ".git" not in said
    assert set(json.loads(out)["aegis"]["env"]) == {
        f"{kind}_{number}" for kind in ("GROUP_VARS", "HOST_VARS") for number in range(len(read))
    }


def test_a_hidden_directory_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (".git", "old~"):
        (tmp_path / "group_vars" / name).mkdir(parents=True)
        (tmp_path / "group_vars" / name / "x.yml").write_text("user: [")
    assert run(["validate"], {}) == 0
    assert capsys.readouterr().err == "warning: not read in group_vars: old~/\n1 warning\n"


def test_a_directory_with_an_ending_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "host_vars" / "eu-01.example.com" / "old.d"
    place.mkdir(parents=True)
    (place / "x.yml").write_text("user: [")
    assert run(["validate"], {}) == 0
    assert capsys.readouterr().err == (
        "warning: host_vars/eu-01.example.com/old.d is a directory with an ending, "
        "so it is passed over\n"
        "  = rename it without the dot, or move it elsewhere\n1 warning\n"
    )


def test_a_link_that_leads_back_ends_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "group_vars" / "all"
    place.mkdir(parents=True)
    (place / "again").symlink_to(place)
    (place / "up").symlink_to(tmp_path / "group_vars")
    (place / "x").write_text("user: deploy")
    (tmp_path / "inv").mkdir()
    (tmp_path / "inv" / "loop").symlink_to(tmp_path / "inv")
    (tmp_path / "inv" / "hosts").write_text("all: {vars: {provider: glm}, hosts: {h: }}")
    assert run(["validate", "-i", "inv"], {}) == 0
    assert capsys.readouterr().err == ""
    assert user_of_the_host(capsys) == "deploy"


GROUP = "web: {hosts: {w1: , w2: }}\n"


def directory(tmp_path: Path, files: dict[str, str]) -> None:
    files = {"a.yml": "all: {vars: {provider: ollama}, hosts: {h1: }}", **files}
    for name, text in files.items():
        file = tmp_path / "dir" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    "name", ["hosts", "b.yml", "b.yaml", "b.json", "sub/hosts", "sub/b.yml", "sub.d/deep/b.json"]
)
def test_a_directory_is_read_as_ansible_reads_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory(tmp_path, {name: GROUP if not name.endswith("json") else json.dumps(
        {"web": {"hosts": {"w1": None, "w2": None}}})})  # fmt: skip
    assert run(["hosts", "-i", "dir"], {}) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == ["h1", "w1", "w2"]


@pytest.mark.parametrize(
    "name",
    [".hosts", "hosts~", "hosts.bak", "hosts.orig", "hosts.cfg", "hosts.retry", "hosts.pyc",
     "hosts.pyo", "hosts.swp", "hosts.rpm", "hosts.md", "hosts.txt", "hosts.rst", ".sub/hosts",
     "sub.bak/hosts", "sub~/hosts", "vars_plugins/hosts", "sub/group_vars/web.yml",
     "sub/host_vars/hosts", "hosts.py", "key.pem"],
)  # fmt: skip
def test_what_ansible_passes_over_is_named_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "-----BEGIN\n" if name in {"hosts.py", "key.pem"} else GROUP
    directory(tmp_path, {name: text})
    assert run(["hosts", "-i", "dir"], {}) == 0
    out, err = capsys.readouterr()
    assert out == "h1  ollama\n"
    first, *below = name.split("/")
    place, shown = ("dir/sub", below[0]) if first == "sub" else ("dir", first)
    shown = f"{shown}/" if below else shown
    assert err == f"warning: not read in {place}: {shown}\n1 warning\n"


INI = "[web]\nw1\n"


def convert(name: str) -> str:
    return (
        f"convert it with: ansible-inventory -i dir/{name} --list --yaml --export "
        "(vaulted files come out decrypted: look through the result before you keep it)"
    )


@pytest.mark.parametrize(
    ("name", "text", "what", "hint"),
    [
        ("hosts.ini", INI, "an inventory in INI format", convert("hosts.ini")),
        ("hosts", INI, "an inventory in INI format", convert("hosts")),
        ("hosts.prod", INI, "an inventory in INI format", convert("hosts.prod")),
        ("sub/hosts", INI, "an inventory in INI format", convert("sub/hosts")),
        ("empty.ini", "", "an inventory in INI format", convert("empty.ini")),
        ("hosts.toml", "a = 1\n", "an inventory in TOML format", convert("hosts.toml")),
        ("hosts.ini", GROUP, "no inventory by its ending .ini",
         "give it the ending .yml, or move it elsewhere"),
        ("hosts.prod", GROUP, "no inventory by its ending .prod",
         "give it the ending .yml, or move it elsewhere"),
        ("README", "Read this first.", "no inventory", "move it elsewhere"),
        ("sub/vars.yml", "a: 1", "no inventory", "move it elsewhere"),
        ("sub/fleet.sh", "#!/bin/sh\n", "a script that is not executable",
         "'chmod +x dir/sub/fleet.sh', or move it elsewhere"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_a_warning(
    name: str, text: str, what: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory(tmp_path, {name: text})
    assert run(["hosts", "-i", "dir"], {}) == 0
    out, err = capsys.readouterr()
    assert out == "h1  ollama\n"
    assert err == f"warning: dir/{name} is {what}, so it is passed over\n  = {hint}\n1 warning\n"


def test_a_pipe_in_a_directory_is_a_warning_and_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory(tmp_path, {})
    os.mkfifo(tmp_path / "dir" / "hosts")
    assert run(["hosts", "-i", "dir"], {}) == 0
    out, err = capsys.readouterr()
    assert out == "h1  ollama\n"
    assert err == (
        "warning: dir/hosts is not readable (it is not a regular file but a pipe), "
        "so it is passed over\n"
        "1 warning\n"
    )


def test_a_script_in_a_directory_below_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory(tmp_path, {"sub/fleet": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    (tmp_path / "dir" / "sub" / "fleet").chmod(0o755)
    assert run(["hosts", "-i", "dir"], {}) == 0
    assert capsys.readouterr().err == (
        "warning: dir/sub/fleet is a script in a directory below, so it is passed over\n"
        "  = name it: -i dir/sub/fleet\n1 warning\n"
    )
    assert not (tmp_path / "ran").exists()


def test_a_broken_file_without_an_ending_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory(tmp_path, {"hosts": "web:\n  hosts: [\n"})
    assert run(["hosts", "-i", "dir"], {}) == 3
    assert "dir/hosts:3:1: error: " in capsys.readouterr().err


def test_a_directory_of_ini_alone_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dir" / "group_vars").mkdir(parents=True)
    (tmp_path / "dir" / "group_vars" / "all.yml").write_text("user: [")
    (tmp_path / "dir" / "hosts").write_text(INI)
    assert run(["hosts", "-i", "dir"], {}) == 3
    assert capsys.readouterr().err == (
        "warning: dir/hosts is an inventory in INI format, so it is passed over\n"
        f"  = {convert('hosts')}\n"
        "error: the directory dir holds no inventory\n"
        "  = put a .yml, .yaml or .json file into it, or an executable script\n"
        "1 error, 1 warning\n"
    )


@pytest.mark.parametrize(
    "text", ["[web]\nh1\n", "; hosts\n[web]\n", "# hosts\nh1\nh2\n", "h1 a=b\n", "[web]\n"]
)
def test_ini_is_reported_as_ini(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my hosts").write_text(text)
    assert run(["validate", "-i", "my hosts"], {}) == 3
    err = capsys.readouterr().err
    assert err.startswith("my hosts:1:1: error: this is an inventory in INI format")
    assert "convert it with: ansible-inventory -i 'my hosts' --list --yaml --export (" in err
    assert err.endswith("1 error\n")


@pytest.mark.parametrize("missing", ["missing.yml", "nowhere/inventory.yml"])
def test_a_missing_inventory_is_the_only_error(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("user: [")
    (tmp_path / "group_vars" / "nobody.yml").write_text("usr: x")
    assert run(["validate", "-i", missing], {}) == 3
    assert capsys.readouterr().err == (
        f"error: the inventory {missing} does not exist\n"
        "  = name another with -i, or write a starter with 'aegis-provision init'\n1 error\n"
    )
    (tmp_path / "group_vars" / "all.yml").write_text("user: deploy")
    (tmp_path / "group_vars" / "nobody.yml").unlink()
    assert run(["validate", "-i", missing, "-i", "inventory.yml"], {}) == 3
    assert capsys.readouterr().err.startswith(f"error: the inventory {missing} does not exist\n")


@pytest.mark.parametrize(
    ("path", "belongs"),
    [
        ("group_vars/all.json", True), ("group_vars/all/sub/deep/plan", True),
        ("host_vars/h/plan", True), ("dir/plan.json", True), ("dir/plan", False),
        ("dir/sub/plan.json", False), ("plan.json", False),
        ("dir/group_vars/all/x/plan.json", True),
    ],
)  # fmt: skip
def test_which_new_files_would_belong_to_an_inventory(
    path: str, belongs: bool, tmp_path: Path
) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "dir").mkdir(exist_ok=True)
    places = [tmp_path / "dir", tmp_path / "inventory.yml"]
    assert any(belongs_to(tmp_path / path, place) for place in places) is belongs
