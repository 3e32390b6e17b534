"""The list of models that a provider answers with, and whether a name is in it."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_BYTES = 8 << 20
"""A list of models longer than this is not read: the longest real ones have a tenth of it."""

_MOST_MODELS = 10_000
_LONGEST_NAME = 200
_NEAR = 3
_WORTH_COMPARING = 2_000
# OpenRouter takes these behind any of its models and lists none of them.
_ROUTING = re.compile(r":(?:nitro|floor|online)\Z")


@dataclass(frozen=True, slots=True)
class Offered:
    """The names of models, in order; ``partial`` where the provider says that there are more."""

    names: tuple[str, ...]
    partial: bool


def offered_models(body: bytes) -> Offered | None:
    """Return what an answer lists, ``None`` where it holds no list.

    That is OpenAI's ``{"data": [{"id": ...}]}``, and what its near relatives make of it.
    """
    if len(body) > MOST_BYTES:
        return None
    try:
        root: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    partial = isinstance(root, dict) and root.get("has_more") is True
    entries = root
    if isinstance(root, dict):
        # Ollama without any model says null.
        entries = [] if root.get("data", ...) is None else root.get("data", root.get("models"))
    if not isinstance(entries, list):
        return None
    names = tuple(dict.fromkeys(_names(entries[:_MOST_MODELS])))
    if entries and not names:
        return None
    return Offered(names, partial or len(entries) > _MOST_MODELS)


def _names(entries: Iterable[object]) -> Iterator[str]:
    for entry in entries:
        name = entry.get("id", entry.get("name")) if isinstance(entry, dict) else entry
        if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME:
            yield name


def offers(names: Sequence[str], wanted: str) -> bool:
    """Tell whether ``wanted`` is in the list, in one of the ways in which providers name it.

    Google's have ``models/`` before them; Ollama's without a tag mean ``:latest``.
    """
    candidates = {wanted, f"models/{wanted}", f"{wanted}:latest", _ROUTING.sub("", wanted)}
    return not candidates.isdisjoint(names)


def near(names: Sequence[str], wanted: str) -> list[str]:
    """Return a few names like ``wanted``; what comes after a publisher's name counts alone too."""
    if len(wanted) > _LONGEST_NAME:
        return []
    folded: dict[str, str] = {}
    for name in names[:_WORTH_COMPARING]:
        folded.setdefault(name.casefold(), name)
        folded.setdefault(name.casefold().rpartition("/")[2], name)
    found = difflib.get_close_matches(wanted.casefold(), folded, n=_NEAR, cutoff=0.6)
    return list(dict.fromkeys(folded[name] for name in found))
