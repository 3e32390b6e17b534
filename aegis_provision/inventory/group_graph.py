"""Groups and their ancestors: which group is above which, and cycles among them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.humanize import MOST_LISTED, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.group_tree import RawGroup

ALL = "all"
DEEPEST_GROUP = 100
"""How deep groups may lie in each other."""


class _Parent(Protocol):
    """A group as it was written, or as it was resolved."""

    @property
    def children(self) -> Iterable[str]:
        """The names of the groups right below."""


class Ancestry:
    """The ancestors of every group, without ``all``, which is above every group.

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
        path: dict[str, None] = {}
        pending: list[tuple[str, bool]] = [(start, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                path.popitem()
                done.add(name)
            elif name in path:
                way = list(path)
                findings.append(_cycle(groups, [*way[way.index(name) :], name]))
            elif name not in done:
                path[name] = None
                pending.append((name, True))
                pending.extend((child, False) for child in groups[name].children)
    return tuple(findings)


def too_deep(groups: Mapping[str, RawGroup]) -> tuple[Diagnostic, ...]:
    """Return an error where ``groups``, without cycles, lie too deep in each other.

    Each group inherits from every group above it: a chain of thousands, which no real fleet has,
    would take hours.
    """
    depth = dict.fromkeys(groups, 0)
    for name in _from_above(groups):
        for child, span in groups[name].children.items():
            depth[child] = max(depth[child], depth[name] + 1)
            if depth[child] > DEEPEST_GROUP:
                return (
                    error(
                        "too-deep",
                        f"groups lie more than {DEEPEST_GROUP} levels deep in each other",
                        span,
                        hint="put groups beside each other",
                    ),
                )
    return ()


def _from_above(groups: Mapping[str, RawGroup]) -> Iterator[str]:
    """Yield each group after all that are above it."""
    waits = Counter(child for group in groups.values() for child in group.children)
    ready = [name for name in groups if not waits[name]]
    while ready:
        name = ready.pop()
        yield name
        for child in groups[name].children:
            waits[child] -= 1
            if not waits[child]:
                ready.append(child)


def _cycle(groups: Mapping[str, RawGroup], way: list[str]) -> Diagnostic:
    steps = itertools.pairwise(way)
    spans = [groups[upper].children[lower] for upper, lower in steps]
    return error(
        "group-cycle",
        f"a group is inside of itself: {listed(way, between=' > ')}",
        spans[-1],
        hint="take one of these out of 'children'",
        related=tuple(Related(span, "this leads there") for span in spans[:-1][:MOST_LISTED]),
    )
