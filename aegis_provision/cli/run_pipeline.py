"""A run on the command line: plan, show, ask, apply, sum up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.observers import observe_run
from aegis_provision.cli.output import echo, print_document
from aegis_provision.humanize import counted, group_pairs
from aegis_provision.operations.apply import apply, run_name
from aegis_provision.operations.exit_codes import ExitCode, plan_exit_code
from aegis_provision.operations.plan import plan
from aegis_provision.rollout.connection_pool import POOL_SIZE, ConnectionPool
from aegis_provision.rollout.events import RunFinished
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.task import skipped
from aegis_provision.rollout.worker_pool import CancelToken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.observers import Observers
    from aegis_provision.cli.options import Format
    from aegis_provision.operations.apply import Run
    from aegis_provision.operations.plan import Job, RunPlan
    from aegis_provision.operations.saved_plans import SavedPlanFile
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.playbook.schedule import LargeBatch
    from aegis_provision.report.ndjson import EventStream

_MOST_NAMES = 24


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a run is shown and agreed to: only looked at, unasked, in which format."""

    check: bool
    yes: bool
    output_format: Format
    report: Path | None = None
    as_diff: bool = False
    detailed: bool = False


def plan_and_apply(
    job: Job,
    options: ApplyOptions,
    output: Output,
    saved: SavedPlanFile | None = None,
) -> ExitCode:
    """Plan ``job``, show the plan, ask, apply it and sum up.

    With ``saved`` nothing but that saved plan is applied. Raises :class:`RefusedError` where the
    run can't be recorded, or where the hosts are not what the saved plan saw.
    """
    cancel = CancelToken()
    with (
        interrupts(cancel) as signals,
        ConnectionPool(limit=0 if options.check else POOL_SIZE) as pool,
        observe_run(
            output,
            options.output_format,
            forks=job.connection.forks,
            report=options.report,
            about=job.info.titled(),
        ) as observers,
    ):
        planned = plan(job, pool, observers.emit)
        observers.display.pause()
        _show_plan(planned, options, output, observers)
        name = run_name(datetime.now(UTC))
        if saved is not None and (stale := saved.stale_hosts(planned.hosts)):
            if not options.check:
                refused = _results(planned, stale.hosts)
                _print_refusal(refused, name, options, observers)
            raise saved.stale(stale)
        if options.check:
            return plan_exit_code(planned.hosts, detailed=options.detailed)
        if refusal := _ask(planned, options):
            _print_refusal(_results(planned), name, options, observers)
            echo(f"error: {refusal}", err=True)
            return ExitCode.REFUSED
        # Before there is a record, so that none is left without an end.
        signals.writing_begins()
        run = apply(
            planned,
            name,
            datetime.now(UTC),
            pool=pool,
            cancel=cancel,
            observers=observers.observers,
            bugs=observers.bugs,
        )
        observers.display.pause()
        if run.record_problem:
            _warn(f"the record of this run is not whole: {run.record_problem}")
    if options.output_format == "text":
        _print_recap(run, output, observers)
    elif options.output_format == "json":
        _print_document(run.name, run.hosts, run.exit_code)
    return run.exit_code


def _show_plan(
    planned: RunPlan, options: ApplyOptions, output: Output, observers: Observers
) -> None:
    if options.check or options.output_format == "text":
        print_plan(
            output,
            planned.hosts,
            options.output_format,
            observers.stream,
            as_diff=options.as_diff,
        )
    elif observers.stream is None:
        _print_plan_warnings(planned.hosts)


def _ask(planned: RunPlan, options: ApplyOptions) -> str | None:
    """Ask the operator to agree to what would be done; return why it must not be, if so."""
    changing, restarting = len(planned.changing), len(planned.restarting)
    if not changing and not restarting:
        return None
    _warn(planned.predicted_stop())
    large = _large_batch_words(planned.largest_batch())
    if options.yes:
        _warn(large)
        return None
    verb = f"Undo {planned.job.info.undoes} on" if planned.is_rollback else "Write to"
    question = f"{verb} {counted(changing, 'host')}"
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
            case Confirmation.NO_TERMINAL:
                return "nothing was written: there is no terminal to ask on; say --yes to go ahead"
    return None


