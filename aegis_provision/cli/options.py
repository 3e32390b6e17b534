"""The flags that commands share, each packed into one value before the command sees it."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from aegis_provision.cli import completion
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.output import Format, Output
from aegis_provision.cli.suggested_commands import CARRIED
from aegis_provision.inputs.inventory_names import ANSIBLE_PREFIX
from aegis_provision.playbook.host_counts import parse_max_fail, parse_serial
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.report.console import Color

R = TypeVar("R")
_Command = TypeVar("_Command", bound="Callable[..., Any]")

ENV_PREFIX = "AEGIS_PROVISION_"
_MOST_WORKERS = 256
_LOCAL, _DASK = "local", "dask"


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """The hosts that a command works on, and how it reaches them."""

    inventory: tuple[Path, ...]
    limit: str | None
    environment: Environment
    connection: ConnectionOptions


class EnvironOption(click.Option):
    """An option that can also be set as ``AEGIS_PROVISION_NAME`` in the invocation's environment.

    The variable's name is the flag's, in capitals; ``from_environ=False`` is for what must be
    said each time.
    """

    def __init__(self, *args: Any, from_environ: bool = True, **kwargs: Any) -> None:
        """Name the variable after the flag."""
        super().__init__(*args, **kwargs)
        if from_environ:
            longest = max(self.opts, key=len)
            self.envvar = ENV_PREFIX + longest.lstrip("-").upper().replace("-", "_")
            self.show_envvar = True

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """Return the flag and its variable as an error names them, with every version of click."""
        flags = " / ".join(f"'{name}'" for name in self.opts)
        return f"{flags} (env var: '{self.envvar}')" if self.envvar else flags

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value out of the invocation's environment; empty is unset."""
        if not isinstance(self.envvar, str):
            return None
        invocation = ctx.find_root().obj
        if not isinstance(invocation, Invocation):
            return None
        return invocation.environ.get(self.envvar) or None

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, ParameterSource]:
        """Return the value and where it comes from; note what was typed, for suggested commands."""
        value, source = super().consume_value(ctx, opts)
        invocation = ctx.find_root().obj
        if (
            source is ParameterSource.COMMANDLINE
            and self.name in CARRIED
            and isinstance(invocation, Invocation)
        ):
            typed = value if isinstance(value, (list, tuple)) else (value,)
            invocation.given[self.name] = tuple(str(item) for item in typed)
        return value, source


def option(*args: Any, **kwargs: Any) -> Callable[[_Command], _Command]:
    """Declare an option that its environment variable can set too."""
    return click.option(*args, cls=EnvironOption, **kwargs)


def parsed(parse: Callable[[str], object]) -> Callable[..., object]:
    """Return a click callback that reads a flag's value with ``parse``.

    A :class:`ValueError` of it says what is wrong.
    """

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as problem:
            raise click.BadParameter(str(problem), ctx, param) from None

    return callback


class _InventoryPath(click.Path):
    """A path of an inventory; in a variable several are separated as in ``PATH``.

    The colon of ``ansible:PATH`` separates nothing.
    """

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        pieces: list[str] = []
        for piece in rv.split(os.pathsep):
            if pieces and pieces[-1] == ANSIBLE_PREFIX:
                pieces[-1] += piece
            elif f"{piece}:" == ANSIBLE_PREFIX:
                pieces.append(ANSIBLE_PREFIX)
            elif piece:
                pieces.append(piece)
        return pieces


