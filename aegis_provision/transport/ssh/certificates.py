"""OpenSSH's certificates: what one says, and whether a host's is good for the name that is meant.

The format is that of OpenSSH's PROTOCOL.certkeys; what makes a host's certificate good follows
its ``sshkey_cert_check_host``.
"""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from aegis_provision.transport.ssh.public_keys import (
    KEY_FIELDS,
    HostKey,
    certified_key,
    is_key,
    is_too_short,
    plain_type,
    split_string,
    strings,
)
from aegis_provision.transport.ssh.signatures import is_signed, signature_algorithm
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

USER, HOST = 1, 2
_FOREVER = 2**64 - 1
_MOST_PRINCIPALS = 256


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, signed by ``authority``; ``key`` is the key that it certifies.

    ``kind`` is :data:`USER` or :data:`HOST`; the times are seconds since 1970. ``signed_by`` is
    the algorithm of the authority's signature, which was verified.
    """

    key: HostKey
    blob: bytes = field(repr=False)
    kind: int
    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: tuple[str, ...]
    authority: HostKey
    signed_by: str

    @property
    def key_type(self) -> str:
        """Return the certificate's own type, as it stands in its blob."""
        return split_string(self.blob)[0].decode("ascii")

    def validity_problem(self, now: float) -> str:
        """Return why it does not count at ``now``, nothing where it does."""
        if now < self.valid_after:
            return f"it is valid from {_day(self.valid_after)} on only"
        if now >= self.valid_before:
            return f"it expired at {_day(self.valid_before)}"
        return ""

    def validity(self) -> str:
        """Return in words when it is valid."""
        if self.valid_before == _FOREVER:
            return "valid forever" if not self.valid_after else f"from {_day(self.valid_after)} on"
        until = f"until {_day(self.valid_before)}"
        return f"from {_day(self.valid_after)} {until}" if self.valid_after else f"valid {until}"


def host_problem(
    certificate: Certificate, name: str, now: float, algorithms: Collection[str]
) -> str:
    """Return why ``certificate`` is not good for the host called ``name``, nothing where it is.

    ``algorithms`` are those that an authority may sign with (CASignatureAlgorithms). Without any
    principals a certificate is good for every name, as OpenSSH's client has it.
    """
    if certificate.kind != HOST:
        return "it is not a host's"
    if problem := certificate.validity_problem(now):
        return problem
    if certificate.principals and name not in certificate.principals:
        return f"{name} is none of its principals"
    if certificate.critical_options:
        return "it has a critical option, and none is known for hosts"
    if certificate.signed_by not in algorithms:
        return f"its authority signed it with {certificate.signed_by}, which is not accepted"
    return ""


@lru_cache(maxsize=256)
def parse_certificate(blob: bytes) -> Certificate:
    """Return what a certificate says. Raises ``ValueError``, also for a wrong signature."""
    key_type = split_string(blob)[0].decode("ascii")
    plain = plain_type(key_type)
    if plain == key_type or plain not in KEY_FIELDS:
        raise ValueError("no certificate of a known type")
    plain_blob, rest = certified_key(blob)
    key = HostKey(plain, plain_blob)
    serial, rest = _number(rest, 8)
    kind, rest = _number(rest, 4)
    key_id, rest = split_string(rest)
    principals, rest = split_string(rest)
    after, rest = _number(rest, 8)
    until, rest = _number(rest, 8)
    critical, rest = split_string(rest)
    extensions, rest = split_string(rest)
    _, rest = split_string(rest)  # reserved
    signer, rest = split_string(rest)
    signed = blob[: len(blob) - len(rest)]
    signature, rest = split_string(rest)
    names = strings(principals)
    authority = read_key(signer)
    if rest or kind not in {USER, HOST} or len(names) > _MOST_PRINCIPALS or b"\0" in key_id:
        raise ValueError("no proper certificate")
    if not is_key(key.key_type, key.blob) or is_too_short(key) or is_too_short(authority):
        raise ValueError("no proper key in the certificate")
    algorithm = signature_algorithm(signature)
    if not is_signed(signed, signature, authority.blob, {algorithm}):
        raise ValueError("the authority's signature is wrong")
    _options(extensions)
    return Certificate(
        key=key,
        blob=blob,
        kind=kind,
        serial=serial,
        key_id=key_id.decode("utf-8", "replace"),
        principals=tuple(name.decode("utf-8", "surrogateescape") for name in names),
        valid_after=after,
        valid_before=until,
        critical_options=_options(critical),
        authority=authority,
        signed_by=algorithm,
    )


def read_key(blob: bytes) -> HostKey:
    """Return the plain key in ``blob``. Raises ``ValueError``."""
    key_type = split_string(blob)[0].decode("ascii")
    if key_type not in KEY_FIELDS or not is_key(key_type, blob):
        raise ValueError("no key of a known type")
    return HostKey(key_type, blob)


def _options(data: bytes) -> tuple[str, ...]:
    """Return the names of options, each of which a value follows. Raises ``ValueError``."""
    found = strings(data)
    if len(found) % 2:
        raise ValueError("an option without a value")
    return tuple(name.decode("utf-8", "replace") for name in found[::2])


def _number(data: bytes, size: int) -> tuple[int, bytes]:
    if len(data) < size:
        raise ValueError("it ends in the middle of a number")
    return int.from_bytes(data[:size], "big"), data[size:]


def _day(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s after 1970"