def _large_batch_words(large: LargeBatch | None) -> str:
    if large is None:
        return ""
    fleet = counted(large.fleet, "host")
    return (
        f"one batch changes {large.changes} of the inventory's {fleet} at once, "
        "more than half of them"
    )


def _warn(words: str) -> None:
    if words:
        echo(f"warning: {words}", err=True)


def _results(
    planned: RunPlan, stale: Mapping[str, Sequence[str]] | None = None
) -> tuple[HostResult, ...]:
    """Return how hosts end of which none was written; ``stale`` says why some were refused."""
    reasons = stale or {}
    return tuple(
        HostResult(item.host, Status.REFUSED, "; ".join(reasons[item.host]))
        if item.host in reasons
        else skipped(item)
        for item in planned.hosts
    )


def _print_refusal(
    results: tuple[HostResult, ...], name: str, options: ApplyOptions, observers: Observers
) -> None:
    """Tell programs, which read events or a document, that the run was refused."""
    if observers.stream is not None:
        observers.stream(RunFinished(results, ExitCode.REFUSED))
    if options.output_format == "json":
        _print_document(name, results, ExitCode.REFUSED)


def _print_document(name: str, results: tuple[HostResult, ...], code: ExitCode) -> None:
    from aegis_provision.report.apply_report import apply_document

    print_document(apply_document(name, results, code), "json")


def _print_recap(run: Run, output: Output, observers: Observers) -> None:
    from rich.text import Text

    from aegis_provision.report.apply_report import nothing_to_do, recap_lines
    from aegis_provision.report.console import print_lines, text_width

    console = output.out
    lines = recap_lines(
        run.hosts,
        width=text_width(console),
        every_host=output.verbosity > 0,
        state=observers.display.state,
    )
    print_lines(console, lines)
    if not output.quiet and not nothing_to_do(run.hosts):
        print_lines(output.err, [Text(f"Run {run.name}; see 'aegis-provision history'")])


def print_plan(
    output: Output,
    plans: Sequence[HostPlan],
    output_format: Format,
    stream: EventStream | None,
    *,
    as_diff: bool = False,
) -> None:
    """Print ``plans`` on stdout, as the last line of ``stream`` where events are watched."""
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.plan_report import plan_document, plan_lines

    if stream is not None:
        stream.plan_finished(plans)
    elif output_format == "json":
        print_document(plan_document(plans), output_format)
    else:
        console = output.out
        every = output.verbosity > 0
        lines = plan_lines(plans, width=text_width(console), every_host=every, as_diff=as_diff)
        print_lines(console, lines)


def _print_plan_warnings(plans: Sequence[HostPlan]) -> None:
    """Print on stderr what plans warn of, where nothing else shows them before they are done."""
    from aegis_provision.humanize import escape_control
    from aegis_provision.inventory.ranges import truncate

    warnings = ((words, item.host) for item in plans for words in item.warnings)
    for words, hosts in group_pairs(warnings).items():
        names = ", ".join(truncate(hosts, _MOST_NAMES))
        echo(escape_control(f"warning: {names}: {words}"), err=True)


def print_schedule(output: Output, schedule: Schedule, output_format: Format) -> None:
    """Print plays, batches and hosts on stdout."""
    from aegis_provision.report.console import print_lines
    from aegis_provision.report.plan_report import schedule_document, schedule_lines

    if output_format == "text":
        print_lines(output.out, schedule_lines(schedule))
    else:
        print_document(schedule_document(schedule), output_format)


class Confirmation(Enum):
    """What the operator said, or that there was no terminal to ask on."""

    YES = "yes"
    NO = "no"
    NO_TERMINAL = "no terminal"


def confirm(question: str) -> Confirmation:
    """Ask ``question`` on stderr and read the answer from the terminal.

    Only ``yes`` or ``y`` is a yes; the end of input is a no. Without a terminal to ask and to
    answer on, no question is asked.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Confirmation.NO_TERMINAL
    said = ""
    try:
        # Within, as Ctrl-C may come as soon as the question can be read.
        echo(f"{question} [y/N] ", err=True, end="")
        said = sys.stdin.readline()
    except (UnicodeDecodeError, OSError):  # the terminal may be gone
        return Confirmation.NO
    finally:
        if not said.endswith("\n"):
            echo(err=True)
    return Confirmation.YES if said.strip().lower() in {"y", "yes"} else Confirmation.NO
