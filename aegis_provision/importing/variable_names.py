"""New names for variables that hold secrets, and for recipes."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(slots=True)
class VariableNames:
    """Hands out variables of the environment, one per value.

    A variable that is set keeps its value: it is taken only for that very value. ``reserved`` are
    those that recipes and settings refer to.
    """

    environ: Mapping[str, str] = field(repr=False)
    reserved: Collection[str]
    _values: dict[str, str] = field(default_factory=dict, repr=False)

    def name(self, base: str, value: str, *, unset: bool = False) -> str:
        """Return ``base``, or ``base`` with a number, as the name for ``value``.

        With ``unset`` the name must be of an unset variable, so that the default is taken.
        """
        for number in itertools.count(1):
            name = base if number == 1 else f"{base}_{number}"
            if name in self._values:
                if self._values[name] == value and not unset:
                    return name
                continue
            if self.environ.get(name):
                free = self.environ[name] == value and not unset
            else:
                free = name not in self.reserved
            if free:
                self._values[name] = value
                return name
        raise ValueError("there is no end to numbers")


def variable_base(provider: str) -> str:
    """Return the name of the variable that holds the token of ``provider``."""
    words = re.sub(r"[^A-Z0-9]+", "_", provider.upper()).strip("_")
    return f"LLM_{words}_TOKEN" if not words or words[0].isdigit() else f"{words}_TOKEN"


def recipe_name(base_url: str, taken: Collection[str]) -> str:
    """Return a name for the recipe of ``base_url`` (a right one): its host's."""
    parts = urlsplit(base_url)
    place = parts.hostname or ""
    if parts.port is not None:
        place += f"-{parts.port}"
    return unused(re.sub(r"[^A-Za-z0-9]+", "-", place).strip("-") or "provider", taken)


def unused(base: str, taken: Collection[str]) -> str:
    """Return ``base``, with a number where it is taken."""
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)
