"""Reads ssh config files as OpenSSH's client does (its ``read_config_file``): lines become blocks.

Every line must be one that the client takes, also where it is about other hosts: its keyword is
known and its value is one for it. Which of the blocks count for a host, and which keywords need not
be known, is found out later, by :mod:`~aegis_provision.transport.ssh.ssh_config`.
"""

from __future__ import annotations

import glob
import grp
import ipaddress
import itertools
import os
import pwd
import re
import socket
import stat
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.files.reading import read_file
from aegis_provision.humanize import escape_control
from aegis_provision.inventory.addresses import parse_bastion
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.ssh_config_keywords import KEYWORDS, OLD_NAMES, Keyword, Reads
from aegis_provision.transport.ssh.ssh_config_tokens import (
    TokenError,
    at_home,
    fill_in,
    is_environment_name,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WITHOUT_ARGUMENT = frozenset({"all", "canonical", "final"})
"""The criteria of a ``Match`` that are compared with nothing."""

_MAY_BE_EMPTY = frozenset({"tagged", "command"})
_CRITERIA = frozenset(
    {
        *WITHOUT_ARGUMENT, *_MAY_BE_EMPTY, "host", "originalhost", "user", "localuser",
        "localnetwork", "version", "sessiontype", "exec",
    }
)  # fmt: skip
_DEEPEST_INCLUDE = 16
_BLANKS = " \t\r"
_KEYWORD = re.compile(r'[ \t\r]*"?(?P<key>[^ \t\r="]+)"?[ \t\r]*=?[ \t\r]*(?P<rest>.*)', re.DOTALL)
_TIME = re.compile("(?:[0-9]{1,9}[smhdw])*(?:[0-9]{1,9}[smhdw]?)", re.IGNORECASE)
_NUMBER = re.compile("[0-9]{1,9}")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NONE_ALONE = frozenset(
    {
        "userknownhostsfile", "globalknownhostsfile", "revokedhostkeys", "canonicaldomains",
        "canonicalizepermittedcnames",
    }
)  # fmt: skip
# With a comment alone behind them; OpenSSH's client takes that for nothing said.
_MAY_SAY_NOTHING = frozenset({"userknownhostsfile", "globalknownhostsfile"})
_FORWARDS = frozenset({"localforward", "remoteforward", "dynamicforward"})
_FORMS = {
    "rekeylimit": re.compile("default|none|[0-9]{1,18}[kmgKMG]?|[0-9]+[smhdw]", re.IGNORECASE),
    "sendenv": re.compile("[^=]+"),
    "setenv": re.compile(".*=.*", re.DOTALL),
}
_FLAGS = frozenset({"yes", "no", "true", "false"})
_DEBIAN = Path("/etc/debian_version")


class SshConfigError(ValueError):
    """An ssh config that can't be used; the text names the file, and the line where it can."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; ``users_own`` is false for the system-wide file and what it includes."""

    path: Path
    line: int
    users_own: bool

    def __str__(self) -> str:
        """Return it as messages name it: ``file:line``."""
        return f"{escape_control(str(self.path))}:{self.line}"


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword, in small letters, and its values: at least one."""

    key: str
    values: tuple[str, ...]
    place: Place

    @property
    def value(self) -> str:
        """Return its first value, which for most keywords is all of them."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A keyword that OpenSSH does not know: an error, unless IgnoreUnknown names it."""

    key: str
    place: Place


@dataclass(frozen=True, slots=True)
class Include:
    """A pattern of files to include that depends on the host: it has tokens in it."""

    pattern: str
    place: Place
    depth: int


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

    kind: Literal["always", "host", "match"]
    place: Place
    patterns: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    body: list[Item] = field(default_factory=list)


Item: TypeAlias = "Option | Unknown | Include | tuple[Block, ...]"


@dataclass(frozen=True, slots=True)
class SshConfigReader:
    """Reads files for an operator with ``home`` and ``environ``.

    ``users_own`` says that the files are the user's: relative Includes begin in ``.ssh`` of
    ``home`` then, otherwise in ``/etc/ssh``.
    """

    home: Path
    environ: Mapping[str, str] = field(repr=False)
    users_own: bool = True

    def read(self, path: Path, *, depth: int = 0, checked: bool = False) -> tuple[Block, ...]:
        """Return what ``path`` holds. ``checked``: only its owner may be able to write it.

        Raises :class:`SshConfigError`.
        """
        if depth > _DEEPEST_INCLUDE:
            raise SshConfigError(f"{path}: Include goes more than {_DEEPEST_INCLUDE} files deep")
        try:
            if checked:
                _check_owner(path)
            text = os.fsdecode(read_file(path, null=True))
        except OSError as problem:
            raise_shortage(problem)
            raise SshConfigError(f"{path} can't be read: {problem.strerror}") from None
        blocks = [Block("always", Place(path, 0, self.users_own))]
        for number, line in enumerate(text.split("\n"), start=1):
            place = Place(path, number, self.users_own)
            try:
                self._parse_line(line.partition("\0")[0], place, depth, blocks)
            except (_LineError, TokenError) as problem:
                raise SshConfigError(f"{place}: {problem}") from None
        return tuple(blocks)

    def included(self, pattern: str, depth: int) -> Iterator[tuple[Block, ...]]:
        """Yield what the files that match ``pattern`` hold, in their order.

        Raises :class:`SshConfigError`.
        """
        for path in self._matching(pattern):
            yield self.read(path, depth=depth + 1, checked=True)

    def _matching(self, pattern: str) -> Iterator[Path]:
        try:
            expanded = at_home(pattern, self.home)
        except TokenError:  # glob(3) finds nothing then
            return
        if not expanded.startswith("/"):
            base = self.home / ".ssh" if self.users_own else Path("/etc/ssh")
            expanded = f"{base}/{expanded}"
        # OpenSSH's client reads nothing in a directory, and passes over a link that leads nowhere.
        for name in sorted(glob.glob(expanded)):  # noqa: PTH207
            path = Path(name)
            if path.exists() and not path.is_dir():
                yield path

    def _parse_line(self, line: str, place: Place, depth: int, blocks: list[Block]) -> None:
        parts = _KEYWORD.match(line.rstrip(f"{_BLANKS}\f"))
        if parts is None or parts["key"].startswith("#"):
            return
        written, rest = parts["key"], parts["rest"]
        if not rest:
            raise _LineError(f"{escape_control(written)} has no value")
        key = OLD_NAMES.get(written.lower(), written.lower())
        words = split_words(rest)
        keyword = KEYWORDS.get(key)
        if keyword is None:
            blocks[-1].body.append(Unknown(key, place))
        elif key in {"host", "match"}:
            blocks.append(_block(key, written, words, place))
        elif key == "include":
            for pattern in words:
                blocks[-1].body.extend(self._include(written, pattern, place, depth))
        elif words or key not in _MAY_SAY_NOTHING:
            values = self._values(keyword, key, written, rest, words)
            blocks[-1].body.append(Option(key, values, place))

    def _include(self, written: str, pattern: str, place: Place, depth: int) -> Iterator[Item]:
        if not pattern:
            raise _LineError(f"{written} has an empty value")
        if pattern.startswith("~") and not self.users_own:
            raise _LineError(f"{written} {quote(pattern)}: a system-wide file has no home")
        if "%" in pattern or "${" in pattern:
            yield Include(pattern, place, depth)
        else:
            yield from self.included(pattern, depth)

    def _values(
        self, keyword: Keyword, key: str, written: str, rest: str, words: Sequence[str]
    ) -> tuple[str, ...]:
        match keyword.reads:
            case Reads.LINE:
                value = rest.lstrip(f"{_BLANKS}=")
                if not value:
                    raise _LineError(f"{written} has no value")
                return (value,)
            case Reads.ANYTHING:
                self._check_anything(key, written, words)
                return tuple(words)
            case Reads.WORDS:
                _check_words(key, written, words)
                return tuple(words)
        if keyword.reads is Reads.JUMP:
            words = split_words(rest.lstrip(f"{_BLANKS}=").partition("#")[0])
        if not words or not words[0]:
            raise _LineError(f"{written} has no value")
        if len(words) > 1:
            raise _LineError(f"{written} has more than one value (put quotes around a blank)")
        _check_value(keyword, written, words[0])
        if keyword.reads is Reads.AGENT:
            self._check_agent(written, words[0])
        return (words[0],)

    def _check_anything(self, key: str, written: str, words: Sequence[str]) -> None:
        """Check what is no matter here, as far as its value is easily told from none."""
        if not words:
            raise _LineError(f"{written} has no value")
        form = _FORMS.get(key)
        if form is not None and not all(map(form.fullmatch, words)):
            raise _LineError(f"{written} is not what ssh_config(5) says")
        if key in _FORWARDS:
            for word in words:
                self._check_environment(written, word)
        elif key == "forwardagent" and words[0].lower() not in _FLAGS:
            self._check_agent(written, words[0])

    def _check_agent(self, written: str, value: str) -> None:
        """Check an agent's path: what the environment lacks is an error for OpenSSH at once."""
        if value.startswith("$") and not value.startswith("${"):
            if not is_environment_name(value[1:]):
                raise _LineError(f"{written} is no name of a variable")
            return
        self._check_environment(written, value)

    def _check_environment(self, written: str, value: str) -> None:
        try:
            fill_in(value.replace("%", ""), {}, self.environ)
        except TokenError as problem:
            raise _LineError(f"{written} {quote(value)}: {problem}") from None


class _LineError(Exception):
    """What is wrong with a line."""


def unknown_keyword(found: Unknown) -> SshConfigError:
    """Return the error for a keyword that no version of ssh_config(5) has."""
    hint = did_you_mean(found.key, [keyword.name for keyword in KEYWORDS.values()])
    text = f"{found.place}: {quote(found.key)} is no keyword of ssh_config(5)"
    return SshConfigError(f"{text}: {hint}" if hint else text)


def seconds(text: str) -> int | None:
    """Return the seconds of a time (sshd_config(5), TIME FORMATS), ``None`` for ``none``."""
    if text == "none":
        return None
    found = re.findall("([0-9]+)([smhdw]?)", text.lower())
    return sum(int(number) * _SECONDS[unit] for number, unit in found)


def port_number(text: str) -> int | None:
    """Return a port by its number or its name in services(5), ``None`` for neither."""
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text) if 1 <= int(text) <= 65535 else None
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError):
        return None


