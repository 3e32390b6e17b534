"""The list of models that a provider answers with, and whether a name is in it."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_BYTES = 8 << 20
"""A list of models longer than this is not read: the longest real ones have a tenth of it."""

# Where these say something, a page follows: Anthropic's, Google's, and those of gateways.
_MORE_PAGES = ("has_more", "nextPageToken", "next_page_token", "next_page", "next_cursor", "next")
_MOST_MODELS = 10_000
_LONGEST_NAME = 200
_NEAR = 3
_WORTH_COMPARING = 2_000
# OpenRouter takes these behind any of its models and lists none of them.
_ROUTING = re.compile(r":(?:nitro|floor|online)\Z")


@dataclass(frozen=True, slots=True)
class ModelList:
    """What a list holds: the names of models in order, and ``wildcards`` such as ``openai/*``.

    A gateway lists a wildcard for all the models that it hands on to another provider: which these
    are, it does not say. ``partial`` is true where the list says itself that there are more.
    ``native`` is true where it is in Anthropic's form, whose entries say that they are models.
    """

    names: tuple[str, ...]
    partial: bool
    wildcards: tuple[str, ...] = ()
    native: bool = False

    @property
    def is_whole(self) -> bool:
        """Tell whether a model that is not in the list is not offered."""
        return not self.partial and not self.wildcards


def parse_models(body: bytes) -> ModelList | None:
    """Return what an answer lists, ``None`` where it holds no list.

    That is OpenAI's ``{"data": [{"id": ...}]}``, Anthropic's, which has ``has_more`` beside it
    where it has further pages, and what their near relatives make of it.
    """
    if len(body) > MOST_BYTES:
        return None
    try:
        root: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries, partial = root, False
    if isinstance(root, dict):
        # Ollama without any model says null.
        entries = [] if root.get("data", ...) is None else root.get("data", root.get("models"))
        partial = any(root.get(name) for name in _MORE_PAGES)
    if not isinstance(entries, list):
        return None
    found = dict.fromkeys(_names(entries[:_MOST_MODELS]))
    if entries and not found:
        return None
    return ModelList(
        tuple(name for name in found if not is_wildcard(name)),
        partial or len(entries) > _MOST_MODELS,
        tuple(name for name in found if is_wildcard(name)),
        native=bool(found) and all(_is_native(entry) for entry in entries[:_MOST_MODELS]),
    )


def _is_native(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "model"


def is_wildcard(name: str) -> bool:
    """Tell whether ``name`` stands for any number of models (LiteLLM's ``*``, ``openai/*``)."""
    return "*" in name


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
