"""Completion as real shells do it: what stands on the line after the key was pressed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.completion import words_before_cursor
from aegis_provision.cli.main import run
from tests.fleet.needs import missing
from tests.fleet.operator import ROOT
from tests.fleet.terminal import Terminal, running_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

INVENTORY = """\
providers:
  gateway: {extends: openrouter, auth_token: "${GATEWAY_TOKEN}"}
all:
  vars: {provider: openrouter, config_path: /c}
builders: {hosts: {"build-[1:2]": {env: {MY_VARIABLE: x}}}}
gpu: {vars: {provider: gateway}, hosts: {gpu-1: , gpu-2: }}
"""
SETTINGS = {
    "bash": """\
PS1='> '; set +H; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
bind '"\\C-t": insert-completions'
eval "$(_AEGIS_PROVISION_COMPLETE=bash_source aegis-provision)"
""",
    "zsh": """\
PS1='> '; setopt no_bang_hist no_beep; bindkey -e
autoload -Uz compinit && compinit -D -u
zle -C insert-completions complete-word _generic
zstyle ':completion:insert-completions:*' completer _all_matches _complete
zstyle ':completion:insert-completions:*' insert true
bindkey '^T' insert-completions
eval "$(_AEGIS_PROVISION_COMPLETE=zsh_source aegis-provision)"
""",
}
SHOW = """\
show() { printf '\\n<%s>' "${@:2}"; printf '<END>\\n'; }
printf '<%s>\\n' READY
"""
COMMAND_OF = {
    "bash": ["bash", "--noprofile", "--rcfile", "{directory}/.zshrc", "-i"],
    "zsh": ["zsh", "-d", "-i"],
}


@dataclass(slots=True)
class Shell:
    """A shell in which a user types."""

    name: str
    directory: Path
    environ: Mapping[str, str]
    terminal: Terminal | None = None

    def complete(self, line: str) -> list[str]:
        """Return what the shell makes of the last word of ``line``: whole words."""
        if self.terminal is None:
            return self._complete_in_fish(line)
        self.terminal.seen = ""
        # To insert several words bash takes an open quote away; for one it closes it.
        key = "\t" if "'" in line else "\x14"
        keys = f"{line}{key}\x01show \n"
        self.terminal.type(keys.encode())
        self.terminal.read_until("<END>")
        words = re.findall(r"^<(.*?)>(?:<END>)?$", self.terminal.seen, re.MULTILINE)
        return words[len(words_before_cursor(line)) - 1 :]

    def _complete_in_fish(self, line: str) -> list[str]:
        script = (
            "_AEGIS_PROVISION_COMPLETE=fish_source aegis-provision | source\ncomplete -C $argv[1]"
        )
        done = subprocess.run(
            ["fish", "--no-config", "-c", script, line],
            cwd=self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        return [word.partition("\t")[0] for word in done.stdout.splitlines()]


@contextmanager
def running_shell(name: str, directory: Path) -> Iterator[Shell]:
    programs = directory / "bin"
    programs.mkdir()
    program = programs / "aegis-provision"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aegis_provision "$@"\n')
    program.chmod(0o755)
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "ZDOTDIR": str(directory),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
    work = directory / "work"
    work.mkdir()
    (work / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    if name == "fish":
        yield Shell(name, work, environ)
        return
    (directory / ".zshrc").write_text(SETTINGS[name] + SHOW, encoding="utf-8")
    argv = [part.format(directory=directory) for part in COMMAND_OF[name]]
    with running_on_terminal(argv, work, environ, columns=500) as terminal:
        terminal.read_until("<READY>")
        yield Shell(name, work, environ, terminal)


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    name: str = request.param
    if shutil.which(name) is None:
        missing(f"{name} is needed to try completion in it")
    with running_shell(name, tmp_path_factory.mktemp(name)) as running:
        yield running


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("aegis-provision expl", ["explain"]),
        ("aegis-provision session stop gpu-", ["gpu-1", "gpu-2"]),
        ("aegis-provision hosts g", ["gpu", "gpu-1", "gpu-2"]),
        ("aegis-provision doctor gpu:builde", ["gpu:builders"]),
        ("aegis-provision hosts --inventory other.yml ", ["all", "elsewhere"]),
        ("aegis-provision plan --limit=builde", ["--limit=builders"]),
        ("aegis-provision plan --limit all:!builde", ["all:!builders"]),
        ("aegis-provision plan --limit gpu:!build-[1]:builde", ["gpu:!build-[1]:builders"]),
        ("aegis-provision plan --limit 'all:&builde", ["all:&builders"]),
        ("aegis-provision plan --limit provider=g", ["provider=gateway"]),
        ("aegis-provision plan --lim", ["--limit"]),
        ("aegis-provision validate -i inv", ["inventory.yml"]),
        ("aegis-provision validate -i ansible:inv", ["ansible:inventory.yml"]),
    ],
)  # fmt: skip
def test_a_shell_makes_words_of_what_is_offered(shell: Shell, line: str, words: list[str]) -> None:
    (shell.directory / "other.yml").write_text("all: {vars: {provider: glm}, hosts: {elsewhere: }}")
    assert shell.complete(line) == words


@pytest.mark.parametrize("before", ["all,", "gpu:all:"])
def test_after_the_end_of_a_term_a_shell_takes_every_other(shell: Shell, before: str) -> None:
    (shell.directory / "single.yml").write_text("all: {vars: {provider: glm}, hosts: {lone: }}")
    words = shell.complete(f"aegis-provision hosts -i single.yml {before}")
    assert [re.split("[:,&!]", word)[-1] for word in words] == ["all", "lone"]


def put_wrong_inventories(directory: Path) -> None:
    """Make one that is broken, and a script that leaves a trace."""
    (directory / "broken.yml").write_text("all: {hosts: {gpu-9: }, hosts: [")
    script = directory / "script"
    script.write_text('#!/bin/sh\ntouch script-was-run\necho \'{"gpu": ["gpu-9"]}\'\n')
    script.chmod(0o755)


@pytest.mark.parametrize("inventory", ["broken.yml", "script"])
def test_where_nothing_is_known_a_shell_shows_nothing(shell: Shell, inventory: str) -> None:
    put_wrong_inventories(shell.directory)
    words = shell.complete(f"aegis-provision hosts -i {inventory} g")
    assert [word for word in words if word != "g"] == []
    assert not (shell.directory / "script-was-run").exists()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line: str, home: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the candidates that a shell is given for the last word of ``line``."""
    asked = {"_AEGIS_PROVISION_COMPLETE": "zsh_complete", "_AEGIS_PROVISION_LINE": line}
    assert run([], {"HOME": str(home), **asked}) == 0
    result = capsys.readouterr()
    assert result.err == ""
    return [candidate.split("\t")[1] for candidate in result.out.splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pl", ["plan"]),
        ("session st", ["start", "stop"]),
        ("hosts -i inventory.yml bui", ["builders", "build-1", "build-2"]),
        ("hosts --host gpu-", ["gpu-1", "gpu-2"]),
        ("plan --limit builde", ["builders"]),
        ("plan --color a", ["auto", "always"]),
        ("providers g", ["glm", "gateway"]),
        ("render --provider ol", ["ollama"]),
        ("run g", ["glm", "gateway", "gpu-1", "gpu-2"]),
        ("explain build-1 env.", ["env.MY_VARIABLE"]),
        ("explain build-1 API_T", ["API_TIMEOUT_MS"]),
        ("pin build-", ["build-1", "build-2"]),
        ("pin build-1 gat", ["gateway"]),
        ("unpin builde", ["builders"]),
        ("status --by p", ["provider"]),
        ("frobnicate g", []),
        ("hosts -i broken.yml g", []),
        ("hosts -i missing.yml g", []),
        ("hosts -i script g", []),
        ("hosts nothing-like-it", []),
    ],
)
def test_what_may_stand_there_is_offered(
    work: Path, capsys: pytest.CaptureFixture[str], line: str, words: list[str]
) -> None:
    put_wrong_inventories(work)
    assert offered(f"aegis-provision {line}", work, capsys) == words
    assert not (work / "script-was-run").exists()


