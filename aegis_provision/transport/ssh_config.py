"""The operator's ssh config: who a host is, and how to get there (ssh_config(5)).

Only what a connection of ours needs is read: HostName, HostKeyAlias, Port, User, IdentityFile,
IdentitiesOnly, ProxyJump and ProxyCommand, with Include, Host and Match. The first value wins. A
Match criterion that is not understood counts as no match, and so does ``exec``: no program is run
for it. Whatever ``StrictHostKeyChecking`` says, host keys are always checked.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aegis_provision.transport.ssh_config_file import (
    Block,
    Option,
    SshConfigError,
    at_home,
    read_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DEFAULT_PORT = 22
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the config says about one host. ``None`` stands for "nothing".

    ``proxy_jump`` is empty where it says ``none``; ``identity_files`` are paths with ``~`` and
    tokens filled in.
    """

    host_name: str
    host_key_alias: str | None
    port: int | None
    user: str | None
    identity_files: tuple[str, ...]
    identities_only: bool
    proxy_jump: tuple[str, ...] | None
    proxy_command: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a host was called by (``original``), and by what its blocks are found now."""

    original: str
    name: str
    user: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class SshConfig:
    """A config that was read. ``home`` and ``local_user`` fill the tokens in."""

    blocks: tuple[Block, ...]
    home: Path
    local_user: str

    def lookup(self, host: str, *, user: str | None, port: int | None) -> HostOptions:
        """Return what applies to ``host``; ``user`` and ``port`` are what was asked for.

        Raises :class:`SshConfigError` for a value with something in it that can't be filled in.
        """
        found: dict[str, list[str]] = {}
        self._gather(self.blocks, _Asked(host, host, user, final=False), found)
        if _wants_final(self.blocks):
            # The same files once more, for the host's real name ("Match final").
            again = _Asked(host, _host_name(host, found), user, final=True)
            self._gather(self.blocks, again, found)
        return self._options(host, found, user, port)

    def _gather(self, blocks: Sequence[Block], asked: _Asked, found: dict[str, list[str]]) -> None:
        for block in blocks:
            if not self._applies(block, asked, found):
                continue
            for item in block.body:
                if isinstance(item, Option):
                    _take(item, found)
                else:
                    self._gather(item, asked, found)

    def _applies(self, block: Block, asked: _Asked, found: Mapping[str, list[str]]) -> bool:
        if block.criterion == "always":
            return True
        if block.criterion == "host":
            return _matches(asked.name, block.arguments)
        subjects = {
            "host": _host_name(asked.name, found).lower(),
            "originalhost": asked.original.lower(),
            "user": asked.user or found.get("user", [self.local_user])[0],
            "localuser": self.local_user,
        }
        return _match_applies(block.arguments, subjects, final=asked.final)

    def _options(
        self, host: str, found: Mapping[str, list[str]], user: str | None, port: int | None
    ) -> HostOptions:
        def first(key: str) -> str | None:
            return found[key][0] if key in found else None

        host_name = _host_name(host, found).lower()
        written_port = first("port")
        known_port = port or (int(written_port) if written_port else None)
        remote, alias = user or first("user"), first("hostkeyalias")
        alias = None if alias is None else alias.lower()
        tokens = {
            "%%": "%",
            "%h": host_name,
            "%n": host,
            "%p": str(known_port or _DEFAULT_PORT),
            "%r": remote or self.local_user,
            "%u": self.local_user,
            "%d": str(self.home),
            "%k": alias or host,
            "%i": str(os.getuid()),
            "%l": socket.gethostname(),
            "%L": socket.gethostname().partition(".")[0],
        }
        jump = first("proxyjump")
        files = dict.fromkeys(path for path in found.get("identityfile", ()) if not _none(path))
        return HostOptions(
            host_name=host_name,
            host_key_alias=alias,
            port=known_port,
            user=remote,
            identity_files=tuple(self._path(path, tokens) for path in files),
            identities_only=(first("identitiesonly") or "no").lower() in {"yes", "true"},
            proxy_jump=None if jump is None else _hops(jump),
            proxy_command=None if _none(first("proxycommand")) else first("proxycommand"),
        )

    def _path(self, path: str, tokens: Mapping[str, str]) -> str:
        def variable(match: re.Match[str]) -> str:
            if match[1] != "HOME":
                raise SshConfigError(f"IdentityFile {path}: {match[0]} is not supported")
            return str(self.home)

        written = at_home(path, self.home)
        return _VARIABLE.sub(variable, _expanded("IdentityFile", written, tokens))


def read_ssh_config(path: Path | None, *, home: Path, local_user: str) -> SshConfig:
    """Return the config at ``path``, an empty one for ``None``.

    Raises :class:`SshConfigError` for a line that can't be right, or a file that can't be read.
    """
    return SshConfig(() if path is None else read_blocks(path, home), home, local_user)


def _take(option: Option, found: dict[str, list[str]]) -> None:
    """Keep an option, if it is the first of its name. Of two proxies, the first one counts."""
    key, value = option.key, option.value
    if key == "identityfile":
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


def _wants_final(blocks: Sequence[Block]) -> bool:
    return any(
        (block.criterion == "match" and any(_is_final(word) for word in block.arguments))
        or any(not isinstance(item, Option) and _wants_final(item) for item in block.body)
        for block in blocks
    )


def _is_final(word: str) -> bool:
    return word.lower().removeprefix("!") == "final"


def _matches(subject: str, patterns: Sequence[str]) -> bool:
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if fnmatchcase(subject, _glob(pattern[1:])):
                return False
        elif fnmatchcase(subject, _glob(pattern)):
            found = True
    return found


def _glob(pattern: str) -> str:
    # OpenSSH knows * and ? only.
    return pattern.replace("[", "[[]")


def _match_applies(arguments: Sequence[str], subjects: Mapping[str, str], *, final: bool) -> bool:
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        negated, criterion = name.startswith("!"), name.removeprefix("!").lower()
        if criterion == "all":
            applies = True
        elif criterion in {"final", "canonical"}:
            applies = final
        elif criterion in subjects:
            if not equals:
                value = next(words, "")
            if value == "=" or (equals and not value):
                value = next(words, "")
            if criterion in {"host", "originalhost"}:
                value = value.lower()
            applies = _matches(subjects[criterion], value.split(","))
        else:
            return False
        if applies == negated:
            return False
    return True


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
