"""The groups and hosts of all files together, as they were written, and which group is above which.

Nothing is resolved yet.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error, warning
from aegis_provision.documents.did_you_mean import Suggestions
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import MOST_LISTED, listed
from aegis_provision.inventory.addresses import ALLOWED, is_address
from aegis_provision.inventory.host import ProviderEntry
from aegis_provision.inventory.ranges import RangeError, expand_range, is_range
from aegis_provision.inventory.settings import Declared, SettingsReader
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Mapping as MappingOf

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.ansible_hosts import AnsibleInventory
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Group, Setting

ALL = "all"
DEEPEST_GROUP = 100
"""How deep groups may lie in each other."""

MOST_HOSTS = 500_000
"""How many hosts all groups together may list: a file of a few lines must not fill the memory."""

_MOST_COMPARISONS = 100_000


@dataclass(slots=True)
class RawHost:
    """A host as far as files mention it: where first, in which groups, with which settings.

    ``bodies`` are the nodes that its settings came from. ``shared`` says that this stands for all
    hosts of a range as long as nothing else mentions them, and so must not be changed.
    ``replaced``, ``host_vars`` and ``merges`` are those of :class:`.host.Host`.
    """

    span: Span
    groups: dict[str, None]
    declared: list[Declared]
    bodies: list[Node]
    shared: bool = False
    replaced: tuple[Setting, ...] = ()
    host_vars: str = ""
    merges: bool = False


@dataclass(slots=True)
class RawGroup:
    """A group as far as files mention it.

    ``bodies`` are the nodes its settings came from; ``ranged`` holds, for each priority of files,
    the hosts that came from a range, and from which.
    """

    span: Span | None
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Span] = field(default_factory=dict)
    declared: list[Declared] = field(default_factory=list)
    bodies: list[Node] = field(default_factory=list)
    ranged: dict[int, dict[str, Span]] = field(default_factory=dict)


class Tree:
    """Takes files one by one; afterwards ``groups``, ``hosts`` and ``providers`` hold them all."""

    def __init__(self) -> None:
        self.groups: dict[str, RawGroup] = {ALL: RawGroup(None)}
        self.hosts: dict[str, RawHost] = {}
        self.providers: dict[str, ProviderEntry] = {}
        self.others: dict[str, tuple[str, ...]] = {}
        self.diagnostics: list[Diagnostic] = []
        self._settings = SettingsReader()
        self._suggestions = Suggestions(_MOST_COMPARISONS)
        self._listed = 0
        self._unread: list[str] = []

    def add_inventory(self, file: InputFile, node: Node) -> None:
        """Take the groups, hosts and providers of an inventory file."""
        if not isinstance(node, Mapping):
            return
        for entry in node:
            if entry.key.text == "providers":
                self._add_providers(entry.value)
            else:
                self._add_group(entry, file.priority)

    def add_ansible(self, file: InputFile, inventory: AnsibleInventory) -> None:
        """Take the groups and hosts of an inventory that Ansible read."""
        read: dict[int, tuple[Declared, ...]] = {}
        for host in inventory.hosts:
            if not self._is_host_name(host.name, host.span):
                continue
            declared = read.get(id(host.body))
            if declared is None:
                # What a host's own variable hides is not among those that Ansible gives it.
                declared = tuple(
                    item
                    for item in self._settings.read(host.body, file.priority)
                    if not item.is_unset
                )
                read[id(host.body)] = declared
            self.hosts.setdefault(host.name, RawHost(host.span, {}, [], []))
            raw = self._own_host(host.name)
            raw.declared.extend(host.declared(declared))
            raw.bodies.append(host.body)
            keys = {item.key for item in declared}
            raw.replaced = tuple(item for item in host.replaced if item.key not in keys)
            raw.host_vars = host.host_vars
            raw.merges = inventory.merges
        for name, (hosts, children) in inventory.groups.items():
            group = self.groups.setdefault(name, RawGroup(None))
            for child in children:
                self.groups.setdefault(child, RawGroup(None))
                group.children.setdefault(child, inventory.span)
            for member in hosts:
                if member in self.hosts:
                    group.hosts.setdefault(member)
                    self.hosts[member].groups.setdefault(name)
        self.others.update(inventory.others)

    def add_variables(self, file: InputFile, node: Node) -> None:
        """Take a ``group_vars`` or ``host_vars`` file. Inventories come first."""
        declared = self._settings.read(node, file.priority)
        if not self.knows(file):
            self._unused(file, node.span, self._suggestion(file))
            return
        name = file.subject
        subject = self.groups[name] if file.kind == "group_vars" else self._own_host(name)
        subject.declared.extend(declared)
        subject.bodies.append(node)

    def knows(self, file: InputFile) -> bool:
        """Tell whether there is the group or host that a variable file is named for."""
        return file.subject in self._subjects(file)

    def skip_unused(self, file: InputFile) -> None:
        """Skip a file whose group or host is missing; warn of it, in words if it is nearly one."""
        hint = self._suggestion(file)
        if hint:
            self._unused(file, None, hint)
        else:
            self._unread.append(file.name)

    def _suggestion(self, file: InputFile) -> str:
        return self._suggestions.did_you_mean(file.subject, self._subjects(file))

    def _subjects(self, file: InputFile) -> MappingOf[str, RawGroup | RawHost]:
        return self.groups if file.kind == "group_vars" else self.hosts

    def all_diagnostics(self) -> Iterator[Diagnostic]:
        """Yield what was found in all files."""
        yield from self.diagnostics
        if self._unread:
            verb = "is" if len(self._unread) == 1 else "are"
            words = f"{listed(self._unread)} {verb} named for no group or host, so not read"
            yield warning("passed-over", words, reminder=True)
        yield from self._settings.diagnostics
        yield from self._settings.ansible_diagnostics()

    def _unused(self, file: InputFile, span: Span | None, hint: str) -> None:
        noun = file.kind.removesuffix("_vars")
        which = "this file" if span is not None else file.name
        self.diagnostics.append(
            warning(
                "unused-variables",
                f"no {noun} is called {quote(file.subject)}, so {which} is not used",
                span,
                hint=hint,
            )
        )

    def _add_providers(self, node: Node) -> None:
        for entry in node if isinstance(node, Mapping) else ():
            if not isinstance(entry.value, Mapping):
                continue
            name = entry.key.text
            self._name_is_text(entry.key)
            first = self.providers.get(name)
            if first is None:
                self.providers[name] = ProviderEntry(name, entry.key.span, entry.value)
                continue
            self.diagnostics.append(
                error(
                    "duplicate-provider",
                    f"the provider {quote(name)} stands in two files",
                    entry.key.span,
                    hint="keep one of the two, or give them different names",
                    related=(Related(first.span, "first here"),),
                )
            )

    def _add_group(self, entry: Entry, priority: int) -> str:
        name = entry.key.text
        self._name_is_text(entry.key)
        group = self.groups.setdefault(name, RawGroup(entry.key.span))
        if group.span is None:
            group.span = entry.key.span
        for part in entry.value if isinstance(entry.value, Mapping) else ():
            match part.key.text:
                case "hosts":
                    self._add_hosts(name, part.value, priority)
                case "children":
                    self._add_children(group, part.value, priority)
                case "vars":
                    group.declared.extend(self._settings.read(part.value, priority))
                    group.bodies.append(part.value)
                case _:
                    # Perhaps a misspelt 'vars'.
                    if isinstance(part.value, Mapping):
                        group.bodies.append(part.value)
        return name

    def _add_children(self, group: RawGroup, node: Node, priority: int) -> None:
        for child in node if isinstance(node, Mapping) else ():
            name = self._add_group(child, priority)
            if name != ALL:
                group.children.setdefault(name, child.key.span)
                continue
            self.diagnostics.append(
                error(
                    "group-cycle",
                    "'all' is above every group, so it can't be inside of one",
                    child.key.span,
                    hint="take it out of 'children'",
                )
            )

    def _add_hosts(self, group: str, node: Node, priority: int) -> None:
        ranged = self.groups[group].ranged.setdefault(priority, {})
        for entry in node if isinstance(node, Mapping) else ():
            self._name_is_text(entry.key)
            declared = self._settings.read(entry.value, priority)
            names = self._names(entry.key, ranged)
            fresh = RawHost(
                entry.key.span, {group: None}, [*declared], [entry.value], shared=len(names) > 1
            )
            for name in names:
                if self.hosts.setdefault(name, fresh) is not fresh:
                    host = self._own_host(name)
                    host.groups.setdefault(group)
                    host.declared.extend(declared)
                    host.bodies.append(entry.value)
            self.groups[group].hosts.update(dict.fromkeys(names))

    def _own_host(self, name: str) -> RawHost:
        """Return what is known of one host, to be changed: it is that host's alone from now on."""
        host = self.hosts[name]
        if host.shared:
            host = RawHost(host.span, {**host.groups}, [*host.declared], [*host.bodies])
            self.hosts[name] = host
        return host

    def _names(self, key: Scalar, ranged: dict[str, Span]) -> list[str]:
        if not is_range(key.text):
            return [key.text] if self._is_host_name(key.text, key.span) else []
        try:
            names = expand_range(key.text)
        except RangeError as problem:
            self.diagnostics.append(error("bad-range", str(problem), key.span, hint=problem.hint))
            return []
        if not self._is_within_limit(len(names), key.span):
            return []
        if not self._is_host_name(names[0], key.span):
            return []
        duplicate = next((name for name in names if name in ranged), None)
        if duplicate is not None:
            self.diagnostics.append(
                error(
                    "overlapping-ranges",
                    f"this range and another of the group both hold {quote(duplicate)}",
                    key.span,
                    hint="make the ranges meet without overlapping",
                    related=(Related(ranged[duplicate], "the other range"),),
                )
            )
        ranged.update(dict.fromkeys(names, key.span))
        return names

    def _is_within_limit(self, count: int, span: Span) -> bool:
        before, self._listed = self._listed, self._listed + count
        if self._listed <= MOST_HOSTS:
            return True
        if before <= MOST_HOSTS:
            self.diagnostics.append(
                error(
                    "too-many-hosts",
                    f"with this the groups list more than {MOST_HOSTS:,} hosts",
                    span,
                    hint="split the fleet into several inventories",
                )
            )
        return False

    def _is_host_name(self, name: str, span: Span) -> bool:
        if is_address(name) and name != ALL:
            return True
        hint = f"a host's name is made of {ALLOWED}"
        if name == ALL:
            hint = "'all' is the group of every host"
        elif ":" in name:
            hint = "a port goes under the host, as 'port: 2222'"
        self.diagnostics.append(error("bad-name", f"{quote(name)} can't be a host's name", span,
                                   hint=hint))  # fmt: skip
        return False

    def _name_is_text(self, key: Scalar) -> None:
        if not isinstance(key.value, str) or key.text == "":
            hint = f'put quotes around it: "{key.text}"' if key.text else "give it a name"
            self.diagnostics.append(
                error("wrong-type", "a name must be text, and this is not", key.span, hint=hint)
            )


