"""Streams that lack characters: what is printed is escaped, and nothing else is different."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.operator import TOKEN
from tests.fleet.program import PROGRAM

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

MODEL = "модель-é-🚀"
NARROW = {
    "ascii": ("ascii", {"PYTHONIOENCODING": "ascii:strict"}),
    "latin-1": ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
    "POSIX": (
        "ascii",
        {"LC_ALL": "POSIX", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ),
}
TEXT = {
    "validate": (0, ["ascii"]),
    "hosts --graph": (0, ["ascii"]),
    "explain a": (0, ["ascii"]),
    "plan": (0, ["ascii", "latin-1", "POSIX"]),
    "apply --check --diff": (0, ["POSIX"]),
    "history last": (0, ["ascii"]),
    "pin c glm --reason größer --dry-run": (0, ["ascii", "POSIX"]),
    "plan --help": (0, ["ascii"]),
    "plan --löng": (64, ["ascii", "POSIX"]),
    "plan -l größe": (3, ["ascii", "POSIX"]),
    "validate -i wrong.yml": (3, ["latin-1", "POSIX"]),
}
"""Exit codes, and where each is tried: arguments in each way that Python decodes them."""

ARGUMENT = {"plan --löng"}
"""With a flag that Python takes apart into bytes where the locale is ASCII."""

DOCUMENTS = {
    "hosts --format json": "ascii",
    "plan --format json": "POSIX",
    "status --format json": "ascii",
    "history last --format json": "POSIX",
    "validate -i wrong.yml --format json": "ascii",
    "plan --format ndjson": "ascii",
    "validate -i wrong.yml --format sarif": "POSIX",
}


def said_in_bytes(
    operator: Operator, command: str, environ: dict[str, str]
) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [*PROGRAM, *command.split()],
        cwd=operator.work,
        env={**operator.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def said_widely(operator: Operator, command: str) -> tuple[int, bytes, bytes]:
    done = operator.run(*command.split())
    return done.code, done.out.encode(), done.err.encode()


@pytest.fixture
def abroad(operator: Operator) -> Operator:
    """An operator whose inventory and history are full of what ASCII lacks."""
    inventory = operator.work / "inventory.yml"
    text = inventory.read_text(encoding="utf-8")
    text = text.replace(
        "    provider: openrouter\n", f"    provider: openrouter\n    model: {MODEL}\n"
    )
    text = text.replace("    b: {", "    b: {provider: glm, pin_reason: schöner, model: größe, ")
    inventory.write_text(text, encoding="utf-8")
    (operator.work / "wrong.yml").write_text("all: {hosts: {ä: {provider: größe}}}\n", "utf-8")
    operator.environ["GLM_API_KEY"] = TOKEN
    assert operator.call("apply", "--yes", "-l", "a").code == 0
    return operator


@pytest.mark.parametrize("command", TEXT)
def test_text_is_what_a_wide_stream_gets_with_escapes(abroad: Operator, command: str) -> None:
    code, names = TEXT[command]
    wide = said_widely(abroad, command)
    assert wide[0] == code
    for name in names:
        encoding, environ = NARROW[name]
        got = said_in_bytes(abroad, command, environ)
        assert got[0] == code
        if name == "POSIX" and command in ARGUMENT:
            assert (got[1] + got[2]).isascii()
            assert b"internal error" not in got[2]
        else:
            told = [part.decode().encode(encoding, "backslashreplace") for part in wide[1:]]
            assert list(got[1:]) == told, name


@pytest.mark.parametrize("command", DOCUMENTS)
def test_documents_are_ascii_everywhere(abroad: Operator, command: str) -> None:
    wide = said_widely(abroad, command)
    got = said_in_bytes(abroad, command, NARROW[DOCUMENTS[command]][1])
    assert wide[1].isascii()
    assert wide[0] == got[0]
    if "ndjson" not in command:  # events have times
        assert got[1] == wide[1]
        json.loads(got[1])


@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("more", ["", " --reveal"])
def test_a_file_is_rendered_as_its_own_bytes(abroad: Operator, narrow: str, more: str) -> None:
    command = f"render a{more}"
    code, out, _ = said_in_bytes(abroad, command, NARROW[narrow][1])
    assert code == 0
    assert out == said_widely(abroad, command)[1]
    values = json.loads(out.decode("utf-8"))["defaultSessionEnv"]
    assert values["ANTHROPIC_DEFAULT_MODEL"] == MODEL
    assert MODEL.encode() in out


def test_values_of_the_environment_are_utf8_in_any_locale(abroad: Operator) -> None:
    environ = {**NARROW["POSIX"][1], "OPENROUTER_MODEL": MODEL}
    code, out, _ = said_in_bytes(abroad, "render --provider openrouter", environ)
    assert code == 0
    assert MODEL.encode() in out


@pytest.mark.parametrize("environ", [{}, NARROW["POSIX"][1]], ids=["UTF-8", "POSIX"])
@pytest.mark.parametrize("name", [b"n\xff\xc3\xa9.yml", "né 🚀.yml".encode()])
def test_a_file_whose_name_is_no_text_is_read_and_named(
    abroad: Operator, environ: dict[str, str], name: bytes
) -> None:
    inventory = (abroad.work / "inventory.yml").read_bytes()
    target = Path(os.fsdecode(os.fsencode(abroad.work) + b"/" + name))
    abroad.environ.update(environ)
    for content, code in ((inventory, 0), (b"all: {hosts: {a: {provider: no}}}", 3)):
        target.write_bytes(content)
        for command in (
            [b"validate", b"--format", b"sarif"],
            [b"validate", b"--format", b"json"],
            [b"explain", b"a"],
            [b"apply", b"--yes", b"--report", b"p\xff.html", b"-l", b"a"],
        ):
            args = [os.fsdecode(word) for word in (*command, b"-i", name)]
            done = abroad.run(*args)
            assert done.code == code, (command, done.err)
            assert "internal error" not in done.err


def test_a_page_is_utf8_in_any_locale(abroad: Operator) -> None:
    code, _, err = said_in_bytes(abroad, "apply --yes --report page.html", NARROW["POSIX"][1])
    assert code == 0, err
    page = (abroad.work / "page.html").read_bytes().decode("utf-8")
    assert MODEL in page
