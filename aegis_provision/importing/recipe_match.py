"""Which recipe matches a host's session variables, and which of them it does not bring."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_rules import (
    RESOURCE,
    name_problem,
    placeholder_problem,
    sends_token_in_the_open,
    timeout_problem,
    url_problems,
)
from aegis_provision.documents.secret_detection import HARMLESS_TOKENS
from aegis_provision.humanize import listed
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.providers.recipes import VARIABLE_OF, recipe_secrets
from aegis_provision.providers.redaction import Redactor, exposes_secret
from aegis_provision.providers.secret import is_named_secret, is_secret_setting
from aegis_provision.providers.templates import expand, references, single_reference
from aegis_provision.providers.unusable_tokens import unusable_token
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.providers.recipes import Recipe, RecipeValue
    from aegis_provision.providers.secret import Secret

_URL = VARIABLE_OF["base_url"]
_TOKEN = "auth_token"  # noqa: S105 - the key, not the token
_RESOURCE_NAME = "[A-Za-z0-9][A-Za-z0-9-]*"


@dataclass(frozen=True, slots=True)
class RecipeMatch:
    """What a host's variables are made of.

    ``recipe`` is the one that serves its base URL, ``None`` where none does. ``literal`` are the
    values, by our keys, that it does not bring, ``token`` the host's where it does not bring that;
    ``inherited`` are the keys and names it does bring. ``env`` are further variables that may be
    written down, ``secret_env`` those that may not; ``unmanaged`` can't be said at all.
    """

    recipe: Recipe | None
    base_url: str
    inherited: tuple[str, ...]
    literal: Mapping[str, str]
    token: str | None = field(repr=False)
    env: Mapping[str, str]
    secret_env: Mapping[str, str] = field(repr=False)
    unmanaged: tuple[str, ...]


class NotExpressibleError(Exception):
    """No inventory can express what a host has; the message says why, and repeats no value."""


def match_recipe(
    values: Mapping[str, str], recipes: Mapping[str, Recipe], environ: Mapping[str, str]
) -> RecipeMatch:
    """Return what ``values``, a host's session variables, are made of.

    A recipe serves a host whose base URL is the recipe's: as it stands, or as the environment has
    it. Of several the one that leaves the least to say is taken. What a recipe takes out of the
    environment although it has a default is said all the same: the inventory is to mean the same
    tomorrow. Raises :class:`NotExpressibleError`.
    """
    tokens = recipe_secrets(recipes, environ)
    absent = [name for name in VARIABLE_OF.values() if not values.get(name)]
    if absent:
        raise NotExpressibleError(
            f"it has no {', no '.join(absent)}, and every provider would bring one"
        )
    fits = [fit for recipe in recipes.values() if (fit := _fit(recipe, values, environ))]
    best = min(fits, key=lambda fit: len(fit.differs), default=None)
    inherited = best.inherited if best is not None else ()
    literal = {
        key: values[name]
        for key, name in VARIABLE_OF.items()
        if key != _TOKEN and key not in inherited and not (best is None and key == "base_url")
    }
    token = values[VARIABLE_OF[_TOKEN]]
    checked = literal if best is not None else {**literal, "base_url": values[_URL]}
    problems = [
        f"{VARIABLE_OF[key]} {problem}"
        for key, value in checked.items()
        for problem in _problems(key, value, values, tokens)
    ]
    if _TOKEN not in inherited and token not in HARMLESS_TOKENS and _is_no_token(token):
        problems.append(f"{VARIABLE_OF[_TOKEN]} is a placeholder, not a token")
    if problems:
        raise NotExpressibleError(listed(problems, between="; "))
    further = {
        name: value
        for name, value in values.items()
        if name not in VARIABLE_OF.values() and name not in inherited
    }
    secret = {
        name: value for name, value in further.items() if _is_secret(name, value, values, tokens)
    }
    unmanaged = tuple(
        name for name, value in further.items() if not _can_be_said(name, value, name in secret)
    )
    return RecipeMatch(
        recipe=best.recipe if best is not None else None,
        base_url=values[_URL],
        inherited=inherited,
        literal=literal,
        token=None if _TOKEN in inherited else token,
        env={
            name: value
            for name, value in further.items()
            if name not in secret and name not in unmanaged
        },
        secret_env={name: value for name, value in secret.items() if name not in unmanaged},
        unmanaged=unmanaged,
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    recipe: Recipe
    inherited: tuple[str, ...]
    differs: tuple[str, ...]


def _fit(recipe: Recipe, values: Mapping[str, str], environ: Mapping[str, str]) -> _Fit | None:
    """Return how ``recipe`` fits, ``None`` where it serves another base URL."""
    base = recipe.values.get("base_url")
    url = values[_URL]
    if base is None or not _serves(base.template, url, environ):
        return None
    if sends_token_in_the_open(url) and not recipe.allow_http:
        return None
    if not recipe.env.keys() <= values.keys():
        return None  # it would bring variables that the host does not have
    if not recipe.removed.isdisjoint(values):
        return None  # it would take variables from the host
    parts: dict[str, tuple[RecipeValue | None, str, bool]] = {
        key: (recipe.values.get(key), values[name], key == _TOKEN)
        for key, name in VARIABLE_OF.items()
    }
    for name, value in recipe.env.items():
        parts[name] = value, values[name], is_secret_setting(ENV_PREFIX + name, value.template)
    inherited = tuple(
        part
        for part, (value, wanted, sensitive) in parts.items()
        if value is not None
        and _expanded(value.template, environ, sensitive) == wanted
        and not (sensitive and _is_refused(value.template, wanted))
    )
    return _Fit(recipe, inherited, tuple(part for part in parts if part not in inherited))


def _serves(template: str, url: str, environ: Mapping[str, str]) -> bool:
    for expansion in (expand(template, environ), expand(template, {})):
        if not expansion.missing and expansion.text == url:
            return True
    before, placeholder, after = expand(template, {}).text.partition(RESOURCE)
    if not placeholder:
        return False
    return re.fullmatch(re.escape(before) + _RESOURCE_NAME + re.escape(after), url) is not None


def _expanded(template: str, environ: Mapping[str, str], sensitive: bool) -> str | None:
    """Return what a template gives today and would give tomorrow, ``None`` where that may differ.

    A token comes out of the environment in any case.
    """
    expansion = expand(template, environ)
    if expansion.missing:
        return None
    shifting = any(
        reference.default is not None and environ.get(reference.name)
        for reference in references(template)
    )
    return None if shifting and not sensitive else expansion.text


def _is_refused(template: str, token: str) -> bool:
    """Tell whether a token is a placeholder that its recipe did not put there itself."""
    reference = single_reference(template)
    own = reference is not None and reference.default == token
    return _is_no_token(token) and not own


def _is_no_token(token: str) -> bool:
    return placeholder_problem(token) is not None or bool(unusable_token(token))


def _problems(
    key: str, value: str, values: Mapping[str, str], tokens: Sequence[Secret]
) -> Iterator[str]:
    """Yield why a value can't be written down; it is never repeated."""
    if key == "timeout_ms":
        if problem := timeout_problem(value):
            yield f"is refused: {problem}"
        return
    if "${" in value:
        yield 'holds a "${", which an inventory would take for a reference'
    if _shows_secret(value, values, tokens):
        yield "looks like a secret, and would stand in the open"
        return
    if placeholder_problem(value):
        yield "is a placeholder, not a value"
    if key == "base_url":
        yield from (f"is refused: {reason}" for reason in url_problems(value))


def _shows_secret(value: str, values: Mapping[str, str], tokens: Sequence[Secret]) -> bool:
    secrets = [
        text
        for name, text in values.items()
        if is_named_secret(name, text) and text not in HARMLESS_TOKENS
    ]
    known = Redactor.of((*secrets, *tokens))
    return exposes_secret(value, secrets) or known.finds(value, words=False)


def _is_secret(name: str, value: str, values: Mapping[str, str], tokens: Sequence[Secret]) -> bool:
    others = {other: text for other, text in values.items() if other != name}
    return is_named_secret(name, value) or _shows_secret(value, others, tokens)


def _can_be_said(name: str, value: str, secret: bool) -> bool:
    """Tell whether an inventory may hold a further variable, itself or as a reference."""
    if name_problem(name) is not None or placeholder_problem(value) is not None:
        return False
    return not unusable_token(value, token=False) if secret else "${" not in value
