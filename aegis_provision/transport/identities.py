"""The keys to log in with: from files and from the operator's agent, in the order to try them."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.endpoints import Endpoint


@dataclass(slots=True)
class Identities:
    """Keys in the order to try them, and what to tell where none of them is taken.

    ``tried`` says in words what was offered; ``unusable`` why further files were not.
    """

    keys: list[paramiko.PKey] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


class Agent(AgentSSH):
    """The agent behind a socket, wherever the environment says it is."""

    def __init__(self, path: str, timeout: float) -> None:
        """Connect to the agent's socket. Raises ``OSError``."""
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined] # the stubs leave it out
        except (OSError, paramiko.SSHException):
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection to the agent."""
        self._close()  # type: ignore[attr-defined] # the stubs leave it out


def open_agent(path: str | None, timeout: float) -> Agent | None:
    """Return the agent at ``path``, ``None`` where there is none that answers."""
    if path is None:
        return None
    try:
        return Agent(path, timeout)
    except (OSError, paramiko.SSHException):
        return None


def identities(endpoint: Endpoint, agent_keys: Sequence[paramiko.AgentKey]) -> Identities:
    """Return the keys to try at ``endpoint``: first those that were named for it."""
    found = Identities()
    left = {key.asbytes(): key for key in agent_keys}
    for path in endpoint.identity_files:
        public = _public_blob(path)
        if public is not None and public in left:
            found.keys.append(left.pop(public))
            found.tried.append(f"{path} (from the agent)")
            continue
        loaded = _load(path, _changed(path))
        if isinstance(loaded, paramiko.PKey):
            left.pop(loaded.asbytes(), None)
            found.keys.append(loaded)
            found.tried.append(path)
        elif loaded:
            found.unusable.append(f"{path} {loaded}")
    if endpoint.agent_too:
        found.keys.extend(left.values())
        if left:
            found.tried.append(f"{len(left)} of the agent's")
    return found


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _load(path: str, changed: int) -> paramiko.PKey | str:
    """Return the private key at ``path``, why it is of no use, or ``""`` where there is none."""
    if not changed:
        return "" if not Path(path).is_absolute() or _is_default(path) else "is not there"
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        return "has a passphrase and is not in the agent (ssh-add it)"
    except PermissionError:
        return "can't be read"
    except (OSError, ValueError, UnsupportedAlgorithm, paramiko.SSHException):
        return "is no private key that can be used"


def _is_default(path: str) -> bool:
    return Path(path).name.startswith("id_")


@lru_cache(maxsize=256)
def _public_blob(path: str) -> bytes | None:
    with suppress(OSError, ValueError, IndexError):
        text = Path(path + ".pub").read_text(encoding="utf-8")
        return base64.b64decode(text.split()[1])
    return None
