"""What the operator hands in: the inventory, read, resolved and checked, and the environment."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import (
    UNUSABLE_DEFAULT,
    check_session,
    check_spec,
    unusable_problem,
)
from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.documents.diagnostic import (
    Diagnostic,
    drop_followups,
    error,
    has_errors,
    warning,
)
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.files.reading import read_file
from aegis_provision.humanize import counted, group_by, listed
from aegis_provision.inputs.inventory_files import read_inventory_files
from aegis_provision.inputs.inventory_names import DEFAULT_INVENTORY
from aegis_provision.inventory.host import LOGIN_SECRETS
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.providers.recipes import builtin_recipes, resolve_providers
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import (
    recipe_spec,
    resolve_env,
    resolve_secret,
    session_specs,
    unusable_tokens,
)
from aegis_provision.transport.connect_options import LoginSecrets
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date, datetime

    from aegis_provision.documents.yaml_reader import Read
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Host, Inventory
    from aegis_provision.providers.explain import Explanation
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import Session, SessionSpec

_MOST_MISSING = 100
_NO_PROVIDER = "no-provider"
_SESSIONS_FOLLOW = "sessions follow it rather than the provider's own variables"


@dataclass(frozen=True, slots=True)
class Environment:
    """The operator's side of an operation.

    ``environ`` holds the operator's own variables (``HOME``, ``XDG_*``, ``SSH_AUTH_SOCK``).
    ``variables`` are those that templates may use: the same, with an env file's beneath them.
    ``now`` is when the operation began, in UTC. Both hold secrets, and never show in ``repr``.
    """

    environ: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    now: datetime

    @property
    def today(self) -> date:
        """Return the day it is, in UTC: pins end by it."""
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A valid inventory with its recipes and each host's session variables.

    ``diagnostics`` holds warnings and notes only; ``unset`` warns of defaults that could never
    work, which matters only where the environment is not looked at. ``named`` are the inventories
    as the operator named them. ``lacking`` are the errors about hosts without a provider, which
    matter only where such a host is chosen.
    """

    inventory: Inventory
    recipes: Mapping[str, Recipe]
    specs: Mapping[str, SessionSpec]
    diagnostics: tuple[Diagnostic, ...]
    unset: tuple[Diagnostic, ...]
    files: tuple[InputFile, ...] = ()
    named: tuple[Path, ...] = ()
    lacking: tuple[Diagnostic, ...] = ()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Return the hosts by name, in inventory order."""
        return self.inventory.hosts

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """Return the files that the fleet was read from, as a run's record names them."""
        from aegis_provision.history.run_header import source_file

        return tuple(source_file(file.name, file.data) for file in self.files)


def inventory_paths(named: Sequence[Path]) -> tuple[Path, ...]:
    """Return the inventories to read: those named, else ``./inventory.yml``.

    Raises :class:`Error` where there is neither.
    """
    if named:
        return tuple(named)
    if DEFAULT_INVENTORY.exists():
        return (DEFAULT_INVENTORY,)
    raise InputError(
        "no inventory: there is no ./inventory.yml, and none was named",
        "name one with -i PATH or AEGIS_PROVISION_INVENTORY, "
        "or write a starter with 'aegis-provision init'",
    )


def inventory_is_absent(named: Sequence[Path]) -> bool:
    """Tell whether no inventory is named, and none is here."""
    return not named and not DEFAULT_INVENTORY.exists()


def load_fleet(named: Sequence[Path], environ: Mapping[str, str], *, of_all: bool = True) -> Fleet:
    """Read and check everything that needs neither SSH nor secrets; scripts get ``environ``.

    Each host needs a provider; without ``of_all`` only those that are chosen later
    (:func:`require_providers`).
    Raises :class:`InvalidInputError` with all diagnostics of all files where any is an error, and
    :class:`Error` where there is no inventory.
    """
    paths = inventory_paths(named)
    files, diagnostics = read_inventory_files(paths, environ)
    absent = absent_inventories(diagnostics)
    if absent:
        raise InvalidInputError(absent)
    fleet, diagnostics = resolve_fleet(files, diagnostics)
    lacking = () if of_all else tuple(item for item in diagnostics if item.code == _NO_PROVIDER)
    if fleet is None or has_errors(item for item in diagnostics if item not in lacking):
        raise InvalidInputError(drop_followups(diagnostics))
    rest = tuple(item for item in fleet.diagnostics if item not in lacking)
    return replace(fleet, named=paths, diagnostics=rest, lacking=lacking)


