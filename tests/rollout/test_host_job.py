"""How hosts end on which nothing is done, and why."""

from __future__ import annotations

import pytest

from aegis_provision.planning.plan import Action
from aegis_provision.rollout.host_job import not_begun, skipped
from aegis_provision.rollout.results import HostResult, Status
from tests.report.runs import plan


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE, Action.UNCHANGED])
def test_a_host_whose_turn_did_not_come(action: Action) -> None:
    ended = not_begun(plan("a", action, message="no news", hint="none"))
    assert ended == HostResult("a", Status.NOT_ATTEMPTED, "nothing was done there")


@pytest.mark.parametrize("action", [Action.ERROR, Action.UNREACHABLE])
def test_a_host_that_could_not_be_written_keeps_its_reason(action: Action) -> None:
    broken = plan("a", action, message="not JSON", hint="mend it")
    assert not_begun(broken) == HostResult(
        "a",
        Status.NOT_ATTEMPTED,
        "nothing was done there, and nothing could be: not JSON",
        "mend it",
    )


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (Action.UNCHANGED, Status.UNCHANGED),
        (Action.ERROR, Status.REFUSED),
        (Action.UNREACHABLE, Status.UNREACHABLE),
    ],
)
def test_a_host_without_a_write_ends_as_it_was_read(action: Action, status: Status) -> None:
    read = plan("a", action, message="words", hint="hint")
    assert skipped(read) == HostResult("a", status, "words", "hint")


def test_a_host_with_a_write_that_was_not_done_is_not_attempted() -> None:
    assert skipped(plan("a", message="words")) == HostResult(
        "a", Status.NOT_ATTEMPTED, "nothing was written there"
    )


def test_a_host_that_is_right_with_a_pending_restart_says_so() -> None:
    pending = skipped(plan("a", Action.UNCHANGED, restart_pending=True))
    assert (pending.status, pending.message) == (
        Status.UNCHANGED,
        "its file is right, and Aegis was not restarted since it came",
    )
