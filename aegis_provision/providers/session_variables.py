"""A host's session variables: as templates, then with the operator's environment filled in."""

from __future__ import annotations

import itertools
from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.documents.did_you_mean import Suggestions
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import is_plain_setting
from aegis_provision.humanize import group_by, listed
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.providers.recipes import (
    VARIABLE_OF,
    RecipeValue,
    removal_problems,
    template_problems,
)
from aegis_provision.providers.secret import TOKENS, Secret, is_secret_setting
from aegis_provision.providers.templates import expand, references, single_reference
from aegis_provision.providers.unusable_tokens import UnusableToken, unusable_token
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.host import Host, Inventory, Setting
    from aegis_provision.providers.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Variable:
    """One session variable as a template.

    ``template`` is the text with its ``${...}`` references; ``setting`` the key it came from
    (``base_url``, or ``env.NAME``); ``sensitive`` variables are never shown.
    ``from_recipe`` is true where a built-in recipe set it rather than the operator.
    """

    name: str
    template: str = field(repr=False)
    setting: str
    sensitive: bool
    span: Span
    from_recipe: bool


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Every session variable of a host, in the order in which the file holds them.

    Hosts with the same settings share one instance: compare with ``is`` to save work.
    ``lineage`` names the recipes that the provider was made of, itself first. ``removed`` are
    variables that a host must not have, in the inventory's order.
    """

    provider: str
    variables: tuple[Variable, ...]
    allow_http: bool
    lineage: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A spec with the operator's environment filled in.

    ``values`` maps variable names to text, or to a :class:`Secret` where it is sensitive, in the
    spec's order; a variable with a missing reference is absent. ``missing`` names the
    environment variables that are unset or empty and have no default, sorted, once each.
    ``by_default`` names the session variables for which nothing was set: every reference in
    them took its default. ``withheld`` names the variables that were left empty because they hold
    secrets: such a session can be compared with what a host has, but never written. ``unusable``
    are variables of the environment that would be written as a secret and obviously are none.
    """

    spec: SessionSpec
    values: Mapping[str, str | Secret]
    missing: tuple[str, ...]
    by_default: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()
    unusable: tuple[UnusableToken, ...] = ()

    @property
    def in_order(self) -> tuple[str, ...]:
        """Return the names of all variables, those without a value too, in the spec's order."""
        return tuple(dict.fromkeys((*(item.name for item in self.spec.variables), *self.values)))

    @property
    def names(self) -> frozenset[str]:
        """Return the names that the inventory decides about: those, and the removed ones."""
        return frozenset((*self.in_order, *self.spec.removed))


def session_specs(
    inventory: Inventory, recipes: Mapping[str, Recipe]
) -> tuple[Mapping[str, SessionSpec], tuple[Diagnostic, ...]]:
    """Return the session variables of every host, and what is wrong with them.

    Hosts with the same settings share one spec. A host whose provider is not known has none.
    """
    builder = _SpecBuilder(recipes)
    specs: dict[str, SessionSpec | None] = dict.fromkeys(inventory.hosts)
    alike = _alike(inventory)
    for hosts in alike:
        names = [host.name for host in hosts]
        specs.update(dict.fromkeys(names, builder.spec(hosts[0], names)))
    known = {name: spec for name, spec in specs.items() if spec is not None}
    return known, (*_template_diagnostics(inventory, alike), *builder.diagnostics(inventory))


def _alike(inventory: Inventory) -> list[list[Host]]:
    """Return the hosts in groups that share all their settings."""
    return list(
        group_by(
            inventory.hosts.values(),
            lambda host: (
                id(host.settings),
                id(host.provider),
                id(host.overrides),
                id(host.env),
                id(host.ignored),
            ),
        ).values()
    )


def recipe_spec(recipe: Recipe, further: Mapping[str, Setting] | None = None) -> SessionSpec:
    """Return the session variables of a recipe alone, without any host's values for the five keys.

    ``further`` are a host's own further variables, which count whichever provider it has.
    """
    env = {name: _env_value(item) for name, item in (further or {}).items()}
    return _spec(recipe, recipe.values, {**_env_of(recipe), **env})


def incomplete_provider(
    recipe: Recipe,
    absent: Sequence[str],
    more: str = "",
    related: tuple[Related, ...] = (),
    hosts: tuple[str, ...] = (),
) -> Diagnostic:
    """Return the error for a recipe that lacks the keys ``absent``; ``more`` is put after that."""
    return error(
        "incomplete-provider",
        f"the provider {quote(recipe.name)} brings no {', no '.join(absent)}{more}",
        recipe.span,
        hint="add what is missing, or let it extend a built-in recipe",
        related=related,
        hosts=hosts,
    )


