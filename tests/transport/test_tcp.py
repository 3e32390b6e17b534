"""BufferedSocket: what one call received is handed out in pieces, and timeouts hold."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.transport.tcp import BufferedSocket

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _wire(seconds: float | None = 20.0) -> Iterator[tuple[BufferedSocket, socket.socket]]:
    """Yield a wire and its far end; it was made with ``seconds`` for each step."""
    ours, theirs = socket.socketpair()
    ours.settimeout(seconds)
    with BufferedSocket(ours) as wire, theirs:
        yield wire, theirs


@given(
    sent=st.lists(st.binary(min_size=1, max_size=200), max_size=6),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=8),
)
def test_what_was_sent_arrives_in_whichever_pieces_it_is_asked_for(
    sent: list[bytes], sizes: list[int]
) -> None:
    with _wire() as (wire, far):
        for data in sent:
            far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        pieces: list[bytes] = []
        while piece := wire.recv(sizes[len(pieces) % len(sizes)]):
            assert len(piece) <= sizes[len(pieces) % len(sizes)]
            pieces.append(piece)
        assert b"".join(pieces) == b"".join(sent)
        assert wire.recv(1) == b""


def test_what_has_come_is_taken_in_at_one_go() -> None:
    with _wire() as (wire, far):
        far.sendall(b"a packet's beginning and its rest")
        assert wire.recv(8) == b"a packet"
        with pytest.raises(BlockingIOError):
            socket.socket.recv(wire, 1, socket.MSG_DONTWAIT)
        assert wire.recv(100) == b"'s beginning and its rest"


def test_waiting_ends_when_the_time_is_up_and_the_wire_lives_on() -> None:
    with _wire(0.01) as (wire, far):
        assert wire.gettimeout() == 0.01
        with pytest.raises(TimeoutError):
            wire.recv(1)
        far.sendall(b"late")
        assert wire.recv(9) == b"late"
        assert wire.send(b"answer") == 6
        assert far.recv(9) == b"answer"


def test_sending_ends_when_the_time_is_up_too() -> None:
    def send_for_ever() -> None:
        for _ in range(10_000):
            wire.send(b"x" * 65536)

    with _wire(0.01) as (wire, _), pytest.raises(TimeoutError):
        send_for_ever()


def test_a_wire_without_a_time_waits_for_as_long_as_it_takes() -> None:
    with _wire(0.01) as (wire, far):
        wire.settimeout(None)
        assert wire.gettimeout() is None
        far.close()
        assert wire.recv(1) == b""


def test_the_socket_that_was_taken_over_can_not_be_used() -> None:
    ours, theirs = socket.socketpair()
    with theirs, BufferedSocket(ours) as wire:
        assert ours.fileno() == -1
        wire.close()
        assert theirs.recv(1) == b""
