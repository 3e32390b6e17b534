"""From hosts that are looked at to the end of a run: shown, asked, recorded, told, summed up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.observers import observe_run
from aegis_provision.cli.output import echo, print_document
from aegis_provision.cli.prompt import Confirmation, confirm
from aegis_provision.operations.exit_codes import ExitCode, plan_exit_code, run_exit_code
from aegis_provision.operations.plan import print_plan, print_plan_warnings
from aegis_provision.operations.run_record import open_run_record, run_summary_fields
from aegis_provision.operations.run_request import (
    counted_hosts,
    large_batch_warning,
    predicted_stop,
)
from aegis_provision.rollout.events import RunFinished, RunStarted
from aegis_provision.rollout.planner import POOL_SIZE, ConnectionPool, plan_fleet
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.run import run_schedule
from aegis_provision.rollout.task import RunContext, skipped
from aegis_provision.rollout.worker_pool import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aegis_provision.cli.interrupts import Interrupts
    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.observers import Observers
    from aegis_provision.cli.options import Format
    from aegis_provision.operations.run_record import RunInfo
    from aegis_provision.operations.run_request import RunRequest
    from aegis_provision.operations.saved_plans import SavedPlanFile
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.planner import ConnectionSettings, HostJob, HostPlanner
    from aegis_provision.rollout.results import RunResult


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How the operator wants it done: only looked at, unasked, shown in which way."""

    check: bool
    yes: bool
    output_format: Format
    report: Path | None = None
    as_diff: bool = False
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Hosts to look at, how to reach them, and what is made of what is found there.

    ``look`` makes a host's plan, ``None`` for that of the inventory; ``undertake`` makes all the
    plans a run, which ``facts`` tell of. Where there is a ``saved`` plan, nothing else is done.
    """

    jobs: Sequence[HostJob]
    connection: ConnectionSettings
    facts: RunInfo
    build_request: Callable[[tuple[HostPlan, ...]], RunRequest]
    look: HostPlanner | None = None
    saved: SavedPlanFile | None = None


@dataclass(frozen=True, slots=True)
class _RunContext:
    """What a run is carried out with: who watches, signals, connections, the operator's word."""

    output: Output
    watch: Observers
    signals: Interrupts
    stop: CancelToken
    kept: ConnectionPool
    options: ApplyOptions


def plan_and_apply(plan_request: PlanRequest, options: ApplyOptions, output: Output) -> int:
    """Look at the hosts, show the plan, ask, carry it out, sum up, and return the exit code.

    Raises :class:`Error` where the run can't be recorded, or where the hosts are not
    what the saved plan saw.
    """
    stop = CancelToken()
    with (
        interrupts(stop) as signals,
        ConnectionPool(limit=0 if options.check else POOL_SIZE) as kept,
        observe_run(
            output,
            options.output_format,
            forks=plan_request.connection.forks,
            report=options.report,
            about=run_summary_fields(plan_request.facts),
        ) as watch,
    ):
        plans = plan_fleet(
            plan_request.jobs, plan_request.connection, kept, watch.emit, plan_request.look
        )
        watch.display.pause()
        if options.check or options.output_format == "text":
            print_plan(output, plans, options.output_format, watch.stream, as_diff=options.as_diff)
        elif watch.stream is None:
            print_plan_warnings(plans)
        stage = _RunContext(output, watch, signals, stop, kept, options)
        if plan_request.saved is not None:
            _check_saved(plan_request.saved, plans, stage)
        if options.check:
            return plan_exit_code(plans, detailed=options.detailed)
        return _apply(plan_request.build_request(plans), stage)


def _check_saved(saved: SavedPlanFile, plans: Sequence[HostPlan], stage: _RunContext) -> None:
    objections = saved.objections_to(plans)
    if not objections:
        return
    if not stage.options.check:
        results = tuple(
            HostResult(plan.host, Status.REFUSED, "; ".join(objections.hosts[plan.host]))
            if plan.host in objections.hosts
            else skipped(plan)
            for plan in plans
        )
        _print_refusal(stage, _run_name(datetime.now(UTC)), results)
    raise saved.stale(objections)


def _apply(request: RunRequest, stage: _RunContext) -> int:
    run = _run_name(datetime.now(UTC))
    if refusal := _refusal_to_confirm(request, stage):
        _refuse(request, stage, run, refusal)
        return ExitCode.REFUSED
    environ = Invocation.current().environ
    facts, plans = request.facts, request.plans
    # Before there is a record, so that none is left without an end.
    stage.signals.writing_begins()
    with open_run_record(environ, run, facts, request.schedule, request.jobs, plans) as record:
        emit = stage.watch.emit_to(record)
        context = RunContext(
            request.connection,
            stage.kept,
            record,
            emit,
            stage.stop,
            run,
            f"{facts.operator}, run {run}",
        )
        emit(RunStarted(run, request.schedule, plans))
        end = run_schedule(
            request.schedule,
            request.jobs,
            {plan.host: plan for plan in plans},
            context,
            going_back=request.going_back,
        )
        code = run_exit_code(end, going_back=request.going_back)
        emit(RunFinished(end.results, code))
        stage.watch.display.pause()
        if record.problem is not None:
            _warn(f"the record of this run is not whole: {record.problem}")
    if stage.options.output_format == "text":
        _print_recap(stage, run, end)
    _print_result(stage, run, end.results, code)
    return code


def _run_name(now: datetime) -> str:
    """Return a name that sorts by when the run began, also within one second."""
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{secrets.randbelow(16):x}"


def _refusal_to_confirm(request: RunRequest, stage: _RunContext) -> str | None:
    changing, restarting = len(request.changing), len(request.restarting)
    if not changing and not restarting:
        return None
    _warn(predicted_stop(request))
    large = large_batch_warning(request)
    if stage.options.yes:
        _warn(large)
        return None
    question = f"{request.verb} {counted_hosts(changing)}"
    if restarting:
        question += f" and restart Aegis on {restarting}"
    questions = [f"{question}?"]
    if large:
        questions.append(f"{large[0].upper()}{large[1:]}. Are you sure?")
    for asked in questions:
        match confirm(asked):
            case Confirmation.YES:
                continue
            case Confirmation.NO:
                return "not confirmed; nothing was written"
            case Confirmation.NOBODY:
                return "nothing was written: there is no terminal to ask on; say --yes to go ahead"
    return None


def _warn(words: str) -> None:
    if words:
        echo(f"warning: {words}", err=True)


def _refuse(request: RunRequest, stage: _RunContext, run: str, refusal: str) -> None:
    _print_refusal(stage, run, tuple(skipped(plan) for plan in request.plans))
    echo(f"error: {refusal}", err=True)


def _print_refusal(stage: _RunContext, run: str, results: tuple[HostResult, ...]) -> None:
    """Tell whoever reads events or a document that the run was refused."""
    if stage.watch.stream is not None:
        stage.watch.stream(RunFinished(results, ExitCode.REFUSED))
    _print_result(stage, run, results, ExitCode.REFUSED)


def _print_result(
    stage: _RunContext, run: str, results: tuple[HostResult, ...], code: ExitCode
) -> None:
    """Print what a program wants to know; a person is told in another way."""
    from aegis_provision.report.json_documents import apply_document

    if stage.options.output_format == "json":
        print_document(apply_document(run, results, code), stage.options.output_format)


def _print_recap(stage: _RunContext, run: str, end: RunResult) -> None:
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
        print_lines(stage.output.err, [Text(f"Run {run}; see 'aegis-provision history'")])
