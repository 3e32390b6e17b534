"""How a connection leaves this machine: from which address, to which family, within which time."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.tcp import Way, dial
from tests.fleet.clients import options
from tests.fleet.openssh import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def listening(backlog: int = 5) -> Iterator[socket.socket]:
    """Yield a listening socket on loopback whose connections are never accepted."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server


def came_from(home: Path, way: Way) -> str:
    """Connect by ``way``; return the address that the server sees."""
    with listening() as server:
        port = server.getsockname()[1]
        with dial("localhost", port, options(home), Deadline.after(20.0), way):
            connection, address = server.accept()
            connection.close()
            return str(address[0])


@pytest.mark.parametrize(
    ("way", "address"),
    [
        (Way(), "127.0.0.1"),
        (Way(bind_address="127.0.0.2"), "127.0.0.2"),
        (Way(bind_interface="lo"), "127.0.0.1"),
        (Way(bind_address="127.0.0.3", bind_interface="lo"), "127.0.0.3"),
        (Way("inet", "localhost"), "127.0.0.1"),
    ],
)
def test_a_connection_comes_from_where_it_was_wanted(way: Way, address: str, home: Path) -> None:
    assert came_from(home, way) == address


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (Way("inet6"), ""),
        (Way(bind_address="198.51.100.1"), "(BindAddress 198.51.100.1)"),
        (Way(bind_address="no-such-name.invalid"), "(BindAddress no-such-name.invalid)"),
        (Way(bind_interface="no-such-card"), "(BindInterface no-such-card)"),
    ],
)
def test_what_can_not_be_done_is_no_connection(way: Way, told: str, home: Path) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        with pytest.raises(Unreachable) as caught:
            dial("127.0.0.1", port, options(home), Deadline.after(20.0), way)
    assert caught.value.step == "connect"
    assert caught.value.reason.endswith(told)
    assert "BindAddress" in caught.value.hint or not told


def test_a_host_without_the_wanted_family_does_not_hide_why_the_other_failed(home: Path) -> None:
    with pytest.raises(Unreachable, match="nothing listens there"):
        dial("localhost", free_port(), options(home), Deadline.after(20.0), Way("any", "127.0.0.1"))


def test_connect_timeout_is_shorter_than_the_time_of_other_steps(home: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(listening(backlog=0))
        for _ in range(3):  # its queue is full then, and further packets are dropped
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="no answer in time"):
            dial(
                "127.0.0.1",
                server.getsockname()[1],
                options(home, timeout=30.0),
                Deadline.after(60.0),
                connect_timeout=0.2,
            )
        assert time.monotonic() - begun < 10
