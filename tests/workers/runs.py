"""A run over any executor, with hosts whose files are old, and the law that each run keeps."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aegis_provision.planning.digests import DigestKey
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Gates, Schedule, ScheduledPlay
from aegis_provision.playbook.schedule import single_play
from aegis_provision.rollout.events import HostFinished, WriteBegun
from aegis_provision.rollout.host_work import Calls, RunTerms
from aegis_provision.rollout.planner import PlanReader, plan_fleet
from aegis_provision.rollout.results import Status
from aegis_provision.rollout.run_schedule import run_schedule
from aegis_provision.transport.lock import LockOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.events import Event, FileChange
    from aegis_provision.rollout.host_work import Executor
    from aegis_provision.rollout.results import HostResult, RunResult
    from tests.fleet.jobs import Hosts

DIGEST = DigestKey.of(b"the key of this run")
THEIRS = "token-in-the-hosts-file"
OLD = json.dumps({"authToken": THEIRS, "port": 9100})
READER = PlanReader()
MOST_FAIL = 100


@dataclass
class Recorded:
    """A run's record: what was told of writes, and which files were old when it was."""

    hosts: Hosts
    on_event: Callable[[Event], None] = lambda _: None
    old: dict[str, bool] = field(default_factory=dict)

    def before_write(self, host: str, change: FileChange) -> WriteBegun:
        file = self.hosts.file_of(host)
        self.old[host] = file.exists() and file.read_text() == OLD
        event = WriteBegun(host, change)
        self.on_event(event)
        return event

    def emit(self, event: Event) -> None:
        self.hosts.emit(event)
        self.on_event(event)


def play_of(*hosts: str, gates: Gates | None = None, max_fail: int = MOST_FAIL) -> ScheduledPlay:
    """Return a play of ``hosts``, in one batch."""
    (play,) = single_play().plays
    play = replace(play, max_fail=HostCount(max_fail, percent=False), gates=gates or play.gates)
    return ScheduledPlay(play, (hosts,))


def apply_plans(
    executor: Executor,
    plans: Sequence[HostPlan],
    recorded: Recorded,
    *plays: ScheduledPlay,
    max_fail: int = MOST_FAIL,
) -> RunResult:
    """Run ``plays``, or one of all hosts that leaves the restart to the operator."""
    names = tuple(plan.host for plan in plans)
    return run_schedule(
        Schedule(plays or (play_of(*names, max_fail=max_fail),)),
        {job.host.name: job for job in recorded.hosts.jobs},
        {plan.host: plan for plan in plans},
        executor,
        Calls(recorded.emit, recorded.before_write),
        RunTerms("20261125T101500Z-0a1b2c", LockOwner("anna@desk"), DIGEST),
        reader_of=lambda _: READER,
    )


def make_old(hosts: Hosts, *names: str) -> None:
    """Let hosts have the old file, with no write under way."""
    for name in names:
        file = hosts.file_of(name)
        file.write_text(OLD)
        file.chmod(0o600)
        (file.parent / ".aegis-provision" / "lock").unlink(missing_ok=True)


def check_kill_law(
    executor: Executor,
    hosts: Hosts,
    kill: Callable[[random.Random], None],
    rounds: int,
    *,
    surely_dead: bool,
) -> None:
    """Plan and apply in ``rounds``, with a worker killed at some moment of each.

    Each host ends once; its file is the old one or the new one, as its status says. A worker that
    is ``surely_dead`` leaves no lock that keeps its own run out.
    """
    chance = random.Random(16)  # noqa: S311 - moments, no secrets
    names = [job.host.name for job in hosts.jobs]
    new: dict[str, str] = {}
    written = 0
    for _ in range(rounds):
        make_old(hosts, *names)
        left = [chance.randrange(5 * len(names))]

        def at_a_moment(_: Event, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                kill(chance)

        hosts.events.clear()
        plans = plan_fleet(hosts.jobs, executor, hosts.emit)
        results = apply_plans(executor, plans, Recorded(hosts, at_a_moment)).results
        for result in results:
            text = hosts.file_of(result.host).read_text()
            if text != OLD:
                assert json.loads(text)["authToken"] == THEIRS
                assert new.setdefault(result.host, text) == text
            assert _is_true(result, old=text == OLD), (result, text == OLD)
            assert not (surely_dead and result.status is Status.REFUSED), result
            written += result.status is Status.RESTART_PENDING
        finished = [item.result.host for item in hosts.events if isinstance(item, HostFinished)]
        assert sorted(finished) == names
    assert written > rounds * len(names) / 2, "most hosts have nothing to do with what was killed"


def _is_true(result: HostResult, *, old: bool) -> bool:
    """Tell whether a host's result says of its file what is so."""
    match result.status:
        case Status.RESTART_PENDING:
            return not old
        case Status.FAILED:
            return ("the old one" if old else "the new one") in result.message
        case Status.REFUSED:  # the lock of a worker that may live
            return old and "another run is writing here" in result.message
        case Status.UNREACHABLE:  # no other worker came in time
            return old
        case _:
            return False
