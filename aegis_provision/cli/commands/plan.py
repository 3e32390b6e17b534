"""``plan``: read the hosts and show what would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.diagnostics import print_diagnostics_to_stderr
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
from aegis_provision.cli.suggested_commands import piped
from aegis_provision.operations.exit_codes import plan_exit_code
from aegis_provision.operations.load import inventory_paths
from aegis_provision.operations.plan import RunSelection, prepare_job, print_plan

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
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.rollout.planner import ConnectionPool, plan_fleet

    _check_arguments(playbook, out, inventory)
    scope = RunSelection(inventory, limit, playbook, no_secrets=no_secrets)
    job = prepare_job(scope, environ, flags)
    print_diagnostics_to_stderr(output, job.findings)
    with (
        ConnectionPool(limit=0) as kept,
        observe_run(output, output_format, forks=flags.forks) as watch,
    ):
        plans = plan_fleet(job.jobs, job.connection, kept, watch.emit)
    print_plan(output, plans, output_format, watch.stream)
    if out is not None:
        from aegis_provision.operations.saved_plans import write_saved_plan

        write_saved_plan(out, scope, job, plans)
        output.say(_how_to_go_on(out))
    return plan_exit_code(plans, detailed=detailed_exitcode)


def _how_to_go_on(saved: Path) -> str:
    """Return where the plan is, and the command line that carries it out from the same place."""
    from aegis_provision.operations.saved_plans import apply_line

    again = piped(Invocation.current().given)
    with_pipes = f" (and {' and '.join(again)} again)" if again else ""
    return f"Saved to {saved}; carry it out{with_pipes} with: {apply_line(saved)}"


def _check_arguments(playbook: Path | None, out: Path | None, inventory: tuple[Path, ...]) -> None:
    if playbook is None and out is None:
        return
    from aegis_provision.operations.saved_plans import apply_line, check_output_path, saved_plan_at

    if playbook is not None and saved_plan_at(playbook) is not None:
        raise click.UsageError(
            f"{playbook} is a saved plan; this shows it, and whether it still holds: "
            f"{apply_line(playbook, '--check')}"
        )
    if out is not None:
        check_output_path(out, inventory_paths(inventory))
