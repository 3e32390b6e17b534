"""The operator's ssh config: a host's name, login, keys and jump hosts (ssh_config(5)).

Only what a connection of ours needs is read: HostName, HostKeyAlias, Port, User, IdentityFile,
IdentitiesOnly, RevokedHostKeys, ProxyJump and ProxyCommand, with Include, Host and Match. The first
value wins. A Match criterion that is not understood counts as no match, and so does ``exec``: no
program is run for it. Host keys are always checked, also if ``StrictHostKeyChecking`` says no.

If a ``Match final`` or CanonicalizeHostname asks for it, the same files are read a second time, as
OpenSSH's client does: by then the host's real name is known, and what the first pass set stays.

Files are parsed into blocks of options, their Includes read in. Options that our connections don't
need are skipped; the others must be what OpenSSH's client accepts.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from aegis_provision.files.reading import read_file
from aegis_provision.transport.ssh.known_hosts import matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

AddressFamily: TypeAlias = Literal["any", "inet", "inet6"]

_DEFAULT_PORT = 22
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
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
        "identityagent",
        "certificatefile",
        "addressfamily",
        "bindaddress",
        "connecttimeout",
        "serveraliveinterval",
        "serveralivecountmax",
        "hostkeyalgorithms",
        "pubkeyacceptedalgorithms",
        "casignaturealgorithms",
    }
)
_REST_OF_LINE = "proxycommand"
_LISTS = frozenset({"canonicaldomains", "userknownhostsfile", "globalknownhostsfile"})
_MANY = frozenset({"identityfile", "certificatefile"})
_OLD_NAMES = {"pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms"}
_FAMILIES = frozenset({"any", "inet", "inet6"})
_YES_OR_NO = frozenset({"yes", "true", "no", "false"})
_MOST_DOTS = re.compile("[0-9]{1,9}")
_WITHOUT_ARGUMENT = frozenset({"all", "canonical", "final"})
_DEEPEST_INCLUDE = 16
_KEYWORD = re.compile(r'[ \t]*"?(?P<key>[^ \t="]+)"?[ \t]*=?[ \t]*(?P<rest>.*)')


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

    kind: Literal["always", "host", "match"]
    patterns: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    body: list[Option | tuple[Block, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the config says about one host. ``None`` stands for "nothing".

    ``proxy_jump`` is empty for ``none``, and so are the files of known hosts; paths have ``~`` and
    tokens filled in. ``identity_agent`` is a path, ``none``, or ``$NAME`` for what a variable of
    the environment says. The algorithms are as they are written, with a ``+``, ``-`` or ``^``.
    """

    host_name: str
    host_key_alias: str | None
    port: int | None
    user: str | None
    identity_files: tuple[str, ...]
    identities_only: bool
    revoked_host_keys: str | None
    proxy_jump: tuple[str, ...] | None
    proxy_command: str | None
    user_known_hosts: tuple[str, ...] | None
    global_known_hosts: tuple[str, ...] | None
    identity_agent: str | None
    certificate_files: tuple[str, ...]
    address_family: AddressFamily
    bind_address: str | None
    connect_timeout: float | None
    server_alive_interval: int | None
    server_alive_count_max: int | None
    host_key_algorithms: str | None
    pubkey_accepted_algorithms: str | None
    ca_signature_algorithms: str | None


