"""Run one command line: dispatch to the command, print errors, return the exit code."""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

from aegis_provision.cli.interrupts import ProcessSignals
from aegis_provision.cli.invocation import Invocation, load_command, utf8_text
from aegis_provision.cli.output import echo
from aegis_provision.cli.streams import output_error, protect_streams
from aegis_provision.errors import Error, InvalidInputError, shortage_of
from aegis_provision.operations.exit_codes import ExitCode, error_exit_code
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from click.shell_completion import CompletionItem

PROGRAM = "aegis-provision"
COMPLETE = "_AEGIS_PROVISION_COMPLETE"
"""The variable in which a shell says what to complete (see :mod:`.completion`)."""

SUMMARIES = {
    "init": "Write a starter inventory and playbook.",
    "validate": "Check everything that needs neither SSH nor secrets.",
    "providers": "List the recipes, their variables, and which of them are set.",
    "render": "Print the file that would be written.",
    "hosts": "Show the resolved inventory.",
    "explain": "Show where each value of a host comes from, and what it overrode.",
    "pin": "Give hosts a provider of their own, in the inventory's files.",
    "unpin": "Leave hosts to their groups' providers again.",
    "plan": "Read the hosts and show the masked diff.",
    "apply": "Write what the plan shows.",
    "status": "Tell what drifted on the hosts and what is pending.",
    "doctor": "Tell what is wrong on the hosts, each fault once, and what to do.",
    "session": "Start, list or stop sessions with a provider of their own.",
    "rollback": "Bring back the files from before a past run.",
    "history": "List past runs, or show one.",
    "import": "Make an inventory out of what the hosts have.",
    "run": "Start a server here on a provider, for as long as it runs.",
    "demo": "Try all of it against a small fleet on loopback.",
}


class _Text(type(click.STRING)):  # type: ignore[misc] # click has no public name for its class
    """What the operator says in words, paths excepted: UTF-8 in any locale."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        return utf8_text(str(super().convert(value, param, ctx)))


_TEXT = _Text()


class _Commands(click.Group):
    """The commands, each imported only when it runs: starting up is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in SUMMARIES:
            return None
        command = load_command(cmd_name)
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for parameter in (item for part in (command, *inner) for item in part.params):
            if isinstance(parameter.type, type(click.STRING)):
                parameter.type = _TEXT
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest one where it is not ours. Raises :class:`click.UsageError`."""
        name = args[0]
        if name not in SUMMARIES and not name.startswith("-"):
            from aegis_provision.documents.did_you_mean import did_you_mean
            from aegis_provision.documents.quoting import quote

            hint = did_you_mean(name, SUMMARIES)
            words = f"no command is called {quote(name)}" + (hint and f"; {hint}")
            raise click.UsageError(words, ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with ``incomplete``, importing none."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=words)
            for name, words in SUMMARIES.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'aegis-provision init', or see it all with 'aegis-provision demo'.",
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def program() -> None:
    """Bring a fleet of Aegis hosts to the LLM providers that an inventory names for them.

    An inventory says which provider each host should use; 'plan' shows what would change on the
    hosts, and 'apply' writes it over SSH. Secrets come from your environment.
    """


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line, without the program's name, and return its exit code.

    The result goes to ``sys.stdout``, all else to ``sys.stderr``. A bug is printed without any
    values, since they may be secret.
    """
    invocation = Invocation(environ)
    try:
        if COMPLETE in environ:
            return _complete(invocation)
        if not argv:
            with program.context_class(program, info_name=PROGRAM) as context:
                echo(program.get_help(context), err=True)
            return ExitCode.USAGE
        with program.make_context(PROGRAM, list(argv), obj=invocation) as context:
            return int(program.invoke(context) or ExitCode.DONE)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as problem:
        _show_usage(problem)
        return ExitCode.USAGE
    except InvalidInputError as problem:
        _show_diagnostics(problem, invocation)
        return ExitCode.INVALID_INPUT
    except Error as problem:
        _show_failure(problem, invocation)
        return error_exit_code(problem)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(invocation)
    except Exception as bug:  # noqa: BLE001 - the last line: a bug must not print what it holds
        if _is_interrupt(bug):
            return _interrupted(invocation)
        if isinstance(bug, FileNotFoundError) and _directory_is_gone():
            _print_error("error: the directory that this was started in is gone")
            _print_error("  = go into another one and try again")
            return ExitCode.INVALID_INPUT
        if lacking := shortage_of(bug) or getattr(bug, "lacking", None):
            _show_shortage(lacking, invocation)
        else:
            _show_bug(type(bug), bug.__traceback__, getattr(bug, "frames", ()))
        return ExitCode.BUG


def _is_interrupt(error: BaseException) -> bool:
    """Tell whether Ctrl-C is behind ``error``.

    A class that is being made hides it: before Python 3.12 what its fields raise becomes a
    ``RuntimeError``.
    """
    cause = error.__cause__
    return cause is not None and (isinstance(cause, KeyboardInterrupt) or _is_interrupt(cause))


def _directory_is_gone() -> bool:
    """Tell whether the working directory was removed: all that needs its name fails then."""
    from pathlib import Path

    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _interrupted(invocation: Invocation) -> ExitCode:
    _print_error("interrupted" if invocation.wrote else "interrupted; nothing was written")
    return ExitCode.INTERRUPTED


