"""Random inventories, one setting a line, so that a line can be edited by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import strategies as st

from aegis_provision.documents.diagnostic import has_errors
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.providers.recipes import resolve_providers
from aegis_provision.providers.session_variables import session_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hypothesis.strategies import DrawFn, SearchStrategy

    from aegis_provision.inventory.host import Inventory
    from aegis_provision.providers.recipes import Recipe


class Word(Enum):
    """A value that is written as it stands."""

    NULL = "null"


VALUES: dict[str, tuple[Any, ...]] = {
    "user": ("u1", "u2"),
    "port": (1, 2),
    "service": ("s1", "s2"),
    "become_user": ("b1", "b2"),
    "provider": ("glm", "ollama", "own", "inner"),
    "base_url": ("https://one.example.com/v1", "https://${HOST_NAME:-two.example.com}/v1"),
    "auth_token": ("${TOKEN_ONE}", "${TOKEN_TWO}"),
    "model": ("m1", "${A_MODEL:-m2}"),
    "timeout_ms": (1000, "2000"),
    "env.A": ("a1", "a2", Word.NULL),
    "env.B_TOKEN": ("${B_ONE}", "${B_TWO:-}", Word.NULL),
}
OF_RECIPES = ("base_url", "auth_token", "model", "timeout_ms", "env.A", "env.B_TOKEN")
HOST = "h"
# Which groups are right below which; the host may be in any of them.
_SHAPES: tuple[dict[str, tuple[str, ...]], ...] = (
    {"upper": ("lower",), "lower": ()},
    {"upper": ("lower",), "lower": ("lowest",), "lowest": ()},
    {"upper": ("lower", "beside"), "lower": (), "beside": ()},
    {"upper": (), "beside": ()},
    {"upper": ("lower",), "beside": ("lower",), "lower": ()},
)


@dataclass(frozen=True, slots=True)
class Text:
    """The files of an inventory: what each is, its name, its text, and its ``-i``."""

    kind: Literal["inventory", "group_vars", "host_vars"]
    subject: str
    name: str
    lines: tuple[str, ...]
    rank: int

    def edited(self, line: int, value: Any) -> Text:
        """Return the file with another value on one line, counted from 1."""
        key = self.lines[line - 1].partition(":")[0]
        changed = [*self.lines]
        changed[line - 1] = f"{key}: {json.dumps(value)}"
        return replace(self, lines=tuple(changed))


Files = tuple[Text, ...]


def load(files: Files) -> tuple[Inventory, Mapping[str, Recipe]] | None:
    """Return the inventory and its recipes, ``None`` where anything is an error."""
    inventory, diagnostics = load_inventory(
        [
            InputFile(item.kind, item.subject, item.name, "\n".join(item.lines).encode(), item.rank)
            for item in files
        ]
    )
    if inventory is None:
        return None
    recipes, found = resolve_providers(inventory)
    diagnostics += found
    _, found = session_specs(inventory, recipes)
    return None if has_errors((*diagnostics, *found)) else (inventory, recipes)


def lines_of(files: Files, key: str) -> Iterator[tuple[Text, int]]:
    """Yield each line that sets ``key`` (``env.NAME`` for further variables), whosever it is."""
    written = key.removeprefix("env.")
    for file in files:
        for number, line in enumerate(file.lines, 1):
            name, _, value = line.strip().partition(": ")
            if value and json.loads(name) == written:
                yield file, number


@st.composite
def inventories(draw: DrawFn) -> Files:
    """Draw the files of an inventory with one host; its groups may quarrel: then it is refused."""
    shape = draw(st.sampled_from(_SHAPES))
    groups: dict[str, Any] = {
        name: {"children": dict.fromkeys(children), "vars": draw(_some(VALUES, 3)), "hosts": {}}
        for name, children in shape.items()
    }
    groups["all"] = {"vars": {"provider": "glm", "config_path": "/f", **draw(_some(VALUES, 5))}}
    for home in draw(st.lists(st.sampled_from(sorted(shape)), min_size=1, max_size=2)):
        groups[home]["hosts"][HOST] = draw(_some(VALUES, 2))
    recipe = {key: VALUES[key] for key in OF_RECIPES}
    providers = {
        "own": {"extends": "glm", **draw(_some(recipe, 3))},
        "inner": {"extends": "own", **draw(_some(recipe, 3))},
    }
    files = [_file("inventory", "", "inventory.yml", {"providers": providers, **groups})]
    if draw(st.booleans()):
        body = draw(_some(VALUES, 3))
        files.append(_file("group_vars", "upper", "group_vars/upper.yml", body))
    if draw(st.booleans()):
        body = draw(_some(VALUES, 3))
        files.append(_file("host_vars", HOST, f"host_vars/{HOST}.yml", body))
    if draw(st.booleans()):
        later = {"all": {"vars": draw(_some(VALUES, 2)), "hosts": {HOST: draw(_some(VALUES, 2))}}}
        files.append(_file("inventory", "", "later.yml", later, rank=1))
    return tuple(files)


def _some(values: Mapping[str, tuple[Any, ...]], most: int) -> SearchStrategy[dict[str, Any]]:
    chosen = st.lists(st.sampled_from(sorted(values)), max_size=most, unique=True)
    return chosen.flatmap(
        lambda keys: st.fixed_dictionaries({key: st.sampled_from(values[key]) for key in keys})
    ).map(_nested)


def _nested(settings: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in settings.items() if not key.startswith("env.")}
    env = {key.removeprefix("env."): settings[key] for key in settings if key not in found}
    return {**found, "env": env} if env else found


def _file(
    kind: Literal["inventory", "group_vars", "host_vars"],
    subject: str,
    name: str,
    content: dict[str, Any],
    rank: int = 0,
) -> Text:
    return Text(kind, subject, name, tuple(_block(content, "")) or ("{}",), rank)


def _block(content: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in content.items():
        name = f"{indent}{json.dumps(key)}:"
        if value is None or value == {}:
            yield name if value is None or "vars" not in name else f"{name} {{}}"
        elif isinstance(value, dict):
            yield name
            yield from _block(value, indent + "  ")
        elif isinstance(value, Word):
            yield f"{name} {value.value}"
        else:
            yield f"{name} {json.dumps(value)}"
