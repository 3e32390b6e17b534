"""Pending restarts, and hosts to retry, as laws over whole histories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.documents.json_codec import json_line
from aegis_provision.history.past_run import PastRun, find_pending_restarts, parse_run
from aegis_provision.history.run_header import header_lines
from aegis_provision.rollout.events import (
    HostRestarted,
    HostRolledBack,
    HostWritten,
    Step,
    StepStarted,
)
from aegis_provision.rollout.results import Status
from tests.history.fleet import HOSTS, RUN, header, identity
from tests.history.record_lines import Line, finished, line, write

RUNS = ("20261125T101500Z-aaaaaa", "20261125T101500Z-bbbbbb", "20261125T101501Z-cccccc")
EITHER_HOST = HOSTS[:2]

PENDING = ("written", "failed half-way", "restored", "died in the middle", "died in a restore")
NOT_PENDING = ("restarted", "written and restarted", "restored and restarted")
CHANGES_NOTHING = ("looked at", "refused", "unreachable", "only its mode", "only its format")
DIED = ("died in the middle", "died in a restore")


@dataclass(frozen=True, slots=True)
class Act:
    """What a run did with a host at one time."""

    run: str
    host: str
    what: str

    def lines(self, second: float) -> list[Line]:
        """Return the lines that the act leaves in its run's record."""
        name = self.host
        begun, done = write(name, second), line(HostWritten(name), second)
        restarted = line(HostRestarted(name), second)
        restoring = line(StepStarted(name, Step.ROLL_BACK), second)
        back = line(HostRolledBack(name), second)
        applied = finished(name, Status.APPLIED, second)
        return {
            "written": [begun, done],
            "failed half-way": [begun, finished(name, Status.FAILED, second)],
            "restored": [begun, done, restoring, back, finished(name, Status.ROLLED_BACK, second)],
            "died in the middle": [begun],
            "died in a restore": [begun, done, restarted, restoring],
            "restarted": [restarted],
            "written and restarted": [
                begun,
                done,
                restarted,
                finished(name, Status.APPLIED, second),
            ],
            "restored and restarted": [begun, done, restoring, back, restarted],
            "looked at": [finished(name, Status.UNCHANGED, second)],
            "refused": [begun, finished(name, Status.REFUSED, second)],
            "unreachable": [begun, finished(name, Status.UNREACHABLE, second)],
            "only its mode": [write(name, second, before="1", after="1"), done],
            "only its format": [begun, done, applied],
        }[self.what]


_ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(RUNS),
        st.sampled_from(EITHER_HOST),
        st.sampled_from((*PENDING, *NOT_PENDING, *CHANGES_NOTHING)),
    ),
    max_size=10,
)


def _possible(acts: list[Act]) -> list[Act]:
    """Leave out what a run did with a host after it died there."""
    dead: set[tuple[str, str]] = set()
    kept = []
    for act in acts:
        if (act.run, act.host) not in dead:
            kept.append(act)
        if act.what in DIED:
            dead.add((act.run, act.host))
    return kept


def _records(acts: list[Act]) -> list[PastRun]:
    found = []
    for run in RUNS:
        data = header_lines(header(run)) + b"".join(
            json_line(item)
            for second, act in enumerate(acts)
            if act.run == run
            for item in act.lines(second)
        )
        past = parse_run(run, data, held=False)
        assert isinstance(past, PastRun), past
        found.append(past)
    return found


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(_ACTS, st.permutations(range(len(RUNS))))
def test_the_run_that_touched_a_host_last_decides_what_is_pending(
    acts: list[Act], order: list[int]
) -> None:
    """Runs that overlap in time are no exception, and their order does not matter."""
    acts = _possible(acts)
    expected: dict[str, str | None] = dict.fromkeys(EITHER_HOST)
    for act in acts:
        if act.what in PENDING:
            expected[act.host] = act.run
        elif act.what in NOT_PENDING:
            expected[act.host] = None
    records = _records(acts)
    records = [records[index] for index in order]
    assert {
        host: find_pending_restarts(records).get(identity(host)) for host in EITHER_HOST
    } == expected


def test_another_file_on_the_host_is_another_matter() -> None:
    records = _records([Act(RUNS[0], "a", "written")])
    assert find_pending_restarts(records).get(identity("a")) == RUNS[0]
    assert (
        find_pending_restarts(records).get(replace(identity("a"), path="/etc/other.json")) is None
    )
    assert find_pending_restarts(records).get(replace(identity("a"), jump=("bastion",))) is None


def test_two_names_of_one_host_owe_together() -> None:
    """A host may be renamed in the inventory between the write and the restart."""
    old = _records([Act(RUNS[0], "a", "written")])[0]
    renamed = header(RUNS[2], ("a2", *HOSTS[1:]))
    renamed = replace(renamed, hosts={**renamed.hosts, "a2": old.header.hosts["a"]})
    data = header_lines(renamed) + json_line(line(HostRestarted("a2"), 9))
    new = parse_run(RUNS[2], data, held=False)
    assert isinstance(new, PastRun)
    assert find_pending_restarts([old]).get(identity("a")) == RUNS[0]
    assert find_pending_restarts([new, old]).get(identity("a")) is None


@given(st.lists(st.none() | st.sampled_from(Status), min_size=len(HOSTS), max_size=len(HOSTS)))
def test_retry_takes_up_all_that_did_not_end_well(ends: list[Status | None]) -> None:
    lines = [
        json_line(finished(host, status))
        for host, status in zip(HOSTS, ends, strict=True)
        if status is not None
    ]
    past = parse_run(RUN, header_lines(header()) + b"".join(lines), held=False)
    assert isinstance(past, PastRun)
    expected = [
        host
        for host, status in zip(HOSTS, ends, strict=True)
        if status not in {"unchanged", "applied", "restart_pending"}
    ]
    assert list(past.hosts_to_retry) == expected