@dataclass(frozen=True, slots=True)
class _Query:
    """What is looked up: the name that was asked for (``original``), and the real one by now."""

    original: str
    name: str
    user: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class SshConfig:
    """A config that was read. ``home`` and ``local_user`` fill the tokens in.

    ``home_variable`` is what ``${HOME}`` stands for: the environment's own HOME, or ``None``.
    """

    blocks: tuple[Block, ...]
    home: Path
    local_user: str
    home_variable: str | None

    def lookup(
        self, host: str, *, user: str | None, port: int | None, through: bool = False
    ) -> HostOptions:
        """Return what applies to ``host``; ``user`` and ``port`` are what was asked for.

        ``through`` says that the jump hosts are named elsewhere. Raises :class:`SshConfigError` for
        a value that can't be filled in, and if OpenSSH's client would look for the host's full
        name.
        """
        found: dict[str, list[str]] = {}
        self._gather(self.blocks, _Query(host, host, user, final=False), found)
        name = _real_name(_host_name(host, found))
        query = _Query(host, name, user, final=True)
        canonical = _canonicalizes(found)
        if canonical:
            _check_full_name(name, found, through=through)
        if canonical or _wants_final(self.blocks):
            self._gather(self.blocks, query, found)
        return self._options(query, found, port)

    def _gather(self, blocks: Sequence[Block], query: _Query, found: dict[str, list[str]]) -> None:
        for block in blocks:
            if not self._applies(block, query, found):
                continue
            for item in block.body:
                if isinstance(item, Option):
                    _keep(item, found)
                else:
                    self._gather(item, query, found)

    def _applies(self, block: Block, query: _Query, found: Mapping[str, list[str]]) -> bool:
        if block.kind == "always":
            return True
        if block.kind == "host":
            return matches(query.name, block.patterns)
        name = query.name if query.final else _host_name(query.name, found)
        subjects = {
            "host": name.lower(),
            "originalhost": query.original.lower(),
            "user": query.user or found.get("user", [self.local_user])[0],
            "localuser": self.local_user,
        }
        return all(_applies(item, subjects, final=query.final) for item in block.criteria)

    def _options(
        self, query: _Query, found: Mapping[str, list[str]], port: int | None
    ) -> HostOptions:
        def first(key: str) -> str | None:
            return found[key][0] if key in found else None

        written_port = first("port")
        known_port = port or (int(written_port) if written_port else None)
        remote, alias = query.user or first("user"), first("hostkeyalias")
        alias = None if alias is None else alias.lower()
        tokens = {
            "%%": "%",
            "%h": query.name,
            "%n": query.original,
            "%p": str(known_port or _DEFAULT_PORT),
            "%r": remote or self.local_user,
            "%u": self.local_user,
            "%d": str(self.home),
            "%k": alias or query.original,
            "%i": str(os.getuid()),
            "%l": socket.gethostname(),
            "%L": socket.gethostname().partition(".")[0],
        }
        jump = first("proxyjump")
        files = dict.fromkeys(path for path in found.get("identityfile", ()) if not _none(path))
        revoked, agent = first("revokedhostkeys"), first("identityagent")
        timeout, interval = first("connecttimeout"), first("serveraliveinterval")
        most = first("serveralivecountmax")
        return HostOptions(
            host_name=query.name,
            host_key_alias=alias,
            port=known_port,
            user=remote,
            identity_files=tuple(self._path("IdentityFile", path, tokens) for path in files),
            identities_only=(first("identitiesonly") or "no").lower() in {"yes", "true"},
            revoked_host_keys=(
                None
                if revoked is None or _none(revoked)
                else self._path("RevokedHostKeys", revoked, tokens)
            ),
            proxy_jump=None if jump is None else _hops(jump),
            proxy_command=None if _none(first("proxycommand")) else first("proxycommand"),
            user_known_hosts=self._files("UserKnownHostsFile", found, tokens),
            global_known_hosts=self._files("GlobalKnownHostsFile", found, tokens),
            identity_agent=(None if agent is None else self._path("IdentityAgent", agent, tokens)),
            certificate_files=tuple(
                self._path("CertificateFile", path, tokens)
                for path in dict.fromkeys(found.get("certificatefile", ()))
            ),
            address_family=cast("AddressFamily", (first("addressfamily") or "any").lower()),
            bind_address=first("bindaddress"),
            connect_timeout=None if timeout is None else _seconds(timeout),
            server_alive_interval=None if interval is None else _seconds(interval),
            server_alive_count_max=None if most is None else int(most),
            host_key_algorithms=first("hostkeyalgorithms"),
            pubkey_accepted_algorithms=first("pubkeyacceptedalgorithms"),
            ca_signature_algorithms=first("casignaturealgorithms"),
        )

    def _files(
        self, key: str, found: Mapping[str, list[str]], tokens: Mapping[str, str]
    ) -> tuple[str, ...] | None:
        if key.lower() not in found:
            return None
        words = found[key.lower()][0].split("\0")
        if _none(words[0]):
            return ()
        return tuple(self._path(key, word, tokens) for word in words)

    def _path(self, key: str, path: str, tokens: Mapping[str, str]) -> str:
        def variable(match: re.Match[str]) -> str:
            if match[1] != "HOME":
                raise SshConfigError(f"{key} {path}: {match[0]} is not supported")
            if not self.home_variable:
                raise SshConfigError(f"{key} {path}: HOME is not set in the environment")
            return self.home_variable

        written = at_home(path, self.home)
        return _VARIABLE.sub(variable, _expanded(key, written, tokens))


