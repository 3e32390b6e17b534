"""``doctor`` without an inventory: the control node is looked at. Nothing is written."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import check_session
from aegis_provision.diagnosis.checks import Check, ControlNodeCheck, fail, rests_on
from aegis_provision.diagnosis.control_node_checks import (
    KnownHostsFile,
    RecipeFacts,
    check_agent,
    check_keys,
    check_known_hosts,
    check_locale,
    check_packages,
    check_python,
    check_recipes,
    check_ssh_config,
    check_state_directory,
    parse_requirement,
)
from aegis_provision.errors import USE_XDG_STATE_HOME, StateDirError
from aegis_provision.files.reading import read_file
from aegis_provision.history.past_run import DamagedRun
from aegis_provision.history.runs import read_summary, run_names
from aegis_provision.history.state_dir import check, state_dir
from aegis_provision.humanize import escape_control, listed
from aegis_provision.operations.connection import connection_settings
from aegis_provision.providers.recipes import builtin_recipes
from aegis_provision.providers.session_variables import recipe_spec, resolve_env
from aegis_provision.providers.templates import references
from aegis_provision.transport.connect_options import NoHomeError, home_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.diagnosis.control_node_checks import Requirement
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.transport.connect_options import ConnectOptions

_PACKAGE = "aegis-provision"
_FOR_DEVELOPERS = frozenset({"lint", "test"})
_RECORDS = 50
"""How many records are looked at, the newest ones."""

_PLACES = 3
_ANY_HOST = "any.invalid"  # RFC 6761: no host has such a name


def doctor_control_node(
    environment: Environment, options: ConnectionOptions, *, encoding: str
) -> tuple[Check, ...]:
    """Return the checks of the control node, in their order.

    ``encoding`` is what is printed in. Raises :class:`Error` for an ssh config or known_hosts that
    was named and can't be there.
    """
    return (
        *_installation(),
        *_ssh(environment.environ, options),
        _state_directory(environment.environ),
        check_locale(encoding),
        check_recipes([_facts(item, environment) for item in builtin_recipes().values()]),
    )


def _installation() -> tuple[Check, Check]:
    version = platform.python_version()
    try:
        needs = metadata.metadata(_PACKAGE)["Requires-Python"] or ""
        stated = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return check_python(version, ""), check_packages(None, {})
    found = [item for item in map(parse_requirement, stated) if item is not None]
    requirements = [item for item in found if item.extra not in _FOR_DEVELOPERS]
    return check_python(version, needs), check_packages(requirements, _installed(requirements))


def _installed(requirements: list[Requirement]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for item in requirements:
        try:
            versions[item.name] = metadata.version(item.name)
        except metadata.PackageNotFoundError:
            versions[item.name] = None
    return versions


def _ssh(environ: Mapping[str, str], options: ConnectionOptions) -> Iterator[Check]:
    from aegis_provision.transport.ssh.authentication import open_agent
    from aegis_provision.transport.ssh.ssh_agent import SshAgent

    socket = environ.get("SSH_AUTH_SOCK") or None
    agent, keys = open_agent(socket, options.timeout)
    if isinstance(agent, SshAgent):
        agent.close()
    agent_check = check_agent(socket, agent if isinstance(agent, str) else "", len(keys))
    try:
        home_directory(environ)
    except NoHomeError as problem:
        yield fail(ControlNodeCheck.SSH_CONFIG, f"{problem}: it lies there", "set HOME")
        yield agent_check
        yield rests_on(ControlNodeCheck.KEYS, ControlNodeCheck.SSH_CONFIG)
        yield rests_on(ControlNodeCheck.KNOWN_HOSTS, ControlNodeCheck.SSH_CONFIG)
        return
    connect = connection_settings(options, environ, ()).options
    yield _ssh_config(connect)
    yield agent_check
    yield _keys(connect.home, len(keys))
    yield check_known_hosts([*_known_hosts(connect)])


def _ssh_config(options: ConnectOptions) -> Check:
    from aegis_provision.transport.ssh.resolve_jump_hosts import ssh_config_of
    from aegis_provision.transport.ssh.ssh_config_lookup import Query
    from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
    from aegis_provision.transport.ssh.ssh_config_warnings import ignored_anywhere

    named = (options.ssh_config, options.system_ssh_config)
    paths = [escape_control(str(path)) for path in named if path is not None and path.exists()]
    try:
        config = ssh_config_of(options)
        # An unknown keyword is an error only once a host is looked up; any name will do.
        list(config.may_say(Query(_ANY_HOST), frozenset()))
    except SshConfigError as problem:
        return check_ssh_config(paths, str(problem), ())
    ignored = [
        f"{listed(map(str, item.places), most=_PLACES)}: {item.keyword.name} is not honoured: "
        f"{item.keyword.why}"
        for item in ignored_anywhere(config, accept_new=options.accept_new)
    ]
    return check_ssh_config(paths, "", ignored)


def _keys(home: Path, agent_keys: int) -> Check:
    from aegis_provision.transport.ssh.private_keys import read_private_key
    from aegis_provision.transport.ssh.resolve_jump_hosts import DEFAULT_KEYS

    usable: list[str] = []
    unusable: dict[str, str] = {}
    for name in DEFAULT_KEYS:
        path = home / ".ssh" / name
        if not os.path.lexists(path):
            continue
        found = read_private_key(str(path), None)
        shown = escape_control(str(path))
        if isinstance(found, str):
            unusable[shown] = found
        else:
            usable.append(shown)
    return check_keys(usable, unusable, agent_keys)


def _known_hosts(options: ConnectOptions) -> Iterator[KnownHostsFile]:
    from aegis_provision.transport.ssh.known_hosts import count_lines

    for path in options.known_hosts:
        shown = escape_control(str(path))
        try:
            counts = count_lines(read_file(path, null=True))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            yield KnownHostsFile(shown, problem=problem.strerror or str(problem))
        else:
            yield KnownHostsFile(shown, counts.entries, counts.broken)


def _state_directory(environ: Mapping[str, str]) -> Check:
    path, problem, remedy = "", "", ""
    there, runs, damaged = False, 0, []
    try:
        directory = state_dir(environ)
        path = escape_control(str(directory.path))
        there = check(directory)
        unwritable = _first_unwritable(directory.runs if there else directory.path)
        if unwritable is not None:
            problem = f"{path} can't be written: no permission in {escape_control(str(unwritable))}"
            remedy = USE_XDG_STATE_HOME
        names = run_names(directory)
        runs = len(names)
        damaged = [
            name
            for name in names[:_RECORDS]
            if isinstance(read_summary(directory, name), DamagedRun)
        ]
    except StateDirError as error:
        if not path and not _has_home(environ):
            return rests_on(ControlNodeCheck.STATE_DIRECTORY, ControlNodeCheck.SSH_CONFIG)
        problem, remedy = error.message, error.hint
    return check_state_directory(path, problem, remedy, there=there, runs=runs, damaged=damaged)


def _has_home(environ: Mapping[str, str]) -> bool:
    try:
        home_directory(environ)
    except NoHomeError:
        return False
    return True


def _first_unwritable(path: Path) -> Path | None:
    """Return what is in the way of a file in ``path``, which may not be there yet."""
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return None if usable else nearest


def _facts(recipe: Recipe, environment: Environment) -> RecipeFacts:
    session = resolve_env(recipe_spec(recipe), environment.variables)
    names = dict.fromkeys(
        reference.name
        for value in recipe.values.values()
        for reference in references(value.template)
    )
    is_set = tuple(name for name in names if environment.variables.get(name))
    refused = [item.message for item in check_session(session) if item.is_error] if is_set else []
    return RecipeFacts(recipe.name, is_set, session.missing, tuple(refused))
