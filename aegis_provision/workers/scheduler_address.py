"""Addresses of Dask's schedulers and workers, and whether what goes there is encrypted."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from aegis_provision.errors import InputError

_ENCRYPTED = "tls"
_WRITE = "write tls://HOST:PORT, or tcp://127.0.0.1:PORT for one on this machine"
_HOW = (
    "start scheduler and workers with TLS and write tls://HOST:PORT; Dask's own settings name the "
    "certificates (DASK_DISTRIBUTED__COMM__TLS__CA_FILE and those beside it)"
)


def check_scheduler(address: str) -> str:
    """Return ``address`` with its scheme. Raises :class:`InputError` for one not to be used.

    Without TLS anyone on the way could run code on all workers, so only loopback may do without.
    """
    full = address if "://" in address else f"tcp://{address}"
    try:
        parts = urlsplit(full)
        whole = bool(parts.hostname) and parts.port is not None
    except ValueError:
        raise InputError(f"--scheduler: {address!r} is no address", _WRITE) from None
    if parts.scheme not in {_ENCRYPTED, "tcp"} or not whole or parts.username is not None:
        raise InputError(f"--scheduler: {address!r} is no address of a scheduler", _WRITE)
    if not is_protected(full):
        raise InputError(f"--scheduler: {full} is neither encrypted nor on this machine", _HOW)
    return full


def is_protected(address: str) -> bool:
    """Tell whether what goes to ``address`` is encrypted, or stays on this machine."""
    parts = urlsplit(address)
    if parts.scheme == _ENCRYPTED:
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
