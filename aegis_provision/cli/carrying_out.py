"""From a plan to the end of a run: asked, recorded, told as it happens, summed up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.exits import ExitCode, exit_of_run
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.prompt import Answer, confirm
from aegis_provision.cli.recording import begin_record
from aegis_provision.planning.model import Action
from aegis_provision.playbook.budget import foreseen
from aegis_provision.playbook.guard import large_batches
from aegis_provision.rollout.broadcast import Broadcast
from aegis_provision.rollout.events import RunFinished, RunStarted
from aegis_provision.rollout.host_run import HostTask, Tools, untouched
from aegis_provision.rollout.run import run_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.cli.interrupts import Interrupts
    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.recording import RunFacts
    from aegis_provision.cli.watching import Format, Watch
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.playbook.model import Schedule
    from aegis_provision.rollout.outcome import HostResult, RunEnd
    from aegis_provision.rollout.pool import Stop
    from aegis_provision.rollout.reading import HostWork, KeptConnections, Reach

_BAD = frozenset({Action.ERROR, Action.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A run that is about to be agreed to: what it does, where, and what its record will say.

    ``plans`` are those of the schedule's hosts, in its order; ``fleet_size`` is how many hosts
    the inventory has. ``verb`` is what the operator is asked to agree to; ``going_back`` says that
    it undoes a past run.
    """

    schedule: Schedule
    works: Mapping[str, HostWork]
    plans: tuple[HostPlan, ...]
    reach: Reach
    facts: RunFacts
    fleet_size: int
    verb: str = "Write to"
    going_back: bool = False

    @property
    def changing(self) -> tuple[str, ...]:
        """Return the hosts that would be written."""
        return tuple(plan.host for plan in self.plans if plan.write is not None)

    @property
    def restarting(self) -> tuple[str, ...]:
        """Return the hosts on which a play would restart Aegis, if all goes well."""
        plans = {plan.host: plan for plan in self.plans}
        found = {
            host: None
            for play in self.schedule.plays
            for host in play.hosts
            if HostTask(
                self.works[host], plans[host], play.play.gates, plans[host].restart_owed
            ).restarts
        }
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run is carried out with: who watches, signals, connections, the operator's word."""

    output: Output
    watch: Watch
    signals: Interrupts
    stop: Stop
    kept: KeptConnections
    output_format: Format
    yes: bool


def carry_out(undertaking: Undertaking, stage: Stage) -> int:
    """Ask, carry out, sum up, and return the exit code.

    Raises :class:`CommandFailedError` where the run can't be recorded.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    if refusal := _not_confirmed(undertaking, stage):
        _refuse(undertaking, stage, run, refusal)
        return ExitCode.REFUSED
    environ = Invocation.current().environ
    facts, plans = undertaking.facts, undertaking.plans
    with begin_record(
        environ, run, facts, undertaking.schedule, undertaking.works, plans
    ) as record:
        stage.signals.writing_begins()
        emit = Broadcast([record, *stage.watch.observers])
        tools = Tools(
            undertaking.reach, stage.kept, record, emit, stage.stop, f"{facts.operator}, run {run}"
        )
        emit(RunStarted(run, undertaking.schedule, plans))
        end = run_schedule(
            undertaking.schedule,
            undertaking.works,
            {plan.host: plan for plan in plans},
            tools,
            going_back=undertaking.going_back,
        )
        code = exit_of_run(end, going_back=undertaking.going_back)
        emit(RunFinished(end.results, code))
        stage.watch.display.pause()
    if stage.output_format == "text":
        _print_recap(stage, run, end)
    _print_result(stage, run, end.results, code)
    return code


def _not_confirmed(undertaking: Undertaking, stage: Stage) -> str | None:
    changing, restarting = len(undertaking.changing), len(undertaking.restarting)
    if not changing and not restarting:
        return None
    for warning in _warnings(undertaking):
        click.echo(f"warning: {warning}", err=True)
    if stage.yes:
        return None
    question = f"{undertaking.verb} {_hosts(changing)}"
    if restarting:
        question += f" and restart Aegis on {restarting}"
    questions = [f"{question}?", *_second_questions(undertaking)]
    for asked in questions:
        match confirm(asked):
            case Answer.YES:
                continue
            case Answer.NO:
                return "not confirmed; nothing was written"
            case Answer.NOBODY:
                return "nothing was written: there is no terminal to ask on; say --yes to go ahead"
    return None


def _warnings(undertaking: Undertaking) -> list[str]:
    bad = {plan.host for plan in undertaking.plans if plan.action in _BAD}
    if undertaking.going_back:
        bad = {plan.host for plan in undertaking.plans if plan.action is Action.UNREACHABLE}
    found = [_guard_words(undertaking)] if _guard_words(undertaking) else []
    stops = foreseen(undertaking.schedule, bad)
    if stops is not None:
        name = undertaking.schedule.plays[stops.play].play.name
        where = f' of "{name}"' if name else ""
        found.append(
            f"the run will stop before batch {stops.batch + 1}{where}: "
            f"{_hosts(len(stops.failed))} can't be worked on, "
            f"and max_fail allows {stops.budget.words}"
        )
    return found


def _second_questions(undertaking: Undertaking) -> list[str]:
    words = _guard_words(undertaking)
    return [f"{words[0].upper()}{words[1:]}. Are you sure?"] if words else []


def _guard_words(undertaking: Undertaking) -> str:
    large = large_batches(undertaking.schedule, undertaking.changing, undertaking.fleet_size)
    if not large:
        return ""
    most = max(large, key=lambda batch: batch.changes)
    return (
        f"one batch changes {most.changes} of the inventory's {_hosts(most.fleet)} at once, "
        "more than half of them"
    )


def _hosts(number: int) -> str:
    return "1 host" if number == 1 else f"{number} hosts"


def _refuse(undertaking: Undertaking, stage: Stage, run: str, refusal: str) -> None:
    results = tuple(untouched(plan) for plan in undertaking.plans)
    if stage.watch.stream is not None:
        stage.watch.stream(RunFinished(results, ExitCode.REFUSED))
    _print_result(stage, run, results, ExitCode.REFUSED)
    click.echo(f"error: {refusal}", err=True)


def _print_result(stage: Stage, run: str, results: tuple[HostResult, ...], code: ExitCode) -> None:
    """Print what a program wants to know; a person is told in another way."""
    from aegis_provision.report.documents import apply_document, as_text

    if stage.output_format == "json":
        click.echo(as_text(apply_document(run, results, code)))


def _print_recap(stage: Stage, run: str, end: RunEnd) -> None:
    from rich.text import Text

    from aegis_provision.report.apply_text import nothing_to_do, recap_lines
    from aegis_provision.report.console import print_lines, text_width

    console = stage.output.result
    lines = recap_lines(
        end.results,
        width=text_width(console),
        every_host=stage.output.verbosity > 0,
        state=stage.watch.display.state,
    )
    print_lines(console, lines)
    if not stage.output.quiet and not nothing_to_do(end.results):
        print_lines(stage.output.aside, [Text(f"Run {run}; see 'aegis-provision history'")])
