"""SSH servers that stop half-way: asyncssh does what OpenSSH can't be told to do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd

ADDRESS = "127.0.0.1"
_PATIENCE = 60.0


class Login(asyncssh.SSHServer):
    """A server that lets everyone in. Its subclasses are what may go wrong."""

    def __init__(self) -> None:
        self.connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def begin_auth(self, username: str) -> bool | Awaitable[bool]:
        return False

    def session_requested(self) -> Any:
        return asyncssh.SSHServerSession()


class StallsAtLogin(Login):
    """Never answers to a key."""

    def begin_auth(self, username: str) -> Awaitable[bool]:
        return never()


class HangsUpAtLogin(Login):
    """Closes the connection when a key is offered."""

    def begin_auth(self, username: str) -> bool:
        assert self.connection is not None
        self.connection.abort()
        return True


class StallsAtSession(Login):
    """Never says whether a session may be opened."""

    def session_requested(self) -> Any:
        return never()


class RefusesSessions(Login):
    """Lets everyone in and no one work."""

    def session_requested(self) -> Any:
        return False


class HangsUpAtSession(Login):
    """Lets everyone in, and closes the connection when a session is asked for."""

    def session_requested(self) -> Any:
        assert self.connection is not None
        self.connection.abort()
        return False


class StallsAtRequest(Login):
    """Opens a session and never says whether the subsystem or the command may run."""

    def session_requested(self) -> Any:
        return _Mute()


class HangsUpAtRequest(Login):
    """Closes the connection when a subsystem or command is asked for."""

    def session_requested(self) -> Any:
        return _Dropping(self)


class StallsInSftp(Login):
    """Starts SFTP, and never says a word in it."""

    def session_requested(self) -> Any:
        return _Started()


class HangsUpInSftp(Login):
    """Starts SFTP, and closes the connection at the first packet."""

    def session_requested(self) -> Any:
        return _Started(self)


class TalksWithoutEnd(Login):
    """Starts SFTP, and prints text for ever where SFTP should be."""

    def session_requested(self) -> Any:
        return _Started(noise=b"have a nice day\r\n" * 64, repeat=70)


class PrintsAndEnds(Login):
    """Prints a line where SFTP should be and ends, as a login shell of ``nologin`` does."""

    def session_requested(self) -> Any:
        return _Started(noise=b"This account is currently not available.\n", ends=True)


class _Mute(asyncssh.SSHServerSession[bytes]):
    def subsystem_requested(self, subsystem: str) -> bool:
        return None  # type: ignore[return-value] # neither yes nor no: asyncssh sends nothing

    def exec_requested(self, command: str) -> bool:
        return None  # type: ignore[return-value]


class _Dropping(asyncssh.SSHServerSession[bytes]):
    def __init__(self, login: Login) -> None:
        self._login = login

    def subsystem_requested(self, subsystem: str) -> bool:
        assert self._login.connection is not None
        self._login.connection.abort()
        return False

    def exec_requested(self, command: str) -> bool:
        return self.subsystem_requested(command)


class _Started(asyncssh.SSHServerSession[bytes]):
    def __init__(
        self,
        hangs_up: Login | None = None,
        noise: bytes = b"",
        repeat: int = 1,
        *,
        ends: bool = False,
    ) -> None:
        self._hangs_up = hangs_up
        self._noise = noise
        self._repeat = repeat
        self._ends = ends
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        chan.set_encoding(None)
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        return True

    def session_started(self) -> None:
        assert self._channel is not None
        for _ in range(self._repeat if self._noise else 0):
            self._channel.write(self._noise)
        if self._ends:
            self._channel.exit(1)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._hangs_up is not None and self._hangs_up.connection is not None:
            self._hangs_up.connection.abort()


@contextmanager
def serving(factory: type[Login], keys: Sshd, directory: Path, **options: Any) -> Iterator[int]:
    """Run a server with the host key of ``keys`` until the block ends; give out its port.

    ``directory`` gets a known_hosts file that knows it. ``options`` go to asyncssh.
    """
    key = asyncssh.read_private_key(keys.host_key.with_suffix(""))
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
    connections: list[Login] = []

    def login() -> Login:
        connections.append(factory())
        return connections[-1]

    async def serve() -> None:
        over = asyncio.Event()
        acceptor = await asyncssh.listen(
            ADDRESS, 0, config=None, server_factory=login, server_host_keys=[key], **options
        )
        ready.set_result((asyncio.get_running_loop(), over, acceptor.get_port()))
        await over.wait()
        acceptor.close()
        for server in connections:
            if server.connection is not None:
                server.connection.abort()
                await server.connection.wait_closed()
        await acceptor.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, over, port = ready.result(_PATIENCE)
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[{ADDRESS}]:{port} {keys.host_key.read_text()}")
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_PATIENCE)


async def never() -> NoReturn:
    """Wait until the test is over."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError
