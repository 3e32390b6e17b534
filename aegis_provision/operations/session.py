"""``session``: one session with a provider of its own is started, listed or stopped on hosts."""

from __future__ import annotations

import re
from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.session_api import (
    LONGEST_PROMPT,
    TOO_LONG,
    is_session_id,
    normal_prompt,
    prompt_problem,
)
from aegis_provision.aegis.session_request import shown_request
from aegis_provision.aegis.variable_checks import UNUSABLE_DEFAULT, check_spec
from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.documents.diagnostic import has_errors
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.humanize import listed
from aegis_provision.inventory.pins import pin_diagnostics
from aegis_provision.operations.connection import connection_settings, connection_warnings
from aegis_provision.operations.load import (
    Fleet,
    find_host,
    find_recipe,
    load_fleet,
    read_pattern_file,
    require_providers,
    select_hosts,
)
from aegis_provision.operations.resolve_secrets import resolve_access, resolve_sessions
from aegis_provision.playbook.schedule import make_schedule, single_play, with_overrides
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.providers.session_override import (
    FLAG,
    incomplete_problem,
    override_spec,
    read_assignments,
)
from aegis_provision.providers.session_variables import Session, SessionSpec, resolve_env
from aegis_provision.providers.templates import references
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.session_commands import WantedSession, start_on_host, stop_on_host
from aegis_provision.rollout.session_fleet import SessionBatchResult, list_sessions, run_sessions
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from aegis_provision.aegis.session_request import ShownRequest
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.playbook.host_counts import HostCount
    from aegis_provision.playbook.plays import ScheduledPlay
    from aegis_provision.providers.recipes import Recipe, RecipeValue
    from aegis_provision.providers.session_variables import Variable
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.session_results import SessionListing
    from aegis_provision.rollout.thread_pool import CancelToken
    from aegis_provision.transport.connect_options import LoginSecrets

_LONGEST_NAME = 200
_MOST_BYTES = 5 * LONGEST_PROMPT  # 4 for a character of UTF-8, and line ends of two
_NO_PROMPT_HINT = (
    "write what a person would type; a longer text goes into a file on the host, which the prompt "
    "names"
)
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{_LONGEST_NAME}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_SESSION = Session(SessionSpec("", (), allow_http=False), {}, ())


@dataclass(frozen=True, slots=True)
class ParameterNames:
    """What the caller calls the parameters that messages name: flags, or those of a function."""

    work_dir: str = "--work-dir"
    name: str = "--name"
    env: str = FLAG


@dataclass(frozen=True, slots=True)
class SessionSelection:
    """What to start, and on which hosts: each parameter is what the flag of its name means.

    ``provider`` is ``None`` for each host's own; ``env`` holds ``NAME=TEMPLATE`` texts. ``prompt``
    is empty for none, ``name`` for Aegis' own choice. ``wait`` is how many seconds Claude may take
    to come up.
    """

    pattern: str
    work_dir: str
    provider: str | None = None
    name: str = ""
    env: tuple[str, ...] = ()
    prompt: str = field(default="", repr=False)
    serial: tuple[HostCount, ...] | None = None
    max_fail: HostCount | None = None
    wait: float = 60.0
    called: ParameterNames = ParameterNames()


@dataclass(frozen=True, slots=True)
class SessionJob:
    """Sessions before any host was asked; ``diagnostics`` are warnings and notes."""

    fleet: Fleet
    scheduled: ScheduledPlay
    host_jobs: Mapping[str, HostJob]
    connection: ConnectionSettings
    wanted: WantedSession = field(repr=False)
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class _Selected:
    """The hosts of a selection, in batches, and what one session of each gets, as templates."""

    fleet: Fleet
    scheduled: ScheduledPlay
    specs: Mapping[str, SessionSpec]
    diagnostics: tuple[Diagnostic, ...]


def prepare_start(
    inventory: Sequence[Path] | Fleet,
    selection: SessionSelection,
    environment: Environment,
    options: ConnectionOptions,
) -> SessionJob:
    """Fill the secrets in and check all that Aegis would get, before any connection.

    Raises :class:`InvalidInputError` with everything that is wrong, and :class:`Error`.
    """
    selected = _select(inventory, selection, environment)
    fleet, hosts = selected.fleet, selected.scheduled.hosts
    resolved, warnings = resolve_sessions(
        fleet,
        hosts,
        environment.variables,
        with_api_token=hosts,
        connects=True,
        overrides=selected.specs,
    )
    jobs = {
        name: HostJob(fleet.hosts[name], resolved.sessions[name], resolved.api_tokens.get(name))
        for name in hosts
    }
    wanted = WantedSession(
        selection.work_dir,
        selection.name,
        selection.prompt,
        selection.wait,
        {name: _places(selected.specs[name], selection.called) for name in hosts},
    )
    connection = _connection(fleet, environment, options, resolved.logins)
    ignored = connection_warnings(connection, (fleet.hosts[name].target for name in hosts))
    diagnostics = (*selected.diagnostics, *warnings, *ignored)
    return SessionJob(fleet, selected.scheduled, jobs, connection, wanted, diagnostics)


