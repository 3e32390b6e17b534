"""Reading many hosts: each has its plan independently of the others, and few stay connected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import HostPlanned, ReadingStarted
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.rollout.planner import plan_fleet
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.retry import ignore_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.jobs import Hosts


def test_every_host_has_its_plan_in_the_inventorys_order(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("new", "-gone", "old", "broken", "linked")
    hosts.file_of("old").write_text('{"authToken": "x"}')
    hosts.file_of("broken").write_text("{")
    hosts.file_of("linked").symlink_to("nowhere")
    with hosts.worker(keep=10) as worker:
        plans = plan_fleet(hosts.jobs, worker, hosts.emit)
    assert [(plan.host, plan.action) for plan in plans] == [
        ("new", Action.CREATE),
        ("gone", Action.UNREACHABLE),
        ("old", Action.UPDATE),
        ("broken", Action.ERROR),
        ("linked", Action.ERROR),
    ]
    assert "nothing listens there" in plans[1].message
    assert hosts.events[0] == ReadingStarted(5)
    planned = [event.plan.host for event in hosts.events if isinstance(event, HostPlanned)]
    assert sorted(planned) == sorted(hosts.by_name)
    assert not any(path.name == ".aegis-provision" for path in hosts.root.rglob("*"))


def test_connections_are_kept_for_what_is_to_be_written_and_no_more_than_asked(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a", "b", "c", "broken")
    hosts.file_of("broken").write_text("{")
    deadline = Deadline.after(60)
    kept = ConnectionPool(2)
    with host_worker(hosts.jobs, hosts.connection, kept) as worker:
        plan_fleet(hosts.jobs, worker, hosts.emit)
        found = [kept.take(name, deadline) for name in ("a", "b", "c", "broken")]
        sessions = [session for session in found if session is not None]
        assert len(sessions) == 2
        assert found[3] is None
        assert all(session.alive(deadline) for session in sessions)
        for session in sessions:
            session.close()
        assert not any(session.alive(deadline) for session in sessions)


def test_what_was_kept_and_not_taken_is_closed(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("a")
    deadline = Deadline.after(60)
    session = hosts.connection.connect(
        hosts.jobs[0].host.target, hosts.connection.options, deadline, ignore_retry
    )
    with ConnectionPool(1) as kept:
        assert kept.offer("a", session)
        assert not kept.offer("b", session)
    assert not session.alive(deadline)


def test_a_host_that_does_not_let_its_file_be_read_is_in_error(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a", "b")
    os.mkfifo(hosts.file_of("a"))
    hosts.file_of("b").mkdir()
    with hosts.worker() as worker:
        plans = plan_fleet(hosts.jobs, worker, hosts.emit)
    assert {plan.action for plan in plans} == {Action.ERROR}
    assert all("not a regular file" in plan.message for plan in plans)
