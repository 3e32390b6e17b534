"""Recipes: the five that come with the tool, and those of an inventory, ``extends`` applied."""

from __future__ import annotations

from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.did_you_mean import Suggestions
from aegis_provision.documents.nodes import Mapping as MappingNode
from aegis_provision.documents.nodes import Scalar, Source
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import is_secret_name
from aegis_provision.documents.yaml_reader import read_document
from aegis_provision.humanize import listed
from aegis_provision.inventory.settings import ENV_PREFIX, read_env
from aegis_provision.packaged_files import RECIPES, read_recipes
from aegis_provision.providers.secret import (
    TOKENS,
    Secret,
    is_secret_setting,
    refers_to_secret,
    secret_problem,
)
from aegis_provision.providers.templates import GRAMMAR, has_stray_reference, references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.host import Inventory, ProviderEntry
    from aegis_provision.inventory.settings import EnvEntry

VARIABLE_OF = {
    "base_url": "ANTHROPIC_BASE_URL",
    "auth_token": "ANTHROPIC_AUTH_TOKEN",
    "model": "ANTHROPIC_DEFAULT_MODEL",
    "fast_model": "ANTHROPIC_DEFAULT_FAST_MODEL",
    "timeout_ms": "API_TIMEOUT_MS",
}
"""The five keys and their variables, in the order of docs/aegis.md, "The five variables"."""

SETTING_OF = {variable: key for key, variable in VARIABLE_OF.items()}
"""The key of each of the five variables."""

MOST_EXTENDED = 4000
"""How many others a provider may extend, one through the other."""


@dataclass(frozen=True, slots=True)
class RecipeValue:
    """One value of a recipe: a template, where it stands, and whether the tool brought it."""

    template: str
    span: Span
    builtin: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """A provider with everything it inherits already in it.

    ``values`` is keyed by our five keys, in their order; ``env`` by variable; ``removed`` are the
    variables that hosts lose by it. ``lineage`` names the recipes it was made of, itself first.
    ``broken`` recipes lack what an ``extends`` that leads nowhere would have brought; that is told
    where it stands.
    """

    name: str
    values: Mapping[str, RecipeValue]
    env: Mapping[str, RecipeValue]
    allow_http: bool
    lineage: tuple[str, ...]
    builtin: bool
    span: Span
    broken: bool = False
    removed: frozenset[str] = frozenset()


@cache
def builtin_recipes() -> Mapping[str, Recipe]:
    """Return the five recipes of Aegis' BYO-LLM page by name."""
    node, diagnostics = read_document(Source(f"aegis_provision/{RECIPES}", read_recipes()))
    if diagnostics or not isinstance(node, MappingNode):
        raise ValueError(f"{RECIPES} is damaged")
    return {
        entry.key.text: Recipe(
            name=entry.key.text,
            values=template_values(entry.value, builtin=True),
            env={},
            allow_http=False,
            lineage=(entry.key.text,),
            builtin=True,
            span=entry.key.span,
        )
        for entry in node
        if isinstance(entry.value, MappingNode)
    }


def template_values(body: MappingNode, *, builtin: bool) -> dict[str, RecipeValue]:
    """Return the five keys' values as far as ``body`` has them and they are of the right type."""
    found: dict[str, RecipeValue] = {}
    for key in VARIABLE_OF:
        entry = body.entry(key)
        if entry is None or not isinstance(entry.value, Scalar):
            continue
        value = entry.value.value
        if isinstance(value, str) or (key == "timeout_ms" and type(value) is int):
            found[key] = RecipeValue(str(value), entry.value.span, builtin)
    return found


def env_entries(body: MappingNode) -> tuple[tuple[EnvEntry, ...], tuple[Diagnostic, ...]]:
    """Return the further variables of ``body``, and what is wrong with them (:func:`read_env`)."""
    entry = body.entry("env")
    return read_env(entry.value) if entry is not None else ((), ())


def _settings(
    values: Mapping[str, RecipeValue], env: Mapping[str, RecipeValue]
) -> Iterator[tuple[str, RecipeValue]]:
    yield from values.items()
    yield from ((f"{ENV_PREFIX}{name}", value) for name, value in env.items())


