"""Every command, inventory and example in our documents, run as a reader would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import SUMMARIES
from aegis_provision.diagnosis.host_checks import RESTS_ON
from aegis_provision.packaged_files import load_schema
from aegis_provision.transport.ssh.ssh_config_keywords import KEYWORDS, Effect
from tests.docs.hosts import running_hosts
from tests.docs.man_page import man_page
from tests.docs.reference import reference
from tests.docs.stand_ins import install_programs
from tests.docs.transcripts import Reader, blocks, commands, matches
from tests.fleet.clients import need
from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
HOSTS = ("build-01", "build-02", "gpu-01", "gpu-02")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader with a home directory and four hosts that the ssh config leads to."""
    with running_hosts(tmp_path, HOSTS, without_file="build-02") as home:
        directory = tmp_path / "work"
        directory.mkdir()
        yield Reader(directory, _environ(home, tmp_path / "bin"))


def _environ(home: Path, programs: Path) -> dict[str, str]:
    programs.mkdir()
    for name, arguments in (("aegis-provision", "-m aegis_provision"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    install_programs(programs)
    (programs / "ag").symlink_to("/bin/true")  # who tries 'run' has Aegis there
    return {
        "HOME": str(home),
        "USER": "reader",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
    }


SESSIONS = [path for path in DOCUMENTS if "```console\n" in path.read_text(encoding="utf-8")]
"""Those with commands: a reader of the others needs no hosts."""


@pytest.mark.parametrize("document", SESSIONS, ids=lambda path: path.name)
def test_a_reader_sees_what_the_document_shows(document: Path, reader: Reader) -> None:
    beside = f"{reader.environ['PATH']}:{Path(sys.executable).parent}"
    if document.name == "ansible.md" and shutil.which("ansible", path=beside) is None:
        missing("this needs Ansible: pip install ansible-core")
    for block in blocks(document.read_text(encoding="utf-8")):
        reader.follow(block)


def test_the_reference_of_commands_is_up_to_date() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert text == reference(), "run 'make docs'"


def test_the_man_page_is_up_to_date_and_man_has_nothing_against_it() -> None:
    page = ROOT / "docs" / "aegis-provision.1"
    assert page.read_text(encoding="utf-8") == man_page(), "run 'make docs'"
    shown = subprocess.run(
        [need("man", "man-db"), "--warnings=all", "-l", page],
        env={"PATH": os.environ["PATH"], "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "--detailed-exitcode" in shown.stdout


def test_no_session_is_left_out() -> None:
    """A block in another language would not be run, so none may hold our commands."""
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8")):
            if (
                block.language not in {"console", "yaml", "python"}
                and document.name != "commands.md"
            ):
                assert "aegis-provision " not in block.text, f"{document.name}:{block.line}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"demo", "test"} <= set(named)
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in SUMMARIES:
        assert f"`{name}" in text, name


def test_a_session_is_compared_line_by_line() -> None:
    assert matches(("a", "...", "d"), ["a", "b", "c", "d"])
    assert not matches(("a", "...", "d"), ["a", "b"])
    assert not matches((), ["a"])
    block = next(iter(blocks("<!-- exit: 3 -->\n```console\n$ x \\\n    y\nout\n```\n")))
    [command] = commands(block)
    assert (command.text, command.expected, command.exit_code) == ("x y", ("out",), 3)


def test_every_check_of_doctor_is_in_its_table_with_what_it_rests_on() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text, re.MULTILINE)
    told = {name: tuple(re.findall(r"\w+", below)) for name, below in rows}
    assert list(told.items()) == list(RESTS_ON.items())


def test_every_keyword_of_ssh_config_is_in_the_table_of_what_becomes_of_it() -> None:
    text = (ROOT / "docs" / "ssh.md").read_text(encoding="utf-8")
    for effect in Effect:
        chosen = (keyword for keyword in KEYWORDS.values() if keyword.effect is effect)
        rows = sorted((f"| `{item.name}` | {item.why} |" for item in chosen), key=str.lower)
        assert "\n".join(["| keyword | |", "| --- | --- |", *rows, ""]) in text


def test_every_setting_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
    parts = load_schema("inventory")["$defs"]
    for part in ("vars", "provider"):
        for name in parts[part]["properties"]:
            assert f"| `{name}` |" in text, name


def test_every_key_of_a_play_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "playbook.md").read_text(encoding="utf-8").partition("## Hosts")[0]
    play = load_schema("playbook")["$defs"]["play"]["properties"]
    for name in (*play, *play["verify"]["properties"]):
        [row] = re.findall(rf"^\| `{name}` \|.*", text, re.MULTILINE)
        default = (play.get(name) or play["verify"]["properties"][name]).get("default")
        if default is not None:
            assert f"`{json.dumps(default).strip(chr(34))}`" in row, row
    for part in ("preflight", "sessions"):
        for name in _parts(play[part]):
            assert re.search(rf"`{name}`|`{{{name}: ", text), name
    for words in (play["restart"]["enum"], play["on_failure"]["enum"]):
        assert all(f"`{word}`" in text for word in words)


def test_every_key_of_a_rule_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    rule = load_schema("policy")["$defs"]["rule"]["properties"]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(rule)
    assert all(f"{name}: " in text for name in _parts(rule["pins"]))


def _parts(schema: Mapping[str, Any]) -> list[str]:
    kinds = (schema, *schema.get("oneOf", ()))
    return [name for kind in kinds for name in kind.get("properties", {})]
