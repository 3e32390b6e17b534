"""Which group is above which."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from aegis_provision.documents.diagnostic import Related, error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.tree import RawGroup

ALL = "all"


class _Parent(Protocol):
    """A group as it was written, or as it was resolved."""

    @property
    def children(self) -> Iterable[str]:
        """The names of the groups right below."""


class Ancestry:
    """The ancestors of every group, ``all`` left out: it is everyone's.

    Built from groups without cycles (see :func:`cycles`).
    """

    def __init__(self, groups: Mapping[str, _Parent]) -> None:
        self._parents: dict[str, list[str]] = {name: [] for name in groups}
        for name, group in groups.items():
            for child in group.children:
                self._parents[child].append(name)
        self._known: dict[str, frozenset[str]] = {}
        self._order = {name: index for index, name in enumerate(groups)}

    def above(self, group: str) -> frozenset[str]:
        """Return every ancestor of ``group`` except ``all``."""
        known = self._known.get(group)
        if known is None:
            pending, found = list(self._parents[group]), set[str]()
            while pending:
                parent = pending.pop()
                if parent != ALL and parent not in found:
                    found.add(parent)
                    pending.extend(self._parents[parent])
            known = self._known[group] = frozenset(found)
        return known

    def is_above(self, upper: str, lower: str) -> bool:
        """Tell whether ``upper`` is an ancestor of ``lower``; ``all`` is above every other."""
        if upper == ALL:
            return lower != ALL
        return upper in self.above(lower)

    def closure(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return ``groups`` and all above them, without ``all``, in order of declaration."""
        found: set[str] = set()
        for group in groups:
            if group != ALL:
                found.add(group)
                found |= self.above(group)
        return tuple(sorted(found, key=self._order.__getitem__))


def cycles(groups: Mapping[str, RawGroup]) -> tuple[Diagnostic, ...]:
    """Return an error for each group that is its own ancestor, with the way round."""
    findings: list[Diagnostic] = []
    done: set[str] = set()
    for start in groups:
        path: list[str] = []
        pending: list[tuple[str, bool]] = [(start, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                path.pop()
                done.add(name)
            elif name in path:
                findings.append(_cycle(groups, [*path[path.index(name) :], name]))
            elif name not in done:
                path.append(name)
                pending.append((name, True))
                pending.extend((child, False) for child in groups[name].children)
    return tuple(findings)


def _cycle(groups: Mapping[str, RawGroup], way: list[str]) -> Diagnostic:
    steps = itertools.pairwise(way)
    spans = [groups[upper].children[lower] for upper, lower in steps]
    return error(
        "group-cycle",
        f"a group is inside of itself: {' > '.join(way)}",
        spans[-1],
        hint="take one of these out of 'children'",
        related=tuple(Related(span, "this leads there") for span in spans[:-1]),
    )
