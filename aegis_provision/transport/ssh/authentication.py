"""Logging in: keys of files and of the agent offered one by one, and why none of them is taken."""

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

from aegis_provision.errors import Unreachable
from aegis_provision.files.reading import UnfitFileError, read_beginning, read_file
from aegis_provision.humanize import blank_control
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import Agent
from aegis_provision.transport.ssh.public_keys import HostKey

if TYPE_CHECKING:
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_STEP = "login"
_PRIVATE_MAGIC = b"openssh-key-v1\0"
_PRIVATE_ARMOUR = "-----BEGIN OPENSSH PRIVATE KEY-----"
_LONGEST_FILE = 64 * 1024
_LONGEST_COMMENT = 80


def log_in(
    transport: paramiko.Transport,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> str:
    """Log in at ``hop`` with a key, and return which. Raises :class:`Unreachable`."""
    agent = open_agent(hop.identity_agent, deadline.step_timeout(options.timeout))
    try:
        found = identities(hop, agent)
        outcome = _Outcome()
        for key in found.keys:
            transport.auth_timeout = deadline.step_timeout(options.timeout)
            outcome = _offer(transport, hop.user, key)
            if outcome.logged_in:
                return found.name_of(key)
            if not transport.is_active():
                break
    finally:
        if isinstance(agent, Agent):
            agent.close()
    raise _refused(hop, found, outcome, agent_answers=isinstance(agent, Agent))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of the last key that was offered; ``methods`` are the methods the host asks for."""

    logged_in: bool = False
    hung_up: bool = False
    unsigned: bool = False
    methods: tuple[str, ...] = ()


def _offer(transport: paramiko.Transport, user: str, key: paramiko.PKey) -> _Outcome:
    with map_paramiko_errors(_STEP):
        try:
            further = transport.auth_publickey(user, key)
        except paramiko.BadAuthenticationType as refusal:
            return _Outcome(methods=tuple(refusal.allowed_types))
        except paramiko.AuthenticationException as refusal:
            if "timeout" in str(refusal).lower():
                raise TimeoutError from None
            return _Outcome(hung_up=not transport.is_active())
        except (paramiko.SSHException, EOFError, OSError) as problem:
            if transport.is_active():
                raise
            unsigned = isinstance(key, paramiko.AgentKey) and "agent" in str(problem)
            unsigned = unsigned or "used for signing" in str(problem)
            return _Outcome(hung_up=not unsigned, unsigned=unsigned)
        return _Outcome(logged_in=not further, methods=tuple(further))


def _refused(hop: Hop, found: Identities, outcome: _Outcome, *, agent_answers: bool) -> Unreachable:
    where = f"as {hop.user} at {hop.key_name}"
    tried = f"(tried: {', '.join(found.tried)})"
    unusable = "".join(f"; {reason}" for reason in found.unusable)
    agent = "" if agent_answers else "start an ssh agent, "
    add = f"{agent}add the key with ssh-add, or set 'user' or 'identity_file'"
    if not found.keys:
        return Unreachable(_STEP, f"there is no key to log in with {where}{unusable}", add)
    if outcome.unsigned:
        return Unreachable(
            _STEP, f"the agent would not sign with its key {where}", "is the agent locked?"
        )
    if outcome.hung_up:
        return Unreachable(
            _STEP,
            f"the host hung up during the login {where} {tried}{unusable}",
            "after too many keys sshd does that: name the right one with 'identity_file'; "
            "otherwise look at sshd's log on the host",
        )
    if outcome.methods and "publickey" not in outcome.methods:
        return Unreachable(
            _STEP,
            f"the host wants {' or '.join(outcome.methods)} {where}",
            "a key alone must do: change AuthenticationMethods in its sshd_config",
        )
    return Unreachable(
        _STEP, f"the host took none of the keys offered {where} {tried}{unusable}", add
    )


@dataclass(slots=True)
class Identities:
    """Keys in the order to try them, and what to say if none of them is taken.

    ``tried`` names what was offered; ``unusable`` says why further keys were not. ``files`` maps
    keys, by their public halves, to where they were named.
    """

    keys: list[paramiko.PKey] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    files: dict[bytes, str] = field(default_factory=dict)

    def name_of(self, key: paramiko.PKey) -> str:
        """Return what an operator knows one of the keys by: its path, else what the agent says."""
        blob = key.asbytes()
        if blob in self.files:
            return self.files[blob]
        comment = key.comment if isinstance(key, paramiko.AgentKey) else ""
        words = blank_control(comment)[:_LONGEST_COMMENT].strip()
        return f"the agent's key {HostKey(key.get_name(), blob).fingerprint} {words}".rstrip()


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
        agent_keys: dict[bytes, paramiko.PKey] = {key.asbytes(): key for key in agent.get_keys()}
    else:
        agent_keys = {}
    for path in hop.identity_files:
        public = _public_blob(path)
        if public is not None and public in agent_keys:
            found.keys.append(agent_keys.pop(public))
            found.tried.append(f"{path} (from the agent)")
            found.files[public] = found.tried[-1]
            continue
        loaded = _load(path, _changed(path))
        if isinstance(loaded, str):
            if hop.files_named or Path(path).exists():
                found.unusable.append(f"{path} {loaded}")
            continue
        agent_keys.pop(loaded.asbytes(), None)
        found.keys.append(loaded)
        found.files[loaded.asbytes()] = path
        if loaded.public_blob is not None:  # a certificate; if its CA is not known, the key
            found.keys.append(_without_certificate(loaded))
        found.tried.append(path)
    if hop.use_agent:
        found.keys.extend(agent_keys.values())
        if agent_keys:
            found.tried.append(f"{len(agent_keys)} of the agent's")
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
    for candidate in (f"{path}.pub", path):
        with suppress(OSError, ValueError, IndexError, struct.error):
            text = read_beginning(Path(candidate), _LONGEST_FILE).decode("ascii")
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
