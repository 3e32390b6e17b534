"""The verdict on the key that a host shows: known, new, changed or revoked, and what follows.

``known_hosts`` holds the keys that are known, and the authorities whose certificates are trusted;
``--host-key`` says whether a new key is accepted. A certificate that is not good leaves its key,
which is then looked up as any other. All of it follows OpenSSH's ``check_host_key``.

``RevokedHostKeys`` (ssh_config(5)) names a file of keys to refuse. If the file can't be read or is
not understood, every key is refused, as by OpenSSH's ``sshkey_check_revoked``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.connect_options import AcceptedKey
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.ssh.algorithms import CA_SIGNATURES, chosen
from aegis_provision.transport.ssh.certificates import host_problem
from aegis_provision.transport.ssh.known_hosts import KeyVerdict, add_if_new
from aegis_provision.transport.ssh.public_keys import is_shorter
from aegis_provision.transport.ssh.revoked_keys import RevokedKeysError, read_revoked_keys
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.connect_options import ConnectOptions, SaveKey
    from aegis_provision.transport.ssh.certificates import Certificate
    from aegis_provision.transport.ssh.known_hosts import KnownHosts
    from aegis_provision.transport.ssh.public_keys import HostKey
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_STEP = "host key"
_REVOKED_HINT = "someone may be in between; ask who runs the host"


@dataclass(frozen=True, slots=True)
class ShownKey:
    """What a host showed: its key, and the certificate that it came in, if any."""

    key: HostKey
    certificate: Certificate | None = None


def check_host_key(
    shown: ShownKey, hop: Hop, known_hosts: KnownHosts, options: ConnectOptions
) -> AcceptedKey | None:
    """Return the key if it was new and accepted on trust, ``None`` if it was known.

    Raises :class:`Unreachable` for a key that is revoked, changed, or new and not to be accepted.
    """
    key, name = shown.key, hop.key_name
    if is_shorter(key, hop.required_rsa_size or 0):
        raise Unreachable(
            _STEP,
            f"the key of {name} is shorter than RequiredRSASize {hop.required_rsa_size}",
            "give the host another key, or change the ssh config",
        )
    for path in hop.revoked_keys:
        _check_revoked(shown, name, path)
    verdict, problem = _verdict(known_hosts, shown, hop)
    if verdict.standing == "new" and options.accept_new:
        verdict = _accept_new(key, hop, options.save_key or add_if_new)
        if verdict.standing == "new":
            return AcceptedKey(name, key.key_type, key.fingerprint)
    if verdict.standing == "known":
        return None
    raise _refused(key, name, verdict, problem)


def _verdict(known_hosts: KnownHosts, shown: ShownKey, hop: Hop) -> tuple[KeyVerdict, str]:
    """Return what is known of the key, and why its certificate, if it has one, is not good."""
    names, certificate = hop.key_names, shown.certificate
    if certificate is None:
        return known_hosts.verdict(names, shown.key), ""
    algorithms = chosen("CASignatureAlgorithms", hop.ca_signature_algorithms, CA_SIGNATURES)
    # Without a port, as the inventory or the ssh config says it, or HostKeyAlias.
    principal = names[-1]
    unfit = host_problem(certificate, principal, time.time(), algorithms)
    return _certified(known_hosts, names, certificate, unfit)


def _certified(
    known_hosts: KnownHosts, names: Sequence[str], certificate: Certificate, unfit: str
) -> tuple[KeyVerdict, str]:
    """Return the verdict under ``names`` on a key that a certificate vouches for.

    ``unfit`` says why the certificate is not good, signed by any authority.
    """
    entries, authority = known_hosts.about(names[0]), certificate.authority
    if certificate.key in entries.revoked:
        return KeyVerdict("revoked"), ""
    if authority in entries.revoked:
        return KeyVerdict("revoked", (authority,)), ""
    if authority in entries.authorities:
        if not unfit:
            return KeyVerdict("known"), ""
    else:
        if names[1:]:
            verdict, _ = _certified(known_hosts, names[1:], certificate, unfit)
            if verdict.standing == "known":
                return verdict, ""
        unfit = f"its authority {authority.fingerprint} is not known"
    return known_hosts.verdict(names, certificate.key), unfit


def _check_revoked(shown: ShownKey, name: str, path: str) -> None:
    try:
        with map_errors(_STEP):
            revoked = read_revoked_keys(path)
    except RevokedKeysError as problem:
        raise Unreachable(
            _STEP,
            f"whether the key of {name} is revoked can't be told: RevokedHostKeys {problem}",
            "correct the file or the ssh config (without the file ssh refuses every key too)",
        ) from None
    key, certificate = shown.key, shown.certificate
    if key in revoked:
        what = f"the key of {name} is revoked by {path} ({key.fingerprint})"
        raise Unreachable(_STEP, what, _REVOKED_HINT)
    if certificate is not None and revoked.revokes(certificate):
        what = f"the certificate of {name} is revoked by {path} (serial {certificate.serial})"
        raise Unreachable(_STEP, what, _REVOKED_HINT)


def _accept_new(key: HostKey, hop: Hop, save_key: SaveKey) -> KeyVerdict:
    if hop.new_keys_file is None:
        raise Unreachable(
            _STEP,
            f"the key of {hop.key_name} is new, and there is no file to save it in",
            "--known-hosts, or UserKnownHostsFile of the ssh config, must name one",
        )
    others = tuple(path for path in hop.known_hosts if path != hop.new_keys_file)
    with map_errors("known_hosts"):
        try:
            verdict: KeyVerdict = save_key((hop.new_keys_file, *others), hop.key_names, key)
        except ValueError:
            raise Unreachable(
                "known_hosts",
                f"a key can't be saved under {hop.key_name!r}, which is no plain name",
                "correct HostKeyAlias or HostName in the ssh config",
            ) from None
    return verdict


def _refused(key: HostKey, name: str, verdict: KeyVerdict, problem: str) -> Unreachable:
    certificate = f"; its certificate is not good: {problem}" if problem else ""
    if verdict.standing == "revoked" and verdict.others:
        prints = ", ".join(other.fingerprint for other in verdict.others)
        return Unreachable(
            _STEP, f"the authority of {name}'s certificate is revoked ({prints})", _REVOKED_HINT
        )
    if verdict.standing == "revoked":
        return Unreachable(
            _STEP, f"the key of {name} is revoked ({key.fingerprint})", _REVOKED_HINT
        )
    if verdict.standing == "changed":
        old = ", ".join(dict.fromkeys(key.fingerprint for key in verdict.others))
        return Unreachable(
            _STEP,
            f"the key of {name} has changed: known is {old}, and it shows {key.fingerprint}"
            f"{certificate}",
            f"someone may be in between; if the host was reinstalled: ssh-keygen -R '{name}'",
        )
    return Unreachable(
        _STEP,
        f"the key of {name} is not known ({key.key_type} {key.fingerprint}){certificate}",
        f"{'have its certificate made anew; or ' if problem else ''}"
        "compare it with the host's own, then add it with ssh-keyscan, "
        "or take it with --host-key accept-new",
    )
