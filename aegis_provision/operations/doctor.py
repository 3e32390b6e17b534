"""``doctor``: what is wrong on hosts, each fault once. Nothing is written, there or here.

What is missing or wrong on the operator's side (a variable that is unset, a token that is none)
stops no look at a host: it is a check of that host, told where it matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import check_session, unusable_problem
from aegis_provision.diagnosis.checks import Check, CheckResult
from aegis_provision.documents.diagnostic import Severity, note, warning
from aegis_provision.errors import StateDirError
from aegis_provision.humanize import listed
from aegis_provision.inventory.pins import pin_diagnostics
from aegis_provision.operations.connection import connection_settings, ignored_ssh_config
from aegis_provision.operations.history import PendingRestarts, pending_restarts
from aegis_provision.operations.load import logins_that_are_set, select_hosts
from aegis_provision.providers.recipes import VARIABLE_OF, recipe_secrets
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import (
    resolve_env,
    resolve_secret,
    unusable_tokens,
)
from aegis_provision.providers.templates import references
from aegis_provision.providers.value_source import value_source
from aegis_provision.rollout.diagnose import InputFindings, diagnose_fleet
from aegis_provision.rollout.host_job import HostJob

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

_CHECK_OF = {
    VARIABLE_OF["base_url"]: "provider",
    VARIABLE_OF["auth_token"]: "token",
    VARIABLE_OF["model"]: "model",
    VARIABLE_OF["fast_model"]: "model",
}
"""The check at which a session variable matters; the others do at ``variables``."""

_SET_THEM = "export it, or put it into a file that only you can read: --env-file"


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
    whatever ``options`` say: that would write. Raises :class:`InputError` for a pattern that is
    wrong, and where nothing says where the operator's home is.
    """
    inventory = fleet.inventory
    chosen = [set(select_hosts(inventory, flag, item)) for flag, item in patterns.items()]
    names = [name for name in inventory.hosts if all(name in some for some in chosen)]
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
    sessions: dict[int, tuple[Session, Mapping[str, Check]]] = {}
    jobs: list[HostJob] = []
    findings: dict[str, InputFindings] = {}
    for host in hosts:
        spec = fleet.specs[host.name]
        if id(spec) not in sessions:
            session = resolve_env(spec, environment.variables)
            sessions[id(spec)] = _without_missing(session), _refused(session)
        session, refused = sessions[id(spec)]
        token, api_check, unset = _api_token(host, environment.variables)
        missing = _missing(session, host, probe=probe)
        checks = {check.check: check for check in (*refused.values(), *missing, *api_check)}
        findings[host.name] = InputFindings(checks, unset)
        jobs.append(
            HostJob(host, session, api_token=token, pending_restarts=pending.at(host.target))
        )
    tokens = recipe_secrets(fleet.recipes, environment.variables)
    quiet = replace(options, accept_new=False)
    logins, unset_logins = logins_that_are_set(inventory, names, environment.variables)
    diagnostics += unset_logins
    connection = connection_settings(quiet, environment.environ, tokens, logins)
    diagnostics += ignored_ssh_config(connection, (host.target for host in hosts))
    return DoctorJob(tuple(jobs), findings, connection, probe, tuple(diagnostics))


def doctor(job: DoctorJob, emit: Emit) -> tuple[HostChecks, ...]:
    """Look at the hosts and return the checks of each; a host's failure is one of its checks."""
    return diagnose_fleet(
        job.host_jobs,
        job.findings,
        job.connection,
        emit,
        probe=job.probe,
    )


def _pins(hosts: list[Host], environment: Environment) -> Iterator[Diagnostic]:
    """Yield what the day means for pins; one that has ended keeps nobody from a look."""
    for item in pin_diagnostics(hosts, environment.today):
        yield replace(item, severity=Severity.WARNING) if item.is_error else item


def _without_missing(session: Session) -> Session:
    """Return ``session`` so that what can't be filled in counts as unknown on the host."""
    missing = session.names - session.values.keys() - set(session.spec.removed)
    return replace(session, withheld=session.withheld | missing)


def _refused(session: Session) -> Mapping[str, Check]:
    """Return by name the checks that fail over what Aegis would drop, or choke on, there."""
    places = {item.span: item.name for item in session.spec.variables}
    found: dict[str, Check] = {}
    for item in check_session(session):
        if item.is_error:
            name = places.get(item.span, "") if item.span is not None else ""
            check = _CHECK_OF.get(name, "variables")
            found.setdefault(check, _failed(check, item))
    return found


def _failed(check: str, problem: Diagnostic) -> Check:
    where = f" ({problem.place})" if problem.place else ""
    return Check(check, CheckResult.FAIL, f"{problem.message}{where}", problem.hint)


def _missing(session: Session, host: Host, *, probe: bool) -> Iterator[Check]:
    """Yield the checks that need a variable that is unset, the first for each.

    Without ``probe`` they would not be made anyway: what is unset is only worth knowing then.
    """
    chosen_at = str(host.provider.span) if host.provider is not None else ""
    settings = {name: setting for setting, name in VARIABLE_OF.items()}
    told: set[str] = set()
    for variable in session.spec.variables:
        names = dict.fromkeys(item.name for item in references(variable.template))
        unset = [name for name in names if name in session.missing]
        check = _CHECK_OF.get(variable.name, "variables")
        if variable.name in session.values or not unset or check in told:
            continue
        told.add(check)
        source = f"{variable.setting} ({', '.join(names)}, {variable.span})"
        if variable.name in settings:
            source = str(value_source(session, settings[variable.name], chosen_at))
        verb = "is" if len(unset) == 1 else "are"
        message = f"{source}: {listed(unset, between=' and ')} {verb} unset or empty"
        result = CheckResult.FAIL if probe else CheckResult.NOT_CHECKED
        yield Check(check, result, message, _SET_THEM)


def _api_token(
    host: Host, variables: Mapping[str, str]
) -> tuple[Secret | None, tuple[Check, ...], str]:
    """Return the token of the host's API that the inventory names.

    Beside it the check that fails where it is none, and which variables are unset for it.
    """
    reference = host.service.api_token
    if reference is None:
        return None, (), ""
    template = str(reference.value)
    token = resolve_secret(template, variables)
    if not isinstance(token, Secret):
        return None, (), f"{' and '.join(token)} ({reference.span})" if token else ""
    unusable = [*unusable_tokens(template, variables, "api_token", "api_token")]
    if unusable:
        return None, (_failed("api", unusable_problem(unusable[0], reference.span)),), ""
    return token, (), ""
