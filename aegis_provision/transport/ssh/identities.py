"""The keys to log in with: from files and from the operator's agent, in the order to try them."""

from __future__ import annotations

import base64
import binascii
import copy
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from aegis_provision.files.reading import UnfitFileError, read_beginning, read_file
from aegis_provision.transport.ssh.paramiko_internals import Agent

if TYPE_CHECKING:
    from aegis_provision.transport.ssh.jump_hosts import Hop

_PRIVATE_MAGIC = b"openssh-key-v1\0"
_PRIVATE_ARMOUR = "-----BEGIN OPENSSH PRIVATE KEY-----"
_LONGEST_FILE = 64 * 1024


@dataclass(slots=True)
class Identities:
    """Keys in the order to try them, and what to say if none of them is taken.

    ``tried`` names what was offered; ``unusable`` says why further keys were not.
    """

    keys: list[paramiko.PKey] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


def open_agent(path: str | None, timeout: float) -> Agent | str:
    """Return the agent at ``path``, or why there is none: ``""`` if none was named."""
    if path is None:
        return ""
    try:
        return Agent(path, timeout)
    except TimeoutError:
        return "the ssh agent does not answer"
    except OSError:
        return "there is no ssh agent where SSH_AUTH_SOCK says"
    except (paramiko.SSHException, ValueError, TypeError, struct.error):
        return "the ssh agent gives no proper answer"


def identities(hop: Hop, agent: Agent | str) -> Identities:
    """Return the keys to try at ``hop``: first those that were named for it.

    ``agent`` is what :func:`open_agent` returned.
    """
    found = Identities()
    if isinstance(agent, Agent):
        left: dict[bytes, paramiko.PKey] = {key.asbytes(): key for key in agent.get_keys()}
    else:
        left = {}
    for path in hop.identity_files:
        public = _public_blob(path)
        if public is not None and public in left:
            found.keys.append(left.pop(public))
            found.tried.append(f"{path} (from the agent)")
            continue
        loaded = _load(path, _changed(path))
        if isinstance(loaded, str):
            if hop.files_named or Path(path).exists():
                found.unusable.append(f"{path} {loaded}")
            continue
        left.pop(loaded.asbytes(), None)
        found.keys.append(loaded)
        if loaded.public_blob is not None:  # a certificate; if its CA is not known, the key
            found.keys.append(_without_certificate(loaded))
        found.tried.append(path)
    if hop.use_agent:
        found.keys.extend(left.values())
        if left:
            found.tried.append(f"{len(left)} of the agent's")
    if agent and isinstance(agent, str):
        found.unusable.append(agent)
    return found


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _load(path: str, changed: int) -> paramiko.PKey | str:  # noqa: ARG001 - the cache's key
    """Return the private key at ``path``, or why it can't be used."""
    try:
        # paramiko would read to its end what is no file, or too long for a key.
        read_file(Path(path), _LONGEST_FILE)
        with suppress(FileNotFoundError):
            read_file(Path(f"{path}-cert.pub"), _LONGEST_FILE)
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        return "has a passphrase and is not in the agent (ssh-add it)"
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except UnfitFileError as problem:
        reason = problem.strerror or ""
        return f"can't be used: {reason[:1].lower()}{reason[1:]}"
    except OSError:
        return "can't be read"
    except (ValueError, UnsupportedAlgorithm, paramiko.SSHException, UnknownKeyType):
        return "is no private key that can be used"


def _without_certificate(key: paramiko.PKey) -> paramiko.PKey:
    plain = copy.copy(key)
    plain.public_blob = None
    return plain


@lru_cache(maxsize=256)
def _public_blob(path: str) -> bytes | None:
    """Return the public half of the key at ``path``, without its passphrase.

    From ``path.pub`` beside it, from ``path`` itself where that is a public key, or out of
    the private key's file, where OpenSSH's format keeps it in the clear.
    """
    for place in (f"{path}.pub", path):
        with suppress(OSError, ValueError, IndexError, struct.error):
            text = read_beginning(Path(place), _LONGEST_FILE).decode("ascii")
            if text.startswith(_PRIVATE_ARMOUR):
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
    if not data.startswith(_PRIVATE_MAGIC):
        return None
    at = len(_PRIVATE_MAGIC)
    for _ in ("cipher", "kdf", "kdf options"):
        (length,) = struct.unpack_from(">I", data, at)
        at += 4 + length
    at += 4  # the number of keys, which is always one
    (length,) = struct.unpack_from(">I", data, at)
    return data[at + 4 : at + 4 + length]
