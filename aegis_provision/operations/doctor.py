"""``doctor``: what is wrong on hosts, each fault once. Nothing is written, there or here.

What is missing or wrong on the operator's side (a variable that is unset, a token that is none)
stops no look at a host: it is a check of that host, told where it matters.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.diagnosis.input_checks import InputFindings, find_in_input
from aegis_provision.documents.diagnostic import Severity, note, warning
from aegis_provision.errors import StateDirError
from aegis_provision.inventory.pins import pin_diagnostics
from aegis_provision.operations.connection import connection_settings, connection_warnings
from aegis_provision.operations.executors import open_executor
from aegis_provision.operations.history import PendingRestarts, pending_restarts
from aegis_provision.operations.load import require_providers, select_hosts
from aegis_provision.operations.resolve_secrets import logins_that_are_set
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.gather_facts import diagnose_fleet
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Host
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment, Fleet
    from aegis_provision.providers.session_variables import Session
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit


@dataclass(frozen=True, slots=True)
class DoctorJob:
    """What :func:`doctor` looks at; ``findings`` are what is wrong in the input, by host.

    ``probe`` asks providers, with their tokens.
    """

    host_jobs: tuple[HostJob, ...]
    findings: Mapping[str, InputFindings]
    connection: ConnectionSettings
    probe: bool
    diagnostics: tuple[Diagnostic, ...] = field(default=())


def prepare_doctor(
    fleet: Fleet,
    patterns: Mapping[str, str | None],
    environment: Environment,
    options: ConnectionOptions,
    *,
    probe: bool,
) -> DoctorJob:
    """Return what to look at: the hosts that each of ``patterns`` selects.

    ``patterns`` maps where the operator wrote a pattern to it. No host key is taken on trust,
    even if ``options`` allow it: that would write. Raises :class:`InputError` for a pattern that is
    wrong, and where nothing says where the operator's home is.
    """
    inventory = fleet.inventory
    chosen = [set(select_hosts(inventory, flag, item)) for flag, item in patterns.items()]
    names = [name for name in inventory.hosts if all(name in some for some in chosen)]
    require_providers(fleet, names)
    hosts = [inventory.hosts[name] for name in names]
    diagnostics = [*fleet.diagnostics, *_pins(hosts, environment)]
    if options.accept_new:
        message = "doctor writes nothing, so it takes no host key: --host-key accept-new is ignored"
        diagnostics.append(note("no-keys-taken", message))
    pending = PendingRestarts({})
    try:
        pending = pending_restarts(environment.environ)
    except StateDirError as problem:
        diagnostics.append(warning("no-records", f"the records of runs can't be read: {problem}"))
    sessions: dict[int, Session] = {}
    jobs: list[HostJob] = []
    findings: dict[str, InputFindings] = {}
    for host in hosts:
        spec = fleet.specs[host.name]
        if id(spec) not in sessions:
            sessions[id(spec)] = _without_missing(resolve_env(spec, environment.variables))
        session = sessions[id(spec)]
        findings[host.name], token = find_in_input(
            session, host, environment.variables, probe=probe
        )
        jobs.append(
            HostJob(host, session, api_token=token, pending_restarts=pending.at(host.target))
        )
    tokens = recipe_secrets(fleet.recipes, environment.variables)
    quiet = replace(options, accept_new=False)
    logins, unset_logins = logins_that_are_set(inventory, names, environment.variables)
    diagnostics += unset_logins
    connection = connection_settings(quiet, environment.environ, tokens, logins)
    diagnostics += connection_warnings(connection, (host.target for host in hosts))
    return DoctorJob(tuple(jobs), findings, connection, probe, tuple(diagnostics))


def doctor(job: DoctorJob, emit: Emit) -> tuple[HostChecks, ...]:
    """Look at the hosts and return the checks of each; a host's failure is one of its checks."""
    with open_executor(job.host_jobs, job.connection) as executor:
        return diagnose_fleet(job.host_jobs, job.findings, executor, emit, probe=job.probe)


def _pins(hosts: list[Host], environment: Environment) -> Iterator[Diagnostic]:
    """Yield what the day means for pins; one that has ended does not stop a diagnosis."""
    for item in pin_diagnostics(hosts, environment.today):
        yield replace(item, severity=Severity.WARNING) if item.is_error else item


def _without_missing(session: Session) -> Session:
    """Return ``session`` so that what can't be filled in counts as unknown on the host."""
    missing = session.names - session.values.keys() - set(session.spec.removed)
    return replace(session, withheld=session.withheld | missing)
