"""The data files that the tool ships: schemas, recipes and a script, wherever it is installed.

The one read that packages which decide may cause: the files are part of the program, like its
modules. Each is read once.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RECIPES = "providers/recipes.yml"
_FIND_SERVER = "rollout/find_server.sh"
# importlib.resources would load what unpacks archives, which takes longer than to read the files.
_PACKAGE = Path(__file__).resolve().parent


@cache
def load_schema(stem: str) -> Mapping[str, Any]:
    """Return the schema ``STEM.schema.json``.

    Raises :class:`FileNotFoundError` for a broken installation.
    """
    name = f"{stem}.schema.json"
    content: Mapping[str, Any] = json.loads(
        _directory("schemas").joinpath(name).read_text(encoding="utf-8")
    )
    return content


def playbooks() -> Mapping[str, str]:
    """Return the ready-made playbooks by name: the text of each.

    Raises :class:`FileNotFoundError` for a broken installation.
    """
    files = {file.name: file for file in _directory("playbooks").iterdir()}
    return {
        name.removesuffix(".yml"): files[name].read_text(encoding="utf-8")
        for name in sorted(files)
        if name.endswith(".yml")
    }


def _directory(name: str) -> Path:
    """Return a directory of data: in the package, or in the checkout.

    A wheel carries them inside the package; an editable install and a bare checkout have them
    beside it.
    """
    for candidate in (_PACKAGE / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(name)


def read_recipes() -> str:
    """Return the text of the built-in recipes, the file :data:`RECIPES` of the package."""
    return _read(RECIPES)


def read_find_server() -> str:
    """Return the program for /bin/sh that tells which Aegis runs on a host."""
    return _read(_FIND_SERVER)


def _read(name: str) -> str:
    return (_PACKAGE / name).read_text(encoding="utf-8")
