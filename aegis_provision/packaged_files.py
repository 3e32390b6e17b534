"""The data files that the tool ships: schemas, recipes and a script, wherever it is installed.

The one read that packages which decide may cause: the files are part of the program, like its
modules. Each is read once.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

RECIPES = "providers/recipes.yml"
_FIND_SERVER = "rollout/find_server.sh"


@cache
def load_schema(stem: str) -> Mapping[str, Any]:
    """Return the schema ``STEM.schema.json``: out of the package, or of the checkout.

    A wheel carries the schemas inside the package; an editable install and a bare checkout have
    them beside it. Raises :class:`FileNotFoundError` for a broken installation.
    """
    name = f"{stem}.schema.json"
    candidates: tuple[Traversable, ...] = (
        resources.files(__package__).joinpath("schemas", name),
        Path(__file__).resolve().parents[1] / "schemas" / name,
    )
    for candidate in candidates:
        if candidate.is_file():
            content: Mapping[str, Any] = json.loads(candidate.read_text(encoding="utf-8"))
            return content
    raise FileNotFoundError(name)


def read_recipes() -> str:
    """Return the text of the built-in recipes, the file :data:`RECIPES` of the package."""
    return _read(RECIPES)


def read_find_server() -> str:
    """Return the program for /bin/sh that tells which Aegis runs on a host."""
    return _read(_FIND_SERVER)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
