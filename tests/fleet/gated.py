"""A host that can be held still in the middle of its work, so that a test can act meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import IO, TYPE_CHECKING, Self, cast

import asyncssh

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "127.0.0.1"
_PATIENCE = 60.0


class Gate:
    """Threads that come ``through`` wait until it is ``opened``; ``reached``: one waits."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    async def through(self) -> None:
        """Wait, as a host."""
        self._reached.set()
        await asyncio.get_running_loop().run_in_executor(None, self._opened.wait, _PATIENCE)

    def wait_until_reached(self) -> None:
        """Wait, as a test, until a host waits."""
        assert self._reached.wait(_PATIENCE), "no host ever came here"

    def open(self) -> None:
        """Let all through that wait, and all that come."""
        self._opened.set()


class GatedHost:
    """An SSH server on loopback whose files lie under ``root``; a context manager.

    Reading a file goes through ``reading``, the final rename of a write through ``renaming``.
    """

    def __init__(self, root: Path, reading: Gate, renaming: Gate) -> None:
        self.port = 0
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._root = root
        self._gates = (reading, renaming)
        self._opened: list[IO[bytes]] = []
        self._ready: Future[int] = Future()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._ready.result(_PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        for gate in self._gates:
            gate.open()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE)
        # A client that is killed leaves files open, and the loop may end before they are closed.
        for file in self._opened:
            file.close()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        acceptor = await asyncssh.listen(
            ADDRESS,
            0,
            config=None,
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(
                self.client_key.export_public_key().decode()
            ),
            sftp_factory=lambda channel: _Files(channel, self._root, *self._gates, self._opened),
        )
        self._ready.set_result(acceptor.get_port())
        await self._stop.wait()
        acceptor.close()
        await acceptor.wait_closed()


class _Files(asyncssh.SFTPServer):
    def __init__(
        self,
        channel: asyncssh.SSHServerChannel[bytes],
        root: Path,
        reading: Gate,
        renaming: Gate,
        opened: list[IO[bytes]],
    ) -> None:
        super().__init__(channel, chroot=os.fsencode(root))
        self._reading = reading
        self._renaming = renaming
        self._opened = opened

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if path.endswith(b"aegis.config.json"):
            await self._reading.through()
        file = cast("IO[bytes]", super().open(path, pflags, attrs))
        self._opened.append(file)
        return file

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        if newpath.endswith(b"aegis.config.json"):
            await self._renaming.through()
        super().posix_rename(oldpath, newpath)
