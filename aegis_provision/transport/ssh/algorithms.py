"""Which algorithms are used: modern ones alone, less what the ssh config leaves out.

A list of the config may begin with ``+``, ``-`` or ``^`` and hold patterns (ssh_config(5)); how it
changes the defaults, and in which order host keys are asked for, follows OpenSSH's
``kex_assemble_names`` and ``order_hostkeyalgs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.known_hosts import matches
from aegis_provision.transport.ssh.public_keys import CERTIFICATE, plain_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.ssh.known_hosts import Entries

KEX = (
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
)
_KEX_NAMES = {"curve25519-sha256": "curve25519-sha256@libssh.org"}
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
DIGESTS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
CA_SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""What an authority may sign certificates with: no SHA-1, no DSA."""
_CERTIFICATES = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)
KEYS = (*_CERTIFICATES, *CA_SIGNATURES)
"""What keys of hosts and of users sign with, OpenSSH's defaults: the key types' certificates first.

In OpenSSH's own order, which is also the order of preference.
"""
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


def chosen(keyword: str, written: str | None, defaults: Sequence[str]) -> tuple[str, ...]:
    """Return the algorithms that ``written``, the value of ``keyword``, leaves of ``defaults``.

    None is ever added: what is not modern is not used even where the config says so. Raises
    :class:`Unreachable` where none is left.
    """
    if written is None:
        return tuple(defaults)
    sign, names = written[:1], written[1:].split(",")
    if sign == "-":
        found = [name for name in defaults if not matches(name, names)]
    elif sign == "^":
        found = [*_matching(names, defaults), *defaults]
    elif sign == "+":
        found = list(defaults)
    else:
        found = _matching(written.split(","), defaults)
    if not found:
        raise Unreachable(
            "ssh config",
            f"{keyword} {written} leaves no algorithm that is used here",
            f"add one of {', '.join(defaults[-len(CA_SIGNATURES) :])}",
        )
    return tuple(dict.fromkeys(found))


def chosen_kex(written: str | None) -> tuple[str, ...]:
    """Return the key exchanges that KexAlgorithms leaves, by the names that paramiko has for them.

    curve25519-sha256 has two names. Raises :class:`Unreachable`.
    """
    names = chosen("KexAlgorithms", written, (*KEX, *_KEX_NAMES))
    return tuple(dict.fromkeys(_KEX_NAMES.get(name, name) for name in names))


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for pattern in patterns for name in names if matches(name, [pattern])]


def host_key_order(written: str | None, entries: Entries) -> tuple[str, ...]:
    """Return what to ask a host to show: first what ``entries`` can say something of.

    ``written`` is HostKeyAlgorithms of the ssh config. The order of a list that replaces the
    defaults, or that names what comes first, stays as it is. Raises :class:`Unreachable`.
    """
    names = chosen("HostKeyAlgorithms", written, KEYS)
    known = {key.key_type for key in entries.trusted if key not in entries.revoked}
    if (written is not None and written[:1] not in {"+", "-"}) or key_type(names[0]) in known:
        return names
    authorities = bool(entries.authorities)

    def comes_last(name: str) -> bool:
        certified = name.endswith(CERTIFICATE)
        return not ((certified and authorities) or key_type(name) in known)

    return tuple(sorted(names, key=comes_last))


def key_type(algorithm: str) -> str:
    """Return the type of the plain keys that ``algorithm`` is for."""
    plain = plain_type(algorithm)
    return "ssh-rsa" if plain in _RSA else plain


def shown_type(algorithm: str) -> str:
    """Return the type that a key or certificate has which is shown for ``algorithm``."""
    if plain_type(algorithm) == algorithm or key_type(algorithm) != "ssh-rsa":
        return key_type(algorithm) if plain_type(algorithm) == algorithm else algorithm
    return f"ssh-rsa{CERTIFICATE}"
