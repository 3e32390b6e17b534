"""From hosts that are looked at to the end of a run: shown, asked, recorded, told, summed up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.cli.exits import ExitCode, exit_of_plan, exit_of_run
from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.planned import print_plan, warn_of_plans
from aegis_provision.cli.printing import echo, print_document
from aegis_provision.cli.prompt import Answer, confirm
from aegis_provision.cli.recording import about, begin_record
from aegis_provision.cli.undertaking import counted_hosts, foreseen_end, large_batch
from aegis_provision.cli.watching import watching
from aegis_provision.rollout.events import RunFinished, RunStarted
from aegis_provision.rollout.host_task import Tools, untouched
from aegis_provision.rollout.outcome import HostResult, Status
from aegis_provision.rollout.pool import Stop
from aegis_provision.rollout.reading import KEPT_CONNECTIONS, KeptConnections, read_fleet
from aegis_provision.rollout.run import run_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aegis_provision.cli.interrupts import Interrupts
    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.cli.recording import RunFacts
    from aegis_provision.cli.saved_plans import KeptPlan
    from aegis_provision.cli.undertaking import Undertaking
    from aegis_provision.cli.watching import Watch
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.rollout.outcome import RunEnd
    from aegis_provision.rollout.reading import HostWork, Look, Reach


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the operator wants it done: only looked at, unasked, shown in which way."""

    check: bool
    yes: bool
    output_format: Format
    report: Path | None = None
    as_diff: bool = False
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class Looking:
    """Hosts to look at, how to reach them, and what is made of what is found there.

    ``look`` makes a host's plan, ``None`` for that of the inventory; ``undertake`` makes all the
    plans a run, which ``facts`` tell of. Where there is a ``saved`` plan, nothing else is done.
    """

    works: Sequence[HostWork]
    reach: Reach
    facts: RunFacts
    undertake: Callable[[tuple[HostPlan, ...]], Undertaking]
    look: Look | None = None
    saved: KeptPlan | None = None


@dataclass(frozen=True, slots=True)
class _Stage:
    """What a run is carried out with: who watches, signals, connections, the operator's word."""

    output: Output
    watch: Watch
    signals: Interrupts
    stop: Stop
    kept: KeptConnections
    wishes: Wishes


def look_and_carry_out(looking: Looking, wishes: Wishes, output: Output) -> int:
    """Look at the hosts, show the plan, ask, carry it out, sum up, and return the exit code.

    Raises :class:`CommandFailedError` where the run can't be recorded, or where the hosts are not
    what the saved plan saw.
    """
    stop = Stop()
    with (
        interrupts(stop) as signals,
        KeptConnections(limit=0 if wishes.check else KEPT_CONNECTIONS) as kept,
        watching(
            output,
            wishes.output_format,
            forks=looking.reach.forks,
            report=wishes.report,
            about=about(looking.facts),
        ) as watch,
    ):
        plans = read_fleet(looking.works, looking.reach, kept, watch.emit, looking.look)
        watch.display.pause()
        if wishes.check or wishes.output_format == "text":
            print_plan(output, plans, wishes.output_format, watch.stream, as_diff=wishes.as_diff)
        elif watch.stream is None:
            warn_of_plans(plans)
        stage = _Stage(output, watch, signals, stop, kept, wishes)
        if looking.saved is not None:
            _check_saved(looking.saved, plans, stage)
        if wishes.check:
            return exit_of_plan(plans, detailed=wishes.detailed)
        return _carry_out(looking.undertake(plans), stage)


def _check_saved(saved: KeptPlan, plans: Sequence[HostPlan], stage: _Stage) -> None:
    objections = saved.objections_to(plans)
    if not objections:
        return
    if not stage.wishes.check:
        results = tuple(
            HostResult(plan.host, Status.REFUSED, "; ".join(objections.hosts[plan.host]))
            if plan.host in objections.hosts
            else untouched(plan)
            for plan in plans
        )
        _tell_programs(stage, _name_of_run(datetime.now(UTC)), results)
    raise saved.stale(objections)


def _carry_out(undertaking: Undertaking, stage: _Stage) -> int:
    run = _name_of_run(datetime.now(UTC))
    if refusal := _not_confirmed(undertaking, stage):
        _refuse(undertaking, stage, run, refusal)
        return ExitCode.REFUSED
    environ = Invocation.current().environ
    facts, plans = undertaking.facts, undertaking.plans
    # Before there is a record, so that none is left without an end.
    stage.signals.writing_begins()
    with begin_record(
        environ, run, facts, undertaking.schedule, undertaking.works, plans
    ) as record:
        emit = stage.watch.emit_to(record)
        tools = Tools(
            undertaking.reach,
            stage.kept,
            record,
            emit,
            stage.stop,
            run,
            f"{facts.operator}, run {run}",
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
        if record.problem is not None:
            _warn(f"the record of this run is not whole: {record.problem}")
    if stage.wishes.output_format == "text":
        _print_recap(stage, run, end)
    _print_result(stage, run, end.results, code)
    return code


def _name_of_run(now: datetime) -> str:
    """Return a name that sorts by when the run began, also within one second."""
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{secrets.randbelow(16):x}"


def _not_confirmed(undertaking: Undertaking, stage: _Stage) -> str | None:
    changing, restarting = len(undertaking.changing), len(undertaking.restarting)
    if not changing and not restarting:
        return None
    _warn(foreseen_end(undertaking))
    large = large_batch(undertaking)
    if stage.wishes.yes:
        _warn(large)
        return None
    question = f"{undertaking.verb} {counted_hosts(changing)}"
    if restarting:
        question += f" and restart Aegis on {restarting}"
    questions = [f"{question}?"]
    if large:
        questions.append(f"{large[0].upper()}{large[1:]}. Are you sure?")
    for asked in questions:
        match confirm(asked):
            case Answer.YES:
                continue
            case Answer.NO:
                return "not confirmed; nothing was written"
            case Answer.NOBODY:
                return "nothing was written: there is no terminal to ask on; say --yes to go ahead"
    return None


def _warn(words: str) -> None:
    if words:
        echo(f"warning: {words}", aside=True)


def _refuse(undertaking: Undertaking, stage: _Stage, run: str, refusal: str) -> None:
    _tell_programs(stage, run, tuple(untouched(plan) for plan in undertaking.plans))
    echo(f"error: {refusal}", aside=True)


def _tell_programs(stage: _Stage, run: str, results: tuple[HostResult, ...]) -> None:
    """Tell whoever reads events or a document that the run was refused."""
    if stage.watch.stream is not None:
        stage.watch.stream(RunFinished(results, ExitCode.REFUSED))
    _print_result(stage, run, results, ExitCode.REFUSED)


def _print_result(stage: _Stage, run: str, results: tuple[HostResult, ...], code: ExitCode) -> None:
    """Print what a program wants to know; a person is told in another way."""
    from aegis_provision.report.documents import apply_document

    if stage.wishes.output_format == "json":
        print_document(apply_document(run, results, code), stage.wishes.output_format)


def _print_recap(stage: _Stage, run: str, end: RunEnd) -> None:
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
