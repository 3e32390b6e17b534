"""Where Aegis' API listens on a host: by the inventory, the server itself, or its file."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aegis_provision.aegis.lossless_json import as_javascript
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.aegis.identify_server import AegisServer

_LOOPBACK = "127.0.0.1"
_DEFAULT_PORT = 9100
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """``HOST:PORT`` as the host sees it.

    ``known`` says that the inventory or the server itself names it, or that no server runs: then
    nothing that listens there means that there are no sessions. ``warning`` tells of a port that
    contradicts it, empty for none.
    """

    address: str
    known: bool
    warning: str = ""


def api_address(
    set_address: str | None, server: AegisServer | None, config: ConfigFile | None
) -> ApiAddress:
    """Return where to ask the API.

    ``set_address`` is the inventory's ``api``, which goes before all else; ``server`` is what is
    known of the process or its unit, whose ``AEGIS_PORT`` and ``AEGIS_HOST`` win over the file's
    ``port`` and ``host`` (docs/aegis.md, "The API"); ``config`` is the host's file.
    """
    server_port = port_number(server.port) if server is not None else None
    file_port = port_number(config.root.get("port")) if config is not None else None
    port = server_port or file_port or _DEFAULT_PORT
    if set_address is not None:
        warning = _contradiction(set_address, server_port, file_port)
        return ApiAddress(set_address, known=True, warning=warning)
    host = server.host if server is not None else None
    if host is None and config is not None:
        named = config.root.get("host")
        host = named if isinstance(named, str) else None
    known = server_port is not None or (server is not None and not server.running)
    return ApiAddress(f"{_reachable(host)}:{port}", known)


def _contradiction(address: str, server_port: int | None, file_port: int | None) -> str:
    port = server_port or file_port
    if port is None or address.rpartition(":")[2] == str(port):
        return ""
    where = "the server's environment" if server_port else "the file"
    return f"api is {address}, and {where} says port {port}: the API of another server may be asked"


def _reachable(host: str | None) -> str:
    """Return the address to connect to for one that Aegis listens on."""
    if host is None or host == "localhost":
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return _LOOPBACK
    if address.version == 6:
        return "[::1]" if address.is_unspecified else f"[{address}]"
    return _LOOPBACK if address.is_unspecified else str(address)


def port_number(value: object) -> int | None:
    """Return the port that ``value`` is, a number or its digits; ``None`` for anything else."""
    port = as_javascript(value)
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if isinstance(port, int) and not isinstance(port, bool) and 0 < port <= _LARGEST_PORT:
        return port
    return None
