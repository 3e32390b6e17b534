"""Connecting again: after what, how often, how long apart, and what is told. The clock is ours."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.errors import (
    CLOSED,
    NO_ANSWER,
    NO_TIME,
    NO_WORD,
    NOTHING_LISTENS,
    PENALIZED,
    THROTTLED,
    UNKNOWN_NAME,
    map_errors,
    passing_of,
)
from aegis_provision.transport.retry import Retries, Retry, retrying


@dataclass
class Tries:
    """Attempts that fail as they are told to, on a clock that goes only during waits."""

    failures: list[Unreachable]
    jitter: float = 0.5
    now: float = 0.0
    waits: list[float] = field(default_factory=list)
    told: list[Retry] = field(default_factory=list)
    made: int = 0

    def attempt(self) -> int:
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.made

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def run(self, *, seconds: float = 120.0, patient: bool = False) -> int:
        retries = Retries(jitter=lambda: self.jitter, clock=lambda: self.now, sleep=self.sleep)
        deadline = Deadline.after(seconds)
        return retrying(self.attempt, deadline, self.told.append, retries=retries, patient=patient)

    def refusal(self, *, seconds: float = 120.0, patient: bool = False) -> Unreachable:
        with pytest.raises(Unreachable) as caught:
            self.run(seconds=seconds, patient=patient)
        return caught.value


def failing(step: str, told: tuple[str, str]) -> Unreachable:
    return Unreachable(step, *told, passing=passing_of(step, *told))


REFUSED = failing("connect", NOTHING_LISTENS)


def test_what_passes_is_no_failure_and_is_told() -> None:
    tries = Tries([REFUSED, REFUSED])
    assert tries.run() == 3
    assert tries.told == [
        Retry(2, "connect: nothing listens there", 0.3),
        Retry(3, "connect: nothing listens there", 0.6),
    ]
    assert tries.waits == [retry.wait for retry in tries.told]


def test_a_host_that_is_down_is_given_up_soon_and_the_error_says_after_what() -> None:
    tries = Tries([REFUSED] * 9)
    problem = tries.refusal()
    assert str(problem) == "connect: nothing listens there (3 attempts within 5 s)"
    assert problem.hint == NOTHING_LISTENS[1]
    assert problem.passing is Passing.SOON
    assert tries.made == 3


@pytest.mark.parametrize(
    ("step", "told", "made"),
    [
        ("connect", NO_ANSWER, 2),
        ("connect", NO_TIME, 2),
        ("connect", CLOSED, 3),
        ("connect", UNKNOWN_NAME, 1),
        ("handshake", CLOSED, 3),
        ("handshake", NO_TIME, 2),
        ("handshake", NO_WORD, 6),
        ("handshake", ("the host offers no modern cipher", ""), 1),
        ("bastion", CLOSED, 3),
        ("host key", CLOSED, 1),
        ("known_hosts", CLOSED, 1),
        ("login", CLOSED, 1),
        ("login", NO_TIME, 1),
        ("session", CLOSED, 1),
        ("sudo", NO_TIME, 1),
        ("sftp", NO_TIME, 1),
    ],
)
def test_how_often(step: str, told: tuple[str, str], made: int) -> None:
    tries = Tries([failing(step, told) for _ in range(50)])
    tries.refusal()
    assert tries.made == made


def test_a_bastions_failure_is_not_tried_again_by_those_behind_it() -> None:
    tries = Tries([Unreachable("bastion b: connect", *NOTHING_LISTENS, passing=Passing.SOON)])
    assert str(tries.refusal()) == "bastion b: connect: nothing listens there"
    assert tries.made == 1


@pytest.mark.parametrize("told", [THROTTLED, PENALIZED])
def test_a_server_that_throttles_is_waited_for(told: tuple[str, str]) -> None:
    tries = Tries([failing("handshake", told) for _ in range(25)])
    assert tries.run() == 26
    assert tries.waits[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(tries.waits[5:]) == {5.0}


def test_many_wait_for_a_bastion_so_it_may_hang_up_for_long() -> None:
    tries = Tries([failing("handshake", NO_WORD) for _ in range(25)])
    assert tries.run(patient=True) == 26


def test_a_long_time_is_rounded_up_so_that_hosts_read_alike() -> None:
    tries = Tries([failing("handshake", THROTTLED) for _ in range(25)] + [REFUSED] * 3)
    assert str(tries.refusal()).endswith("(28 attempts within 120 s)")


def test_nothing_begins_after_the_deadline() -> None:
    tries = Tries([failing("handshake", THROTTLED) for _ in range(25)])
    problem = tries.refusal(seconds=0.9)
    assert tries.waits == [0.25, 0.5]
    assert problem.reason == f"{THROTTLED[0]} (3 attempts within 5 s)"


def test_what_the_deadline_cut_off_says_so() -> None:
    problem = Tries([failing("handshake", NO_TIME)]).refusal(seconds=0.0)
    assert str(problem) == "handshake: the host's deadline passed"


def test_hosts_that_wait_for_a_bastion_are_not_told_of_one_hosts_deadline() -> None:
    problem = Tries([failing("handshake", NO_TIME)]).refusal(seconds=0.0, patient=True)
    assert str(problem) == "handshake: no answer in time"


def test_a_bastions_failure_after_a_retry_is_told_as_it_is() -> None:
    lost = Unreachable("bastion", "lost", passing=Passing.SOON)
    bastions = Unreachable("bastion b: connect", "no (3 attempts)", passing=Passing.SOON)
    assert str(Tries([lost, lost, bastions]).refusal()) == "bastion b: connect: no (3 attempts)"


@pytest.mark.parametrize(("jitter", "waits"), [(0.0, [0.15, 0.3]), (1.0, [0.45, 0.9])])
def test_jitter_is_up_to_a_half(jitter: float, waits: list[float]) -> None:
    tries = Tries([REFUSED, REFUSED], jitter=jitter)
    tries.run()
    assert tries.waits == pytest.approx(waits)


def test_real_jitter_differs() -> None:
    assert len({Retries().jitter() for _ in range(100)}) > 1


def test_each_kind_of_failure_has_its_own_number() -> None:
    throttled = failing("handshake", THROTTLED)
    tries = Tries([throttled, REFUSED, throttled, REFUSED, throttled])
    assert tries.run() == 6
    assert [retry.attempt for retry in tries.told] == [2, 3, 4, 5, 6]


def test_a_refused_login_after_a_retry_counts_no_attempts() -> None:
    problem = Tries([REFUSED, Unreachable("login", "the host took none of the keys")]).refusal()
    assert str(problem) == "login: the host took none of the keys"


def test_a_system_error_says_whether_it_may_pass() -> None:
    with pytest.raises(Unreachable) as caught, map_errors("connect"):
        raise ConnectionRefusedError(111, "refused")
    assert caught.value.passing is Passing.SOON
    with pytest.raises(Unreachable) as caught, map_errors("sftp"):
        raise ConnectionResetError(104, "reset")
    assert caught.value.passing is None
