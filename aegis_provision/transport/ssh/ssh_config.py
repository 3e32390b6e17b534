"""The operator's ssh config: a host's name, login, keys and jump hosts (ssh_config(5)).

Only what a connection of ours needs is read: HostName, HostKeyAlias, Port, User, IdentityFile,
IdentitiesOnly, RevokedHostKeys, ProxyJump and ProxyCommand, with Include, Host and Match. The first
value wins. A Match criterion that is not understood counts as no match, and so does ``exec``: no
program is run for it. Host keys are always checked, also if ``StrictHostKeyChecking`` says no.

If a ``Match final`` or CanonicalizeHostname asks for it, the same files are read a second time, as
OpenSSH's client does: by then the host's real name is known, and what the first pass set stays.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.transport.ssh.known_hosts import matches
from aegis_provision.transport.ssh.ssh_config_parser import (
    Block,
    Criterion,
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

    ``proxy_jump`` is empty for ``none``; ``identity_files`` and ``revoked_host_keys`` are
    paths with ``~`` and tokens filled in.
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
                    _take(item, found)
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
        revoked = first("revokedhostkeys")
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
        )

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
    blocks = () if path is None else read_blocks(path, home)
    return SshConfig(blocks, home, local_user, home_variable)


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
    domains = found.get("canonicaldomains", [""])[0].lower().split()
    if domains[:1] in ([], ["none"]) or _is_address(name):
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