_A_PATH = click.Path(path_type=Path)
inventory_option = option(
    "-i",
    "--inventory",
    multiple=True,
    type=_InventoryPath(path_type=Path),
    metavar="PATH",
    help="Inventory file, directory or script, or ansible:PATH for one that Ansible reads; may be "
    "given several times. Without it: ./inventory.yml.",
)
policy_option = option(
    "--policy",
    multiple=True,
    type=_A_PATH,
    metavar="FILE",
    help="What the inventory is held to; may be given several times. Without it: policy.yml beside "
    "the inventory.",
)
serial_option = option(
    "--serial",
    metavar="SIZES",
    callback=parsed(parse_serial),
    help="Batches of every play: a number, a share, or several: 1,10%,50%.",
)
max_fail_option = option(
    "--max-fail",
    metavar="SHARE",
    callback=parsed(parse_max_fail),
    help="How many hosts may fail before nothing new begins: a number or a share.",
)
limit_option = option(
    "-l",
    "--limit",
    metavar="PATTERN",
    shell_complete=completion.patterns,
    help="Only these hosts: a:b, a:&b, a:!b, globs, @file.",
)
no_secrets_option = option(
    "--no-secrets",
    is_flag=True,
    help="Neither need nor read tokens: those on the hosts count as unknown until apply.",
)
check_option = option(
    "-C", "--check", is_flag=True, help="Only show the plan: asks and writes nothing."
)
diff_option = option(
    "-D", "--diff", "as_diff", is_flag=True, help="Show changes as a unified diff."
)
yes_option = option("-y", "--yes", is_flag=True, from_environ=False, help="Do not ask.")
report_option = option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the run as one HTML page.",
)
plan_report_option = option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    from_environ=False,
    help="Write the plan as one HTML page.",
)
detailed_exitcode_option = option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit 2 where changes are pending and nothing else is amiss.",
)


def output_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the flags about what is printed and how; the command gets ``output``."""
    return _with_flags(_with_output(command), (_format_option(), *_LOOKS))


def output_options_with_sarif(command: Callable[..., R]) -> Callable[..., R]:
    """Add what :func:`output_options` does, for a command whose result is diagnostics."""
    form = _format_option("sarif", help_of_more=" sarif is what code scanners exchange.")
    return _with_flags(_with_output(command), (form, *_LOOKS))


def output_options_with_markdown(command: Callable[..., R]) -> Callable[..., R]:
    """Add what :func:`output_options` does, for a command whose result a review shows."""
    form = _format_option(
        "markdown", help_of_more=" markdown is a comment for a pull or merge request."
    )
    return _with_flags(_with_output(command), (form, *_LOOKS))


def output_options_of_text(command: Callable[..., R]) -> Callable[..., R]:
    """Add what :func:`output_options` does, for a command whose result has one form."""
    return _with_flags(_with_output(command), _LOOKS)


def _with_output(command: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(command)
    def packed(
        *args: Any,
        color: Color,
        verbose: int,
        quiet: bool,
        output_format: Format = "text",
        **kwargs: Any,
    ) -> R:
        invocation = Invocation.current()
        invocation.color = color
        output = Output(color, invocation.no_color, output_format, verbose, quiet)
        return command(*args, output=output, **kwargs)

    return packed


def _format_option(*more: Format, help_of_more: str = "") -> Callable[[_Command], _Command]:
    return option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json", "ndjson", *more]),
        default="text",
        show_default=True,
        help="How the result is printed on stdout; ndjson is one JSON document a line, "
        f"each event as it happens.{help_of_more}",
    )


_LOOKS = (
    option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="When to use colour.",
    ),
    option(
        "-v",
        "--verbose",
        count=True,
        help="Name every host, as it is read and in the plan; may be repeated.",
    ),
    option("-q", "--quiet", is_flag=True, help="No progress, no notes."),
)


def env_file_option(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--env-file``; the command gets ``environment``, with its variables for templates."""

    @functools.wraps(command)
    def packed(*args: Any, env_file: tuple[Path, ...], **kwargs: Any) -> R:
        environment = Invocation.current().environment
        if env_file:
            from aegis_provision.inputs.env_file import read_env_file

            variables: dict[str, str] = {}
            for path in env_file:
                variables |= read_env_file(path)
            environment = replace(environment, variables={**variables, **environment.variables})
        return command(*args, environment=environment, **kwargs)

    return option(
        "--env-file",
        multiple=True,
        type=_A_PATH,
        metavar="FILE",
        help="NAME=value lines beneath the real environment; only you may be able to read it. "
        "'-' or a pipe is read to its end. May be given several times: the last one wins.",
    )(packed)


def fleet_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the flags of what works on hosts; the command gets ``options``, :class:`FleetOptions`."""
    flags = (inventory_option, limit_option, env_file_option, *_CONNECTION, *_EXECUTOR)
    return _with_flags(_with_fleet(command), flags)


def fleet_options_of_one_process(command: Callable[..., R]) -> Callable[..., R]:
    """Add what :func:`fleet_options` does but ``--workers`` and what goes with it."""
    flags = (inventory_option, limit_option, env_file_option, *_CONNECTION)
    return _with_flags(_with_fleet(command), flags)


def host_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the flags of what works on hosts that an argument names; the command gets ``options``."""
    flags = (inventory_option, env_file_option, *_CONNECTION)
    return _with_flags(_with_fleet(command), flags)