def shown_requests(
    inventory: Sequence[Path] | Fleet, selection: SessionSelection, environment: Environment
) -> tuple[tuple[ShownRequest, ...], tuple[Diagnostic, ...]]:
    """Return the request for each host as it may be shown, and the warnings; no secret is needed.

    Raises what :func:`prepare_start` does.
    """
    selected = _select(inventory, selection, environment)
    fleet, hosts = selected.fleet, selected.scheduled.hosts
    _, warnings = resolve_sessions(
        fleet, hosts, environment.variables, with_secrets=False, overrides=selected.specs
    )
    # Secrets that are there mask what holds them under another name; those that are not may be.
    requests = tuple(
        shown_request(
            fleet.hosts[name],
            selection.work_dir,
            selection.name,
            resolve_env(selected.specs[name], environment.variables),
        )
        for name in hosts
    )
    return requests, (*selected.diagnostics, *warnings)


def start(job: SessionJob, emit: Emit, cancel: CancelToken) -> SessionBatchResult:
    """Start one session on each host of ``job``, batch after batch.

    A host's failure is its result, never an exception.
    """
    action = start_on_host(job.wanted)
    return run_sessions(job.scheduled, job.host_jobs, action, job.connection, emit, cancel)


def list_on_hosts(
    inventory: Sequence[Path] | Fleet,
    pattern: str,
    environment: Environment,
    options: ConnectionOptions,
    emit: Emit,
) -> tuple[SessionListing, ...]:
    """Return the sessions of each host of ``pattern``. Raises :class:`Error` for wrong input."""
    fleet = _fleet(inventory, environment)
    hosts = _hosts(fleet, pattern)
    jobs, logins = _bare_jobs(fleet, hosts, environment)
    return list_sessions(jobs, _connection(fleet, environment, options, logins), emit)


def stop(
    inventory: Sequence[Path] | Fleet,
    host: str,
    session: str,
    environment: Environment,
    options: ConnectionOptions,
    emit: Emit,
    cancel: CancelToken,
) -> SessionBatchResult:
    """End the session of ``host`` whose id is ``session``, or begins with it as no other's does.

    Raises :class:`Error` for wrong input, before anything connects.
    """
    if not is_session_id(session):
        raise InputError(
            f"{quote(session)} can't be the id of a session",
            "ids are letters, digits, '-' and '_': list them with "
            "'aegis-provision session list HOST'",
        )
    fleet = _fleet(inventory, environment)
    name = find_host(fleet, host).name
    [job], logins = _bare_jobs(fleet, [name], environment)
    scheduled = _schedule(fleet, (name,))[0]
    connection = _connection(fleet, environment, options, logins)
    return run_sessions(scheduled, {name: job}, stop_on_host(session), connection, emit, cancel)


def work_dir_problem(path: str) -> str:
    """Return why ``path`` can't be a session's directory on a host, empty where it can."""
    if not path.startswith("/"):
        return "takes an absolute path, as the host has it"
    return "holds a control character" if _CONTROL.search(path) else ""


def name_problem(name: str) -> str:
    """Return why a session can't be called ``name``, empty where it can."""
    # With a blank in it, Aegis' own command line for tmux falls apart: 500.
    if _NAME.fullmatch(name):
        return ""
    return f"is made of letters, digits, '-' and '_', {_LONGEST_NAME} of them at most"


def checked_prompt(text: str, source: str) -> str:
    """Return the prompt in ``text``, without the end of its last line.

    ``source`` is what it is called where it comes from. Raises :class:`Error` for what Aegis would
    not take, and for what it would type as keys.
    """
    prompt = normal_prompt(text).removesuffix("\n")
    if problem := prompt_problem(prompt):
        raise InputError(f"{source} {problem}", _NO_PROMPT_HINT)
    return prompt


def prompt_from(data: bytes, source: str) -> str:
    """Return the prompt in ``data``, which is UTF-8. Raises :class:`Error` for what is none."""
    if len(data) > _MOST_BYTES:
        raise InputError(f"{source} {TOO_LONG}", _NO_PROMPT_HINT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source} is not UTF-8 text") from None
    return checked_prompt(text, source)