def jump_names(text: str) -> tuple[str, ...]:
    """Return the bastions of a ProxyJump, outermost first."""
    return tuple(hop.removeprefix("ssh://") for hop in text.split(","))


def _check_owner(path: Path) -> None:
    facts = path.stat()
    trusted = facts.st_uid in {0, os.getuid()} and not facts.st_mode & stat.S_IWOTH
    if not trusted or (facts.st_mode & stat.S_IWGRP and not _is_own_group(facts)):
        raise SshConfigError(
            f"{path}: bad owner or permissions: it must be yours or root's, and others "
            "must not be able to write it (chmod go-w)"
        )


def _is_own_group(facts: os.stat_result) -> bool:
    """Tell whether a file's group has but one member, its owner.

    Debian's client lets such a group write: everybody has one there. Others' clients do not.
    """
    if not _DEBIAN.exists():
        return False
    try:
        group, owner = grp.getgrgid(facts.st_gid), pwd.getpwuid(facts.st_uid)
    except KeyError:
        return False
    members = {user.pw_name for user in pwd.getpwall() if user.pw_gid == facts.st_gid}
    return members.union(group.gr_mem) == {owner.pw_name}


def _check_words(key: str, written: str, words: Sequence[str]) -> None:
    if not words:
        raise _LineError(f"{written} has no value")
    if not all(words):
        raise _LineError(f"{written} has an empty value")
    if key in _NONE_ALONE and len(words) > 1 and any(word.lower() == "none" for word in words):
        raise _LineError(f"{written}: 'none' stands alone")


