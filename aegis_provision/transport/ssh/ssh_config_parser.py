"""The text of an ssh config as blocks of options, its Includes read in (ssh_config(5)).

Options that our connections don't need are skipped; the others must be what OpenSSH's client
accepts.
"""

from __future__ import annotations

import glob
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aegis_provision.files.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ONE_WORD = frozenset(
    {
        "hostname",
        "hostkeyalias",
        "port",
        "user",
        "identityfile",
        "identitiesonly",
        "proxyjump",
        "revokedhostkeys",
        "canonicalizehostname",
        "canonicalizemaxdots",
    }
)
_REST_OF_LINE = "proxycommand"
_LIST = "canonicaldomains"
_YES_OR_NO = frozenset({"yes", "true", "no", "false"})
_MOST_DOTS = re.compile("[0-9]{1,9}")
_WITHOUT_ARGUMENT = frozenset({"all", "canonical", "final"})
_DEEPEST_INCLUDE = 16
_KEYWORD = re.compile(r'[ \t]*"?(?P<key>[^ \t="]+)"?[ \t]*=?[ \t]*(?P<rest>.*)')


_Kind = Literal["always", "host", "match"]


class SshConfigError(ValueError):
    """An ssh config that can't be used; the text names the file, and the line where it can."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option's name, in small letters, and its value."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of a ``Match``: its name, in small letters, and what it is compared with."""

    name: str
    value: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Block:
    """What stands under one ``Host`` or ``Match``; ``always`` is the beginning of a file.

    ``patterns`` are those of a ``Host``, ``criteria`` those of a ``Match``. An included file is its
    own blocks, at the place where it was included: they count only if the block around them does.
    """

    kind: _Kind
    patterns: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    body: list[Option | tuple[Block, ...]] = field(default_factory=list)


def read_blocks(path: Path, home: Path) -> tuple[Block, ...]:
    """Return what ``path`` holds. Relative Includes begin in ``.ssh`` of ``home``.

    Raises :class:`SshConfigError` for a line that can't be right, or a file that can't be read.
    """
    return _read(path, home, 0)


def _read(path: Path, home: Path, depth: int) -> tuple[Block, ...]:
    if depth > _DEEPEST_INCLUDE:
        raise SshConfigError(f"{path}: Include goes more than {_DEEPEST_INCLUDE} files deep")
    try:
        text = read_file(path, null=True).decode("utf-8-sig", errors="replace")
    except OSError as problem:
        raise SshConfigError(f"{path} can't be read: {problem.strerror}") from None
    blocks = [Block("always")]
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            _take(line, home, depth, blocks)
        except _LineError as problem:
            raise SshConfigError(f"{path}:{number}: {problem}") from None
    return tuple(blocks)


class _LineError(Exception):
    """What is wrong with a line."""


def _take(line: str, home: Path, depth: int, blocks: list[Block]) -> None:
    line = line.rstrip(" \t\r\f")
    parts = _KEYWORD.match(line)
    if parts is None or parts["key"].startswith("#"):
        return
    written, key = parts["key"], parts["key"].lower()
    if key in {"host", "match"}:
        words = split_words(parts["rest"])
        if not words:
            raise _LineError(f"{written} says nothing")
        if key == "host":
            blocks.append(Block("host", patterns=tuple(words)))
        else:
            blocks.append(Block("match", criteria=tuple(_criteria(words))))
    elif key == "include":
        for pattern in split_words(parts["rest"]):
            for file in _included(pattern, home):
                blocks[-1].body.append(_read(file, home, depth + 1))
    elif key == _REST_OF_LINE:
        if not parts["rest"]:
            raise _LineError(f"{written} has no value")
        blocks[-1].body.append(Option(key, parts["rest"]))
    elif key == _LIST:
        blocks[-1].body.append(Option(key, " ".join(split_words(parts["rest"]))))
    elif key in _ONE_WORD:
        blocks[-1].body.append(Option(key, _value(written, key, parts["rest"])))


def _value(written: str, key: str, rest: str) -> str:
    values = split_words(rest)
    if not values or not values[0]:
        raise _LineError(f"{written} has no value")
    if len(values) > 1:
        raise _LineError(f"{written} has more than one value (put quotes around a blank)")
    value = values[0]
    if key == "port" and not (re.fullmatch("[0-9]{1,9}", value) and 1 <= int(value) <= 65535):
        raise _LineError(f"{written} is not a number from 1 to 65535")
    if key == "identitiesonly" and value.lower() not in _YES_OR_NO:
        raise _LineError(f"{written} is neither yes nor no")
    if key == "canonicalizehostname" and value.lower() not in {*_YES_OR_NO, "always"}:
        raise _LineError(f"{written} is neither yes, no nor always")
    if key == "canonicalizemaxdots" and not _MOST_DOTS.fullmatch(value):
        raise _LineError(f"{written} is no number")
    return value


def _criteria(words: Sequence[str]) -> Iterator[Criterion]:
    """Yield the criteria of a ``Match`` (OpenSSH's ``match_cfg_line``)."""
    left = list(words)
    for before in itertools.count():
        if not left:
            return
        written, equals, value = left.pop(0).partition("=")
        negated, name = written.startswith("!"), written.removeprefix("!").lower()
        if name == "all" and (left or before > 1):
            raise _LineError("'all' of Match stands alone, or at the end behind one criterion")
        if name not in _WITHOUT_ARGUMENT:
            value = _argument(value, bool(equals), left)
            if not value:
                raise _LineError(f"Match {name} is compared with nothing")
        yield Criterion(name, value, negated)


def _argument(value: str, equals: bool, left: list[str]) -> str:
    """Return what a criterion is compared with, taken from ``left``: ``=`` may stand between."""
    if not equals and left:
        value = left.pop(0)
        if value.startswith("="):
            equals, value = True, value[1:]
    if equals and not value and left:
        value = left.pop(0)
    return value


def split_words(text: str) -> list[str]:
    """Return the words of a line as OpenSSH's client splits it (its ``argv_split``).

    Blanks separate words; both kinds of quotes keep them, in the middle of a word too. A backslash
    takes the meaning of quotes, blanks and of itself, and is a plain character before others. ``#``
    at the beginning of a word ends the line.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            after = next(characters, "")
            special = after in {"'", '"', "\\"} or (after == " " and not quote)
            word = (word or "") + (after if special and after else character + after)
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "'\"":
            quote, word = character, word or ""
        elif character in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quote:
        raise _LineError("a quote is never closed")
    return words if word is None else [*words, word]


def _included(pattern: str, home: Path) -> Iterator[Path]:
    expanded = at_home(pattern, home)
    if not expanded.startswith("/"):
        expanded = str(home / ".ssh" / expanded)
    # OpenSSH's client reads nothing in a directory, and passes over a link that leads nowhere.
    found = (Path(name) for name in sorted(glob.glob(expanded)))  # noqa: PTH207
    return (file for file in found if file.exists() and not file.is_dir())


def at_home(path: str, home: Path) -> str:
    """Return ``path`` with ``~/`` at its beginning filled in, and ``~name/`` where it is known."""
    if path == "~" or path.startswith("~/"):
        return str(home / path[2:])
    if path.startswith("~"):
        try:
            return str(Path(path).expanduser())
        except RuntimeError:
            raise SshConfigError(f"there is no user for {path}") from None
    return path
