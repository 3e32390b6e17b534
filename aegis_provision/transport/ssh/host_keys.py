"""The verdict on the key that a host shows: known, new, changed or revoked, and what follows.

``known_hosts`` and ``RevokedHostKeys`` hold what is known; ``--host-key`` says whether a new key is
accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.protocol import AcceptedKey
from aegis_provision.transport.ssh.known_hosts import add_if_new
from aegis_provision.transport.ssh.revoked_keys import RevokedKeysError, read_revoked_keys

if TYPE_CHECKING:
    from aegis_provision.transport.protocol import ConnectOptions
    from aegis_provision.transport.ssh.jump_hosts import Hop
    from aegis_provision.transport.ssh.known_hosts import KnownHosts, Verdict
    from aegis_provision.transport.ssh.public_keys import HostKey

_STEP = "host key"
_REVOKED_HINT = "someone may be in between; ask who runs the host"


def check_host_key(
    key: HostKey, hop: Hop, known: KnownHosts, options: ConnectOptions
) -> AcceptedKey | None:
    """Return the key if it was new and accepted on trust, ``None`` if it was known.

    Raises :class:`Unreachable` for a key that is revoked, changed, or new and not to be accepted.
    """
    name = hop.key_name
    if hop.revoked_keys is not None:
        _check_revoked(key, name, hop.revoked_keys)
    verdict = known.verdict(hop.key_names, key)
    if verdict.standing == "new" and options.accept_new and options.known_hosts:
        verdict = _accept_new(key, hop, options)
        if verdict.standing == "new":
            return AcceptedKey(name, key.key_type, key.fingerprint)
    if verdict.standing == "known":
        return None
    raise _refused(key, name, verdict)


def _check_revoked(key: HostKey, name: str, path: str) -> None:
    try:
        revoked = read_revoked_keys(path)
    except RevokedKeysError as problem:
        raise Unreachable(
            _STEP,
            f"whether the key of {name} is revoked can't be told: RevokedHostKeys {problem}",
            "correct the file or the ssh config (without the file ssh refuses every key too)",
        ) from None
    if key in revoked:
        raise Unreachable(
            _STEP,
            f"the key of {name} is revoked by {path} ({key.fingerprint})",
            _REVOKED_HINT,
        )


def _accept_new(key: HostKey, hop: Hop, options: ConnectOptions) -> Verdict:
    with map_errors("known_hosts"):
        try:
            return add_if_new(options.known_hosts, hop.key_names, key)
        except ValueError:
            raise Unreachable(
                "known_hosts",
                f"a key can't be saved under {hop.key_name!r}, which is no plain name",
                "correct HostKeyAlias or HostName in the ssh config",
            ) from None


def _refused(key: HostKey, name: str, verdict: Verdict) -> Unreachable:
    if verdict.standing == "revoked":
        return Unreachable(
            _STEP, f"the key of {name} is revoked ({key.fingerprint})", _REVOKED_HINT
        )
    if verdict.standing == "changed":
        old = ", ".join(dict.fromkeys(key.fingerprint for key in verdict.others))
        return Unreachable(
            _STEP,
            f"the key of {name} has changed: known is {old}, and it shows {key.fingerprint}",
            f"someone may be in between; if the host was reinstalled: ssh-keygen -R '{name}'",
        )
    return Unreachable(
        _STEP,
        f"the key of {name} is not known ({key.key_type} {key.fingerprint})",
        "compare it with the host's own, then add it with ssh-keyscan, "
        "or take it with --host-key accept-new",
    )
