"""Connecting again where that may help: after how long, how often, and until when.

It may help against what passes by itself (:class:`~aegis_provision.errors.Passing`): a server that
restarts, one that takes no more connections for the moment, a lost packet. A login, a host key, a
name that are refused stay so, and are never tried again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.transport.deadline import deadline_expired
from aegis_provision.transport.errors import CONNECT, HANDSHAKE, NO_TIME, THROUGH
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis_provision.transport.deadline import Deadline

T = TypeVar("T")

_LONGEST_WAIT = 5.0
_ROUND = (5, 10, 20, 30, 60, 120, 300, 600)
_MOST_DOUBLINGS = 10
_STEPS = frozenset({CONNECT, HANDSHAKE, THROUGH})


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often to try again at most, ``None`` for no bound, and how long to wait at first."""

    most: int | None
    first_wait: float

    def wait(self, number: int, jitter: float) -> float:
        """Return the seconds to wait before trying again for the time ``number``, from 0 on.

        Waits double up to a bound. ``jitter``, from 0 to 1, makes each shorter or longer by up to
        a half: those who were turned away together must not come back together.
        """
        wait = self.first_wait * 2.0 ** min(number, _MOST_DOUBLINGS)
        return min(_LONGEST_WAIT, wait) * (0.5 + jitter)


BACKOFFS: Mapping[Passing, Backoff] = {
    # A server that restarts is back in a moment. One that is down must not hold up the others.
    Passing.SOON: Backoff(2, 0.3),
    Passing.SLOWLY: Backoff(1, 0.1),
    # Old servers say nothing over MaxStartups, and turn away three in ten; so does a port that is
    # forwarded to nowhere, always.
    Passing.UNSAID: Backoff(5, 0.25),
    # MaxStartups and PerSourcePenalties of sshd_config(5): it takes us, if we ask seldom enough.
    Passing.WHEN_LEFT_ALONE: Backoff(None, 0.25),
    # Other hosts end, and leave us what they took.
    Passing.WITH_ROOM_HERE: Backoff(None, 0.25),
}
_NEVER = Backoff(0, 0.0)
_WITH_PATIENCE = {Passing.UNSAID: Passing.WHEN_LEFT_ALONE}


def _jitter() -> float:
    return os.urandom(1)[0] / 255


@dataclass(frozen=True, slots=True)
class Retry:
    """A connection is tried again: ``attempt`` (2 for the first time) begins after ``wait`` s.

    ``reason`` says how the attempt before it failed.
    """

    attempt: int
    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to connect again, and how to wait; ``jitter`` gives a number from 0 to 1.

    ``clock`` tells the time in seconds; ``sleep`` lets as many pass.
    """

    backoffs: Mapping[Passing, Backoff] = field(default_factory=lambda: BACKOFFS)
    jitter: Callable[[], float] = _jitter
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


OnRetry: TypeAlias = "Callable[[Retry], object]"


def ignore_retry(_: Retry) -> None:
    """Take what is tried again, and do nothing with it."""


def retrying(
    attempt: Callable[[], T],
    deadline: Deadline,
    on_retry: OnRetry = ignore_retry,
    *,
    retries: Retries,
    patient: bool = False,
) -> T:
    """Return what ``attempt`` does, made again after a failure that may pass.

    ``patient`` is for an attempt that many wait for. Raises the :class:`Unreachable` of the last
    attempt, which says how many there were. Nothing is tried again that would begin after
    ``deadline``.
    """
    since = retries.clock()
    failures: Counter[Passing] = Counter()
    while True:
        try:
            return attempt()
        except Unreachable as problem:
            wait = _wait(problem, failures, retries, patient=patient)
            if wait is None or wait >= deadline.remaining():
                expired = deadline.expired() and not patient
                seconds = retries.clock() - since
                raise _after(problem, failures.total(), seconds, expired=expired) from None
            on_retry(Retry(failures.total() + 1, str(problem), wait))
        retries.sleep(wait)


def _wait(
    problem: Unreachable, failures: Counter[Passing], retries: Retries, *, patient: bool
) -> float | None:
    """Return how long to wait before trying again, ``None`` if that is no use (any more)."""
    passing = problem.passing
    if passing is None:
        return None
    if problem.step not in _STEPS and passing is not Passing.WITH_ROOM_HERE:
        return None
    if patient:
        passing = _WITH_PATIENCE.get(passing, passing)
    backoff = retries.backoffs.get(passing, _NEVER)
    number = failures[passing]
    failures[passing] += 1
    if backoff.most is not None and number >= backoff.most:
        return None
    return backoff.wait(number, retries.jitter())


def _rounded_up(seconds: float) -> int:
    """Return a round number of seconds: alike failures of many hosts are to read alike."""
    return next((most for most in _ROUND if seconds <= most), int(seconds) + 1)


def _after(problem: Unreachable, attempts: int, seconds: float, *, expired: bool) -> Unreachable:
    """Return ``problem`` with how often and for how long it was tried to connect.

    ``expired`` says that the one host's deadline passed that it was tried for.
    """
    if problem.step not in _STEPS:
        return problem
    reason, hint = problem.reason, problem.hint
    if reason == NO_TIME[0] and expired:
        late = deadline_expired(problem.step)
        reason, hint = late.reason, late.hint
    if problem.passing is not None and attempts > 1:
        reason = f"{reason} ({attempts} attempts within {_rounded_up(seconds)} s)"
    return Unreachable(problem.step, reason, hint, stage=problem.stage, passing=problem.passing)
