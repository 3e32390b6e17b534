"""SSH servers on loopback, one for each host of the demo, in one background thread."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import asyncssh

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

ADDRESS = "127.0.0.1"
_OWNER = 1000
_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServedHost:
    """A host to serve: its files lie under ``root``, which a client sees as ``/``."""

    name: str
    root: Path
    key: asyncssh.SSHKey


class Servers:
    """Serves hosts while the block runs; ``ports`` says where, by the host's name.

    ``client_key`` is the only key that gets in. On exit every listener and every connection is
    closed and the thread has ended.
    """

    def __init__(self, hosts: Sequence[ServedHost], client_key: asyncssh.SSHKey) -> None:
        self.ports: Mapping[str, int] = {}
        self._hosts = hosts
        self._authorized = client_key.export_public_key().decode("ascii")
        self._ready: Future[Mapping[str, int]] = Future()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._thread = threading.Thread(target=self._run, name="demo-hosts", daemon=True)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.ports = self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        acceptors: list[asyncssh.SSHAcceptor] = []
        ports: dict[str, int] = {}
        try:
            for host in self._hosts:
                acceptors.append(await self._listen(host))
                ports[host.name] = acceptors[-1].get_port()
            self._ready.set_result(ports)
            await self._stop.wait()
        finally:
            for acceptor in acceptors:
                acceptor.close()
            for connection in tuple(self._connections):
                connection.abort()
            for connection in tuple(self._connections):
                await connection.wait_closed()
            for acceptor in acceptors:
                await acceptor.wait_closed()

    async def _listen(self, host: ServedHost) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(ADDRESS, 0, **self.options(host))

    def options(self, host: ServedHost) -> dict[str, Any]:
        """Return asyncssh's options for ``host``: it serves files, runs nothing, forwards nothing.

        A subclass may let a host do more.
        """
        # Every option that asyncssh would otherwise take from the user's own files is given.
        return {
            "config": None,
            "server_factory": partial(Login, self._connections),
            "server_host_keys": [host.key],
            "authorized_client_keys": asyncssh.import_authorized_keys(self._authorized),
            "password_auth": False,
            "kbdint_auth": False,
            "host_based_auth": False,
            "gss_host": None,
            "agent_forwarding": False,
            "allow_scp": False,
            "sftp_factory": partial(_HostFiles, chroot=os.fsencode(host.root)),
        }


class Login(asyncssh.SSHServer):
    """Remembers the open connections, so that they can be closed."""

    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections
        self.connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note a connection that begins."""
        self.connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        """Forget a connection that has ended."""
        if self.connection is not None:
            self._connections.discard(self.connection)


class _HostFiles(asyncssh.SFTPServer):
    """The files of one host.

    The user who runs the demo owns them, root perhaps. A client is shown a service user instead, so
    that the demo looks the same for everyone; giving a file to that user then changes nothing.
    """

    def format_user(self, uid: int | None) -> str:  # noqa: ARG002 - asyncssh's signature
        """Name the owner in a long listing."""
        return "aegis"

    def format_group(self, gid: int | None) -> str:  # noqa: ARG002 - asyncssh's signature
        """Name the group in a long listing."""
        return "aegis"

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Return what ``path``, or what it links to, is."""
        return _owned(super().stat(path))

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Return what ``path`` itself is."""
        return _owned(super().lstat(path))

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        """Return what an open file is."""
        return _owned(super().fstat(file_obj))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """List a directory."""
        async for name in super().scandir(path):
            name.attrs = _owned(name.attrs)
            yield name

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set a file's mode, size and times."""
        super().setstat(path, _without_owner(attrs))

    def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set them on a link itself."""
        super().lsetstat(path, _without_owner(attrs))

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Set them on an open file."""
        super().fsetstat(file_obj, _without_owner(attrs))


def _owned(found: object) -> asyncssh.SFTPAttrs:
    if isinstance(found, os.stat_result):
        attrs = asyncssh.SFTPAttrs.from_local(found)
    else:
        attrs = cast("asyncssh.SFTPAttrs", found)
    attrs.uid = attrs.gid = _OWNER
    return attrs


def _without_owner(attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
    if attrs.uid not in {None, _OWNER} or attrs.gid not in {None, _OWNER}:
        raise asyncssh.SFTPPermissionDenied("only root can give a file away")
    attrs.uid = attrs.gid = None
    return attrs