@pytest.mark.parametrize("before", ["all:", "all,", "gpu:!", "gpu:all:"])
def test_after_the_end_of_a_term_every_other_is_offered(
    work: Path, capsys: pytest.CaptureFixture[str], before: str
) -> None:
    (work / "single.yml").write_text("all: {vars: {provider: glm}, hosts: {lone: }}")
    words = offered(f"aegis-provision hosts -i single.yml {before}", work, capsys)
    assert [re.split("[:,&!]", word)[-1] for word in words] == ["all", "lone"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("aegis-provision", [""]),
        ("aegis-provision ", [""]),
        ("aegis-provision plan -l", ["plan", "-l"]),
        ("aegis-provision plan -l ", ["plan", "-l", ""]),
        ("A=1 B='x y' /usr/bin/aegis-provision plan 'a b", ["plan", "a b"]),
        ('aegis-provision plan "a:!', ["plan", "a:!"]),
        (r"aegis-provision plan a\ b", ["plan", "a b"]),
        ("aegis-provision plan '", ["plan", ""]),
        ("aegis-provision plan # no comment", ["plan", "#", "no", "comment"]),
    ],
)
def test_a_line_is_taken_apart_as_a_shell_would(line: str, words: list[str]) -> None:
    assert words_before_cursor(line) == words


@pytest.mark.parametrize("request_", ["", "bash", "tcsh_source", "bash_frobnicate"])
def test_a_request_that_no_script_of_ours_makes_is_a_usage_error(
    request_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["hosts"], {"_AEGIS_PROVISION_COMPLETE": request_}) == 64
    result = capsys.readouterr()
    assert result.out == ""
    assert "bash_source, zsh_source, fish_source" in result.err
