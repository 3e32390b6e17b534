"""What Ansible hands to ``ssh`` (``ansible_ssh_common_args`` and the like): which of it we take.

The options are OpenSSH's (ssh(1), ssh_config(5)). A bastion is taken: ``ProxyJump``, ``-J``, and a
``ProxyCommand`` that is ``ssh -W %h:%p BASTION``. Of the rest, options of that ``ssh`` among them,
only names are kept: an option may hold a password.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from aegis_provision.inventory.addresses import Bastion, parse_bastion
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""Ansible's variables that hold arguments of ``ssh``, in the order in which it hands them over."""

CONFIG_FILE = "-F"
"""The option that names another ssh config."""

HOST_KEY_OPTIONS = frozenset(
    ["StrictHostKeyChecking", "UserKnownHostsFile", "GlobalKnownHostsFile", "KnownHostsCommand",
     "HostKeyAlias"]
)  # fmt: skip
"""The options that decide which host keys are trusted."""

UNREADABLE = "arguments that can't be taken apart"
"""What stands for the options where quotes do not pair up, or a template is not filled in."""

_WITH_VALUE = frozenset("BbcDEeFIiJLlmOopQRSWw")
_LEADING = frozenset("FIbilpw")
_LEADING_OPTIONS = {
    name.lower(): name
    for name in (
        "HostName", "Port", "User", "ProxyCommand", "IdentityFile", "IdentityAgent",
        "CertificateFile", "PKCS11Provider", "BindAddress", "BindInterface", *HOST_KEY_OPTIONS,
    )
}  # fmt: skip
_KEYS_ARE_CHECKED = frozenset({"yes", "true", "ask"})
_NONE = "none"
_OPTION = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)", re.DOTALL)
_PROXIED = frozenset({"%h:%p", "[%h]:%p"})
_WAYS = frozenset({"proxyjump", "proxycommand"})


@dataclass(frozen=True, slots=True)
class SshArguments:
    """What the arguments say: the bastions, and the names of options that are not taken.

    ``jump`` is ``None`` where they say nothing of bastions, empty for "none". ``left`` has only
    options that change where, as whom or through what ``ssh`` connects.
    """

    jump: tuple[str, ...] | None = None
    left: tuple[str, ...] = ()


def read_ssh_arguments(text: str) -> SshArguments:
    """Return what ``text``, quoted as for a shell, means for a connection of ours."""
    if "{{" in text or "{%" in text:
        return SshArguments(left=(UNREADABLE,))
    try:
        words = shlex.split(text)
    except ValueError:
        return SshArguments(left=(UNREADABLE,))
    jump: tuple[str, ...] | None = None
    proxied = False
    left: dict[str, None] = {}
    for name, value in _options(words):
        way = _way(name, value)
        if way is not None and proxied:
            continue  # as in ssh the first of several counts
        if way is not None:
            jump, proxied = way.jump, True
            left.update(dict.fromkeys(way.left))
        elif name.lower() in _WAYS:
            proxied = True
            left.setdefault("ProxyJump" if name.lower() == "proxyjump" else "ProxyCommand")
        elif name.startswith("-") or _leads_elsewhere(name, value):
            left.setdefault(_LEADING_OPTIONS.get(name.lower(), name))
    return SshArguments(jump, tuple(left))


def without_values(text: str) -> str:
    """Return arguments that mean the same to :func:`read_ssh_arguments`, and hold nothing else."""
    found = read_ssh_arguments(text)
    words = []
    if found.jump is not None:
        words = ["-J", ",".join(found.jump) or _NONE]
    for name in found.left:
        if name == UNREADABLE:
            return "'"
        words += [name, "..."] if name.startswith("-") else ["-o", f"{name}=..."]
    return " ".join(words)


def _options(words: Sequence[str], *, all_letters: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the options that may lead elsewhere: as ``ssh_config`` names them, or as ``-p``.

    With ``all_letters`` each that has a value is among them, and operands, which have no name.
    """
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            if all_letters:
                yield "", word
            continue
        for at, letter in enumerate(word[1:], start=1):
            if letter not in _WITH_VALUE:
                continue
            value = word[at + 1 :] or next(rest, "")
            if letter == "o":
                match = _OPTION.fullmatch(value)
                if match is not None:
                    yield match[1], match[2].strip()
            elif letter == "J":
                yield "ProxyJump", value
            elif letter in _LEADING or all_letters:
                yield f"-{letter}", value
            break


def _leads_elsewhere(name: str, value: str) -> bool:
    key = name.lower()
    if key == "stricthostkeychecking" and value.lower() in _KEYS_ARE_CHECKED:
        return False
    return key in _LEADING_OPTIONS


def _way(name: str, value: str) -> SshArguments | None:
    """Return the bastions that an option names, ``None`` where it names none that we could take."""
    match name.lower():
        case "proxyjump":
            way = SshArguments(tuple(hop.strip() for hop in value.split(",")))
        case "proxycommand":
            way = _through(value)
        case _:
            return None
    if way.jump == (_NONE,):
        return SshArguments(())
    return way if way.jump and all(map(parse_bastion, way.jump)) else None


def _through(command: str) -> SshArguments:
    """Return the bastion of ``ssh -W %h:%p BASTION``; none where the command does something else.

    Its options that change how that bastion is reached are left.
    """
    nothing = SshArguments()
    try:
        words = shlex.split(command)
    except ValueError:
        return nothing
    if words == [_NONE]:
        return SshArguments((_NONE,))
    if not words or words[0].rpartition("/")[2] != "ssh":
        return nothing
    found: dict[str, str] = {}
    left: dict[str, None] = {}
    operands = []
    for name, value in _options(words[1:], all_letters=True):
        key = {"-l": "user", "-p": "port", "-W": "-W"}.get(name, name.lower())
        if key in _WAYS or key == "hostname":
            return nothing
        if not name:
            operands.append(value)
        elif key in {"user", "port", "-W"}:
            found.setdefault(key, value)
        elif name.removeprefix("-") in _LEADING or _leads_elsewhere(name, value):
            left.setdefault(_LEADING_OPTIONS.get(key, name))
    bastion = parse_bastion(operands[0]) if len(operands) == 1 else None
    if bastion is None or found.get("-W") not in _PROXIED:
        return nothing
    way = _written(bastion, found.get("user"), found.get("port"))
    return SshArguments((way,), tuple(left))


def _written(bastion: Bastion, user: str | None, port: str | None) -> str:
    host = f"[{bastion.host}]" if ":" in bastion.host else bastion.host
    user, port = bastion.user or user, str(bastion.port or port or "")
    return (f"{user}@" if user else "") + host + (f":{port}" if port else "")