def _with_fleet(command: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(command)
    def packed(
        *args: Any,
        inventory: tuple[Path, ...],
        limit: str | None = None,
        environment: Environment,
        forks: int,
        workers: int = 1,
        executor: str = _LOCAL,
        scheduler: str | None = None,
        timeout: float,
        deadline: float,
        ssh_config: Path | None,
        known_hosts: tuple[Path, ...],
        host_key: str,
        **kwargs: Any,
    ) -> R:
        from aegis_provision.operations.connection import ConnectionOptions

        _check_executor(executor, scheduler, workers)
        connection = ConnectionOptions(
            forks,
            timeout,
            deadline,
            ssh_config,
            known_hosts,
            host_key == "accept-new",
            workers,
            scheduler,
        )
        options = FleetOptions(inventory, limit, environment, connection)
        return command(*args, options=options, **kwargs)

    return packed


def _check_executor(executor: str, scheduler: str | None, workers: int) -> None:
    """Raise :class:`click.UsageError` for flags that do not go together."""
    if executor == _DASK and not scheduler:
        raise click.UsageError("--executor dask needs --scheduler ADDRESS")
    if executor == _LOCAL and scheduler:
        raise click.UsageError("--scheduler goes with --executor dask")
    if executor == _DASK and workers > 1:
        raise click.UsageError(
            "--workers are processes on this machine; with --executor dask Dask's workers share "
            "the hosts"
        )


class Seconds(click.FloatRange):
    """Seconds of a flag: more than none, and a day at most."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=86_400)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds that ``value`` means."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return seconds


class Workers(click.IntRange):
    """How many worker processes: a number, or ``auto`` for as many as there are cores for us."""

    name = "workers"

    def __init__(self) -> None:
        super().__init__(min=1, max=_MOST_WORKERS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number that ``value`` means."""
        if value == "auto":
            from aegis_provision.operations.connection import usable_cores

            return min(_MOST_WORKERS, usable_cores())
        return int(super().convert(value, param, ctx))


_EXECUTOR = (
    option(
        "--workers",
        type=Workers(),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that share the hosts; 'auto' for one a core. --forks stays the total.",
    ),
    option(
        "--executor",
        type=click.Choice([_LOCAL, _DASK]),
        default=_LOCAL,
        show_default=True,
        help="Where hosts are worked on from: this machine, or a Dask cluster.",
    ),
    option(
        "--scheduler",
        metavar="ADDRESS",
        help="The cluster's scheduler, tls://HOST:PORT, for --executor dask.",
    ),
)
_CONNECTION = (
    option(
        "-f",
        "--forks",
        type=click.IntRange(1, 1000),
        default=32,
        show_default=True,
        help="How many hosts at once.",
    ),
    option(
        "--timeout",
        type=Seconds(),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="One step on a host.",
    ),
    option(
        "--deadline",
        type=Seconds(),
        default=120.0,
        show_default=True,
        metavar="SECONDS",
        help="A host's whole work.",
    ),
    option(
        "--ssh-config",
        type=_A_PATH,
        metavar="FILE",
        help="Without it: ~/.ssh/config. 'none' reads no file.",
    ),
    option(
        "--known-hosts",
        multiple=True,
        type=_A_PATH,
        metavar="FILE",
        help="Trusted host keys; may be given several times. Without it: OpenSSH's files.",
    ),
    option(
        "--host-key",
        type=click.Choice(["strict", "accept-new"]),
        default="strict",
        show_default=True,
        from_environ=False,
        help="accept-new takes unknown host keys, lists them and saves them.",
    ),
)


def _with_flags(
    command: Callable[..., R], flags: Sequence[Callable[[Callable[..., R]], Callable[..., R]]]
) -> Callable[..., R]:
    """Return ``command`` with ``flags`` on it, in the order of its help."""
    for flag in reversed(flags):
        command = flag(command)
    return command
