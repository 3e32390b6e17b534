"""A run on the command line: plan, show, ask, apply, sum up."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.cli.interrupts import interrupts, wait_for_input
from aegis_provision.cli.observers import observe_run
from aegis_provision.cli.output import echo, echo_utf8
from aegis_provision.humanize import counted
from aegis_provision.operations.exit_codes import ExitCode, plan_exit_code
from aegis_provision.operations.plan import plan
from aegis_provision.rollout.events import RunFinished
from aegis_provision.rollout.thread_pool import CancelToken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis_provision.cli.observers import Observers
    from aegis_provision.cli.output import Output
    from aegis_provision.history.run_header import RunKind
    from aegis_provision.operations.apply import Run
    from aegis_provision.operations.plan import Job, RunPlan
    from aegis_provision.operations.saved_plans import SavedPlanFile
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.report.ndjson import EventStream
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.rollout.run_state import RunState


def plan_and_apply(
    job: Job,
    output: Output,
    *,
    check: bool,
    yes: bool,
    report: Path | None,
    saved: SavedPlanFile | None = None,
    as_diff: bool = False,
    detailed: bool = False,
) -> ExitCode:
    """Plan ``job``, show the plan, ask, apply it and sum up.

    With ``check`` it ends with the plan, with ``yes`` nothing is asked. With ``saved`` nothing but
    that saved plan is applied. Raises :class:`RefusedError` where the run can't be recorded, or
    where the hosts are not what the saved plan saw.
    """
    # 'plan' does without, and starts sooner.
    from aegis_provision.operations.apply import apply, refused_results, run_name
    from aegis_provision.report.console import print_lines
    from aegis_provision.report.plan_report import warning_lines

    cancel = CancelToken()
    with (
        interrupts(cancel) as signals,
        job.executor(keeps_connections=not check) as executor,
        observe_run(
            output, forks=job.connection.forks, report=report, about=job.info.titled()
        ) as observers,
    ):
        planned = plan(job, executor, observers.emit)
        observers.display.pause()
        if check or output.format == "text":
            print_plan(output, planned.hosts, observers.stream, as_diff=as_diff)
        elif output.format in {"json", "markdown"}:
            # Nothing else shows before the write what the plans warn of.
            print_lines(output.err, warning_lines(planned.hosts))
        name, kind = run_name(datetime.now(UTC)), job.info.kind
        if saved is not None and (stale := saved.stale_hosts(planned.hosts)):
            if not check:
                results = refused_results(planned, stale.hosts)
                _print_refusal(kind, name, results, output, observers)
            raise saved.stale(stale)
        if check:
            return plan_exit_code(planned.hosts, detailed=detailed)
        if refusal := _ask(planned, yes=yes):
            _print_refusal(kind, name, refused_results(planned), output, observers)
            echo(f"error: {refusal}", err=True)
            return ExitCode.REFUSED
        # Before there is a record, so that none is left without an end.
        signals.writing_begins()
        run = apply(
            planned,
            name,
            datetime.now(UTC),
            executor=executor,
            cancel=cancel,
            observers=observers.observers,
            bugs=observers.bugs,
        )
        observers.display.pause()
        if run.record_problem:
            _warn(f"the record of this run is not whole: {run.record_problem}")
    _print_results(kind, run, output, observers.display.state)
    return run.exit_code


def print_plan(
    output: Output, plans: Sequence[HostPlan], stream: EventStream | None, *, as_diff: bool = False
) -> None:
    """Print ``plans`` on stdout, as the last line of ``stream`` where events are watched."""
    from aegis_provision.report.plan_report import plan_document, plan_lines

    if stream is not None:
        stream.plan_finished(plans)
    elif output.format == "json":
        output.print_document(plan_document(plans))
    elif output.format == "markdown":
        from aegis_provision.report.markdown_comments import plan_comment

        echo_utf8(plan_comment(plans))
    else:
        output.print_lines(
            plan_lines(plans, width=output.width, every_host=output.every_host, as_diff=as_diff)
        )


class Confirmation(Enum):
    """What the operator answered, or that there was no terminal to ask on."""

    YES = "yes"
    NO = "no"
    NO_TERMINAL = "no terminal"


def _ask(planned: RunPlan, *, yes: bool) -> str | None:
    """Ask the operator to agree to what would be done; return why it must not be, if so."""
    changing, restarting = len(planned.changing), len(planned.restarting)
    if not changing and not restarting:
        return None
    _warn(planned.predicted_stop())
    large = planned.largest_batch()
    if yes:
        _warn(large.words if large else "")
        return None
    verb = f"Undo {planned.job.info.undoes} on" if planned.is_rollback else "Write to"
    question = f"{verb} {counted(changing, 'host')}"
    if restarting:
        question += f" and restart Aegis on {restarting}"
    sessions = planned.starting_sessions
    if sessions:
        prompt = " with a prompt" if any(sessions.values()) else ""
        question += f", and start a session{prompt} on {len(sessions)}"
    questions = [f"{question}?"]
    if large:
        questions.append(f"{large.words[0].upper()}{large.words[1:]}. Are you sure?")
    for asked in questions:
        match confirm(asked):
            case Confirmation.YES:
                continue
            case Confirmation.NO:
                return "not confirmed; nothing was written"
            case Confirmation.NO_TERMINAL:
                return "nothing was written: there is no terminal to ask on; say --yes to go ahead"
    return None


def confirm(question: str) -> Confirmation:
    """Ask ``question`` on stderr and read the answer from the terminal.

    Only ``yes`` or ``y`` is a yes; the end of input is a no. Without a terminal to ask and to
    answer on, no question is asked.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Confirmation.NO_TERMINAL
    answer = ""
    try:
        # Within, as Ctrl-C may come as soon as the question can be read.
        echo(f"{question} [y/N] ", err=True, end="")
        wait_for_input(sys.stdin)
        answer = sys.stdin.readline()
    except (UnicodeDecodeError, OSError):  # the terminal may be gone
        return Confirmation.NO
    finally:
        if not answer.endswith("\n"):
            echo(err=True)
    return Confirmation.YES if answer.strip().lower() in {"y", "yes"} else Confirmation.NO


def _warn(text: str) -> None:
    if text:
        echo(f"warning: {text}", err=True)


def _print_refusal(
    kind: RunKind,
    name: str,
    results: tuple[HostResult, ...],
    output: Output,
    observers: Observers,
) -> None:
    """Tell programs, which read events or a document, that the run was refused."""
    if observers.stream is not None:
        observers.stream(RunFinished(results, ExitCode.REFUSED))
    _print_run_document(output, kind, name, results, ExitCode.REFUSED)


def _print_run_document(
    output: Output, kind: RunKind, name: str, results: tuple[HostResult, ...], code: ExitCode
) -> None:
    """Print how the run called ``name`` ended, where that is wanted as a document or a comment."""
    if output.format == "json":
        from aegis_provision.report.apply_report import apply_document

        output.print_document(apply_document(name, results, code))
    elif output.format == "markdown":
        from aegis_provision.report.markdown_comments import apply_comment

        echo_utf8(apply_comment(kind, name, results))


def _print_results(kind: RunKind, run: Run, output: Output, state: RunState) -> None:
    from aegis_provision.report.apply_report import nothing_to_do, recap_lines

    _print_run_document(output, kind, run.name, run.hosts, run.exit_code)
    if output.format != "text":
        return
    output.print_lines(
        recap_lines(run.hosts, width=output.width, every_host=output.every_host, state=state)
    )
    if not nothing_to_do(run.hosts):
        output.info(f"Run {run.name}; see 'aegis-provision history'")
