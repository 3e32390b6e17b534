"""What Ansible hands to ``ssh`` (``ansible_ssh_common_args`` and the like): which of it we take.

The options are OpenSSH's (ssh(1), ssh_config(5)). A bastion is taken: ``ProxyJump``, ``-J``, and a
``ProxyCommand`` that is nothing but ``ssh -W %h:%p BASTION``. Of the rest only names are kept: an
option may hold a password.
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
_PROXIED = "%h:%p"


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
        if way is not None:
            # As in ssh the first of several counts.
            jump, proxied = (jump, proxied) if proxied else (way, True)
        elif name.lower() in {"proxyjump", "proxycommand"}:
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


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options that may lead elsewhere: as ``ssh_config`` names them, or as ``-p``."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
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
            elif letter in _LEADING:
                yield f"-{letter}", value
            break


def _leads_elsewhere(name: str, value: str) -> bool:
    key = name.lower()
    if key == "stricthostkeychecking" and value.lower() in _KEYS_ARE_CHECKED:
        return False
    return key in _LEADING_OPTIONS


def _way(name: str, value: str) -> tuple[str, ...] | None:
    """Return the bastions that an option names, ``None`` where it names none that we could take."""
    match name.lower():
        case "proxyjump":
            hops = tuple(hop.strip() for hop in value.split(","))
        case "proxycommand":
            hops = _through(value)
        case _:
            return None
    if hops == (_NONE,):
        return ()
    return hops if hops and all(map(parse_bastion, hops)) else None


def _through(command: str) -> tuple[str, ...]:
    """Return the bastion of ``ssh -W %h:%p BASTION``; empty where the command says more."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ()
    if words == [_NONE]:
        return (_NONE,)
    if not words or words[0].rpartition("/")[2] != "ssh":
        return ()
    user = port = None
    forwards = False
    operands: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        letter, value = word[1:2], word[2:]
        if not word.startswith("-"):
            operands.append(word)
        elif letter in {"W", "l", "p"}:
            value = value or next(rest, "")
            forwards = forwards or (letter == "W" and value == _PROXIED)
            user, port = (value if letter == "l" else user), (value if letter == "p" else port)
        elif set(word[1:]) - set("qTxaCn46"):
            return ()
    bastion = parse_bastion(operands[0]) if len(operands) == 1 and forwards else None
    return (_written(bastion, user, port),) if bastion is not None else ()


def _written(bastion: Bastion, user: str | None, port: str | None) -> str:
    host = f"[{bastion.host}]" if ":" in bastion.host else bastion.host
    user, port = bastion.user or user, str(bastion.port or port or "")
    return (f"{user}@" if user else "") + host + (f":{port}" if port else "")