class Ancestry:
    """The ancestors of every group, without ``all``, which is above every group.

    Built from groups without cycles (see :func:`cycles`).
    """

    def __init__(self, groups: MappingOf[str, RawGroup] | MappingOf[str, Group]) -> None:
        self._parents: dict[str, list[str]] = {name: [] for name in groups}
        for name, group in groups.items():
            for child in group.children:
                self._parents[child].append(name)
        self._ancestors: dict[str, frozenset[str]] = {}
        self._order = {name: index for index, name in enumerate(groups)}

    def above(self, group: str) -> frozenset[str]:
        """Return every ancestor of ``group`` except ``all``."""
        ancestors = self._ancestors.get(group)
        if ancestors is None:
            pending, found = list(self._parents[group]), set[str]()
            while pending:
                parent = pending.pop()
                if parent != ALL and parent not in found:
                    found.add(parent)
                    pending.extend(self._parents[parent])
            ancestors = self._ancestors[group] = frozenset(found)
        return ancestors

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


def cycles(groups: MappingOf[str, RawGroup]) -> tuple[Diagnostic, ...]:
    """Return an error for each group that is its own ancestor, with the way round."""
    diagnostics: list[Diagnostic] = []
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
                diagnostics.append(_cycle(groups, [*way[way.index(name) :], name]))
            elif name not in done:
                path[name] = None
                pending.append((name, True))
                pending.extend((child, False) for child in groups[name].children)
    return tuple(diagnostics)


def too_deep(groups: MappingOf[str, RawGroup]) -> tuple[Diagnostic, ...]:
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


def _from_above(groups: MappingOf[str, RawGroup]) -> Iterator[str]:
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


def _cycle(groups: MappingOf[str, RawGroup], way: list[str]) -> Diagnostic:
    steps = itertools.pairwise(way)
    spans = [groups[upper].children[lower] for upper, lower in steps]
    return error(
        "group-cycle",
        f"a group is inside of itself: {listed(way, between=' > ')}",
        spans[-1],
        hint="take one of these out of 'children'",
        related=tuple(Related(span, "this leads there") for span in spans[:-1][:MOST_LISTED]),
    )