def _complete(invocation: Invocation) -> int:
    """Answer a shell that completes a command line, or asks for the script that makes it do so."""
    from aegis_provision.cli.completion import SHELLS, answer

    found = answer(program, COMPLETE, invocation)
    if found is None:
        forms = ", ".join(f"{shell}_source" for shell in SHELLS)
        _print_error(f"error: {COMPLETE} is none of: {forms}")
        return ExitCode.USAGE
    echo(found, end="")
    return ExitCode.DONE


def main() -> NoReturn:
    """Run the command line of this process."""
    protect_streams()
    threading.excepthook = _show_end_of_thread
    signals = ProcessSignals()
    # An inventory is many small values without circles: those are looked for once a run begins, and
    # not so often.
    gc.disable()
    gc.set_threshold(100_000)
    # paramiko imports this where it is there, for a part of its ssh config reader that nothing here
    # uses, and with it asyncio and unittest: much of the time that passes before we begin.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
    code: int = ExitCode.INTERRUPTED
    try:
        try:
            signals.begin()
            code = run(sys.argv[1:], os.environ)
            lost = output_error()  # a reader may keep this waiting
        finally:
            signals.end()
    except KeyboardInterrupt:
        _leave(ExitCode.INTERRUPTED)
    if lost:
        _print_error(f"error: the result could not be printed: {lost}")
        code = code if code > ExitCode.CHANGES_PENDING else ExitCode.BUG
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process without the interpreter's clean-up, which takes time for many values.

    Standard output was flushed before.
    """
    sys.stderr.flush()
    os._exit(code)


def _print_error(text: str) -> None:
    echo(text, err=True)


def _show_usage(problem: click.UsageError) -> None:
    """Say what is wrong with the command line: in the same words with every version of click."""
    context = problem.ctx
    if context is not None:
        _print_error(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n")
    message = problem.format_message()
    if isinstance(problem, click.NoSuchOption):
        from aegis_provision.cli.ansible_flags import meaning_to_ansible

        message = f"No such option '{problem.option_name}'."
        near = [f"'{name}'" for name in sorted(problem.possibilities or ())]
        if context is not None and context.parent is None and _is_of_a_command(problem.option_name):
            message += (
                f" It goes behind the command: '{PROGRAM} COMMAND {problem.option_name} ...'."
            )
        elif known := meaning_to_ansible(problem.option_name):
            message += f" {known}"
        elif near:
            lead = "Did you mean" if len(near) == 1 else "Did you mean one of:"
            message += f" ({lead} {', '.join(near)}?)"
    _print_error(f"Error: {message}")


def _is_of_a_command(flag: str) -> bool:
    """Tell whether commands have ``flag``; the program itself has hardly any."""
    return any(
        flag in (*parameter.opts, *parameter.secondary_opts)
        for name in ("apply", "hosts")
        for parameter in load_command(name).params
    )


def _show_diagnostics(problem: InvalidInputError, invocation: Invocation) -> None:
    from aegis_provision.cli.suggested_commands import complete_hints
    from aegis_provision.report.console import make_console, print_lines
    from aegis_provision.report.diagnostics import diagnostics_lines

    console = make_console(sys.stderr, invocation.color, no_color=invocation.no_color)
    hinted = complete_hints(problem.diagnostics, invocation.given)
    print_lines(console, diagnostics_lines(hinted))


def _show_failure(problem: Error, invocation: Invocation) -> None:
    from aegis_provision.cli.suggested_commands import command_line, completed
    from aegis_provision.humanize import escape_control

    _print_error(f"error: {escape_control(problem.message)}")
    for reason in problem.reasons:
        _print_error(f"  {escape_control(reason)}")
    if problem.hint or problem.command:
        hint = completed(problem.hint, invocation.given)
        if problem.command:
            hint += f": {command_line(invocation.given, *problem.command)}"
        _print_error(f"  = {escape_control(hint)}")


def _show_end_of_thread(caught: threading.ExceptHookArgs) -> None:
    lacking = caught.exc_value and shortage_of(caught.exc_value)
    if lacking:
        _print_error(f"error: {lacking}")
    else:
        _show_bug(caught.exc_type, caught.exc_traceback)


def _show_shortage(lacking: str, invocation: Invocation) -> None:
    """Print what this machine lacks. Nothing is loaded for that: there may be no room for it."""
    _print_error(f"error: {lacking}")
    _print_error(
        "  = lower --forks or --workers, choose fewer hosts with --limit, or raise 'ulimit'"
    )
    if invocation.wrote:
        _print_error("  = see what was written by then with 'aegis-provision history last'")


def _show_bug(
    kind: type[BaseException], trace: TracebackType | None, frames: Sequence[str] = ()
) -> None:
    """Print where a bug is, without any value; ``frames`` are those in a worker process."""
    _print_error(f"internal error: {kind.__name__} in aegis-provision {__version__}")
    for frame in traceback.extract_tb(trace)[-6:]:
        _print_error(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    for line in frames:
        _print_error(f"  in a worker: {line}")
    _print_error("This is a bug in the tool. Please report the lines above; they hold no values.")
