"""Connections that many share: opened once, failed once, closed with their last user."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.shared_connections import FEW_LOGINS, SharedConnections

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.shared_connections import Lease

_ENOUGH = 20.0


@dataclass
class Line:
    """A connection of this test's."""

    active: bool = True
    closed: int = 0

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.active = False
        self.closed += 1


@dataclass
class Opener:
    """Opens lines, or fails, once ``gate`` is open."""

    problem: Exception | None = None
    lines: list[Line] = field(default_factory=list)
    tries: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> Line:
        self.tries += 1
        self.begun.set()
        assert self.gate.wait(_ENOUGH)
        if self.problem is not None:
            raise self.problem
        self.lines.append(Line())
        return self.lines[-1]


@pytest.fixture
def opener() -> Opener:
    opener = Opener()
    opener.gate.set()
    return opener


def soon() -> Deadline:
    return Deadline.after(_ENOUGH)


def lease(shared: SharedConnections[Line], opener: Callable[[], Line]) -> Lease[Line]:
    return shared.lease("key", "bastion b", opener, soon())


def outcome(shared: SharedConnections[Line], opener: Opener) -> Lease[Line] | Unreachable:
    try:
        return lease(shared, opener)
    except Unreachable as problem:
        return problem


def all_at_once(
    shared: SharedConnections[Line], opener: Opener, count: int
) -> list[Lease[Line] | Unreachable]:
    """Ask ``count`` times while the first one is still opening it."""
    opener.gate.clear()
    with ThreadPoolExecutor(count) as executor:
        futures = [executor.submit(outcome, shared, opener) for _ in range(count)]
        assert opener.begun.wait(_ENOUGH)
        opener.gate.set()
        return [future.result() for future in futures]


def test_many_who_come_at_once_get_one(opener: Opener) -> None:
    with SharedConnections[Line]() as shared:
        found = all_at_once(shared, opener, 40)
        leases = [item for item in found if not isinstance(item, Unreachable)]
        assert len(leases) == 40
        assert opener.tries == 1
        assert sum(item.is_first for item in leases) == 1
        assert {id(item.connection) for item in leases} == {id(opener.lines[0])}
        for item in leases:
            item.give_back()
        assert opener.lines[0].active  # the block has not ended
        assert lease(shared, opener).connection is opener.lines[0]
    assert opener.lines[0].closed == 0  # the last one has not given it back


def test_a_failure_is_told_to_all_and_tried_once(opener: Opener) -> None:
    opener.problem = Unreachable("bastion b: connect", "no", passing=Passing.SOON)
    with SharedConnections[Line]() as shared:
        assert {str(item) for item in all_at_once(shared, opener, 40)} == {"bastion b: connect: no"}
        for _ in range(460):
            assert str(outcome(shared, opener)) == "bastion b: connect: no"
    assert opener.tries == 1


def test_a_failure_is_forgotten_when_the_block_ends(opener: Opener) -> None:
    shared = SharedConnections[Line]()
    with shared:
        opener.problem = Unreachable("bastion b: login", "no")
        assert isinstance(outcome(shared, opener), Unreachable)
    opener.problem = None
    with shared:
        assert lease(shared, opener).is_first


def test_what_may_pass_is_tried_again_after_a_while_and_what_stays_is_not() -> None:
    now = 0.0
    opener = Opener()
    opener.gate.set()
    with SharedConnections[Line](lambda: now) as shared:
        opener.problem = Unreachable("bastion b: connect", "no", passing=Passing.SOON)
        assert isinstance(outcome(shared, opener), Unreachable)
        now = 10.0
        assert isinstance(outcome(shared, opener), Unreachable)
        assert opener.tries == 1
        now = 20.0
        opener.problem = Unreachable("bastion b: login", "no")
        assert "login" in str(outcome(shared, opener))
        now = 10_000.0
        assert "login" in str(outcome(shared, opener))
    assert opener.tries == 2


def test_a_bug_is_for_the_one_who_meets_it(opener: Opener) -> None:
    opener.problem = ZeroDivisionError()
    with SharedConnections[Line]() as shared:
        with pytest.raises(ZeroDivisionError):
            lease(shared, opener)
        opener.problem = None
        lease(shared, opener).give_back()