@dataclass(slots=True)
class _SpecBuilder:
    """Makes one spec for all hosts that are alike, and each diagnostic once for all its hosts."""

    recipes: Mapping[str, Recipe]
    _shared: dict[tuple[object, ...], SessionSpec] = field(default_factory=dict)
    _unknown: dict[Setting, list[str]] = field(default_factory=dict)
    _incomplete: dict[tuple[Setting, tuple[str, ...]], list[str]] = field(default_factory=dict)

    def spec(self, host: Host, alike: Sequence[str]) -> SessionSpec | None:
        """Return the spec of ``host`` and of the hosts ``alike``; ``None`` where there is none."""
        if host.provider is None:
            return None
        recipe = self.recipes.get(str(host.provider.value))
        if recipe is None:
            self._unknown.setdefault(host.provider, []).extend(alike)
            return None
        spec = self._spec(host, recipe)
        present = {variable.setting for variable in spec.variables}
        absent = tuple(key for key in VARIABLE_OF if key not in present)
        if absent and not recipe.broken:
            self._incomplete.setdefault((host.provider, absent), []).extend(alike)
        return spec

    def diagnostics(self, inventory: Inventory) -> Iterator[Diagnostic]:
        def in_order(names: Sequence[str]) -> tuple[str, ...]:
            chosen = frozenset(names)
            return tuple(name for name in inventory.hosts if name in chosen)

        suggestions = Suggestions()
        for setting, hosts in self._unknown.items():
            name = str(setting.value)
            yield error(
                "unknown-provider",
                f"no provider is called {quote(name)}",
                setting.span,
                hint=suggestions.did_you_mean(name, self.recipes)
                or f"known: {listed(self.recipes)}",
                hosts=in_order(hosts),
            )
        for (setting, absent), hosts in self._incomplete.items():
            yield incomplete_provider(
                self.recipes[str(setting.value)],
                absent,
                ", and nothing nearer to the host does",
                related=(Related(setting.span, "it is chosen here"),),
                hosts=in_order(hosts),
            )

    def _spec(self, host: Host, recipe: Recipe) -> SessionSpec:
        signature = (
            recipe.name,
            tuple((key, item.span) for key, item in host.overrides.items()),
            tuple((name, item.span) for name, item in host.env.items()),
        )
        if signature not in self._shared:
            own = {key: _as_value(item) for key, item in host.overrides.items()}
            env = {name: _env_value(item) for name, item in host.env.items()}
            values = {**recipe.values, **own}
            self._shared[signature] = _spec(recipe, values, {**_env_of(recipe), **env})
        return self._shared[signature]


def _as_value(setting: Setting) -> RecipeValue:
    return RecipeValue(str(setting.value), setting.span, builtin=False)


def _env_value(setting: Setting) -> RecipeValue | None:
    return None if setting.value is None else _as_value(setting)


def _env_of(recipe: Recipe) -> dict[str, RecipeValue | None]:
    return {**recipe.env, **dict.fromkeys(sorted(recipe.removed))}


def _spec(
    recipe: Recipe, values: Mapping[str, RecipeValue], env: Mapping[str, RecipeValue | None]
) -> SessionSpec:
    """Return the session variables of ``values`` and ``env``, which has ``None`` for removed."""
    by_setting = [(name, key, values[key]) for key, name in VARIABLE_OF.items() if key in values]
    by_setting += [
        (name, ENV_PREFIX + name, value) for name, value in env.items() if value is not None
    ]
    variables = tuple(
        Variable(
            name,
            value.template,
            setting,
            is_secret_setting(setting, value.template),
            value.span,
            value.builtin,
        )
        for name, setting, value in by_setting
    )
    removed = tuple(name for name, value in env.items() if value is None)
    return SessionSpec(recipe.name, variables, recipe.allow_http, recipe.lineage, removed)