def _check_value(keyword: Keyword, written: str, value: str) -> None:
    match keyword.reads:
        case Reads.CHOICE if value.lower() not in keyword.choices:
            choices = [word for word in keyword.choices if word not in {"true", "false"}]
            if choices == ["yes", "no"]:
                raise _LineError(f"{written} is neither yes nor no")
            *first, last = choices
            raise _LineError(f"{written} is neither {', '.join(first)} nor {last}")
        case Reads.NUMBER if not _NUMBER.fullmatch(value):
            raise _LineError(f"{written} is no number")
        case Reads.TIME if value != "none" and not _TIME.fullmatch(value):
            raise _LineError(f"{written} is no time")
        case Reads.PORT if port_number(value) is None:
            raise _LineError(f"{written} is not a number from 1 to 65535")
        case Reads.JUMP if value.lower() != "none":
            # An IPv6 address has brackets there, other than in an inventory.
            names = jump_names(value)
            if any(parse_bastion(name) is None or _is_bare_ipv6(name) for name in names):
                raise _LineError(f"{written} is not [user@]host[:port]")


def _is_bare_ipv6(name: str) -> bool:
    return name.count(":") > 1 and "[" not in name


def _block(key: str, written: str, words: Sequence[str], place: Place) -> Block:
    if key == "match":
        if not words:
            raise _LineError(f"{written} says nothing")
        return Block("match", place, criteria=tuple(_criteria(words)))
    if not all(words):
        raise _LineError(f"{written} has an empty pattern")
    return Block("host", place, patterns=tuple(words))