def test_it_is_closed_when_the_last_user_and_the_outermost_block_are_done(opener: Opener) -> None:
    shared = SharedConnections[Line]()
    with shared:
        with shared:
            first, second = lease(shared, opener), lease(shared, opener)
            first.give_back()
            first.give_back()  # a second time does no harm
        assert opener.lines[0].active
    [line] = opener.lines
    assert line.active
    second.give_back()
    assert line.closed == 1
    assert lease(shared, opener).connection is not line


def test_unused_ones_are_closed_with_the_block(opener: Opener) -> None:
    with SharedConnections[Line]() as shared:
        lease(shared, opener).give_back()
        assert opener.lines[0].active
    assert opener.lines[0].closed == 1


def test_outside_of_a_block_it_is_closed_by_its_last_user(opener: Opener) -> None:
    shared = SharedConnections[Line]()
    lease(shared, opener).give_back()
    assert opener.lines[0].closed == 1


@pytest.mark.parametrize("in_use", [True, False])
def test_one_that_died_is_replaced_and_closed_once(opener: Opener, *, in_use: bool) -> None:
    with SharedConnections[Line]() as shared:
        old = lease(shared, opener)
        if not in_use:
            other = lease(shared, opener)
            old.give_back()
            old = other
        opener.lines[0].active = False
        new = lease(shared, opener)
        assert new.is_first
        assert new.connection is opener.lines[1]
        old.give_back()
        assert opener.lines[0].closed == 1
        assert opener.lines[1].active


def test_one_that_died_unused_is_closed_before_the_next_is_opened(opener: Opener) -> None:
    with SharedConnections[Line]() as shared:
        lease(shared, opener).give_back()
        opener.lines[0].active = False
        lease(shared, opener).give_back()
        assert [line.closed for line in opener.lines] == [1, 0]


def test_who_has_no_time_left_does_not_wait(opener: Opener) -> None:
    opener.gate.clear()
    with SharedConnections[Line]() as shared, ThreadPoolExecutor(1) as executor:
        first = executor.submit(lease, shared, opener)
        assert opener.begun.wait(_ENOUGH)
        with pytest.raises(Unreachable) as caught:
            shared.lease("key", "bastion b", opener, Deadline.after(0.05))
        assert str(caught.value) == "bastion b: the host's deadline passed"
        opener.gate.set()
        assert first.result().is_first
    assert opener.tries == 1


def is_free(shared: SharedConnections[Line], address: str) -> bool:
    try:
        with shared.turn(address, Deadline.after(0.05)):
            return True
    except Unreachable:
        return False


def taken(shared: SharedConnections[Line], count: int) -> ExitStack:
    """Take ``count`` turns at one address, which must be there."""
    stack = ExitStack()
    for _ in range(count):
        stack.enter_context(shared.turn("here", soon()))
    return stack


def test_few_log_in_at_an_address_at_once_and_others_elsewhere() -> None:
    shared = SharedConnections[Line]()
    with taken(shared, FEW_LOGINS):
        assert not is_free(shared, "here")
        assert is_free(shared, "there")
        with (
            pytest.raises(Unreachable, match=r"^connect: the host's deadline passed$"),
            shared.turn("here", Deadline.after(0.01)),
        ):
            pass


def test_each_that_got_in_makes_room_for_one_more() -> None:
    shared = SharedConnections[Line]()
    taken(shared, 3).close()
    with taken(shared, FEW_LOGINS + 3):
        assert not is_free(shared, "here")


@pytest.mark.parametrize("passing", [Passing.UNSAID, Passing.WHEN_LEFT_ALONE])
def test_once_one_is_turned_away_few_log_in_at_once_for_good(passing: Passing) -> None:
    shared = SharedConnections[Line]()
    taken(shared, FEW_LOGINS).close()
    with pytest.raises(Unreachable), shared.turn("here", soon()):
        raise Unreachable("handshake", "busy", passing=passing)
    taken(shared, 3).close()
    with taken(shared, FEW_LOGINS):
        assert not is_free(shared, "here")


def test_another_failure_turns_nobody_away() -> None:
    shared = SharedConnections[Line]()
    with pytest.raises(Unreachable), shared.turn("here", soon()):
        raise Unreachable("login", "no")
    with taken(shared, FEW_LOGINS + 1):
        pass


def test_who_waits_comes_in_when_one_leaves() -> None:
    shared = SharedConnections[Line]()
    with ThreadPoolExecutor(1) as executor, taken(shared, FEW_LOGINS) as held:
        waiting = executor.submit(lambda: taken(shared, 1).close())
        assert not waiting.done()
        held.close()
        waiting.result(_ENOUGH)
