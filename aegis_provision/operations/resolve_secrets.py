"""Fills the operator's secrets into what hosts get, and checks what Aegis would make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import check_session, unusable_problem
from aegis_provision.documents.diagnostic import (
    Diagnostic,
    error,
    has_errors,
    warning,
)
from aegis_provision.errors import InvalidInputError
from aegis_provision.humanize import counted, group_by, listed
from aegis_provision.inventory.host import LOGIN_SECRETS
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import (
    recipe_spec,
    resolve_env,
    resolve_secret,
    unusable_tokens,
)
from aegis_provision.transport.connect_options import LoginSecrets
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aegis_provision.inventory.host import Inventory
    from aegis_provision.operations.load import Environment, Fleet
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import Session, SessionSpec

_MOST_MISSING = 100


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


def session_of(recipe: Recipe, environment: Environment) -> tuple[Session, tuple[Diagnostic, ...]]:
    """Return what a host with nothing but ``recipe`` would get, and the warnings.

    Raises :class:`InvalidInputError`.
    """
    session = resolve_env(recipe_spec(recipe), environment.variables)
    missing = dict.fromkeys(session.missing, ())
    return session, _without_errors(check_session(session), missing)
