"""``demo``: the whole job against a small fleet on loopback."""

from __future__ import annotations

import shlex
import signal
import textwrap
import threading
from contextlib import chdir, contextmanager
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.main import run
from aegis_provision.cli.options import ENV_PREFIX
from aegis_provision.cli.output import echo
from aegis_provision.demo.scenario import COMMANDS_TO_TRY, FEWEST_HOSTS, LOGIN, MOST_HOSTS, STEPS
from aegis_provision.errors import MissingExtraError, RefusedError
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from aegis_provision.demo.fleet import DemoFleet

_WIDTH = 92
_RECIPE_PREFIXES = ("AZURE_OPENAI_", "GATEWAY_", "GLM_", "LM_STUDIO_", "OLLAMA_", "OPENROUTER_")


@click.command("demo")
@click.option(
    "--hosts",
    "count",
    type=click.IntRange(FEWEST_HOSTS, MOST_HOSTS),
    default=8,
    show_default=True,
    help="How many hosts to start.",
)
@click.option("--keep", is_flag=True, help="Leave the hosts up, to go on by hand, until Ctrl-C.")
def command(count: int, *, keep: bool) -> int:
    """Try all of it against a small fleet of SSH hosts on loopback.

    Starts the hosts, then runs validate, plan, apply with a playbook, plan and status on them as
    you would. They have their own keys, inventory and ssh config, in a directory that is removed at
    the end; no file of yours is read or written. Needs the extra 'demo':
    pip install 'aegis-provision[demo]'.
    """
    environ = Invocation.current().environ
    try:
        with _signals_interrupt() as ignore_signals, _fleet(count) as fleet:
            try:
                with chdir(fleet.directory):
                    code = _show(fleet, environ, keep=keep)
            except KeyboardInterrupt:
                echo("interrupted", err=True)
                code = ExitCode.INTERRUPTED
            finally:
                ignore_signals()
    except OSError as problem:
        raise RefusedError(
            f"the demo's hosts can't be set up: {problem.strerror or problem}"
        ) from None
    echo("\nThe hosts are stopped and everything of theirs is removed.")
    return code


def _fleet(count: int) -> AbstractContextManager[DemoFleet]:
    # asyncssh is an extra, and even its import looks for room for temporary files.
    try:
        from aegis_provision.demo.fleet import running_fleet
    except ModuleNotFoundError as problem:
        if problem.name != "asyncssh":
            raise
        raise MissingExtraError(
            "the demo needs asyncssh, which is not installed",
            "pip install 'aegis-provision[demo]'",
        ) from None
    return running_fleet(count)


@contextmanager
def _signals_interrupt() -> Iterator[Callable[[], None]]:
    """Let a polite kill and a lost terminal end the demo as Ctrl-C does: in order.

    Gives a function that makes the signals harmless: nothing may interrupt the tidying up.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield ignore
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(fleet: DemoFleet, environ: Mapping[str, str], *, keep: bool) -> int:
    intro = (
        f"{len(fleet.hosts)} hosts are up on loopback, each an SSH server of its own. They, their "
        "inventory, keys and made-up tokens live in a directory that goes when the demo ends:"
    )
    echo(f"{textwrap.fill(intro, _WIDTH)}\n")
    echo(f"$ cd {shlex.quote(str(fleet.directory))}")
    for step in STEPS:
        echo(f"\n{textwrap.fill(step.words, _WIDTH)}\n\n$ {step.typed()}")
        code = run(step.command, _environ_of(fleet, environ))
        if code != ExitCode.DONE:
            echo(f"error: that ended with exit code {code}; the demo stops", err=True)
            return code
    echo(f"\nDemo: all {len(STEPS)} commands did what they should on {len(fleet.hosts)} hosts.")
    if keep:
        _keep_up(fleet, environ)
    return ExitCode.DONE


def _environ_of(fleet: DemoFleet, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing leads to the user's keys, agent or tokens."""
    own = {"HOME": str(fleet.directory), "LOGNAME": LOGIN}
    if "NO_COLOR" in environ:
        own["NO_COLOR"] = environ["NO_COLOR"]
    return own


def _keep_up(fleet: DemoFleet, environ: Mapping[str, str]) -> None:
    try:
        _print_commands_to_try(fleet, environ)
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _print_commands_to_try(fleet: DemoFleet, environ: Mapping[str, str]) -> None:
    echo("\nThe hosts stay up until you press Ctrl-C here. In another terminal:\n")
    echo(f"cd {shlex.quote(str(fleet.directory))}")
    in_the_way = sorted(
        name for name in environ if name.startswith((*_RECIPE_PREFIXES, ENV_PREFIX))
    )
    if in_the_way:
        echo("# set in your shell, and stronger than what the demo brings:")
        echo(f"unset {' '.join(in_the_way)}")
    for example in COMMANDS_TO_TRY:
        echo(f"\n# {example.words}\n{example.typed()}")
    file = fleet.config_file("gpu-02").relative_to(fleet.directory)
    echo(f"\n# what a host has now:\ncat {file}")
