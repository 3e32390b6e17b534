"""A route for a worker on another machine: which of its files are the operator's, which not.

``known_hosts`` and revoked keys are the operator's: their contents are sent for. Private keys,
certificates and the agent are the worker's own. A path in the operator's home directory stands for
the same path in the worker's.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.workers.remote_host_worker import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

OWN_AGENT = "SSH_AUTH_SOCK"
"""What stands in a route for the agent that the worker's environment names."""

_HOME = "~/"
_PARENT = "__"
_LOCAL = Unreachable(
    "connect",
    "'connection: local' is the machine that the tool runs on, and a Dask worker is another",
    "leave the host out with --limit, or work on it without --executor dask",
)


def portable(route: Route, home: Path) -> Route:
    """Return ``route`` of the operator, whose home is ``home``, as it is sent to a worker."""
    if route.problem is not None:
        return route
    if route.hops is None:
        return Route(problem=_LOCAL)
    return Route(tuple(_sent(hop, home) for hop in route.hops))


def _sent(hop: Hop, home: Path) -> Hop:
    def own(path: str) -> str:
        name = Path(path)
        return f"{_HOME}{name.relative_to(home)}" if name.is_relative_to(home) else path

    return replace(
        hop,
        identity_files=tuple(map(own, hop.identity_files)),
        certificate_files=tuple(map(own, hop.certificate_files)),
        identity_agent=None if hop.identity_agent is None else own(hop.identity_agent),
        known_hosts=tuple(path.absolute() for path in hop.known_hosts),
        revoked_keys=tuple(str(Path(path).absolute()) for path in hop.revoked_keys),
        new_keys_file=None if hop.new_keys_file is None else hop.new_keys_file.absolute(),
    )


class OperatorsFiles:
    """The operator's files on a worker: copies in ``directory``, fetched when first asked for.

    ``fetch`` returns a file's content, ``None`` for one that can't be read. Safe to use from
    several threads.
    """

    def __init__(self, directory: Path, fetch: Callable[[str], bytes | None]) -> None:
        self._directory = directory
        self._fetch = fetch
        self._here: dict[Path, Path] = {}
        self._originals: dict[Path, Path] = {}
        self._lock = threading.Lock()

    def copy_of(self, path: Path) -> Path:
        """Return where the operator's file ``path`` is here."""
        with self._lock:
            if path not in self._here:
                # No ".." may lead out of the directory.
                names = (_PARENT if name == ".." else name for name in path.parts[1:])
                place = self._directory.joinpath(*names)
                content = self._fetch(str(path))
                if content is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
                self._here[path], self._originals[place] = place, path
            return self._here[path]

    def original_of(self, place: Path) -> Path:
        """Return the operator's path of the copy at ``place``."""
        with self._lock:
            return self._originals[place]

    def told(self, text: str) -> str:
        """Return ``text`` with the operator's own paths in it."""
        return text.replace(str(self._directory), "")


def route_here(route: Route, home: Path, agent: str | None, files: OperatorsFiles) -> Route:
    """Return a route that was sent, for this worker: its ``home``, its ``agent``'s socket."""
    if route.hops is None:
        return route

    def own(path: str) -> str:
        return str(home / path.removeprefix(_HOME)) if path.startswith(_HOME) else path

    def agent_here(socket: str | None) -> str | None:
        if socket is None:
            return None
        return agent if socket == OWN_AGENT else own(socket)

    def hop_here(hop: Hop) -> Hop:
        return replace(
            hop,
            identity_files=tuple(map(own, hop.identity_files)),
            certificate_files=tuple(map(own, hop.certificate_files)),
            identity_agent=agent_here(hop.identity_agent),
            known_hosts=tuple(map(files.copy_of, hop.known_hosts)),
            revoked_keys=tuple(str(files.copy_of(Path(path))) for path in hop.revoked_keys),
            new_keys_file=None if hop.new_keys_file is None else files.copy_of(hop.new_keys_file),
        )

    return Route(tuple(map(hop_here, route.hops)))
