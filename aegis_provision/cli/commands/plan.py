"""``plan``: read the hosts and show what would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.exits import exit_of_plan
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.fleet import inventory_paths
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    ConnectionFlags,
    connection_options,
    detailed_exitcode_option,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    no_secrets_option,
    output_options,
    playbook_argument,
)
from aegis_provision.cli.planned import Scope, prepare, print_plan
from aegis_provision.cli.suggested_commands import piped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format


@click.command("plan")
@playbook_argument
@inventory_option
@limit_option
@env_file_option
@no_secrets_option
@connection_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the plan in FILE, for 'apply FILE'. It holds no secret.",
)
@detailed_exitcode_option
@format_option
@output_options
def command(
    playbook: Path | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    environ: Mapping[str, str],
    no_secrets: bool,
    flags: ConnectionFlags,
    out: Path | None,
    detailed_exitcode: bool,
    output_format: Format,
    output: Output,
) -> int:
    """Read the hosts and show the masked diff; nothing is written.

    Shows host by host what 'apply' would change, or why it would refuse, and then the sum.
    With --out, 'apply FILE' does exactly what was shown, or refuses.
    """
    from aegis_provision.cli.watching import watching
    from aegis_provision.rollout.reading import KeptConnections, read_fleet

    _check_arguments(playbook, out, inventory)
    scope = Scope(inventory, limit, playbook, no_secrets=no_secrets)
    job = prepare(scope, environ, flags)
    show_findings(output, job.findings)
    with (
        KeptConnections(limit=0) as kept,
        watching(output, output_format, forks=flags.forks) as watch,
    ):
        plans = read_fleet(job.works, job.reach, kept, watch.emit)
    print_plan(output, plans, output_format, watch.stream)
    if out is not None:
        from aegis_provision.cli.saved_plans import keep_plan

        keep_plan(out, scope, job, plans)
        output.say(_how_to_go_on(out))
    return exit_of_plan(plans, detailed=detailed_exitcode)


def _how_to_go_on(saved: Path) -> str:
    """Return where the plan is, and the command line that carries it out from the same place."""
    from aegis_provision.cli.saved_plans import apply_line

    again = piped(Invocation.current().given)
    with_pipes = f" (and {' and '.join(again)} again)" if again else ""
    return f"Saved to {saved}; carry it out{with_pipes} with: {apply_line(saved)}"


def _check_arguments(playbook: Path | None, out: Path | None, inventory: tuple[Path, ...]) -> None:
    if playbook is None and out is None:
        return
    from aegis_provision.cli.saved_plans import apply_line, check_place, saved_plan_at

    if playbook is not None and saved_plan_at(playbook) is not None:
        raise click.UsageError(
            f"{playbook} is a saved plan; this shows it, and whether it still holds: "
            f"{apply_line(playbook, '--check')}"
        )
    if out is not None:
        check_place(out, inventory_paths(inventory))
