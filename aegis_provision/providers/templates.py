"""``${NAME}`` and ``${NAME:-default}``, exactly as the BYO-LLM recipes use them.

One pass, no nesting, no escapes; unset and empty are the same. Text of any other form stays as it
is (docs/aegis.md, "Templates").
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import REFERENCE
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Mapping

GRAMMAR = "a reference is ${NAME} or ${NAME:-default}, with NAME of A-Z, 0-9 and _"
"""The grammar in the words of a hint."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference to the environment. ``default`` is ``None`` where there is none."""

    name: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Expansion:
    """A template with the environment filled in.

    ``missing`` names what is unset or empty without a default, ``defaulted`` what took its
    default; both are sorted, each name once.
    """

    text: str = field(repr=False)
    missing: tuple[str, ...]
    defaulted: tuple[str, ...]


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Return ``text`` with its references replaced; a missing one is replaced by nothing."""
    missing: set[str] = set()
    defaulted: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = environ.get(name)
        if found:
            return found
        if default is None:
            missing.add(name)
            return ""
        defaulted.add(name)
        return default

    filled = REFERENCE.sub(value, text)
    return Expansion(filled, tuple(sorted(missing)), tuple(sorted(defaulted)))


def references(text: str) -> tuple[Reference, ...]:
    """Return the references in ``text``, in order."""
    return tuple(Reference(match[1], match[2]) for match in REFERENCE.finditer(text))


def single_reference(text: str) -> Reference | None:
    """Return the reference that ``text`` consists of, ``None`` where it is anything else."""
    match = REFERENCE.fullmatch(text)
    return Reference(match[1], match[2]) if match else None


def without_references(text: str) -> str:
    """Return ``text`` without its references: the parts that are the same in any environment."""
    return REFERENCE.sub("", text)


def outline(text: str, *, harmless: Collection[str]) -> str:
    """Return ``text`` with its references alone; ``...`` stands for all else.

    A default stays where it is one of the ``harmless`` ones.
    """
    pieces: list[str] = []
    end = 0
    for match in REFERENCE.finditer(text):
        name, default = match[1], match[2]
        pieces.append("..." if match.start() > end else "")
        shown = "" if default is None else f":-{default if default in harmless else '...'}"
        pieces.append(f"${{{name}{shown}}}")
        end = match.end()
    pieces.append("..." if end < len(text) else "")
    return "".join(pieces)


def has_stray_reference(text: str) -> bool:
    """Tell whether a ``${`` in ``text`` is outside the grammar and would be left as it is."""
    return "${" in without_references(text) or any(
        "${" in (reference.default or "") for reference in references(text)
    )