def _criteria(words: Sequence[str]) -> Iterator[Criterion]:
    """Yield the criteria of a ``Match`` (OpenSSH's ``match_cfg_line``)."""
    left = list(words)
    for before in itertools.count():
        if not left:
            return
        written, equals, value = left.pop(0).partition("=")
        negated, name = written.startswith("!"), written.removeprefix("!").lower()
        if name not in _CRITERIA:
            hint = did_you_mean(name, _CRITERIA)
            text = f"Match knows no criterion {quote(name)}"
            raise _LineError(f"{text}: {hint}" if hint else text)
        if name == "all" and (left or before > 1):
            raise _LineError("'all' of Match stands alone, or at the end behind one criterion")
        if name not in WITHOUT_ARGUMENT:
            found = _argument(value, bool(equals), left)
            if found is None or (not found and name not in _MAY_BE_EMPTY):
                raise _LineError(f"Match {name} is compared with nothing")
            value = found
            if name == "localnetwork":
                _check_networks(value)
        yield Criterion(name, value, negated)


def _argument(value: str, equals: bool, left: list[str]) -> str | None:
    """Return what a criterion is compared with, taken from ``left``: ``=`` may stand between."""
    if not equals:
        if not left:
            return None
        value = left.pop(0)
        if value.startswith("="):
            equals, value = True, value[1:]
    if equals and not value and left:
        value = left.pop(0)
    return value


def _check_networks(text: str) -> None:
    for network in text.split(","):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise _LineError(f"Match localnetwork: {quote(network)} is no network") from None


def split_words(text: str) -> list[str]:
    """Return the words of a line as OpenSSH's client splits it (its ``argv_split``).

    Blanks separate words; both kinds of quotes keep them, in the middle of a word too. A backslash
    takes the meaning of quotes, blanks and of itself, and is a plain character before others. ``#``
    at the beginning of a word ends the line.
    """
    words: list[str] = []
    word: str | None = None
    quoted_by = ""
    escaped = False
    for character, after in zip(text, f"{text[1:]}\0", strict=True):
        if escaped:
            escaped, word = False, (word or "") + character
        elif character == "\\" and (after in "'\"\\" or (after == " " and not quoted_by)):
            escaped, word = True, word or ""
        elif quoted_by:
            if character == quoted_by:
                quoted_by = ""
            else:
                word = (word or "") + character
        elif character in "'\"":
            quoted_by, word = character, word or ""
        elif character in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quoted_by:
        raise _LineError("a quote is never closed")
    return words if word is None else [*words, word]
