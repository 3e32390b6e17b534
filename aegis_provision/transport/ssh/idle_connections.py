"""Reads connections that wait to be used again, all of them in one thread.

A host may ask for a sign of life meanwhile (ClientAliveInterval of sshd_config(5)), and gets one
from us every now and then, so that nothing on the way forgets the connection.
"""

from __future__ import annotations

import os
import queue
import selectors
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.transport.ssh.paramiko_internals import Connection

_LOOK_EVERY = 2.0


class IdleConnection:
    """A connection that may rest: the one thread reads it until :meth:`wake` is called."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._exclusive = threading.Lock()
        self._resting = False
        self._quiet_since = 0.0

    def rest(self) -> None:
        """Let the one thread read it. Raises ``OSError`` and ``RuntimeError`` if it can't."""
        if not self.connection.reads_in_background:
            with self._exclusive:
                if not self.connection.is_active():
                    raise ConnectionResetError
                self._quiet_since = time.monotonic()
                _READER.add(self)
                self._resting = True

    def wake(self) -> None:
        """Take it from the one thread: the caller reads it from now on."""
        with self._exclusive:
            if self._resting:
                self._resting = False
                _READER.remove(self)

    def is_due(self) -> bool:
        """Tell whether a sign of life is due."""
        return time.monotonic() - self._quiet_since > self.connection.keepalive_interval

    def read(self, *, came: bool) -> None:
        """Read what came, or give a sign of life."""
        if not self._exclusive.acquire(blocking=False):
            return  # it is about to be used
        try:
            if not self._resting:
                return
            # A connection that ends gives its descriptor away, maybe to another one.
            _READER.remove(self)
            if came:
                self.connection.read_what_came()
            else:
                self.connection.give_sign_of_life()
                self._quiet_since = time.monotonic()
            self._resting = False
            if self.connection.is_active():
                with suppress(OSError):  # it can be used all the same
                    _READER.add(self)
                    self._resting = True
        finally:
            self._exclusive.release()


class _OnData:
    """An event that tells the reader of a connection through a bastion that something came."""

    def __init__(self, idle: IdleConnection) -> None:
        self._idle = idle

    def set(self) -> None:
        _READER.tell(self._idle)

    def clear(self) -> None:
        """Do nothing: what came was told."""


class _Reader:
    """The one thread, from the first connection that rests to the end of the process."""

    def __init__(self) -> None:
        self._exclusive = threading.Lock()
        self._resting: dict[IdleConnection, int | None] = {}
        self._selector: selectors.BaseSelector | None = None
        self._wake = -1
        self._told: queue.SimpleQueue[IdleConnection] = queue.SimpleQueue()

    def add(self, idle: IdleConnection) -> None:
        """Read ``idle`` from now on. Raises ``OSError`` and ``RuntimeError``."""
        descriptor = idle.connection.descriptor()
        with self._exclusive:
            selector = self._selector or self._begin()
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ, idle)
            self._resting[idle] = descriptor
            if len(self._resting) == 1:
                self._interrupt()  # it waits without an end
        if descriptor is None:
            idle.connection.call_on_data(_OnData(idle))

    def remove(self, idle: IdleConnection) -> None:
        """Leave ``idle`` alone from now on."""
        with self._exclusive:
            descriptor = self._resting.pop(idle, None)
            if descriptor is not None and self._selector is not None:
                self._selector.unregister(descriptor)
        if descriptor is None:
            idle.connection.call_on_data(None)

    def tell(self, idle: IdleConnection) -> None:
        """Say that something came for ``idle``, which has no descriptor."""
        self._told.put(idle)
        self._interrupt()

    def _interrupt(self) -> None:
        with suppress(BlockingIOError):  # it is about to wake already
            os.write(self._wake, b"\0")

    def _begin(self) -> selectors.BaseSelector:
        selector = selectors.DefaultSelector()
        woken, self._wake = os.pipe()
        for end in (woken, self._wake):
            os.set_blocking(end, False)
        selector.register(woken, selectors.EVENT_READ)
        threading.Thread(target=self._run, args=(selector, woken), name="idle", daemon=True).start()
        self._selector = selector
        return selector

    def _run(self, selector: selectors.BaseSelector, woken: int) -> None:
        looked = time.monotonic()
        while True:
            for key, _ in selector.select(_LOOK_EVERY if self._resting else None):
                if key.fd == woken:
                    os.read(woken, 4096)
                else:
                    key.data.read(came=True)
            while not self._told.empty():
                self._told.get().read(came=True)
            if time.monotonic() - looked >= _LOOK_EVERY:
                looked = time.monotonic()
                self._give_signs_of_life()

    def _give_signs_of_life(self) -> None:
        with self._exclusive:
            resting = tuple(self._resting)
        for idle in resting:
            if idle.is_due():
                idle.read(came=False)


_READER = _Reader()
