"""A long way to a server on loopback: every byte takes its time, and round trips are counted.

What the server sends rests on what had reached it by then, and what the client sends on what had
come back: a connection's round trips are the longest chain of such steps. What is sent without
waiting for an answer counts no more than what it goes with.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fleet.openssh import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 60.0
_CHUNK = 64 * 1024


@dataclass(slots=True)
class Trip:
    """One connection. ``round_trips`` are those of what has come back to the client so far.

    ``reached`` are those of what has reached the server.
    """

    round_trips: int = 0
    reached: int = 0

    def reach(self, number: int) -> None:
        """Note that bytes have reached the server."""
        self.reached = max(self.reached, number)

    def come_back(self, number: int) -> None:
        """Note that bytes have come back."""
        self.round_trips = max(self.round_trips, number)


@dataclass(slots=True)
class LongWay:
    """Where the way begins, and the connections over it so far, in their order."""

    port: int = 0
    trips: list[Trip] = field(default_factory=list)

    @property
    def round_trips(self) -> list[int]:
        """Those of each connection."""
        return [trip.round_trips for trip in self.trips]


@contextmanager
def long_way(port: int, round_trip: float, *, listens_on: str = ADDRESS) -> Iterator[LongWay]:
    """Lead to ``port``, ``round_trip`` seconds there and back, until the block ends.

    It may listen on 0.0.0.0, so that many hosts have an address of their own there.
    """
    way = LongWay()
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trip = Trip()
        way.trips.append(trip)
        answers, server = await asyncio.open_connection(ADDRESS, port)
        there = _carry(reader, server, round_trip / 2, lambda: trip.round_trips, trip.reach)
        back = _carry(answers, writer, round_trip / 2, lambda: trip.reached + 1, trip.come_back)
        with closing(server), closing(writer):
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(there)
                    both.create_task(back)
            except* OSError:  # one direction is lost: so is the other
                pass

    async def serve() -> None:
        over = asyncio.Event()
        led: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            led.add(asyncio.create_task(lead(reader, writer)))

        listener = await asyncio.start_server(begin, listens_on, 0, backlog=1024)
        way.port = listener.sockets[0].getsockname()[1]
        ready.set_result((asyncio.get_running_loop(), over))
        await over.wait()
        listener.close()
        for task in led:
            task.cancel()
        await asyncio.gather(*led, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, over = ready.result(_PATIENCE)
    try:
        yield way
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_PATIENCE)


async def _carry(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    seconds: float,
    number: Callable[[], int],
    arrive: Callable[[int], None],
) -> None:
    """Carry what comes from ``source`` to ``sink``, each piece with what it rests on."""
    under_way: asyncio.Queue[tuple[float, int, bytes]] = asyncio.Queue()
    now = asyncio.get_running_loop().time

    async def deliver() -> None:
        while True:
            due, rests_on, data = await under_way.get()
            await asyncio.sleep(due - now())
            if not data:
                sink.close()
                return
            arrive(rests_on)
            sink.write(data)

    delivery = asyncio.create_task(deliver())
    try:
        while data := await source.read(_CHUNK):
            under_way.put_nowait((now() + seconds, number(), data))
        under_way.put_nowait((now() + seconds, 0, b""))
        await delivery
    finally:
        delivery.cancel()
