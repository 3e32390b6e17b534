"""The operator's ssh config: who a host is, and how to get there (ssh_config(5)).

Only what a connection of ours needs is read: HostName, HostKeyAlias, Port, User, IdentityFile,
IdentitiesOnly, ProxyJump and ProxyCommand, with Include, Host and Match. The first value wins. A
Match criterion that is not understood counts as no match. Whatever ``StrictHostKeyChecking`` says,
host keys are always checked.
"""

from __future__ import annotations

import glob
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WANTED = frozenset(
    {
        "hostname",
        "hostkeyalias",
        "port",
        "user",
        "identityfile",
        "identitiesonly",
        "proxyjump",
        "proxycommand",
    }
)
_DEEPEST_INCLUDE = 16


class SshConfigError(ValueError):
    """An ssh config that can't be used; the text names file and line."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines under one ``Host`` or ``Match``; ``outer`` are the blocks an Include stands in."""

    criterion: str
    arguments: tuple[str, ...]
    outer: tuple[_Block, ...]
    options: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the config says about one host. ``proxy_jump`` is empty for an explicit ``none``."""

    host_name: str
    host_key_alias: str | None
    port: int | None
    user: str | None
    identity_files: tuple[str, ...]
    identities_only: bool
    proxy_jump: tuple[str, ...] | None
    proxy_command: str | None


@dataclass(frozen=True, slots=True)
class SshConfig:
    """A config that was read. ``home`` and ``local_user`` fill the tokens in."""

    blocks: tuple[_Block, ...]
    home: Path
    local_user: str

    def lookup(self, host: str, *, user: str | None, port: int | None) -> HostOptions:
        """Return what applies to ``host``; ``user`` and ``port`` are what was asked for."""
        found: dict[str, list[str]] = {}
        for block in self.blocks:
            if all(self._applies(item, host, found, user) for item in (*block.outer, block)):
                for key, value in block.options:
                    values = found.setdefault(key, [])
                    if key == "identityfile" or not values:
                        values.append(value)
        return self._options(host, found, user, port)

    def _applies(
        self, block: _Block, host: str, found: dict[str, list[str]], user: str | None
    ) -> bool:
        if block.criterion == "host":
            return _matches(host, block.arguments)
        current = found.get("hostname", [host])[0].replace("%h", host).replace("%n", host)
        remote = user or found.get("user", [self.local_user])[0]
        return _match_applies(block.arguments, host, current, remote, self.local_user)

    def _options(
        self, host: str, found: dict[str, list[str]], user: str | None, port: int | None
    ) -> HostOptions:
        def first(key: str) -> str | None:
            return found.get(key, [None])[0] if key in found else None

        host_name = (first("hostname") or host).replace("%%", "%")
        host_name = host_name.replace("%h", host).replace("%n", host)
        written_port = first("port")
        known_port = port or (int(written_port) if written_port else None)
        remote = user or first("user")
        tokens = {
            "%%": "%",
            "%h": host_name,
            "%n": host,
            "%p": str(known_port or 22),
            "%r": remote or self.local_user,
            "%u": self.local_user,
            "%d": str(self.home),
        }
        jump = first("proxyjump")
        return HostOptions(
            host_name=host_name,
            host_key_alias=first("hostkeyalias"),
            port=known_port,
            user=remote,
            identity_files=tuple(
                _expanded(path, tokens, self.home)
                for path in found.get("identityfile", [])
                if path.lower() != "none"
            ),
            identities_only=(first("identitiesonly") or "no").lower() == "yes",
            proxy_jump=None if jump is None else _hops(jump),
            proxy_command=_command(first("proxycommand")),
        )


def read_ssh_config(path: Path | None, *, home: Path, local_user: str) -> SshConfig:
    """Return the config at ``path``, an empty one for ``None``.

    Raises :class:`SshConfigError` for a line that can't be right, or a file that can't be read.
    """
    blocks: list[_Block] = []
    if path is not None:
        _read(path, home, (), 0, blocks)
    return SshConfig(tuple(blocks), home, local_user)


def _read(
    path: Path, home: Path, outer: tuple[_Block, ...], depth: int, blocks: list[_Block]
) -> None:
    if depth > _DEEPEST_INCLUDE:
        raise SshConfigError(f"{path}: Include goes more than {_DEEPEST_INCLUDE} files deep")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise SshConfigError(f"{path} can't be read: {problem.strerror}") from None
    block = _Block("host", ("*",), outer)
    blocks.append(block)
    for number, line in enumerate(text.splitlines(), start=1):
        words = _words(path, number, line)
        if not words:
            continue
        key, arguments = words[0].lower(), words[1:]
        if key in {"host", "match"}:
            block = _Block(key, tuple(arguments), outer)
            blocks.append(block)
        elif key == "include":
            inside = (*outer, block)
            for pattern in arguments:
                for file in _included(pattern, home):
                    _read(file, home, inside, depth + 1, blocks)
            block = _Block(block.criterion, block.arguments, outer)
            blocks.append(block)
        elif key in _WANTED:
            value = " ".join(arguments) if key == "proxycommand" else arguments[0]
            if key == "port" and not (value.isdigit() and 1 <= int(value) <= 65535):
                raise SshConfigError(f"{path}:{number}: Port is not a number from 1 to 65535")
            block.options.append((key, value))


def _words(path: Path, number: int, line: str) -> list[str]:
    stripped = line.strip()
    if not stripped or stripped.startswith("#"):
        return []
    key, _, rest = stripped.partition("=") if _equals_first(stripped) else stripped.partition(" ")
    try:
        arguments = shlex.split(rest.strip().removeprefix("="), comments=True, posix=True)
    except ValueError:
        raise SshConfigError(f"{path}:{number}: a quote is never closed") from None
    key = key.strip()
    if key.lower() in _WANTED and not arguments:
        raise SshConfigError(f"{path}:{number}: {key} has no value")
    return [key, *arguments]


def _equals_first(line: str) -> bool:
    before, equals, _ = line.partition("=")
    return bool(equals) and " " not in before.strip() and "\t" not in before.strip()


def _included(pattern: str, home: Path) -> Iterator[Path]:
    expanded = _home(pattern, home)
    if not expanded.startswith("/"):
        expanded = str(home / ".ssh" / expanded)
    return (Path(name) for name in sorted(glob.glob(expanded)) if Path(name).is_file())  # noqa: PTH207


def _matches(host: str, patterns: Sequence[str]) -> bool:
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if fnmatchcase(host, _glob(pattern[1:])):
                return False
        elif fnmatchcase(host, _glob(pattern)):
            found = True
    return found


def _glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def _match_applies(
    arguments: Sequence[str], original: str, host: str, user: str, local_user: str
) -> bool:
    subjects = {
        "host": host,
        "originalhost": original,
        "user": user,
        "localuser": local_user,
    }
    words = iter(arguments)
    for word in words:
        negated, criterion = word.startswith("!"), word.lstrip("!").lower()
        if criterion == "all":
            applies = True
        elif criterion in subjects:
            applies = _matches(subjects[criterion], next(words, "").split(","))
        else:
            return False
        if applies == negated:
            return False
    return bool(arguments)


def _expanded(path: str, tokens: dict[str, str], home: Path) -> str:
    pieces: list[str] = []
    rest = _home(path, home)
    while "%" in rest:
        before, _, after = rest.partition("%")
        token = "%" + after[:1]
        pieces += [before, tokens.get(token, token)]
        rest = after[1:]
    return "".join([*pieces, rest])


def _home(path: str, home: Path) -> str:
    return str(home / path[2:]) if path.startswith("~/") else path


def _hops(text: str) -> tuple[str, ...]:
    if text.lower() == "none":
        return ()
    return tuple(hop.strip().removeprefix("ssh://") for hop in text.split(","))


def _command(text: str | None) -> str | None:
    return None if text is None or text.lower() == "none" else text