def read_ssh_config(
    path: Path | None, *, home: Path, local_user: str, home_variable: str | None = None
) -> SshConfig:
    """Return the config at ``path``, an empty one for ``None``; the rest is :class:`SshConfig`'s.

    Raises :class:`SshConfigError` for a line that can't be right, or a file that can't be read.
    """
    blocks = () if path is None else _read_blocks(path, home, 0)
    return SshConfig(blocks, home, local_user, home_variable)


def _keep(option: Option, found: dict[str, list[str]]) -> None:
    """Keep an option, if it is the first of its name. Of two proxies, the first one counts."""
    key, value = option.key, option.value
    if key in _MANY:
        found.setdefault(key, []).append(value)
    elif key == "proxyjump":
        if "proxycommand" not in found:
            found.setdefault(key, [value])
    elif key == "proxycommand":
        if _none(found.get("proxyjump", ["none"])[0]):
            found.setdefault(key, [value])
    else:
        found.setdefault(key, [value])


def _host_name(host: str, found: Mapping[str, list[str]]) -> str:
    if "hostname" not in found:
        return host
    return _expanded("HostName", found["hostname"][0], {"%%": "%", "%h": host})


def _real_name(name: str) -> str:
    """Return ``name`` as OpenSSH's client goes on with it: addresses in their one usual form."""
    try:
        [(*_, address), *_] = socket.getaddrinfo(
            name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    except (OSError, UnicodeError):  # a name, or nothing at all
        return name if _is_address(name) else name.lower()


def _is_address(name: str) -> bool:
    """Tell whether OpenSSH's client takes ``name`` for an address, if for a broken one."""
    return "%" in name or ":" in name or not name.strip("0123456789.")


def _canonicalizes(found: Mapping[str, list[str]]) -> bool:
    return found.get("canonicalizehostname", ["no"])[0].lower() in {"yes", "true", "always"}


def _check_full_name(name: str, found: Mapping[str, list[str]], *, through: bool) -> None:
    """Refuse a name that OpenSSH's client would look for in CanonicalDomains.

    It does so if it connects without a proxy, or if CanonicalizeHostname is ``always``, for names
    of few dots, up to a domain that is ``none`` (its ``resolve_canonicalize``). The short name
    could lead to another machine.
    """
    domains = found.get("canonicaldomains", [""])[0].lower().split("\0")
    if domains[0] in {"", "none"} or _is_address(name):
        return
    if found["canonicalizehostname"][0].lower() != "always":
        proxied = "proxyjump" in found or not _none(found.get("proxycommand", ["none"])[0])
        if through or proxied:
            return
    if name.count(".") <= int(found.get("canonicalizemaxdots", ["1"])[0]):
        raise SshConfigError(
            f"CanonicalizeHostname would look for {name} in CanonicalDomains, "
            "which is not supported: set the full name as 'address'"
        )


def _wants_final(blocks: Sequence[Block]) -> bool:
    return any(
        any(item.name == "final" for item in block.criteria)
        or any(not isinstance(item, Option) and _wants_final(item) for item in block.body)
        for block in blocks
    )


def _applies(criterion: Criterion, subjects: Mapping[str, str], *, final: bool) -> bool:
    if criterion.name == "all":
        applies = True
    elif criterion.name in {"final", "canonical"}:
        applies = final
    elif criterion.name in subjects:
        value = criterion.value
        if criterion.name in {"host", "originalhost"}:
            value = value.lower()
        applies = matches(subjects[criterion.name], value.split(","))
    else:
        return False
    return applies != criterion.negated


def _expanded(key: str, text: str, tokens: Mapping[str, str]) -> str:
    pieces: list[str] = []
    rest = text
    while "%" in rest:
        before, _, after = rest.partition("%")
        token = "%" + after[:1]
        if token not in tokens:
            raise SshConfigError(f"{key} {text}: {token} is not supported there")
        pieces += [before, tokens[token]]
        rest = after[1:]
    return "".join([*pieces, rest])


def _none(text: str | None) -> bool:
    return text is not None and text.lower() == "none"


def _hops(text: str) -> tuple[str, ...]:
    if _none(text):
        return ()
    return tuple(hop.strip().removeprefix("ssh://") for hop in text.split(","))


def _read_blocks(path: Path, home: Path, depth: int) -> tuple[Block, ...]:
    """Return what ``path`` holds. Relative Includes begin in ``.ssh`` of ``home``."""
    if depth > _DEEPEST_INCLUDE:
        raise SshConfigError(f"{path}: Include goes more than {_DEEPEST_INCLUDE} files deep")
    try:
        text = read_file(path, null=True).decode("utf-8-sig", errors="replace")
    except OSError as problem:
        raise SshConfigError(f"{path} can't be read: {problem.strerror}") from None
    blocks = [Block("always")]
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            _parse_line(line, home, depth, blocks)
        except _LineError as problem:
            raise SshConfigError(f"{path}:{number}: {problem}") from None
    return tuple(blocks)


class _LineError(Exception):
    """What is wrong with a line."""


def _parse_line(line: str, home: Path, depth: int, blocks: list[Block]) -> None:
    line = line.rstrip(" \t\r\f")
    parts = _KEYWORD.match(line)
    if parts is None or parts["key"].startswith("#"):
        return
    written, key = parts["key"], parts["key"].lower()
    key = _OLD_NAMES.get(key, key)
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
                blocks[-1].body.append(_read_blocks(file, home, depth + 1))
    elif key == _REST_OF_LINE:
        if not parts["rest"]:
            raise _LineError(f"{written} has no value")
        blocks[-1].body.append(Option(key, parts["rest"]))
    elif key in _ONE_WORD or key in _LISTS:
        blocks[-1].body.append(Option(key, _value(written, key, parts["rest"])))


def _value(written: str, key: str, rest: str) -> str:
    values = split_words(rest)
    if not values or not values[0]:
        raise _LineError(f"{written} has no value")
    if key in _LISTS:
        return "\0".join(values)
    if len(values) > 1:
        raise _LineError(f"{written} has more than one value (put quotes around a blank)")
    value = values[0]
    if key == "port" and not (re.fullmatch("[0-9]{1,9}", value) and 1 <= int(value) <= 65535):
        raise _LineError(f"{written} is not a number from 1 to 65535")
    if key == "identitiesonly" and value.lower() not in _YES_OR_NO:
        raise _LineError(f"{written} is neither yes nor no")
    if key == "canonicalizehostname" and value.lower() not in {*_YES_OR_NO, "always"}:
        raise _LineError(f"{written} is neither yes, no nor always")
    _check_number(written, key, value)
    if key == "addressfamily" and value.lower() not in _FAMILIES:
        raise _LineError(f"{written} is neither any, inet nor inet6")
    if key == "canonicalizemaxdots" and not _MOST_DOTS.fullmatch(value):
        raise _LineError(f"{written} is no number")
    return value


def _check_number(written: str, key: str, value: str) -> None:
    if key in {"connecttimeout", "serveraliveinterval"} and value.lower() != "none":
        _seconds(value, written)
    if key == "serveralivecountmax" and not _MOST_DOTS.fullmatch(value):
        raise _LineError(f"{written} is no number")


def _seconds(text: str, written: str = "") -> int | None:
    """Return the seconds of a time (sshd_config(5), TIME FORMATS), ``None`` for ``none``."""
    if text.lower() == "none":
        return None
    if not re.fullmatch("([0-9]{1,9}[smhdwSMHDW]?)+", text):
        raise _LineError(f"{written} is no time")
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    found = re.findall("([0-9]+)([smhdw]?)", text.lower())
    return sum(int(number) * units[unit] for number, unit in found)


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
