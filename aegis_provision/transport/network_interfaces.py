"""The addresses of this machine's network interfaces (getifaddrs(3))."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, TypeAlias

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_UP = 1
# Where an address lies in struct sockaddr_in and sockaddr_in6, and how long it is.
_PLACES = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface that is up."""

    interface: str
    address: Address


class _Interface(ctypes.Structure):
    """The beginning of struct ifaddrs, which is the same everywhere."""


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """Return the addresses of all interfaces that are up. Raises ``OSError``."""
    library = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_Interface)()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "the network interfaces can't be listed")
    try:
        return tuple(_addresses(first))
    finally:
        library.freeifaddrs(first)


def interface_address(name: str, family: int) -> Address:
    """Return the first address of ``family`` that an interface has. Raises ``OSError``."""
    version = 6 if family == socket.AF_INET6 else 4
    for item in interface_addresses():
        if item.interface == name and item.address.version == version:
            return item.address
    raise OSError(errno.EADDRNOTAVAIL, f"the interface {name} has no such address")


def _addresses(first: ctypes._Pointer[_Interface]) -> Iterator[InterfaceAddress]:
    following = first
    while bool(following):  # a null pointer is false
        interface = following.contents
        if interface.flags & _UP and interface.address:
            address = _address(interface.address)
            if address is not None:
                yield InterfaceAddress(interface.name.decode(errors="replace"), address)
        following = interface.next


def _address(at: int) -> Address | None:
    # The BSDs and macOS put the length in front of the family, in a byte each.
    head = ctypes.string_at(at, 2)
    family = head[1] if sys.platform != "linux" else int.from_bytes(head, sys.byteorder)
    for known, (offset, length) in _PLACES.items():
        if family == known:
            return ipaddress.ip_address(ctypes.string_at(at + offset, length))
    return None