def resolve_env(
    spec: SessionSpec, environ: Mapping[str, str], *, with_secrets: bool = True
) -> Session:
    """Return ``spec`` with ``environ`` filled in; sensitive values become secrets.

    Without secrets, what sensitive variables refer to is neither read nor missing; a variable that
    is none of them and refers to it too would show it, and is withheld with them. A further
    variable that is named like a secret and holds short digits, ``true`` or ``false`` is none.
    """
    values: dict[str, str | Secret] = {}
    missing: set[str] = set()
    by_default: set[str] = set()
    unusable: list[UnusableToken] = []
    withheld = frozenset() if with_secrets else _withheld(spec)
    for variable in spec.variables:
        if variable.name in withheld:
            continue
        expansion = expand(variable.template, environ)
        names = dict.fromkeys(item.name for item in references(variable.template))
        if names and set(expansion.defaulted) == names.keys():
            by_default.add(variable.name)
        if expansion.missing:
            missing.update(expansion.missing)
        elif variable.sensitive and (
            variable.setting in TOKENS or not is_plain_setting(expansion.text)
        ):
            unusable.extend(
                unusable_tokens(variable.template, environ, variable.name, variable.setting)
            )
            origin = ", ".join(f"${{{name}}}" for name in names)
            values[variable.name] = Secret(expansion.text, origin or "the inventory")
        else:
            values[variable.name] = expansion.text
    return Session(
        spec,
        values,
        tuple(sorted(missing)),
        frozenset(by_default),
        withheld,
        tuple(dict.fromkeys(unusable)),
    )


def unusable_tokens(
    template: str, environ: Mapping[str, str], used_as: str, setting: str
) -> Iterator[UnusableToken]:
    """Yield what the secret ``template`` of ``setting`` refers to that is obviously no token.

    ``used_as`` is what the operator knows the value by.
    """
    alone = single_reference(template) is not None
    for reference in references(template):
        value = environ.get(reference.name) or reference.default or ""
        reason = unusable_token(value, reference.name, alone=alone, token=setting in TOKENS)
        if reason:
            yield UnusableToken(used_as, reference.name, reason)


def _withheld(spec: SessionSpec) -> frozenset[str]:
    """Return the variables that are sensitive, or refer to what one of those refers to."""
    secret = {
        reference.name
        for variable in spec.variables
        if variable.sensitive
        for reference in references(variable.template)
    }
    return frozenset(
        variable.name
        for variable in spec.variables
        if variable.sensitive
        or any(reference.name in secret for reference in references(variable.template))
    )


def resolve_secret(template: str, environ: Mapping[str, str]) -> Secret | tuple[str, ...]:
    """Return the secret that ``template`` refers to, or the names of what is unset for it.

    An empty default is no secret, and nothing is missing then.
    """
    expansion = expand(template, environ)
    return Secret(expansion.text, template) if expansion.text else expansion.missing


def _template_diagnostics(
    inventory: Inventory, alike: Sequence[Sequence[Host]]
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the templates in all settings of groups and hosts.

    ``alike`` are its hosts, those together that share their settings. That includes settings which
    something nearer to the host overrides: a secret that is written down is one whether it counts
    or not. Each place is told once; its hosts are those for which it counts.
    """
    templates: dict[tuple[str, Span], str | None] = {}
    hosts: dict[tuple[str, Span], list[Sequence[str]]] = {}
    for setting, names in _settings(inventory, alike):
        key = setting.key
        if key not in {*VARIABLE_OF, *TOKENS} and not key.startswith(ENV_PREFIX):
            continue
        unused = (*setting.overrode, *setting.agreeing)
        for item, counts_for in ((setting, names), *((item, ()) for item in unused)):
            if isinstance(item.value, str | int | None) and not isinstance(item.value, bool):
                templates[key, item.span] = None if item.value is None else str(item.value)
                hosts.setdefault((key, item.span), []).append(counts_for)
    for (key, span), template in templates.items():
        found = (
            removal_problems(key.removeprefix(ENV_PREFIX), span)
            if template is None
            else template_problems(key, template, span)
        )
        for problem in found:
            concerned = dict.fromkeys(itertools.chain.from_iterable(hosts[key, span]))
            yield replace(problem, hosts=tuple(concerned))


def _settings(
    inventory: Inventory, alike: Sequence[Sequence[Host]]
) -> Iterator[tuple[Setting, Sequence[str]]]:
    """Yield the settings of groups and hosts, with the hosts for which each counts."""
    for group in inventory.groups.values():
        yield from ((setting, ()) for setting in group.settings.values())
    for hosts in alike:
        host, names = hosts[0], [item.name for item in hosts]
        yield from ((setting, names) for setting in (*host.overrides.values(), *host.env.values()))
        yield from ((setting, ()) for setting in host.ignored)
        yield from ((setting, names) for setting in host.settings.values())
