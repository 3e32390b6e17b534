"""What the operator may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_COMPARED = 100


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the candidate nearest to ``word``, or an empty string.

    Case and the difference between ``-`` and ``_`` do not count.
    """
    if len(word) > _LONGEST_COMPARED:
        return ""
    known = {_folded(candidate): candidate for candidate in candidates}
    near = difflib.get_close_matches(_folded(word), known, n=1, cutoff=0.6)
    return f'did you mean "{known[near[0]]}"?' if near else ""


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")
