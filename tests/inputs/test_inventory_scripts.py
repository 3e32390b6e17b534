"""Inventories that are run: what they may do, and what is said where they don't."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run
from aegis_provision.inputs import inventory_scripts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CANARY = "canary4f1d"
LISTED = {
    "web": {"hosts": ["h1", "h2"], "vars": {"aegis": {"provider": "glm"}, "password": "x"}},
    "_meta": {"hostvars": {"h2": {"aegis": {"provider": "ollama"}, "ansible_host": "10.0.0.2"}}},
}
PRINTS = f"cat <<'END'\n{json.dumps(LISTED)}\nEND"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def script(path: Path, body: str, *, interpreter: str = "/bin/sh") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o755)
    return path


def said(
    capsys: pytest.CaptureFixture[str], *args: str, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    code = run(args, {"PATH": os.environ["PATH"], **(environ or {})})
    out, err = capsys.readouterr()
    return code, out, err


def test_a_script_is_run_for_its_inventory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", PRINTS)
    assert said(capsys, "hosts", "-i", "fleet") == (
        0,
        "h1  glm            web\nh2  ollama  (pin)  web\n",
        "",
    )


def test_a_value_keeps_the_place_where_the_script_printed_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", PRINTS)
    _, out, _ = said(capsys, "hosts", "-i", "fleet", "--host", "h2")
    line = json.dumps(LISTED, indent=2).split("\n").index('          "provider": "ollama"') + 1
    assert f"ollama  (h2, fleet:{line}:23)" in out


@pytest.mark.parametrize(
    "body", ['echo "$PWD" >cwd', 'echo "$*" >arguments', 'echo "$TOKEN_OF_CMDB" >environ']
)
def test_it_runs_once_where_the_operator_is_with_what_they_have(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "scripts" / "fleet", f"{body.replace('>', '>>')}\n{PRINTS}")
    twice = ("-i", "scripts/fleet", "-i", "scripts/fleet")
    assert said(capsys, "validate", *twice, environ={"TOKEN_OF_CMDB": "t"})[0] == 0
    wrote = (tmp_path / body.rpartition(">")[2]).read_text()
    assert (
        wrote
        == {"cwd": f"{tmp_path}\n", "arguments": "--list\n", "environ": "t\n"}[
            body.rpartition(">")[2]
        ]
    )


def test_a_script_gets_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script(
        tmp_path / "fleet", f"read -r line && exit 1\n(: >/dev/tty) 2>/dev/null && exit 2\n{PRINTS}"
    )
    assert said(capsys, "validate", "-i", "fleet")[0] == 0


def test_variables_beside_the_script_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", PRINTS)
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "h1.yml").write_text("provider: lm-studio\n")
    _, out, _ = said(capsys, "hosts", "-i", "fleet", "h1")
    assert out == "h1  lm-studio  (pin)  web\n"


def test_a_static_file_beside_the_script_holds_the_recipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", PRINTS.replace('"glm"', '"gateway"'))
    (tmp_path / "recipes.yml").write_text(
        "providers: {gateway: {extends: glm, model: m}}\nall: {vars: {user: deploy}}\n"
    )
    code, out, err = said(capsys, "hosts", "-i", "recipes.yml", "-i", "fleet", "h1")
    assert (code, out, err) == (0, "h1  gateway         web\n", "")


def test_in_a_directory_scripts_are_run_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "inv" / "fleet.py", PRINTS)
    (tmp_path / "inv" / "more.yml").write_text("all: {hosts: {h3: {provider: glm}}}")
    for name in ("README.md", "notes.txt", "fleet.py~", ".hidden", "fleet.pyc"):
        script(tmp_path / "inv" / name, "exit 1")
    (tmp_path / "inv" / "lib").mkdir()
    code, out, err = said(capsys, "hosts", "-i", "inv")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["h1", "h2", "h3"])
    names = ".hidden, README.md, fleet.pyc, fleet.py~, notes.txt"
    assert err == f"warning: not read in inv: {names}\n1 warning\n"


def test_a_script_that_is_not_executable_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "inv" / "fleet.py", PRINTS).chmod(0o644)
    (tmp_path / "inv" / "more.yml").write_text("all: {hosts: {h3: {provider: glm}}}")
    code, _, err = said(capsys, "validate", "-i", "inv")
    assert code == 0
    assert err == (
        "warning: inv/fleet.py is a script that is not executable, so it is passed over\n"
        "  = 'chmod +x inv/fleet.py', or move it elsewhere\n1 warning\n"
    )


def test_yaml_that_is_executable_is_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On some file systems everything is executable."""
    file = tmp_path / "inventory.yml"
    file.write_text("all: {hosts: {h3: {provider: glm}}}")
    file.chmod(0o777)
    assert said(capsys, "hosts")[:2] == (0, "h3  glm  (pin)\n")


