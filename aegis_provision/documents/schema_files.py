"""The JSON Schemas that the tool ships, wherever it is installed."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable


@cache
def load_schema(stem: str) -> Mapping[str, Any]:
    """Return the schema ``STEM.schema.json``: out of the package, or of the checkout.

    A wheel carries the schemas inside the package; an editable install and a bare checkout have
    them beside it. Raises :class:`FileNotFoundError` for a broken installation.
    """
    name = f"{stem}.schema.json"
    package = resources.files("aegis_provision")
    places: tuple[Traversable, ...] = (
        package.joinpath("schemas", name),
        Path(__file__).resolve().parents[2] / "schemas" / name,
    )
    for place in places:
        if place.is_file():
            content: Mapping[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            return content
    raise FileNotFoundError(name)
