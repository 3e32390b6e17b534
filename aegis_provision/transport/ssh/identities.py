"""What a host is offered to log in with: keys of files, certificates, and the agent's keys."""

from __future__ import annotations

import base64
import binascii
import struct
from contextlib import suppress
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.files.reading import read_beginning
from aegis_provision.humanize import blank_control, listed
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.algorithms import KEYS, chosen, shown_type
from aegis_provision.transport.ssh.certificates import USER, Certificate, parse_certificate
from aegis_provision.transport.ssh.private_keys import (
    LONGEST_FILE,
    OPENSSH_ARMOUR,
    PRIVATE_MAGIC,
    read_private_key,
)
from aegis_provision.transport.ssh.public_keys import (
    HostKey,
    is_shorter,
    plain_key,
    plain_type,
    read_public_key,
    split_string,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.ssh.private_keys import PrivateKey
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop
    from aegis_provision.transport.ssh.ssh_agent import AgentKey

_LONGEST_COMMENT = 80
_MOST_PRINCIPALS = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """A public key or certificate to offer, and what signs with its private key.

    ``name`` is what an operator knows it by. ``private`` is the key that was read from a file, or
    ``None`` where the agent signs, which has the key under ``agent_blob``. ``named`` says that it
    belongs to an identity file.
    """

    name: str
    public: HostKey
    private: PrivateKey | None
    agent_blob: bytes = b""
    named: bool = True
    certificate: Certificate | None = None

    @property
    def on_device(self) -> bool:
        """Tell whether each signature wants a device to be touched."""
        return self.public.key_type.startswith("sk-")

    @property
    def has_choice(self) -> bool:
        """Tell whether it could sign by several algorithms, as RSA keys alone can."""
        return plain_type(self.public.key_type) == "ssh-rsa"

    def algorithm(self, accepted: Sequence[str], server: Collection[str]) -> str | None:
        """Return the algorithm to sign by, out of those accepted here, ``None`` for none.

        ``server`` are those that the host says it takes (RFC 8308), none where it does not say:
        they matter where there is a choice. RSA keys never sign with SHA-1.
        """
        for name in accepted:
            if shown_type(name) == self.public.key_type and (
                not self.has_choice or not server or plain_type(name) in server
            ):
                return name
        return None


@dataclass(slots=True)
class Identities:
    """Offers in their order, and what to say if none of them is taken.

    ``tried`` names what is offered; ``unusable`` says why further keys are not.
    """

    offers: list[Offer] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


def find_identities(
    hop: Hop, agent_keys: Sequence[AgentKey], options: ConnectOptions
) -> Identities:
    """Return what to offer to ``hop``: first what was named for it, then the agent's other keys.

    A certificate goes before its key. Of the agent's keys those go first that other hosts of the
    run took, and last of all goes what this host refused in it. Raises :class:`Unreachable` where
    PubkeyAcceptedAlgorithms leaves nothing.
    """
    found = Identities()
    in_agent = {item.blob: item for item in agent_keys}
    certificates = list(_certificates(hop.certificate_files, found, named=True))
    used: set[bytes] = set()
    for path in hop.identity_files:
        beside = [] if hop.certificate_files else [f"{path}-cert.pub"]
        own = [*_certificates(beside, found, named=False), *certificates]
        for offer in _of_file(path, own, hop, in_agent, found):
            if offer.public.blob not in used:
                used.add(offer.public.blob)
                found.offers.append(offer)
    others = [] if not hop.use_agent else [item for item in agent_keys if item.blob not in used]
    for offer in _of_agent(others, certificates, used):
        used.add(offer.public.blob)
        found.offers.append(offer)
    taken, last = options.taken_keys, options.taken_keys.last(hop.user, hop.key_name)
    first = {blob: index for index, blob in enumerate(taken.first(hop.user))}
    found.offers.sort(
        key=lambda offer: (
            offer.public.blob in last,
            not offer.named,
            first.get(offer.public.blob, len(first)),
        )
    )
    accepted = chosen("PubkeyAcceptedAlgorithms", hop.pubkey_accepted_algorithms, KEYS)
    left = [
        offer
        for offer in found.offers
        if offer.algorithm(accepted, ())
        and not is_shorter(plain_key(offer.public), hop.required_rsa_size or 0)
    ]
    if not left and found.offers:
        found.unusable.append(
            "PubkeyAcceptedAlgorithms and RequiredRSASize leave out all keys that there are"
        )
    if not found.offers and not hop.use_agent and agent_keys:
        found.unusable.append("identity_file or IdentitiesOnly leaves out the agent's other keys")
    found.offers = left
    unnamed = sum(not offer.named for offer in found.offers)
    if unnamed:
        found.tried.append(f"{unnamed} of the agent's")
    return found


def _of_file(
    path: str,
    certificates: Sequence[tuple[str, Certificate]],
    hop: Hop,
    in_agent: Mapping[bytes, AgentKey],
    found: Identities,
) -> Iterator[Offer]:
    """Yield what to offer for one identity file: its certificates, then its key."""
    blob = _public_blob(path)
    public = None if blob is None else _public_key(blob)
    if public is not None and public.blob in in_agent:
        name = f"{path} (from the agent)"
        found.tried.append(name)
        yield from _certified(name, public, None, certificates)
        yield Offer(name, public, None, public.blob)
        return
    with_agent = [
        (file, certificate)
        for file, certificate in certificates
        if certificate.blob in in_agent and public == certificate.key
    ]
    private = read_private_key(path, hop.passphrase)
    if isinstance(private, str):
        for file, certificate in with_agent:
            name = f"{file} (from the agent)"
            found.tried.append(name)
            shown = HostKey(certificate.key_type, certificate.blob)
            yield Offer(name, shown, None, certificate.blob, certificate=certificate)
        if not with_agent and (hop.files_named or Path(path).exists()):
            found.unusable.append(f"{path} {private}")
        return
    found.tried.append(path)
    yield from _certified(path, private.public, private, certificates)
    yield Offer(path, private.public, private)


def _certified(
    name: str,
    public: HostKey,
    private: PrivateKey | None,
    certificates: Sequence[tuple[str, Certificate]],
) -> Iterator[Offer]:
    for _, certificate in certificates:
        if certificate.key == public:
            shown = HostKey(certificate.key_type, certificate.blob)
            agent_blob = public.blob if private is None else b""
            yield Offer(name, shown, private, agent_blob, certificate=certificate)


def _of_agent(
    keys: Sequence[AgentKey],
    certificates: Sequence[tuple[str, Certificate]],
    used: Collection[bytes],
) -> Iterator[Offer]:
    """Yield what to offer of the agent's ``keys``, and the certificates of files for them."""
    for item in keys:
        public = _public_key(item.blob)
        if public is None:
            continue
        name = agent_key_name(public, item.comment)
        for path, certificate in certificates:
            if certificate.key == public and certificate.blob not in used:
                shown = HostKey(certificate.key_type, certificate.blob)
                yield Offer(path, shown, None, public.blob, named=True, certificate=certificate)
        certificate_of = _user_certificate(item.blob)
        yield Offer(name, public, None, item.blob, named=False, certificate=certificate_of)


def agent_key_name(public: HostKey, comment: str) -> str:
    """Return what an operator knows one of the agent's keys by."""
    words = blank_control(comment)[:_LONGEST_COMMENT].strip()
    return f"the agent's key {plain_key(public).fingerprint} {words}".rstrip()


def describe_certificate(offer: Offer, now: float) -> str:
    """Return what to know of the certificate of an offer that was refused, nothing without one."""
    certificate = offer.certificate
    if certificate is None:
        return ""
    validity = certificate.validity_problem(now) or f"it is {certificate.validity()}"
    names = listed((blank_control(name) for name in certificate.principals), most=_MOST_PRINCIPALS)
    whom = f"for {names}" if names else "for nobody in particular"
    options = [blank_control(name) for name in certificate.critical_options]
    limits = f", with {listed(options, most=_MOST_PRINCIPALS)}" if options else ""
    by = f"signed by {certificate.authority.fingerprint} ({certificate.signed_by})"
    return f"the certificate with {offer.name}: {validity}, {whom}{limits}, {by}"


def _certificates(
    paths: Sequence[str], found: Identities, *, named: bool
) -> Iterator[tuple[str, Certificate]]:
    for path in paths:
        certificate = _certificate(path)
        if isinstance(certificate, Certificate):
            yield path, certificate
        elif named or certificate != _MISSING:
            found.unusable.append(f"{path} {certificate}")


_MISSING = "is not there"


def _certificate(path: str) -> Certificate | str:
    """Return the user's certificate at ``path``, or why there is none."""
    try:
        line = read_beginning(Path(path), LONGEST_FILE).partition(b"\n")[0]
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as problem:
        raise_shortage(problem)
        return "can't be read"
    key = read_public_key(line)
    certificate = None if key is None else _user_certificate(key.blob)
    return certificate or "is no user's certificate"


def _user_certificate(blob: bytes) -> Certificate | None:
    try:
        certificate = parse_certificate(blob)
    except ValueError:
        return None
    return certificate if certificate.kind == USER else None


def _public_key(blob: bytes) -> HostKey | None:
    try:
        return HostKey(split_string(blob)[0].decode("ascii"), blob)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _public_blob(path: str) -> bytes | None:
    """Return the public half of the key at ``path``, without its passphrase.

    From ``path.pub`` beside it, from ``path`` itself where that is a public key, or out of
    the private key's file, where OpenSSH's format keeps it in the clear.
    """
    for candidate in (f"{path}.pub", path):
        with suppress(OSError, ValueError, IndexError, struct.error):
            text = read_beginning(Path(candidate), LONGEST_FILE).decode("ascii")
            if text.startswith(OPENSSH_ARMOUR):
                return _public_half(text)
            return base64.b64decode(text.split()[1], validate=True)
    return None


def _public_half(text: str) -> bytes | None:
    """Return the public key out of OpenSSH's private key format (its PROTOCOL.key)."""
    lines = [line for line in text.splitlines() if line and not line.startswith("-----")]
    try:
        data = base64.b64decode("".join(lines))
    except binascii.Error:
        return None
    if not data.startswith(PRIVATE_MAGIC):
        return None
    rest = data[len(PRIVATE_MAGIC) :]
    for _ in ("cipher", "kdf", "kdf options"):
        _, rest = split_string(rest)
    return split_string(rest[4:])[0]  # after the number of keys, which is always one