def test_without_meta_each_host_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(
        tmp_path / "fleet",
        'if [ "$1" = --host ]; then echo "{\\"aegis\\": {\\"provider\\": \\"glm\\", '
        '\\"model\\": \\"$2\\"}}"; else echo \'{"web": ["h1", "h2"]}\'; fi',
    )
    _, out, _ = said(capsys, "hosts", "-i", "fleet", "--host", "h2")
    assert "model     h2  (h2, fleet --host h2:4:14)" in out


def test_so_many_hosts_are_not_asked_for_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = json.dumps({"web": [f"h{number}" for number in range(201)]})
    script(tmp_path / "fleet", f"[ \"$1\" = --list ] || exit 1\necho '{hosts}'")
    told = (
        "error: fleet lists 201 hosts without their variables\n"
        '  = let --list print them too, under "_meta": {"hostvars": {...}} (empty will do)\n'
        "1 error\n"
    )
    assert said(capsys, "validate", "-i", "fleet") == (3, "", told)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("exit 3", "fleet --list failed with exit code 3\n"),
        ("echo no network >&2; exit 1", "failed with exit code 1; it says: no network\n"),
        ("kill -9 $$", "fleet --list was ended by SIGKILL\n"),
        (f"echo {CANARY}", "fleet prints no JSON: expecting value in line 1, column 1\n"),
        (":", "fleet prints nothing\n"),
        (f"printf '\"{CANARY}\\377\"'", "fleet prints a byte that is not UTF-8: 0xff\n"),
        ("yes", "fleet --list prints more than 16 MiB, and was ended\n"),
        ("for i in 1 2 3 4 5 6 7; do echo line $i; done >&2; exit 1",
         "it says: line 1 | line 2 | line 3 | ... | line 6 | line 7\n"),
        (f"echo password: {CANARY} >&2; exit 1", "it says: (a line that may hold a secret)\n"),
        (f"echo 'sk-{CANARY}' >&2; exit 1", "it says: (a line that may hold a secret)\n"),
        ("echo \"$CMDB_TOKEN is wrong\" >&2; exit 1", "it says: (a line that holds a secret)\n"),
        ("printf 'a\\033[2Jb\\n' >&2; exit 1", "it says: a\\x1b[2Jb\n"),
    ],
)  # fmt: skip
def test_a_failing_script_is_an_error_without_its_output(
    body: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", body)
    code, out, err = said(capsys, "plan", "-i", "fleet", environ={"CMDB_TOKEN": f"{CANARY} 1"})
    assert (code, out) == (3, "")
    assert words in err
    assert "\n  = " in err
    assert CANARY not in err


def test_what_it_says_while_all_is_well_is_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "fleet", f"echo 'the cache is old' >&2\n{PRINTS}")
    assert said(capsys, "hosts", "-i", "fleet")[2] == (
        "note: fleet --list says: the cache is old\n1 note\n"
    )
    assert said(capsys, "hosts", "-q", "-i", "fleet")[2] == ""


def test_a_script_that_takes_too_long_is_ended_with_all_that_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_scripts, "LONGEST", 0.5)
    script(tmp_path / "fleet", "sh -c 'echo $$ >child; exec sleep 600'")
    code, _, err = said(capsys, "validate", "-i", "fleet")
    assert code == 3
    assert "fleet --list is not done after" in err
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 10
    while _is_running(child):
        assert time.monotonic() < until


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:  # noqa: PTH123 - not a file
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_it_leaves_running_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ssh that stays in the background keeps the streams that it was given."""
    script(tmp_path / "fleet", f"sleep 600 & echo $! >left\n{PRINTS}")
    before = time.monotonic()
    code, _, _ = said(capsys, "validate", "-i", "fleet")
    os.kill(int((tmp_path / "left").read_text()), 9)
    assert code == 0
    assert time.monotonic() - before < 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hosts: [", "fleet is executable and can't be run: Exec format error\n"),
        ("#!/nowhere/at/all\n", "fleet is executable and can't be run: No such file"),
    ],
)
def test_what_can_not_be_run_is_an_error(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fleet").write_text(content)
    (tmp_path / "fleet").chmod(0o755)
    code, _, err = said(capsys, "validate", "-i", "fleet")
    assert code == 3
    assert words in err
    assert "'chmod -x' it if it is YAML" in err


def test_a_literal_secret_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {"web": {"hosts": ["h"], "vars": {"aegis": {"provider": "glm", "auth_token": CANARY}}}}
    script(tmp_path / "fleet", f"echo '{json.dumps({**listed, '_meta': {}})}'")
    code, _, err = said(capsys, "validate", "-i", "fleet")
    assert code == 3
    assert 'fleet:9:23: error: "auth_token" is a literal' in err
    assert CANARY not in err