def absent_inventories(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return what is told of inventories that are not there; next to that nothing else counts.

    ``diagnostics`` are those of reading files. Empty where each inventory is there.
    """
    if not any(item.code == "no-inventory" for item in diagnostics):
        return ()
    return tuple(item for item in diagnostics if item.code in {"no-inventory", "passed-over"})


def require_providers(fleet: Fleet, hosts: Collection[str]) -> None:
    """Raise :class:`InvalidInputError` where one of ``hosts`` has no provider."""
    for item in fleet.lacking:
        names = tuple(name for name in item.hosts if name in hosts)
        if names:
            span = fleet.inventory.hosts[names[0]].span
            raise InvalidInputError((replace(item, hosts=names, span=span),))


def resolve_fleet(
    files: Sequence[InputFile], diagnostics: tuple[Diagnostic, ...] = (), read: Read = read_yaml
) -> tuple[Fleet | None, tuple[Diagnostic, ...]]:
    """Return the fleet that ``files`` make up, and all that is wrong with it after ``diagnostics``.

    ``read`` reads their text. With errors among the diagnostics the fleet may be incomplete; there
    is none where the files hold nothing to resolve.
    """
    inventory, found = load_inventory(files, read=read) if files else (None, ())
    diagnostics += found
    if inventory is None:
        return None, diagnostics
    fleet, found = complete_fleet(inventory, files)
    diagnostics += found
    return replace(fleet, diagnostics=diagnostics), diagnostics


def complete_fleet(
    inventory: Inventory, files: Sequence[InputFile], hosts: Sequence[str] | None = None
) -> tuple[Fleet, tuple[Diagnostic, ...]]:
    """Return the fleet of an ``inventory`` of ``files``, and what is wrong beyond the inventory.

    Session variables are made for ``hosts``, for all without them.
    """
    recipes, diagnostics = resolve_providers(inventory)
    wanted = inventory
    if hosts is not None:
        wanted = replace(inventory, hosts={name: inventory.hosts[name] for name in hosts})
    specs, found = session_specs(wanted, recipes)
    diagnostics += found
    distinct = {id(spec): spec for spec in specs.values()}
    checked = [item for spec in distinct.values() for item in check_spec(spec)]
    diagnostics += tuple(item for item in checked if item.code != UNUSABLE_DEFAULT)
    unset = tuple(item for item in checked if item.code == UNUSABLE_DEFAULT)
    subjects = {"group_vars": inventory.groups, "host_vars": inventory.hosts}
    used = tuple(
        file for file in files if file.certain or file.subject in subjects.get(file.kind, ())
    )
    return Fleet(inventory, recipes, specs, diagnostics, unset, used), diagnostics


def select_hosts(inventory: Inventory, flag: str, pattern: str | None) -> tuple[str, ...]:
    """Return the names that ``pattern`` selects, all for ``None``, in inventory order.

    ``flag`` is where the operator wrote it. Raises :class:`Error` for a pattern
    that is wrong or matches nothing.
    """
    if pattern is None:
        return tuple(inventory.hosts)
    try:
        return match_hosts(pattern, inventory, read_pattern_file)
    except PatternError as problem:
        raise InputError(f"{flag}: {problem}") from None


def find_host(fleet: Fleet, name: str) -> Host:
    """Return the host called ``name``. Raises :class:`Error` where there is none."""
    host = fleet.inventory.hosts.get(name)
    if host is None:
        raise InputError(
            f"the inventory has no host {quote(name)}",
            did_you_mean(name, fleet.inventory.hosts) or "list them with 'aegis-provision hosts'",
        )
    return host


def read_pattern_file(path: str) -> str:
    """Return the text of an ``@file`` in a pattern. Raises :class:`PatternError`."""
    try:
        return read_file(Path(path)).decode("utf-8")
    except OSError as problem:
        raise PatternError(f"@{path} can't be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise PatternError(f"@{path} is not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class ResolvedSecrets:
    """What hosts get, and what opens their API and them, with the operator's environment filled in.

    All map host names; a host without an entry in ``api_tokens`` uses its own file's token, and
    one without an entry in ``logins`` needs no secret to log in.
    """

    sessions: Mapping[str, Session]
    api_tokens: Mapping[str, Secret]
    logins: Mapping[str, LoginSecrets]


def resolve_sessions(
    fleet: Fleet,
    hosts: Sequence[str],
    environ: Mapping[str, str],
    *,
    with_api_token: Collection[str] = (),
    with_secrets: bool = True,
    connects: bool = False,
    overrides: Mapping[str, SessionSpec] | None = None,
) -> tuple[ResolvedSecrets, tuple[Diagnostic, ...]]:
    """Fill the secrets in and check what Aegis would get, for ``hosts`` alone.

    ``overrides`` are what one session of each host gets instead of the host's own variables.
    ``with_api_token`` names the hosts whose API will be asked; without secrets, none of those that
    it or a host would get is read. ``connects`` says that the hosts will be logged in to, for which
    the inventory may name secrets of their own. Returns each host's values and the warnings. Raises
    :class:`InvalidInputError` with every missing variable in one error, and with every value that
    Aegis would drop or choke on.
    """
    specs = fleet.specs if overrides is None else overrides
    users = group_by(hosts, lambda name: id(specs[name]))
    sessions: dict[str, Session] = {}
    diagnostics: list[Diagnostic] = []
    missing: dict[str, dict[str, None]] = {}
    for names in users.values():
        session = resolve_env(specs[names[0]], environ, with_secrets=with_secrets)
        sessions.update(dict.fromkeys(names, session))
        for variable in session.missing:
            missing.setdefault(variable, {}).update(dict.fromkeys(names))
        diagnostics.extend(check_session(session, single=overrides is not None))
    asked = [name for name in hosts if name in with_api_token and with_secrets]
    tokens, unusable = _api_tokens(fleet, asked, environ, missing)
    logins = _logins(fleet.inventory, hosts if connects else (), environ, missing)
    warnings = _without_errors((*diagnostics, *unusable), missing)
    return ResolvedSecrets(sessions, tokens, logins), warnings


def resolve_access(
    fleet: Fleet,
    hosts: Sequence[str],
    environ: Mapping[str, str],
    *,
    with_api_token: Collection[str],
) -> tuple[Mapping[str, Secret], Mapping[str, LoginSecrets]]:
    """Return what the inventory names to get at ``hosts``: tokens of their APIs, login secrets.

    ``with_api_token`` names the hosts whose API will be asked. Raises :class:`InvalidInputError`
    with every missing variable in one error, and with every one that is obviously no token.
    """
    missing: dict[str, dict[str, None]] = {}
    asked = [name for name in hosts if name in with_api_token]
    tokens, diagnostics = _api_tokens(fleet, asked, environ, missing)
    logins = _logins(fleet.inventory, hosts, environ, missing)
    _without_errors(diagnostics, missing)
    return tokens, logins


def resolve_logins(
    inventory: Inventory, hosts: Sequence[str], environ: Mapping[str, str]
) -> Mapping[str, LoginSecrets]:
    """Return the secrets that the inventory names for logging in at ``hosts``.

    Raises :class:`InvalidInputError` with every missing variable in one error.
    """
    missing: dict[str, dict[str, None]] = {}
    logins = _logins(inventory, hosts, environ, missing)
    _without_errors((), missing)
    return logins


def logins_that_are_set(
    inventory: Inventory, hosts: Sequence[str], environ: Mapping[str, str]
) -> tuple[Mapping[str, LoginSecrets], tuple[Diagnostic, ...]]:
    """Return the secrets for logging in as far as they are set, and a warning for the others."""
    missing: dict[str, dict[str, None]] = {}
    logins = _logins(inventory, hosts, environ, missing)
    if not missing:
        return logins, ()
    message, hint = _missing_words(missing)
    return logins, (warning("missing-variable", message, hint=hint),)


def _logins(
    inventory: Inventory,
    hosts: Sequence[str],
    environ: Mapping[str, str],
    missing: dict[str, dict[str, None]],
) -> dict[str, LoginSecrets]:
    """Return what is set for logging in; what is unset for it goes to ``missing``."""
    logins: dict[str, LoginSecrets] = {}
    known: dict[str, Secret | tuple[str, ...]] = {}
    for name in hosts:
        host = inventory.hosts[name]
        if host.target.connection == "local":
            continue
        found: list[Secret | None] = []
        for key in LOGIN_SECRETS:
            setting = host.settings.get(key)
            template = str(setting.value) if setting is not None else ""
            secret = known.setdefault(template, resolve_secret(template, environ))
            found.append(secret if isinstance(secret, Secret) else None)
            for variable in () if isinstance(secret, Secret) else secret:
                missing.setdefault(variable, {})[name] = None
        if any(found):
            logins[name] = LoginSecrets(*found)
    return logins


def _api_tokens(
    fleet: Fleet,
    hosts: Sequence[str],
    environ: Mapping[str, str],
    missing: dict[str, dict[str, None]],
) -> tuple[dict[str, Secret], list[Diagnostic]]:
    """Return the tokens that the inventory names, and the errors for those that are none.

    What is unset for them goes to ``missing``.
    """
    tokens: dict[str, Secret] = {}
    unusable: dict[Diagnostic, None] = {}
    for name in hosts:
        reference = fleet.inventory.hosts[name].service.api_token
        if reference is None:
            continue
        template = str(reference.value)
        token = resolve_secret(template, environ)
        if isinstance(token, Secret):
            tokens[name] = token
            found = unusable_tokens(template, environ, "api_token", "api_token")
            unusable.update((unusable_problem(item, reference.span), None) for item in found)
            continue
        for variable in token:
            missing.setdefault(variable, {})[name] = None
    return tokens, list(unusable)


def _without_errors(
    diagnostics: Sequence[Diagnostic], missing: Mapping[str, Collection[str]]
) -> tuple[Diagnostic, ...]:
    """Return ``diagnostics``, or raise :class:`InvalidInputError` where one is an error.

    ``missing`` maps variables that are unset to the hosts that need them: one error for all.
    """
    if missing:
        message, hint = _missing_words(missing)
        diagnostics = (error("missing-variable", message, hint=hint), *diagnostics)
    if has_errors(diagnostics):
        raise InvalidInputError(diagnostics)
    return tuple(diagnostics)


def _missing_words(missing: Mapping[str, Collection[str]]) -> tuple[str, str]:
    needed = listed(
        (
            f"{name} (needed by {_first_of(hosts)})" if hosts else name
            for name, hosts in sorted(missing.items())
        ),
        most=_MOST_MISSING,
    )
    verb = "is" if len(missing) == 1 else "are"
    message = f"{counted(len(missing), 'environment variable')} {verb} unset or empty: {needed}"
    hint = "export them, or put them into a file that only you can read and name it "
    return message, hint + "with --env-file"


def _first_of(hosts: Collection[str]) -> str:
    first = next(iter(hosts))
    return first if len(hosts) == 1 else f"{len(hosts)} hosts, {first} first"


def fleet_if_any(inventory: Sequence[Path], environ: Mapping[str, str]) -> Fleet | None:
    """Return the fleet of the inventory at hand, ``None`` where none is named and none is here."""
    if inventory_is_absent(inventory):
        return None
    return load_fleet(inventory, environ)


def find_recipe(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Return the recipe called ``name``. Raises :class:`Error` for an unknown one."""
    recipe = recipes.get(name)
    if recipe is None:
        raise InputError(
            f"no provider is called {quote(name)}",
            did_you_mean(name, recipes) or f"known: {listed(recipes)}",
        )
    return recipe


def explain_values(
    fleet: Fleet, host: Host, key: str | None, environment: Environment
) -> tuple[Explanation, ...]:
    """Return where each value of ``host`` comes from, or those that ``key`` names.

    Raises :class:`Error` for a key that the host does not have.
    """
    from aegis_provision.providers.explain import explain, matching

    is_set = {name for name, value in environment.variables.items() if value}
    values = tuple(
        replace(item, remark=_SESSIONS_FOLLOW) if _decides(item) else item
        for item in explain(host, fleet.inventory, fleet.recipes, is_set)
    )
    if key is None:
        return values
    found = matching(values, key)
    if not found:
        names = dict.fromkeys(
            name for item in values for name in (item.key, item.variable) if name is not None
        )
        raise InputError(
            f"the host has no value {quote(key)}",
            did_you_mean(key, names) or f"known: {', '.join(names)}",
        )
    return found


def _decides(item: Explanation) -> bool:
    """Tell whether the inventory itself sets a variable that decides over the provider's own."""
    variable, is_set = item.variable, item.value is not None
    return variable is not None and is_set and overrides_provider(variable)


def host_session(
    inventory: Sequence[Path], name: str, environment: Environment
) -> tuple[Session, str, tuple[Diagnostic, ...]]:
    """Return what the host ``name`` would get, at which path, and the warnings.

    Raises :class:`InvalidInputError` and :class:`Error`.
    """
    fleet = load_fleet(inventory, environment.environ, of_all=False)
    path = find_host(fleet, name).target.config_path
    require_providers(fleet, [name])
    resolved, warnings = resolve_sessions(fleet, [name], environment.variables)
    return resolved.sessions[name], path, (*fleet.diagnostics, *warnings)


def recipe_session(
    inventory: Sequence[Path], name: str, environment: Environment
) -> tuple[Session, tuple[Diagnostic, ...]]:
    """Return what a host with nothing but the provider ``name`` would get, and the warnings.

    A built-in recipe needs no inventory. Raises :class:`InvalidInputError` and
    :class:`Error`.
    """
    recipes = builtin_recipes()
    if name not in recipes:
        fleet = fleet_if_any(inventory, environment.environ)
        recipes = fleet.recipes if fleet is not None else recipes
    return session_of(find_recipe(recipes, name), environment)


def session_of(recipe: Recipe, environment: Environment) -> tuple[Session, tuple[Diagnostic, ...]]:
    """Return what a host with nothing but ``recipe`` would get, and the warnings.

    Raises :class:`InvalidInputError`.
    """
    session = resolve_env(recipe_spec(recipe), environment.variables)
    missing = dict.fromkeys(session.missing, ())
    return session, _without_errors(check_session(session), missing)
