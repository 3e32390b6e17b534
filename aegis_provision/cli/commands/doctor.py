"""``doctor``: what is wrong on the hosts, each fault once, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.options import fleet_options, option, output_options
from aegis_provision.operations.exit_codes import doctor_exit_code

if TYPE_CHECKING:
    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output


@click.command("doctor")
@click.argument("pattern", required=False, shell_complete=completion.patterns)
@fleet_options
@option(
    "--probe",
    is_flag=True,
    help="Ask the providers, with the hosts' tokens: they see a request, and may count it.",
)
@output_options
def command(pattern: str | None, *, options: FleetOptions, probe: bool, output: Output) -> int:
    """Look at the hosts that PATTERN selects (all without one) and tell what is wrong there.

    Makes a list of checks on each host, in the order in which things break: from its name over the
    login and the file to Aegis, Claude Code and the provider. A check that rests on a failed one
    is not made: one fault is told once, with what to do. Exits with 4 where a check failed.

    Nothing is written, neither on hosts nor here: no host key is taken, --host-key or not. A
    variable that is unset stops nothing. Without --probe no provider gets a request.

    Where there is no inventory, neither named nor ./inventory.yml, it looks at the control
    node, which is this machine: Python and the packages, ssh config, agent, keys and known_hosts,
    the directory of records, the locale, and which recipes have their variables.
    """
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.operations.doctor import doctor, prepare_doctor
    from aegis_provision.operations.load import inventory_is_absent, load_fleet
    from aegis_provision.report.doctor_report import doctor_document, doctor_lines

    if inventory_is_absent(options.inventory) and not (pattern or options.limit or probe):
        return _look_at_control_node(options, output)
    fleet = load_fleet(options.inventory, options.environment.environ, of_all=False)
    patterns = {"--limit": options.limit, "PATTERN": pattern}
    job = prepare_doctor(fleet, patterns, options.environment, options.connection, probe=probe)
    output.print_diagnostics(job.diagnostics)
    with observe_run(output, forks=options.connection.forks) as observers:
        hosts = doctor(job, observers.emit)
    if observers.stream is not None:
        observers.stream.doctor_finished(doctor_document(hosts))
    elif output.format == "json":
        output.print_document(doctor_document(hosts))
    else:
        output.print_lines(doctor_lines(hosts, width=output.width, every_host=output.every_host))
    return doctor_exit_code(hosts)


def _look_at_control_node(options: FleetOptions, output: Output) -> int:
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.operations.doctor_control_node import doctor_control_node
    from aegis_provision.report.doctor_report import control_node_lines, doctor_document

    encoding = output.out.encoding
    with observe_run(output, forks=options.connection.forks) as observers:
        checks = doctor_control_node(options.environment, options.connection, encoding=encoding)
    if observers.stream is not None:
        observers.stream.doctor_finished(doctor_document((), control_node=checks))
    elif output.format == "json":
        output.print_document(doctor_document((), control_node=checks))
    else:
        output.print_lines(control_node_lines(checks))
    return doctor_exit_code([HostChecks("", checks)])
