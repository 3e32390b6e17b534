"""What the hosts of a run share on their way: connections to bastions, and turns to log in.

A bastion is connected to once, by the first host that needs it; the others wait for it. If that
fails they are told why, all of them alike, and none of them tries for itself. It knows nothing of
SSH: what is shared is opened by a function, and has an end.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.transport.deadline import deadline_expired
from aegis_provision.transport.errors import CONNECT
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from aegis_provision.transport.deadline import Deadline

FEW_LOGINS = 6
"""How many log in at once at an address of which nothing is known, or that turned one away.

sshd turns some away from its tenth on (MaxStartups), and sees a login a moment late.
"""

_TURNED_AWAY = frozenset({Passing.WHEN_LEFT_ALONE, Passing.UNSAID})
_TOLD_FOR = 15.0


class Shareable(Protocol):
    """A connection that several hosts may use."""

    def is_active(self) -> bool:
        """Tell whether it still works."""
        ...

    def close(self) -> None:
        """Close it; never raises."""
        ...


C = TypeVar("C", bound=Shareable)


@dataclass(slots=True)
class _Shared(Generic[C]):
    """One connection: being opened, open, or why it is not."""

    connection: C | None = None
    problem: Unreachable | None = None
    told_until: float = 0.0
    users: int = 0

    def is_over(self, now: float) -> bool:
        """Tell whether a new connection is to be opened in this one's place.

        A failure that may pass is told to all who come soon; one that stays is told for good.
        """
        if self.connection is not None:
            return not self.connection.is_active()
        if self.problem is None or self.problem.passing is None:
            return False
        return now > self.told_until


@dataclass(slots=True)
class _Turns:
    """How many log in at one address, how many may, and whether more may from now on."""

    most: int
    taken: int = 0
    grows: bool = True
    free: threading.Condition = field(default_factory=threading.Condition)


@dataclass(slots=True)
class Lease(Generic[C]):
    """The use of a shared connection, until it is given back.

    ``is_first`` is true for the one who opened it.
    """

    connection: C
    is_first: bool
    _give_back: Callable[[], None]
    _given_back: bool = False

    def give_back(self) -> None:
        """Give it back; the last user's closes it."""
        if not self._given_back:
            self._given_back = True
            self._give_back()


class SharedConnections(Generic[C]):
    """The connections of a run that several hosts use; safe to use from several threads.

    A context manager, which may be entered again within: connections without a user
    stay open until the outermost block ends. Outside of one they are closed at once.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, few_logins: int = FEW_LOGINS
    ) -> None:
        """Begin with ``few_logins`` at one address at once: a process's share of those of a run."""
        self._clock = clock
        self._few_logins = few_logins
        self._changed = threading.Condition()
        self._shared: dict[Hashable, _Shared[C]] = {}
        self._holders = 0
        self._turns: dict[Hashable, _Turns] = {}

    def __enter__(self) -> Self:
        with self._changed:
            self._holders += 1
        return self

    def __exit__(self, *_: object) -> None:
        unused: list[C] = []
        with self._changed:
            self._holders -= 1
            if self._holders == 0:
                for key, shared in tuple(self._shared.items()):
                    if shared.users == 0 and shared.problem is not None:
                        del self._shared[key]
                    elif shared.users == 0 and shared.connection is not None:
                        del self._shared[key]
                        unused.append(shared.connection)
        for connection in unused:
            connection.close()

    @contextmanager
    def turn(self, address: Hashable, deadline: Deadline) -> Iterator[None]:
        """Wait until few enough are logging in at ``address``, and be one of them.

        Each that gets in makes room for one more, until one is turned away. Raises
        :class:`Unreachable` if ``deadline`` passes first.
        """
        with self._changed:
            turns = self._turns.setdefault(address, _Turns(self._few_logins))
        with turns.free:
            while turns.taken >= turns.most:
                if not turns.free.wait(deadline.remaining()):
                    raise deadline_expired(CONNECT)
            turns.taken += 1
        turned_away = False
        try:
            yield
        except Unreachable as problem:
            turned_away = problem.passing in _TURNED_AWAY
            raise
        finally:
            with turns.free:
                turns.taken -= 1
                turns.grows = turns.grows and not turned_away
                turns.most = turns.most + 1 if turns.grows else self._few_logins
                turns.free.notify(2)

    def lease(
        self, key: Hashable, name: str, open_it: Callable[[], C], deadline: Deadline
    ) -> Lease[C]:
        """Return the use of the connection with ``key``; ``open_it`` opens it if need be.

        Raises :class:`Unreachable`: what ``open_it`` raised, for whomever it was called; or that
        ``deadline`` passed meanwhile, at the step ``name``.
        """
        with self._changed:
            while True:
                before = self._shared.get(key)
                if before is None or before.is_over(self._clock()):
                    shared = self._shared[key] = _Shared(users=1)
                    break
                shared = before
                if shared.problem is not None:
                    raise shared.problem.with_traceback(None)
                if shared.connection is not None:
                    shared.users += 1
                    return self._leased(key, shared, shared.connection, is_first=False)
                if not self._changed.wait(deadline.remaining()):
                    raise deadline_expired(name)
        if before is not None and before.connection is not None and before.users == 0:
            before.connection.close()
        return self._open(key, shared, open_it)

    def _open(self, key: Hashable, shared: _Shared[C], open_it: Callable[[], C]) -> Lease[C]:
        try:
            connection = open_it()
        except BaseException as problem:
            with self._changed:
                shared.users -= 1
                shared.told_until = self._clock() + _TOLD_FOR
                shared.problem = problem if isinstance(problem, Unreachable) else None
                # A bug is for the one who meets it; the next one tries again.
                if (shared.problem is None or self._holders == 0) and self._shared.get(
                    key
                ) is shared:
                    del self._shared[key]
                self._changed.notify_all()
            raise
        with self._changed:
            shared.connection = connection
            self._changed.notify_all()
        return self._leased(key, shared, connection, is_first=True)

    def _leased(
        self, key: Hashable, shared: _Shared[C], connection: C, *, is_first: bool
    ) -> Lease[C]:
        def give_back() -> None:
            with self._changed:
                shared.users -= 1
                replaced = self._shared.get(key) is not shared
                over = shared.users == 0 and (
                    replaced or self._holders == 0 or not connection.is_active()
                )
                if over and not replaced:
                    del self._shared[key]
            if over:
                connection.close()

        return Lease(connection, is_first, give_back)
