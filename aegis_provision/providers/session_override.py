"""What one session gets of its own instead of its host's session variables: its ``env``.

Aegis merges a session's ``env`` over the host's session variables, so all five are in it always:
with the base URL alone the *host's* token would go there (docs/aegis.md, "One session").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.literal_secrets import literal_secret
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import is_named_hash, is_secret_name, looks_secret
from aegis_provision.humanize import listed
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.providers.recipes import SETTING_OF, VARIABLE_OF, RecipeValue
from aegis_provision.providers.secret import (
    TOKENS,
    is_secret_setting,
    refers_to_secret,
    secret_problem,
)
from aegis_provision.providers.session_variables import Variable, recipe_spec
from aegis_provision.providers.templates import GRAMMAR, has_stray_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import SessionSpec

FLAG = "--env"
"""The flag that gives a session a variable, and the name of its source in diagnostics."""

_FORM = "write it as NAME='${VARIABLE}', in single quotes; the value stays in your environment"


def read_assignments(
    texts: Sequence[str],
    flag: str = FLAG,
) -> tuple[Mapping[str, RecipeValue], tuple[Diagnostic, ...]]:
    """Return the templates in ``NAME=TEMPLATE`` texts by name, and all that is wrong with them.

    ``flag`` is what the caller calls them. Each text is a line of one source. The rules for secrets
    are those of an inventory: a literal that looks like one, or has a name like one, is refused and
    not repeated.
    """
    source = Source(flag, "\n".join(" ".join(text.splitlines()) for text in texts))
    found: dict[str, RecipeValue] = {}
    problems: list[Diagnostic] = []
    for line, text in enumerate(texts, 1):
        name, mark, template = text.partition("=")
        if not mark or not name:
            words = f"{flag} takes NAME=TEMPLATE"
            span = _span(source, line, 0, len(text))
            # Not quoted: it may be the secret itself.
            problems.append(error("bad-assignment", words, span, hint=_FORM, quotable=False))
            continue
        span = _span(source, line, len(name) + 1, len(text))
        if name in found:
            words = f"{flag} gives {quote(name)} twice"
            problems.append(error("given-twice", words, span, hint="leave one of them out"))
        problems.extend(_problems(name, template, span, flag))
        found[name] = RecipeValue(template, span, builtin=False)
    return found, tuple(problems)


def _span(source: Source, line: int, start: int, end: int) -> Span:
    return Span(source, line, start + 1, line, max(end, start + 1) + 1)


def setting_of(name: str) -> str:
    """Return the key of the variable ``name``: one of the five keys, else ``env.NAME``."""
    return SETTING_OF.get(name, ENV_PREFIX + name)


def _problems(name: str, template: str, span: Span, flag: str) -> Iterator[Diagnostic]:
    setting = setting_of(name)
    held_to_rule = setting in TOKENS or setting not in VARIABLE_OF
    refused = held_to_rule and secret_problem(setting, template, span) is not None
    if refused or (looks_secret(template) and not is_named_hash(name, template)):
        words = f"{flag} {quote(name)} holds what is or may be a secret: others see a command line"
        yield literal_secret(words, span, hint=_FORM)
        return
    if setting in TOKENS or is_secret_name(name):
        return
    if has_stray_reference(template):
        words = f'a "${{" in {flag} {quote(name)} is no reference'
        yield error("stray-reference", words, span, hint=GRAMMAR)
    if setting in VARIABLE_OF and refers_to_secret(template):
        words = f"{quote(name)} refers to a variable that is named like a secret, and is shown"
        yield error("secret-in-the-open", words, span, hint="use another variable")


def override_spec(
    host: Host,
    own: SessionSpec,
    recipe: Recipe | None,
    given: Mapping[str, RecipeValue],
    belongs_to_provider: Callable[[str], bool],
) -> SessionSpec:
    """Return what one session of ``host`` gets.

    ``own`` is what the host itself gets, and is kept for a ``recipe`` that is the host's own, or
    none. For another the host's values for the five keys do not count, and neither do further
    variables that ``belongs_to_provider`` says are its provider's: a provider brings its own
    values. ``given`` goes before all else.
    """
    spec = own
    if recipe is not None and recipe.name != own.provider:
        further = {name: item for name, item in host.env.items() if not belongs_to_provider(name)}
        spec = recipe_spec(recipe, further)
    return with_variables(spec, given) if given else spec


def with_variables(spec: SessionSpec, given: Mapping[str, RecipeValue]) -> SessionSpec:
    """Return ``spec`` with ``given`` in place of its variables of those names, or after them.

    The five stay first, in their order; what is given is not removed any more.
    """
    variables = {item.name: item for item in spec.variables}
    for name, value in given.items():
        setting = setting_of(name)
        sensitive = is_secret_setting(setting, value.template)
        variables[name] = Variable(
            name, value.template, setting, sensitive, value.span, from_recipe=False
        )
    five = [variables.pop(name) for name in VARIABLE_OF.values() if name in variables]
    removed = tuple(name for name in spec.removed if name not in given)
    return replace(spec, variables=(*five, *variables.values()), removed=removed)


def incomplete_problem(spec: SessionSpec, span: Span | None, flag: str = FLAG) -> Diagnostic | None:
    """Return why ``spec`` can't be one session's ``env``: it lacks some of the five variables.

    ``flag`` is what the caller calls the parameter that may give them.
    """
    present = {item.name for item in spec.variables}
    absent = [name for name in VARIABLE_OF.values() if name not in present]
    if not absent:
        return None
    return error(
        "incomplete-provider",
        f"the provider {quote(spec.provider)} brings no {listed(absent, between=', no ')}: a "
        "session without it would get the host's own",
        span,
        hint=f"add what is missing to the provider, or give it with {flag}",
    )
