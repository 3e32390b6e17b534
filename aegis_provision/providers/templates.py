"""``${NAME}`` and ``${NAME:-default}``: the templates in recipes and inventories.

The grammar and its corner cases are those of Aegis' BYO-LLM recipes, as observed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GRAMMAR = (
    "a reference is ${NAME} or ${NAME:-default}: NAME has upper-case letters, digits and _ "
    "only, and the default ends at the first }"
)
"""The grammar in a person's words, for hints."""

_REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")
_STRAY = re.compile(r"\$\{[^}]{0,40}\}?")
_BARE = re.compile(r"\$[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference to an environment variable. ``default`` is ``None`` where it has none."""

    name: str
    default: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A template with the environment filled in.

    ``missing`` names what is unset or empty and has no default, sorted, once each; ``text`` is
    then of no use. ``defaulted`` names what took its default, in the same way.
    """

    text: str = field(repr=False)
    missing: tuple[str, ...]
    defaulted: tuple[str, ...]


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Fill the references in ``text`` from ``environ``, in one pass.

    An unset and an empty variable both take the default. Results are not expanded again, and
    what is no reference stays as it is.
    """
    missing: set[str] = set()
    defaulted: set[str] = set()

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        given = environ.get(name, "")
        if given:
            return given
        if default is None:
            missing.add(name)
            return ""
        defaulted.add(name)
        return str(default)

    filled = _REFERENCE.sub(value, text)
    return Expansion(filled, tuple(sorted(missing)), tuple(sorted(defaulted)))


def references(text: str) -> tuple[Reference, ...]:
    """Return the references in ``text``, in order, repetitions included."""
    return tuple(Reference(found[1], found[2]) for found in _REFERENCE.finditer(text))


def single_reference(text: str) -> Reference | None:
    """Return the reference that ``text`` is as a whole, if it is one."""
    found = _REFERENCE.fullmatch(text)
    return Reference(found[1], found[2]) if found else None


def literal_parts(text: str) -> tuple[str, ...]:
    """Return what stands before, between and after the references of ``text``."""
    return tuple(_REFERENCE.split(text)[::3])


def with_references_as(text: str, replacement: str) -> str:
    """Return ``text`` with every reference replaced by the same text."""
    return _REFERENCE.sub(lambda _: replacement, text)


def stray_references(text: str) -> tuple[str, ...]:
    """Return every ``${`` that the grammar does not take, each with a little of what follows.

    A ``${`` inside a default counts: nothing nests, and the default ends at the first ``}``.
    """
    inside = (found[2] or "" for found in _REFERENCE.finditer(text))
    parts = (*literal_parts(text), *inside)
    return tuple(found.group() for part in parts for found in _STRAY.finditer(part))


def bare_names(text: str) -> tuple[str, ...]:
    """Return every ``$NAME`` in ``text``: shells would fill it in, these templates do not."""
    return tuple(found.group() for part in literal_parts(text) for found in _BARE.finditer(part))