def recipe_secrets(recipes: Mapping[str, Recipe], environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Return what ``environ`` holds for the secrets of ``recipes``, used by a host or not."""
    names = dict.fromkeys(
        reference.name
        for recipe in recipes.values()
        for setting, value in _settings(recipe.values, recipe.env)
        if is_secret_setting(setting, value.template)
        for reference in references(value.template)
    )
    return tuple(Secret(environ[name], f"${{{name}}}") for name in names if environ.get(name))


def resolve_providers(
    inventory: Inventory,
) -> tuple[Mapping[str, Recipe], tuple[Diagnostic, ...]]:
    """Return every recipe that hosts may name, ``extends`` applied, and what is wrong with them.

    A recipe whose ``extends`` leads nowhere or in a circle is made of what it says itself.
    """
    resolver = _Resolver(inventory.providers)
    recipes = {**builtin_recipes(), **{name: resolver.recipe(name) for name in inventory.providers}}
    return recipes, tuple(resolver.diagnostics)


@dataclass(slots=True)
class _Resolver:
    entries: Mapping[str, ProviderEntry]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    _done: dict[str, Recipe] = field(default_factory=dict)
    _cut: set[str] = field(default_factory=set)
    _suggestions: Suggestions = field(default_factory=Suggestions)

    def recipe(self, name: str) -> Recipe:
        """Return the recipe called ``name`` with all that it inherits.

        The far end of a chain is resolved first, so that a long one costs no stack.
        """
        chain: dict[str, None] = {}
        step: str | None = name
        while step is not None and step not in self._done:
            if step in chain:
                self._cut_cycle([*list(chain)[list(chain).index(step) :], step])
                break
            chain[step] = None
            extends = _extends(self.entries[step])
            base = extends.text if extends is not None else None
            step = base if base in self.entries and base not in builtin_recipes() else None
        for link in reversed(chain):
            self._done[link] = self._resolved(self.entries[link])
        return self._done[name]

    def _cut_cycle(self, way: list[str]) -> None:
        last = _extends(self.entries[way[-2]])
        names = [quote(name).strip('"') for name in way]
        self._cut.add(way[-2])
        self.diagnostics.append(
            error(
                "extends-cycle",
                f"a provider extends itself: {listed(names, between=' > ')}",
                last.span if last is not None else None,
                hint="let one of them extend a built-in recipe",
            )
        )

    def _resolved(self, entry: ProviderEntry) -> Recipe:
        base = self._base(entry)
        if entry.name in builtin_recipes():
            base = builtin_recipes()[entry.name]
            self.diagnostics.append(
                error(
                    "builtin-provider",
                    f"{quote(entry.name)} is a recipe that the tool brings with it",
                    entry.span,
                    hint=f"give yours another name, with 'extends: {entry.name}'",
                )
            )
        values = template_values(entry.body, builtin=False)
        entries, problems = env_entries(entry.body)
        self.diagnostics.extend(problems)
        env = {
            item.name: RecipeValue(item.value, item.span, builtin=False)
            for item in entries
            if item.value is not None
        }
        removed = frozenset(item.name for item in entries if item.value is None)
        for setting, value in _settings(values, env):
            self.diagnostics.extend(template_problems(setting, value.template, value.span))
        for item in entries:
            if item.value is None:
                self.diagnostics.extend(removal_problems(item.name, item.span))
        allow = entry.body.entry("allow_http")
        allows = isinstance(allow.value, Scalar) and allow.value.value is True if allow else None
        merged = {**base.values, **values} if base else values
        inherited = base.env if base else {}
        lost = base.removed if base else frozenset[str]()
        return Recipe(
            name=entry.name,
            values={key: merged[key] for key in VARIABLE_OF if key in merged},
            env={
                name: value for name, value in {**inherited, **env}.items() if name not in removed
            },
            allow_http=allows if allows is not None else (base.allow_http if base else False),
            lineage=(entry.name, *(base.lineage if base else ())),
            builtin=False,
            span=entry.span,
            broken=base.broken if base else entry.body.entry("extends") is not None,
            removed=(lost | removed) - env.keys(),
        )

    def _base(self, entry: ProviderEntry) -> Recipe | None:
        extends = _extends(entry)
        if extends is None or entry.name in self._cut:
            return None
        name, span = extends.text, extends.span
        base = builtin_recipes().get(name) or self._done.get(name)
        if base is not None and len(base.lineage) <= MOST_EXTENDED:
            return base
        if base is not None:
            # Each recipe holds all that it inherits: a chain costs the square of its length.
            problem = error(
                "too-deep",
                f"this provider extends more than {MOST_EXTENDED:,} others",
                span,
                hint="extend a built-in recipe, or one that does",
            )
        else:
            names = {**builtin_recipes(), **self.entries}
            hint = self._suggestions.did_you_mean(name, names) or f"known: {listed(names)}"
            message = f"no provider is called {quote(name)}"
            problem = error("unknown-provider", message, span, hint=hint)
        self.diagnostics.append(problem)
        return None


def _extends(entry: ProviderEntry) -> Scalar | None:
    found = entry.body.entry("extends")
    if found is None or not isinstance(found.value, Scalar):
        return None
    return found.value if isinstance(found.value.value, str) else None


def removal_problems(name: str, span: Span) -> Iterator[Diagnostic]:
    """Yield what is wrong with the removal of the variable ``name`` from hosts."""
    if name in SETTING_OF:
        key = SETTING_OF[name]
        yield error(
            "managed-variable",
            f'"{name}" is what "{key}" sets, and every host needs it: it can\'t be removed',
            span,
            hint=f'take this line out; "{key}" gives it another value',
        )


def template_problems(setting: str, template: str, span: Span) -> Iterable[Diagnostic]:
    """Yield what is wrong with a template in any environment."""
    name = setting.removeprefix(ENV_PREFIX)
    if setting != name and name in VARIABLE_OF.values():
        key = SETTING_OF[name]
        yield error(
            "managed-variable",
            f'"{name}" is what "{key}" sets, and env is for further variables',
            span,
            hint=f'use "{key}" instead',
        )
        return
    if setting in TOKENS or setting != name:
        problem = secret_problem(setting, template, span)
        if problem is not None:
            yield problem
            return
    if setting in TOKENS or (setting != name and is_secret_name(name)):
        return
    if has_stray_reference(template):
        yield error(
            "stray-reference",
            f'a "${{" in {quote(setting)} is no reference, and hosts would get it as it stands',
            span,
            hint=GRAMMAR,
        )
    if setting == name and refers_to_secret(template):
        yield error(
            "secret-in-the-open",
            f"{quote(setting)} refers to a variable that is named like a secret, "
            "and this value is shown in plans",
            span,
            hint="use another variable; a token goes into auth_token",
        )
