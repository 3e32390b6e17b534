"""How many hosts may fail, and whether known errors alone would stop the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aegis_provision.playbook.plays import Play, Schedule

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """How many hosts of the whole run may fail in a play, and how that number was computed.

    ``words`` shows ``max_fail`` as written (``5% of 40 hosts = 2``, ``2 hosts``).
    """

    allowed: int
    words: str

    def is_spent(self, failed: int) -> bool:
        """Tell whether ``failed`` hosts are more than allowed: then nothing new begins."""
        return failed > self.allowed


@dataclass(frozen=True, slots=True)
class PredictedStop:
    """Where a run would stop without having begun the batch: indices from 0.

    ``failed`` names the hosts that count by then, in the order in which their turns come.
    """

    play: int
    batch: int
    failed: tuple[str, ...]
    budget: Budget


def budget_of(play: Play, run_hosts: int) -> Budget:
    """Return what ``play`` allows in a run over ``run_hosts`` distinct hosts."""
    allowed = play.max_fail.of(run_hosts)
    if play.max_fail.percent:
        return Budget(allowed, f"{play.max_fail} of {counted(run_hosts, 'host')} = {allowed}")
    return Budget(allowed, counted(allowed, "host"))


def stop_words(failed: Sequence[str], budget: Budget, verb: str) -> str:
    """Return why a run stops: which hosts ``failed``, as ``verb`` says, and the arithmetic."""
    names = ", ".join(failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
    return (
        f"Stopped: {counted(len(failed), 'host')} {verb} ({names}), "
        f"and max_fail allows {budget.words}; nothing further is begun"
    )


def predict_stop(schedule: Schedule, bad: Collection[str]) -> PredictedStop | None:
    """Return where ``bad`` hosts alone would stop the run, ``None`` where they would not.

    ``bad`` are the hosts that are in error or unreachable in the plan. Each counts once in the
    whole run, from its first batch on, against the budget of the play that runs then.
    """
    run_hosts = len(schedule.hosts)
    failed: dict[str, None] = {}
    for play, scheduled in enumerate(schedule.plays):
        budget = budget_of(scheduled.play, run_hosts)
        for batch, hosts in enumerate(scheduled.batches):
            failed.update(dict.fromkeys(host for host in hosts if host in bad))
            if budget.is_spent(len(failed)):
                return PredictedStop(play, batch, tuple(failed), budget)
    return None