def _select(
    inventory: Sequence[Path] | Fleet, selection: SessionSelection, environment: Environment
) -> _Selected:
    given, problems = read_assignments(selection.env, selection.called.env)
    try:
        fleet = _fleet(inventory, environment)
    except InvalidInputError as problem:
        raise InvalidInputError((*problem.diagnostics, *problems)) from None
    hosts = _hosts(fleet, selection.pattern)
    recipe = None if selection.provider is None else find_recipe(fleet.recipes, selection.provider)
    scheduled, found = _schedule(fleet, hosts, selection)
    specs = _specs(fleet, scheduled.hosts, recipe, given)
    diagnostics = (
        *fleet.diagnostics,
        *pin_diagnostics([fleet.hosts[name] for name in hosts], environment.today),
        *found,
        *problems,
        *_problems(fleet, specs, selection.called.env),
    )
    if has_errors(diagnostics):
        raise InvalidInputError(diagnostics)
    return _Selected(fleet, scheduled, specs, diagnostics)


def _fleet(inventory: Sequence[Path] | Fleet, environment: Environment) -> Fleet:
    if isinstance(inventory, Fleet):
        return inventory
    return load_fleet(inventory, environment.environ, of_all=False)


def _hosts(fleet: Fleet, pattern: str) -> tuple[str, ...]:
    hosts = select_hosts(fleet.inventory, "HOST", pattern)
    if not hosts:
        raise InputError(f"HOST: {quote(pattern)} selects no host")
    require_providers(fleet, hosts)
    return hosts


def _schedule(
    fleet: Fleet, hosts: Sequence[str], selection: SessionSelection | None = None
) -> tuple[ScheduledPlay, tuple[Diagnostic, ...]]:
    playbook = single_play()
    if selection is not None:
        playbook = with_overrides(playbook, selection.serial, selection.max_fail)
    schedule, found = make_schedule(
        playbook, fleet.inventory, chosen=set(hosts), read_file=read_pattern_file
    )
    [play] = schedule.plays
    return play, found


def _specs(
    fleet: Fleet, hosts: Sequence[str], recipe: Recipe | None, given: Mapping[str, RecipeValue]
) -> Mapping[str, SessionSpec]:
    """Return what one session of each host gets; hosts that are alike share one spec."""
    shared: dict[tuple[int, int], SessionSpec] = {}
    specs: dict[str, SessionSpec] = {}
    for name in hosts:
        host, own = fleet.hosts[name], fleet.specs[name]
        alike = (id(own), id(host.env))
        if alike not in shared:
            shared[alike] = override_spec(host, own, recipe, given, overrides_provider)
        specs[name] = shared[alike]
    return specs


def _problems(fleet: Fleet, specs: Mapping[str, SessionSpec], flag: str) -> Iterator[Diagnostic]:
    known = {id(spec) for spec in fleet.specs.values()}
    for spec in {id(spec): spec for spec in specs.values()}.values():
        hosts = tuple(name for name, item in specs.items() if item is spec)
        recipe = fleet.recipes.get(spec.provider)
        incomplete = incomplete_problem(spec, recipe.span if recipe else None, flag)
        if incomplete is not None:
            yield replace(incomplete, hosts=hosts)
        if id(spec) not in known:
            yield from (item for item in check_spec(spec) if item.code != UNUSABLE_DEFAULT)


def _places(spec: SessionSpec, called: ParameterNames) -> Mapping[str, str]:
    places = {f"env.{item.name}": _place(item, spec, called.env) for item in spec.variables}
    return {**places, "workDir": called.work_dir, "name": called.name, "env": called.env}


def _place(variable: Variable, spec: SessionSpec, flag: str) -> str:
    """Return where a variable's value comes from: ``GATEWAY_TOKEN, inventory.yml:4:19``."""
    names = listed(dict.fromkeys(item.name for item in references(variable.template)))
    if variable.span.source.name == flag:
        where = f"{flag} {variable.name}"
    else:
        where = f"recipe {spec.lineage[-1]}" if variable.from_recipe else str(variable.span)
    return f"{names}, {where}" if names else where


def _bare_jobs(
    fleet: Fleet, hosts: Sequence[str], environment: Environment
) -> tuple[tuple[HostJob, ...], Mapping[str, LoginSecrets]]:
    """Return jobs for hosts whose sessions get nothing from here, and what to log in with.

    Only their APIs are asked.
    """
    tokens, logins = resolve_access(fleet, hosts, environment.variables, with_api_token=hosts)
    jobs = (HostJob(fleet.hosts[name], _NO_SESSION, tokens.get(name)) for name in hosts)
    return tuple(jobs), logins


def _connection(
    fleet: Fleet,
    environment: Environment,
    options: ConnectionOptions,
    logins: Mapping[str, LoginSecrets],
) -> ConnectionSettings:
    secrets = recipe_secrets(fleet.recipes, environment.variables)
    return connection_settings(options, environment.environ, secrets, logins)
