"""Recipes as text and JSON: the variables that they need, and whether those are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.providers.explain import shown_template
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.templates import references
from aegis_provision.report.json_documents import Document, document
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.providers.recipes import Recipe


@dataclass(frozen=True, slots=True)
class _Needed:
    name: str
    required: bool
    is_set: bool

    @property
    def state(self) -> str:
        if self.is_set:
            return "set"
        return "missing" if self.required else "not set"


def list_lines(
    recipes: Mapping[str, Recipe], environ: Mapping[str, str], uses: Mapping[str, int] | None
) -> list[Text]:
    """Return each recipe with its variables. ``uses`` counts each one's hosts, if there are any."""
    lines: list[Text] = []
    for recipe in recipes.values():
        head = Text(recipe.name, style="bold")
        head.append(_origin(recipe) + _used(recipe, uses), style="not bold")
        lines.append(head)
        needed = _needed(recipe, environ)
        required = [item for item in needed if item.required]
        optional = [item for item in needed if not item.required]
        lines.append(Text(f"  needs:    {_named(required) or 'nothing'}"))
        lines.append(Text(f"  optional: {_named(optional) or 'nothing'}"))
    return lines


def recipe_lines(
    recipe: Recipe, environ: Mapping[str, str], uses: Mapping[str, int] | None
) -> list[Text]:
    """Return one recipe in full: every template, and every variable of the environment."""
    head = Text(recipe.name, style="bold")
    head.append(_origin(recipe) + _used(recipe, uses), style="not bold")
    lines = [head]
    lines.extend(
        Text(f"  {escape_control(name):<29} {escape_control(template)}")
        for name, template in _variables(recipe).items()
    )
    lines.extend(
        Text(f"  {escape_control(name):<29} removed from the host")
        for name in sorted(recipe.removed)
    )
    if recipe.allow_http:
        lines.append(Text("  allow_http: a token may go over plain http://"))
    lines.extend(
        Text(f"  ${{{item.name}}}: {'required' if item.required else 'optional'}, {item.state}")
        for item in _needed(recipe, environ)
    )
    return lines


def providers_document(
    recipes: Mapping[str, Recipe], environ: Mapping[str, str], uses: Mapping[str, int] | None
) -> Document:
    """Return the ``providers`` document."""
    return document(
        "providers",
        {
            "providers": [
                {
                    "name": recipe.name,
                    "builtin": recipe.builtin,
                    "lineage": list(recipe.lineage),
                    "hosts": uses.get(recipe.name, 0) if uses is not None else None,
                    "allow_http": recipe.allow_http,
                    "variables": _variables(recipe),
                    "removed": sorted(recipe.removed),
                    "environment": [
                        {"name": item.name, "required": item.required, "set": item.is_set}
                        for item in _needed(recipe, environ)
                    ],
                }
                for recipe in recipes.values()
            ]
        },
    )


def _variables(recipe: Recipe) -> dict[str, str]:
    """Return each session variable's template, less what could be a secret in it."""
    return {
        **{
            VARIABLE_OF[key]: shown_template(key, value.template)
            for key, value in recipe.values.items()
        },
        **{
            name: shown_template(ENV_PREFIX + name, value.template)
            for name, value in recipe.env.items()
        },
    }


def _needed(recipe: Recipe, environ: Mapping[str, str]) -> list[_Needed]:
    required: dict[str, bool] = {}
    for value in (*recipe.values.values(), *recipe.env.values()):
        for reference in references(value.template):
            required[reference.name] = (
                required.get(reference.name, False) or reference.default is None
            )
    return [_Needed(name, needs, bool(environ.get(name))) for name, needs in required.items()]


def _named(needed: list[_Needed]) -> str:
    return ", ".join(f"{item.name} ({item.state})" for item in needed)


def _origin(recipe: Recipe) -> str:
    if recipe.builtin:
        return ""
    chain = " > ".join(recipe.lineage[1:])
    return f"  (yours{f', extends {chain}' if chain else ''})"


def _used(recipe: Recipe, uses: Mapping[str, int] | None) -> str:
    if uses is None:
        return ""
    return f"  {counted(uses.get(recipe.name, 0), 'host')}"
