"""How to connect, for every host alike; and where the operator's home directory is."""

from __future__ import annotations

import os
import pwd
import threading
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aegis_provision.transport.retry import Retries
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.providers.secret import Secret


class TakenKeys:
    """Which keys hosts took in this run, so that others are offered the same first.

    And which ones a host refused, which it is offered last if it is connected to again. Safe to
    use from several threads.
    """

    def __init__(self) -> None:
        self._taken: dict[str, dict[bytes, None]] = {}
        self._refused: dict[tuple[str, str], set[bytes]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[TakenKeys], tuple[()]]:
        # Another process begins anew.
        return type(self), ()

    def note(self, user: str, public_key: bytes) -> None:
        """Remember that a host let ``user`` in with ``public_key``."""
        with self._lock:
            for name in (user, ""):
                of_user = self._taken.setdefault(name, {})
                of_user.pop(public_key, None)
                of_user[public_key] = None

    def note_refused(self, user: str, host: str, public_key: bytes) -> None:
        """Remember that ``host`` did not let ``user`` in with ``public_key``."""
        with self._lock:
            self._refused.setdefault((user, host), set()).add(public_key)

    def last(self, user: str, host: str) -> frozenset[bytes]:
        """Return the keys to offer to ``host`` last."""
        with self._lock:
            return frozenset(self._refused.get((user, host), ()))

    def first(self, user: str) -> tuple[bytes, ...]:
        """Return the keys to offer first as ``user``: the latest of this user's, then others'."""
        with self._lock:
            found = [reversed(self._taken.get(name, {})) for name in (user, "")]
            return tuple(dict.fromkeys(key for keys in found for key in keys))


SaveKey: TypeAlias = "Callable[[Sequence[Path], Sequence[str], Any], Any]"
"""Saves a new host key as ``add_if_new`` of ``ssh/known_hosts.py`` does, and with its arguments."""


@dataclass(frozen=True, slots=True)
class LoginSecrets:
    """What the inventory names for logging in at one host: secrets, ``None`` for none.

    ``passphrase`` opens key files on the way there; ``password`` is for the host itself alone.
    """

    passphrase: Secret | None = field(default=None, repr=False)
    password: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect, for every host alike.

    ``timeout`` bounds one step on a host (seconds). ``ssh_config`` is ``None`` for "none at all";
    ``system_ssh_config`` is the file that is read behind the user's own, ``None`` where another
    file than that was named.
    ``known_hosts`` are the files to trust, the first of which ``accept_new`` adds keys to;
    ``known_hosts_named`` says that they win over the ssh config, because the operator named them.
    ``agent_socket`` is the path of the operator's ssh agent, ``home`` their home directory,
    ``login_name`` the user name to fall back on, ``environ`` their whole environment.
    ``login_secrets`` holds secrets by the host's name, ``taken_keys`` what this run came to know.
    ``retries`` says how often to connect again where that may help. ``save_key`` saves host keys
    that are taken on trust, ``None`` to do it here.
    """

    timeout: float
    ssh_config: Path | None
    known_hosts: Sequence[Path]
    accept_new: bool
    agent_socket: str | None
    home: Path
    login_name: str
    known_hosts_named: bool = True
    system_ssh_config: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    login_secrets: Mapping[str, LoginSecrets] = field(default_factory=dict, repr=False)
    taken_keys: TakenKeys = field(default_factory=TakenKeys, repr=False, compare=False)
    retries: Retries = field(default_factory=Retries, repr=False)
    save_key: SaveKey | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AcceptedKey:
    """A host key accepted on trust: ``name`` as known_hosts writes it, and its fingerprint."""

    name: str
    key_type: str
    fingerprint: str


class NoHomeError(Exception):
    """Neither the environment nor passwd(5) names the home directory; the text says so."""


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return ``HOME`` of ``environ``, else the home in this process's passwd entry.

    Raises :class:`NoHomeError` where there is neither, as for a container's arbitrary uid.
    """
    named = environ.get("HOME")
    if named:
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise NoHomeError(
            f"HOME is not set, and uid {os.getuid()} has no entry in passwd"
        ) from None
