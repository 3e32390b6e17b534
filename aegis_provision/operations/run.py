"""``run``: what a command on the operator's own machine gets: Aegis' file, and an environment."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import (
    YAML,
    ConfigFile,
    RejectedConfig,
    merge,
    parse_config,
    syntax_of,
)
from aegis_provision.aegis.edit_errors import CannotEditError
from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.documents.diagnostic import note, warning
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import Error, InputError, InvalidInputError
from aegis_provision.files.reading import read_file
from aegis_provision.humanize import listed
from aegis_provision.operations.load import find_host, fleet_if_any, load_fleet
from aegis_provision.operations.resolve_secrets import resolve_sessions, session_of
from aegis_provision.planning.hand_edits import overriding_variables
from aegis_provision.providers.recipes import VARIABLE_OF, builtin_recipes
from aegis_provision.providers.redaction import Redactor
from aegis_provision.providers.secret import TOKENS, Secret, is_secret_setting
from aegis_provision.providers.session_variables import incomplete_provider
from aegis_provision.providers.templates import references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.operations.load import Environment, Fleet
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import Session, SessionSpec

DEFAULT_PROGRAM = "ag"
CONFIG_FLAG = "--config"

_ORDINARY = frozenset(
    {"HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}
)
"""What programs need to run at all, a recipe's address may be made with, and no secret is in."""

_LOCKS = frozenset({"AEGIS_AUTH_TOKEN", "MANUS_AUTH_TOKEN"})
"""What gives Aegis' API a token, over the file's own (docs/aegis.md, "The API")."""


@dataclass(frozen=True, slots=True)
class RunTarget:
    """What a host, or a recipe alone, would get; ``path`` is where, empty for a recipe.

    ``fleet`` is ``None`` where there is no inventory, or a broken one that was not needed.
    """

    session: Session
    path: str = ""
    fleet: Fleet | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What is about to run: the file's ``name`` and ``content``, and the command's ``environ``.

    ``left_out`` names the variables of the operator's that the command does not get, sorted.
    """

    name: str
    content: bytes = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    left_out: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def command_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return the command that ``words`` mean: ``ag`` where they name no program."""
    if not words or words[0].startswith("-"):
        return (DEFAULT_PROGRAM, *words)
    return tuple(words)


def names_config(words: Sequence[str]) -> bool:
    """Tell whether a command names a file for Aegis itself: of two Aegis takes the first."""
    return any(word == CONFIG_FLAG or word.startswith(f"{CONFIG_FLAG}=") for word in words)


def find_target(
    inventory: Sequence[Path], name: str, environment: Environment, *, host: bool
) -> RunTarget:
    """Return what ``name`` stands for, with secrets: a recipe, else a host of the inventory.

    With ``host`` it is a host in any case. A built-in recipe needs no inventory. Raises
    :class:`InvalidInputError` and :class:`Error`, as for a host that is rolled out to.
    """
    if not host and name in builtin_recipes():
        session, found = session_of(builtin_recipes()[name], environment)
        return RunTarget(session, fleet=_valid_fleet(inventory, environment), diagnostics=found)
    fleet = (load_fleet if host else fleet_if_any)(inventory, environment.environ)
    if fleet is not None and not host and name in fleet.recipes:
        session, found = _complete_session(fleet.recipes[name], environment)
        return RunTarget(session, fleet=fleet, diagnostics=found)
    if fleet is None or (not host and name not in fleet.hosts):
        raise _unknown(name, fleet)
    path = find_host(fleet, name).target.config_path
    resolved, warnings = resolve_sessions(fleet, [name], environment.variables)
    return RunTarget(resolved.sessions[name], path, fleet, (*fleet.diagnostics, *warnings))


def _valid_fleet(inventory: Sequence[Path], environment: Environment) -> Fleet | None:
    """Return the fleet at hand, whose tokens the command must not get; ``None`` for none."""
    try:
        return fleet_if_any(inventory, environment.environ)
    except Error:
        return None


def _complete_session(
    recipe: Recipe, environment: Environment
) -> tuple[Session, tuple[Diagnostic, ...]]:
    absent = [key for key in VARIABLE_OF if key not in recipe.values]
    if absent:
        raise InvalidInputError([incomplete_provider(recipe, absent)])
    return session_of(recipe, environment)


def _unknown(name: str, fleet: Fleet | None) -> InputError:
    recipes = builtin_recipes() if fleet is None else fleet.recipes
    known = {**recipes, **(fleet.hosts if fleet is not None else {})}
    hint = did_you_mean(name, known) or f"known providers: {listed(recipes)}" + (
        "; a host needs an inventory (-i PATH)" if fleet is None else ""
    )
    return InputError(f"neither a provider nor a host is called {quote(name)}", hint)


