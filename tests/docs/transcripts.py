"""The commands in our documents, taken out and run as a reader would run them.

A block fenced as ``console`` is a session: lines that begin with ``$ `` are commands, the others
what they print; a line ``...`` stands for any number of lines. A block that follows a comment
``<!-- file: NAME -->`` is the content of that file. A comment ``<!-- exit: N -->`` says how the
last command of the next block ends.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"<!-- (file|exit|workflow): (\S+) -->\n$")
_EXPORT = re.compile(r"export ([A-Z_][A-Z0-9_]*)=(.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, what the comment before it says, its line."""

    language: str
    text: str
    directive: tuple[str, str] | None
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command and what it should print."""

    text: str
    expected: tuple[str, ...]
    exit_code: int


@dataclass(slots=True)
class Reader:
    """A reader who follows a document in ``directory``, with ``environ``."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def follow(self, block: Block) -> None:
        """Do what ``block`` says. Raises ``AssertionError`` where it turns out otherwise."""
        if block.directive is not None and block.directive[0] == "file":
            (self.directory / block.directive[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in commands(block):
                self._run(command)

    def _run(self, command: Command) -> None:
        if export := _EXPORT.fullmatch(command.text):
            self.environ[export[1]] = export[2]
            return
        done = subprocess.run(
            ["bash", "-c", command.text],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        printed = done.stdout.splitlines()
        result = f"$ {command.text}\n" + "\n".join(printed)
        assert done.returncode == command.exit_code, f"exit {done.returncode}\n{result}"
        assert matches(command.expected, printed), f"the document says otherwise:\n{result}"


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown ``text``."""
    for match in _FENCE.finditer(text):
        directive = _DIRECTIVE.search(text[: match.start()])
        yield Block(
            match[1],
            match[2],
            (directive[1], directive[2]) if directive else None,
            text.count("\n", 0, match.start()) + 1,
        )


def commands(block: Block) -> list[Command]:
    """Return the commands of a ``console`` block, continued lines joined."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((" ".join(line[2:].split()), []))
        else:
            found[-1][1].append(line)
    code = int(block.directive[1]) if block.directive and block.directive[0] == "exit" else 0
    last = len(found) - 1
    return [
        Command(text, tuple(expected), code if index == last else 0)
        for index, (text, expected) in enumerate(found)
    ]


def matches(expected: tuple[str, ...], printed: list[str]) -> bool:
    """Tell whether ``printed`` is what a document expects."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(matches(expected[1:], printed[index:]) for index in range(len(printed) + 1))
    return bool(printed) and printed[0] == expected[0] and matches(expected[1:], printed[1:])
