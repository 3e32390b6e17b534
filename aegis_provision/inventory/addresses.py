"""Which names hosts, users, addresses and bastions may have.

They end up in ssh and sudo command lines and in file names on the operator's side, so they are
held to characters that mean nothing anywhere, and never begin with ``-``.
"""

from __future__ import annotations

import ipaddress
import re

from aegis_provision.values import dataclass

_NAME = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}")
_ONLY_DOTS = re.compile(r"\.+")
_JUMP = re.compile(r"(?:(?P<user>[^@]*)@)?(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")

ALLOWED = "letters, digits, '.', '_' and '-', and no '-' at its beginning"


@dataclass(frozen=True, slots=True)
class Bastion:
    """A host to go through: ``[user@]host[:port]``, taken apart."""

    user: str | None
    host: str
    port: int | None


def is_address(text: str) -> bool:
    """Tell whether ``text`` may be a host's name or address (IPv6 included)."""
    if ":" in text:
        return _is_ipv6(text)
    return is_name(text)


def is_name(text: str) -> bool:
    """Tell whether ``text`` may be the name of a host or user."""
    return _NAME.fullmatch(text) is not None and _ONLY_DOTS.fullmatch(text) is None


def is_port(number: int) -> bool:
    """Tell whether ``number`` is a TCP port."""
    return 1 <= number <= 65535


def parse_bastion(text: str) -> Bastion | None:
    """Return ``[user@]host[:port]`` taken apart (``[v6]:port`` too), ``None`` for anything else."""
    if text.count(":") > 1 and "[" not in text:
        user, _, host = text.rpartition("@")
        return _checked(user or None, host, None)
    match = _JUMP.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return _checked(match["user"], match["host"].strip("[]"), port)


def _checked(user: str | None, host: str, port: int | None) -> Bastion | None:
    if user is not None and not is_name(user):
        return None
    if not is_address(host) or (port is not None and not is_port(port)):
        return None
    return Bastion(user, host, port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    zone = text.partition("%")[2]
    return not zone or is_name(zone)
