"""``session``: one session with a provider of its own, through a host's API."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from aegis_provision.cli import completion
from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    Seconds,
    host_options,
    max_fail_option,
    output_options,
    parsed,
    serial_option,
)
from aegis_provision.cli.output import echo, echo_utf8
from aegis_provision.cli.suggested_commands import completed
from aegis_provision.operations.exit_codes import ExitCode, session_exit_code
from aegis_provision.operations.session import (
    SessionSelection,
    list_on_hosts,
    name_problem,
    prepare_start,
    prompt_from,
    shown_requests,
    start,
    stop,
    work_dir_problem,
)
from aegis_provision.rollout.thread_pool import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.cli.observers import Observers
    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output
    from aegis_provision.playbook.host_counts import HostCount
    from aegis_provision.rollout.session_fleet import SessionBatchResult
    from aegis_provision.rollout.session_results import SessionListing, SessionResult

Result = TypeVar("Result", "SessionResult", "SessionListing")

_LARGEST_PROMPT = 64 * 1024
_MOST_NAMED = 5
_STANDARD_INPUT = "-"


def _without_problem(problem_of: Callable[[str], str]) -> Callable[[str], str]:
    """Return what reads a flag's text, unless ``problem_of`` says what is wrong with it."""

    def read(text: str) -> str:
        problem = problem_of(text)
        if problem:
            raise ValueError(f"it {problem}.")
        return text

    return read