def prepare_run(target: RunTarget, environ: Mapping[str, str], base: Path | None) -> PreparedRun:
    """Return the file for ``target``, with the other keys of the file ``base``, and what goes on.

    ``environ`` is the operator's. Raises :class:`InputError` where ``base`` can't be read, and
    with every reason where Aegis would not take it, or what would be made of it.
    """
    session = target.session
    syntax = syntax_of(target.path if base is None else str(base))
    config = None if base is None else _read_base(base, session)
    try:
        content = merge(config, session.values, removed=session.spec.removed, syntax=syntax)
    except CannotEditError as problem:
        raise InputError(
            f"--base: {base} can't be edited in place: {problem}",
            "change defaultSessionEnv in it by hand, or name another file",
        ) from None
    written = parse_config(content, syntax=syntax)
    if isinstance(written, RejectedConfig):
        raise _rejected(f"what would be made of {base}" if base else "the file", written)
    left_out = _left_out(target, environ)
    return PreparedRun(
        "aegis.config.yaml" if syntax is YAML else "aegis.config.json",
        content,
        {name: value for name, value in environ.items() if name not in left_out},
        tuple(sorted(left_out)),
        (*target.diagnostics, *_remarks(written, session, left_out, environ, base)),
    )


def _read_base(base: Path, session: Session) -> ConfigFile:
    try:
        data = read_file(base)
    except OSError as problem:
        raise InputError(f"--base: {base} can't be read: {problem.strerror or problem}") from None
    found = parse_config(data, replaced=session.names, syntax=syntax_of(str(base)))
    if isinstance(found, RejectedConfig):
        raise _rejected(str(base), found)
    return found


def _rejected(what: str, config: RejectedConfig) -> InputError:
    hint = "correct the file, or name another with --base"
    return InputError(f"--base: Aegis would not run on {what}", hint, config.reasons)


def _left_out(target: RunTarget, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables of the operator's that the command must not get.

    The provider's own, which its file holds in Aegis' words; every token that a recipe or a host
    takes, by its name and wherever a value holds it; and what sessions, which inherit Aegis'
    environment, would follow rather than the file.
    """
    session = target.session
    named = {*_read_by(session.spec), *_secret_variables(target.fleet), *session.spec.removed}
    tokens = [
        value
        for name, value in session.values.items()
        if isinstance(value, Secret) and name not in session.by_default
    ]
    redactor = Redactor.of(tokens)

    def holds_token(value: str) -> bool:
        # One that is too short to be looked for is found where it stands alone.
        return redactor.finds(value) or any(token.matches(value) for token in tokens)

    return frozenset(
        name
        for name, value in environ.items()
        if name in named
        or _would_override(name)
        or (name not in _ORDINARY | _LOCKS and holds_token(value))
    )


def _would_override(name: str) -> bool:
    """Tell whether sessions that find ``name`` in Aegis' environment would mind it."""
    return name in VARIABLE_OF.values() or overrides_provider(name)


def _read_by(spec: SessionSpec) -> Iterator[str]:
    for variable in spec.variables:
        for reference in references(variable.template):
            if variable.sensitive or reference.name not in _ORDINARY:
                yield reference.name


def _secret_variables(fleet: Fleet | None) -> Iterator[str]:
    """Yield the variables that hold tokens for any recipe, and for any host of ``fleet``."""
    for recipe in (builtin_recipes() if fleet is None else fleet.recipes).values():
        for setting, value in recipe.values.items():
            if is_secret_setting(setting, value.template):
                yield from (item.name for item in references(value.template))
    if fleet is None:
        return
    for spec in {id(spec): spec for spec in fleet.specs.values()}.values():
        for variable in spec.variables:
            if variable.sensitive:
                yield from (item.name for item in references(variable.template))
    templates = {
        str(setting.value)
        for host in fleet.hosts.values()
        for setting in host.effective()
        if setting.key in TOKENS
    }
    for template in templates:
        yield from (item.name for item in references(template) if item.name not in _LOCKS)


def _remarks(
    config: ConfigFile,
    session: Session,
    left_out: frozenset[str],
    environ: Mapping[str, str],
    base: Path | None,
) -> Iterator[Diagnostic]:
    locked = config.auth_token or config.client_auth_token
    if locked is None and not any(environ.get(name) for name in _LOCKS):
        yield warning(
            "open-api",
            "the file has no authToken: unless Aegis gets a token another way (AEGIS_AUTH_TOKEN, "
            "a key), its API answers without one",
            hint="set AEGIS_AUTH_TOKEN, or name a file that has an authToken with --base",
        )
    overriding = overriding_variables(config.session_env, session.names)
    if overriding:
        yield warning(
            "overriding-variable",
            f"sessions follow {listed(overriding)}, which {base} has beside the provider's own "
            "variables",
            hint="take what is not wanted out of that file",
        )
    ignored = sorted(name for name in left_out if _would_override(name))
    if ignored:
        yield note(
            "left-out",
            f"{listed(ignored)}: not passed on, or sessions would follow that rather than the file",
            hint="what sessions should have besides goes into 'env' in the inventory",
        )
