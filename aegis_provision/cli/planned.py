"""What ``plan`` and ``apply`` have in common: the work to do, and how a plan is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.fleet import fill_sessions, load_fleet, select_hosts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.reach import reach_of
from aegis_provision.rollout.reading import HostWork, Reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import ConnectionFlags
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.planning.model import HostPlan


@dataclass(frozen=True, slots=True)
class Job:
    """The hosts to work on, how to reach them, and the warnings found on the way."""

    works: tuple[HostWork, ...]
    reach: Reach
    findings: tuple[Diagnostic, ...]


def prepare(
    inventory: Sequence[Path],
    limit: str | None,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
) -> Job:
    """Return the job, or raise for input that is wrong, all before any connection.

    ``environ`` fills the templates; the connection's own variables come from the real
    environment alone. Raises :class:`InvalidInputError` and :class:`CommandFailedError`.
    """
    fleet = load_fleet(inventory)
    names = select_hosts(fleet, "--limit", limit)
    sessions, warnings = fill_sessions(fleet, names, environ)
    works = tuple(HostWork(fleet.inventory.hosts[name], sessions[name]) for name in names)
    reach = reach_of(flags, Invocation.current().environ)
    return Job(works, reach, (*fleet.findings, *warnings))


def print_plan_document(plans: Sequence[HostPlan]) -> None:
    """Print ``plans`` on stdout as one JSON document."""
    from aegis_provision.report.documents import as_text, plan_document

    click.echo(as_text(plan_document(plans)))


def display_plan(output: Output, plans: Sequence[HostPlan], *, as_diff: bool = False) -> None:
    """Print ``plans`` on stdout as text."""
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.plan_text import plan_lines

    console = output.result
    every = output.verbosity > 0
    lines = plan_lines(plans, width=text_width(console), every_host=every, as_diff=as_diff)
    print_lines(console, lines)