@click.group("session", invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@click.pass_context
def command(context: click.Context) -> int:
    """Start, list or stop sessions with a provider of their own, through the hosts' Aegis.

    A session that is started here has five variables of its own, in place of those in its host's
    file, which stays as it is.
    """
    if context.invoked_subcommand is not None:
        return ExitCode.DONE
    echo(context.get_help(), err=True)
    return ExitCode.USAGE


@command.command("start", short_help="Start one session on each host.")
@click.argument("host", shell_complete=completion.patterns)
@click.option(
    "--work-dir",
    required=True,
    metavar="DIR",
    callback=parsed(_without_problem(work_dir_problem)),
    help="The directory on the host that the session works in: an absolute path.",
)
@click.option(
    "--provider",
    metavar="NAME",
    shell_complete=completion.providers,
    help="Another provider than the host's own.",
)
@click.option(
    "--name",
    metavar="NAME",
    callback=parsed(_without_problem(name_problem)),
    help="What Aegis calls the session.",
)
@click.option(
    "--prompt-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="The first prompt, sent once Claude runs in the session; '-' is standard input.",
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=TEMPLATE",
    help="A further session variable, or another value for one of the five: NAME='${VARIABLE}'. "
    "Secrets are references alone. May be given several times.",
)
@click.option(
    "--wait",
    type=Seconds(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long Claude may take to come up.",
)
@click.option(
    "--print",
    "shown",
    type=click.Choice(["json", "curl"]),
    help="Send nothing: show the request masked, or as a shell command that takes the secrets "
    "from the environment.",
)
@serial_option
@max_fail_option
@host_options
@output_options
def start_command(
    host: str,
    *,
    work_dir: str,
    provider: str | None,
    name: str | None,
    prompt_file: Path | None,
    env: tuple[str, ...],
    wait: float,
    shown: Literal["json", "curl"] | None,
    serial: tuple[HostCount, ...] | None,
    max_fail: HostCount | None,
    options: FleetOptions,
    output: Output,
) -> int:
    """Start one session on HOST, a host or a pattern as in --limit, and see Claude run in it.

    The session gets all five variables of its provider, so that nothing of the host's own provider
    is left in it, and the further ones of the recipe and the host. The prompt is sent to the new
    session, and to no other. Where Aegis gives an old session instead, this is a failure.
    """
    prompt = _prompt(prompt_file) if prompt_file is not None else ""
    selection = SessionSelection(
        host, work_dir, provider, name or "", env, prompt, serial, max_fail, wait
    )
    if shown is not None:
        return _show(selection, shown, options, output)
    return _start(selection, options, output)


@command.command("list", short_help="List the sessions of hosts.")
@click.argument("host", shell_complete=completion.patterns)
@host_options
@output_options
def list_command(host: str, *, options: FleetOptions, output: Output) -> int:
    """List the sessions of HOST, a host or a pattern as in --limit.

    Those that the API's token does not show are counted.
    """
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.report.session_report import listing_document, listing_lines

    with observe_run(output, forks=options.connection.forks) as observers:
        listings = list_on_hosts(
            options.inventory, host, options.environment, options.connection, observers.emit
        )
    listings = _with_command_lines(listings)
    code = session_exit_code(listings)
    if observers.stream is not None:
        observers.stream.sessions_finished(listing_document(listings, code))
    elif output.format == "json":
        output.print_document(listing_document(listings, code))
    else:
        output.print_lines(listing_lines(listings))
    return code


@command.command("stop", short_help="Stop a session of a host.")
@click.argument("host", shell_complete=completion.hosts)
@click.argument("id_", metavar="ID")
@host_options
@output_options
def stop_command(host: str, id_: str, *, options: FleetOptions, output: Output) -> int:
    """Stop the session ID on HOST.

    ID may be the beginning of an id, as long as no other session there begins with it.
    """
    from aegis_provision.cli.observers import observe_run

    cancel = CancelToken()
    with (
        interrupts(cancel) as signals,
        observe_run(output, forks=1) as observers,
    ):
        signals.writing_begins()
        run = stop(
            options.inventory,
            host,
            id_,
            options.environment,
            options.connection,
            observers.emit,
            cancel,
        )
    return _print(run, output, observers)


def _start(selection: SessionSelection, options: FleetOptions, output: Output) -> ExitCode:
    from aegis_provision.cli.observers import observe_run

    job = prepare_start(options.inventory, selection, options.environment, options.connection)
    output.print_diagnostics(job.diagnostics)
    cancel = CancelToken()
    with (
        interrupts(cancel) as signals,
        observe_run(output, forks=options.connection.forks) as observers,
    ):
        # A session that was begun is waited for: its id would be lost.
        signals.writing_begins()
        run = start(job, observers.emit, cancel)
    return _print(run, output, observers)


def _show(
    selection: SessionSelection,
    shown: Literal["json", "curl"],
    options: FleetOptions,
    output: Output,
) -> ExitCode:
    from aegis_provision.humanize import listed
    from aegis_provision.report.session_request_report import curl_command, requests_document

    requests, diagnostics = shown_requests(options.inventory, selection, options.environment)
    output.print_diagnostics(diagnostics)
    if shown == "json":
        output.print_document(requests_document(requests))
    else:
        echo_utf8("".join(f"{curl_command(item)}\n" for item in requests))
        names = dict.fromkeys(name for item in requests for name in item.needed)
        output.info(
            f"Run it on the host itself, in a shell that has {listed(names)} in its environment."
        )
    guessed = [item.host for item in requests if not item.address_is_known]
    if guessed:
        output.info(
            f"Where Aegis listens is a guess: set api for {listed(guessed, most=_MOST_NAMED)}."
        )
    if selection.prompt:
        output.info("The prompt is in no request: it goes to the session once that is there.")
    return ExitCode.DONE


def _print(run: SessionBatchResult, output: Output, observers: Observers) -> ExitCode:
    from aegis_provision.report.session_report import recap_lines, session_document

    results = _with_command_lines(run.results)
    code = session_exit_code(results, interrupted=run.interrupted)
    if observers.stream is not None:
        observers.stream.session_finished(session_document(results, code))
    elif output.format == "json":
        output.print_document(session_document(results, code))
    else:
        output.print_lines(recap_lines(results))
    return code


def _with_command_lines(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return ``results`` with the flags of this command line in those that their hints suggest."""
    given = Invocation.current().given
    return tuple(replace(item, hint=completed(item.hint, given)) for item in results)


def _prompt(path: Path) -> str:
    """Return the prompt at ``path``. Raises :class:`Error` for what is none."""
    from aegis_provision.errors import InputError
    from aegis_provision.files.reading import read_file

    if str(path) == _STANDARD_INPUT:
        stream = getattr(sys.stdin, "buffer", None)
        data = (
            sys.stdin.read(_LARGEST_PROMPT).encode()
            if stream is None
            else (stream.read(_LARGEST_PROMPT))
        )
        return prompt_from(data, "--prompt-file: standard input")
    try:
        return prompt_from(read_file(path, _LARGEST_PROMPT), f"--prompt-file: {path}")
    except OSError as problem:
        raise InputError(f"--prompt-file: {path} can't be read: {problem.strerror}") from None
