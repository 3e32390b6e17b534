"""Suggests the word that the operator may have meant: did you mean ...?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST_COMPARISONS = 50_000
"""How many pairs of words are compared for the words of one file."""

_LONGEST_COMPARED = 100
_SHORT, _LONG = 5, 8


class Suggestions:
    """Suggestions for many words, as long as the comparisons for them are not too many.

    A file may hold a hundred thousand unknown keys, of which the first few are read.
    """

    def __init__(self, comparisons: int = MOST_COMPARISONS) -> None:
        """Allow that many comparisons in all."""
        self._left = comparisons

    def did_you_mean(self, word: str, candidates: Collection[str]) -> str:
        """Return what :func:`did_you_mean` does, or an empty string once there were too many."""
        self._left -= len(candidates)
        return did_you_mean(word, candidates) if self._left >= 0 else ""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the candidate nearest to ``word``, or an empty string.

    Case and the difference between ``-`` and ``_`` do not count.
    """
    if len(word) > _LONGEST_COMPARED:
        return ""
    names = {_folded(candidate): candidate for candidate in candidates}
    near = difflib.get_close_matches(_folded(word), names, n=1, cutoff=0.6)
    return f'did you mean "{names[near[0]]}"?' if near else ""


def is_slip(word: str, name: str) -> bool:
    """Tell whether ``word`` is not ``name``, but is one typing mistake away from it.

    That is stricter than :func:`did_you_mean`: one letter left out, doubled or wrong, or two
    exchanged; two such slips in a name of eight letters and more. Of words shorter than five
    letters there are too many for all of that: ``app`` is not ``api``, nor ``mode`` ``model``.
    """
    if word == name:
        return False
    word, name = _folded(word), _folded(name)
    allowed = 2 if len(name) >= _LONG else 1
    if abs(len(word) - len(name)) > allowed or _distance(word, name) > allowed:
        return False
    if len(word) >= _SHORT:
        return True
    return sorted(word) == sorted(name) or (len(word) != len(name) and not name.startswith(word))


def _distance(first: str, second: str) -> int:
    """Return in how many steps ``first`` becomes ``second``; two letters exchanged are one step."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for index, letter in enumerate(first):
        before, above, row = row, before, [index + 1]
        for column, expected in enumerate(second):
            steps = min(
                before[column] + (letter != expected), before[column + 1] + 1, row[column] + 1
            )
            if index and column and letter == second[column - 1] and first[index - 1] == expected:
                steps = min(steps, above[column - 1] + 1)
            row.append(steps)
    return row[-1]


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")
