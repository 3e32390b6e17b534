"""Which edits of which files give hosts a provider of their own, or take it from them."""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.diagnostic import Related, error, note
from aegis_provision.documents.nodes import Mapping as MappingNode
from aegis_provision.documents.nodes import Scalar
from aegis_provision.documents.yaml_edits import REPLACES, EditError, YamlEditor
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.inventory.pins import PIN_KEYS
from aegis_provision.inventory.ranges import RangeError, expand_range, is_range
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.inventory.shared_with_ansible import OURS
from aegis_provision.inventory.ssh_arguments import SSH_ARGUMENTS
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Entry, Node, Span
    from aegis_provision.documents.yaml_reader import Read
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Host, Inventory, Setting

PinChange = Literal["pinned", "repinned", "unpinned", "unchanged"]

BY_HAND = "edit it by hand, then run 'aegis-provision validate'"
"""What to do where an edit can't be made."""


@dataclass(frozen=True, slots=True)
class PinRequest:
    """What a pin is to say. ``overrides`` holds override keys; ``until`` is the last day."""

    provider: str
    overrides: Mapping[str, str | int] = field(default_factory=dict)
    until: date | None = None
    reason: str = ""

    def pairs(self) -> dict[str, str | int]:
        """Return the settings to write, in the order in which a pin has them.

        The provider stands before its values: those before it are the host's own.
        """
        found: dict[str, str | int] = {"provider": self.provider}
        found.update({key: self.overrides[key] for key in OVERRIDE_KEYS if key in self.overrides})
        if self.until is not None:
            found["pin_until"] = self.until.isoformat()
        if self.reason:
            found["pin_reason"] = self.reason
        return found


@dataclass(frozen=True, slots=True)
class PinEdits:
    """What is to be done: new contents by file, what becomes of each host and in which files.

    With an error among the diagnostics nothing is to be done at all.
    """

    contents: Mapping[str, bytes] = field(repr=False)
    changes: Mapping[str, PinChange]
    files_by_host: Mapping[str, tuple[str, ...]]
    diagnostics: tuple[Diagnostic, ...]


def edit_pins(
    inventory: Inventory,
    files: Sequence[InputFile],
    hosts: Sequence[str],
    request: PinRequest | None,
    real_paths: Mapping[str, str] | None = None,
    read: Read = read_yaml,
) -> PinEdits:
    """Return what it takes to pin ``hosts`` as ``request`` says, or to unpin them without one.

    The file is the one that pins the host now, else the one with its own entry, else the one
    with the range it comes from. A pin to the same provider keeps what ``request`` leaves out.
    ``real_paths`` tells which names of ``files`` are one file, which is edited once. ``read`` reads
    them.
    """
    chosen = frozenset(hosts)
    editing = _Editing(_host_entries(files, chosen, read), chosen, real_paths or {}, read)
    contents: dict[str, bytes] = {}
    for name in hosts:
        host = inventory.hosts[name]
        try:
            if request is None:
                editing.unpin(host)
            else:
                editing.pin(host, request)
        except EditError as problem:
            editing.diagnostics.append(problem.diagnostic)
    for editor in editing.editors.values():
        try:
            contents[editor.name] = editor.result()
        except EditError as problem:
            editing.diagnostics.append(problem.diagnostic)
    diagnostics = tuple(dict.fromkeys(editing.diagnostics))
    return PinEdits(contents, editing.changes, editing.files_by_host, diagnostics)


@dataclass(slots=True)
class _Editing:
    """The edits made so far. An edit that can't be made raises :class:`EditError`."""

    entries: Mapping[str, Sequence[_HostEntry]]
    chosen: frozenset[str]
    real_paths: Mapping[str, str]
    read: Read
    editors: dict[str, YamlEditor] = field(default_factory=dict)
    edited: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    changes: dict[str, PinChange] = field(default_factory=dict)
    files_by_host: dict[str, tuple[str, ...]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def pin(self, host: Host, request: PinRequest) -> None:
        """Pin one host."""
        entries = self.entries.get(host.name, ())
        pinned = next((entry for entry in entries if entry.pin()), None)
        self.diagnostics.extend(_own_settings(host, request, pinned))
        if pinned is None:
            self._add(host, entries, request.pairs())
        elif self._may_edit(host, pinned):
            self._change(host, pinned, request)

    def unpin(self, host: Host) -> None:
        """Take every provider of its own from one host."""
        entries = self.entries.get(host.name, ())
        pinned = [entry for entry in entries if entry.pin()]
        if not pinned or not host.pinned:  # A "provider" that is not read is not ours.
            self.changes[host.name] = "unchanged"
            if host.pinned and host.provider is not None:
                self.diagnostics.append(
                    _pinned_by_ansible(host, host.provider)
                    if host.host_vars
                    else _not_editable(host.name, host.provider, entries)
                )
            return
        self.changes[host.name] = "unpinned"
        for entry in pinned:
            if not self._may_edit(host, entry):
                continue
            in_range = _is_beside_range(entry, entries)
            if editor := self._editor(host, entry, entry.path):
                editor.remove_keys(entry.path, entry.pin().keys(), in_range=in_range)
            self.diagnostics.extend(_kept_settings(host.name, entry))
        first, *others = pinned
        if others:
            self.diagnostics.append(
                note(
                    "pinned-twice",
                    f"the host was pinned in {len(pinned)} places, this one before the others",
                    first.span,
                    related=tuple(Related(entry.span, "also here") for entry in others),
                    hosts=(host.name,),
                )
            )

    def _add(self, host: Host, entries: Sequence[_HostEntry], pairs: dict[str, str | int]) -> None:
        self.changes[host.name] = "pinned"
        last = max((entry.file.rank for entry in entries), default=0)
        candidates = [entry for entry in entries if entry.file.rank == last]
        if not candidates:
            self.diagnostics.append(
                _ansible_host(host, pairs) if host.host_vars else _script_host(host)
            )
            return
        entry = min(candidates, key=_preference)
        if entry.ranged:
            path = (*entry.path[:-1], host.name)
            if editor := self._editor(host, entry, path):
                editor.insert_entry(path, pairs, after=entry.path)
        elif editor := self._editor(host, entry, entry.path):
            editor.set_keys(entry.path, pairs, in_range=_is_beside_range(entry, entries))

    def _change(self, host: Host, pinned: _HostEntry, request: PinRequest) -> None:
        pairs = request.pairs()
        old = {
            name: item.value.text if isinstance(item.value, Scalar) else ""
            for name, item in pinned.pin().items()
        }
        same = old["provider"] == request.provider
        changed = {name: value for name, value in pairs.items() if old.get(name) != str(value)}
        removed = frozenset() if same else frozenset(old) - pairs.keys() - {REPLACES}
        if not changed and not removed:
            self.changes[host.name] = "unchanged"
            self.files_by_host[host.name] = (pinned.file.name,)
            return
        self.changes[host.name] = "repinned"
        if editor := self._editor(host, pinned, pinned.path):
            editor.set_keys(pinned.path, changed, removed)

    def _editor(self, host: Host, entry: _HostEntry, path: tuple[str, ...]) -> YamlEditor | None:
        """Return the editor of an entry's file, ``None`` where ``path`` is edited already."""
        name = entry.file.name
        if name not in self.files_by_host.setdefault(host.name, ()):
            self.files_by_host[host.name] += (name,)
        real = self.real_paths.get(name, name)
        if (real, path) in self.edited:
            return None
        self.edited.add((real, path))
        if real not in self.editors:
            self.editors[real] = YamlEditor(name, entry.file.data, self.read)
        return self.editors[real]

    def _may_edit(self, host: Host, entry: _HostEntry) -> bool:
        """Tell whether an entry is of the chosen hosts alone; say so where it is not."""
        if self.chosen.issuperset(entry.hosts):
            return True
        self.diagnostics.append(
            error(
                "pinned-by-range",
                f"a range of {len(entry.hosts)} hosts is pinned here, and "
                f"{len(self.chosen.intersection(entry.hosts))} of them are to be changed",
                entry.span,
                hint="split the range by hand, or name all of its hosts",
                hosts=(host.name,),
            )
        )
        return False


@dataclass(frozen=True, slots=True, eq=False)
class _HostEntry:
    """What one file says for one host, or for each host of a range.

    ``path`` leads from the file's root to the entry by keys; it is empty for a file of
    ``host_vars``, all of which is the entry.
    """

    file: InputFile
    path: tuple[str, ...]
    span: Span
    body: Node = field(repr=False)
    hosts: tuple[str, ...]
    ranged: bool = False

    def written(self) -> dict[str, Entry]:
        """Return what is written in the entry itself, in order; not what is merged into it."""
        if not isinstance(self.body, MappingNode):
            return {}
        return {
            item.key.text: item
            for item in self.body
            if self.body.span.holds(item.key.span) and item.key.text != "<<"
        }

    def pin(self) -> dict[str, Entry]:
        """Return the pin: the provider, the values after it, its end and reason; empty for none.

        Values before the provider are the host's own: they would stay without the pin.
        """
        found: dict[str, Entry] = {}
        for name, item in self.written().items():
            after = "provider" in found and name in OVERRIDE_KEYS
            if name in {"provider", REPLACES, *PIN_KEYS} or after:
                found[name] = item
        return found if "provider" in found else {}


def _host_entries(
    files: Sequence[InputFile], hosts: frozenset[str], read: Read
) -> dict[str, list[_HostEntry]]:
    """Return the entries of each of ``hosts`` in ``files``, those that win first.

    What a script printed can't be edited, and is left out.
    """
    found: dict[str, list[_HostEntry]] = {}
    for file in sorted(files, key=lambda file: -file.priority):
        if file.printed or file.kind in {"ansible", "group_vars"}:
            continue
        if file.kind == "host_vars" and file.subject not in hosts:
            continue
        node, _ = read(file.name, file.data)
        if node is None:
            continue
        if file.kind == "host_vars":
            entry = _HostEntry(file, (), node.span, node, (file.subject,))
            found.setdefault(file.subject, []).append(entry)
            continue
        for part in node if isinstance(node, MappingNode) else ():
            if part.key.text == "providers":
                continue
            for entry in _in_group(file, (part.key.text,), part.value, hosts):
                for host in hosts.intersection(entry.hosts):
                    found.setdefault(host, []).append(entry)
    return found


def _is_beside_range(entry: _HostEntry, others: Sequence[_HostEntry]) -> bool:
    """Tell whether the one host of ``entry`` is in a range of the same mapping too."""
    return not entry.ranged and any(
        other.ranged and other.file is entry.file and other.path[:-1] == entry.path[:-1]
        for other in others
    )


def _in_group(
    file: InputFile, path: tuple[str, ...], node: Node, hosts: frozenset[str]
) -> Iterator[_HostEntry]:
    for part in node if isinstance(node, MappingNode) else ():
        below = part.value if isinstance(part.value, MappingNode) else ()
        if part.key.text == "hosts":
            for entry in below:
                name, names = entry.key.text, _names(entry.key)
                if hosts.isdisjoint(names):
                    continue
                keys = (*path, "hosts", name)
                yield _HostEntry(file, keys, entry.key.span, entry.value, names, is_range(name))
        elif part.key.text == "children":
            for entry in below:
                inner = (*path, "children", entry.key.text)
                yield from _in_group(file, inner, entry.value, hosts)


def _names(key: Scalar) -> tuple[str, ...]:
    if not is_range(key.text):
        return (key.text,)
    try:
        return tuple(expand_range(key.text))
    except RangeError:
        return ()


def _preference(entry: _HostEntry) -> int:
    """Return where in one inventory a pin goes first: to the entry that has settings."""
    has_settings = isinstance(entry.body, MappingNode) and bool(entry.body.entries)
    if entry.ranged:
        return 3
    if entry.file.kind == "host_vars":
        return 1 if has_settings else 4
    return 0 if has_settings else 2


def _own_settings(
    host: Host, request: PinRequest, pinned: _HostEntry | None
) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each value of a provider that the host sets outside its pin."""
    for key in OVERRIDE_KEYS:
        setting = host.overrides.get(key)
        if setting is None or setting.holder_kind != "host":
            continue
        if pinned and key in pinned.pin() and setting.span.source.name == pinned.file.name:
            continue
        if key in request.overrides:
            yield error(
                "own-setting",
                f'"{key}" is set here by the host itself, so a pin can\'t set it too',
                setting.span,
                hint=f"change it here, or remove it and pin with --{key.replace('_', '-')}",
                hosts=(host.name,),
            )
        else:
            yield note(
                "own-setting",
                f'"{key}" is set here by the host itself, and counts with {request.provider} too',
                setting.span,
                hosts=(host.name,),
            )


def _kept_settings(host: str, entry: _HostEntry) -> Iterator[Diagnostic]:
    pin = entry.pin()
    for name, item in entry.written().items():
        if name in OVERRIDE_KEYS and name not in pin:
            yield note(
                "own-setting",
                f'"{name}" stands before the provider: it is the host\'s own, and stays',
                item.key.span,
                hosts=(host,),
            )


def _script_host(host: Host) -> Diagnostic:
    return error(
        "cannot-edit",
        "a script names this host, and what a script prints can't be edited",
        host.span,
        hint=f"begin a file host_vars/{host.name}.yml beside the script, with 'provider:' in it",
        hosts=(host.name,),
    )


def _ansible_host(host: Host, pairs: Mapping[str, str | int]) -> Diagnostic:
    """Return where to write a pin, and all of it: Ansible takes the nearest ``aegis`` alone.

    Where it merges them, that is the pin, beside what the host says for itself.
    """
    kept = {
        item.key: item.value
        for item in (*host.settings.values(), *host.env.values())
        if item.written not in ALIASES
        and item.written not in SSH_ARGUMENTS
        and (item.holder_kind == "host" or not host.merges)
    }
    settings: dict[str, object] = {}
    for key, value in kept.items():
        if key.startswith(ENV_PREFIX):
            env = settings.setdefault("env", {})
            if isinstance(env, dict):
                env[key.removeprefix(ENV_PREFIX)] = value
        elif key not in PIN_KEYS:
            settings[key] = list(value) if isinstance(value, tuple) else value
    written = json.dumps({**pairs, **settings}, ensure_ascii=False)
    becomes = "Ansible merges with" if host.merges else "to Ansible replaces"
    return error(
        "cannot-edit",
        "Ansible's inventory names this host, and that is not edited here",
        host.span,
        hint=f"write into {host.host_vars} beside the inventory: 'aegis: {written}', which "
        f"{becomes} the 'aegis' of the host's groups",
        hosts=(host.name,),
    )


def _pinned_by_ansible(host: Host, provider: Setting) -> Diagnostic:
    return error(
        "cannot-edit",
        "Ansible's inventory names the host's provider, and that is not edited here",
        provider.span,
        hint=f"take 'aegis' out of the host's own variables: see {host.host_vars} beside the "
        "inventory, and the host's line in it",
        hosts=(host.name,),
    )


def _not_editable(host: str, provider: Setting, entries: Sequence[_HostEntry]) -> Diagnostic:
    words = "the host's provider comes from here by an alias or a merge key"
    if all(entry.span.source.name != provider.span.source.name for entry in entries):
        words = "a script names the host's provider, and what a script prints can't be edited"
    elif any(
        isinstance(entry.body, MappingNode) and entry.body.entry(OURS) is not None
        for entry in entries
    ):
        words = f"the host's provider stands under '{OURS}', among variables of others"
    return error("cannot-edit", words, provider.span, hint=BY_HAND, hosts=(host,))


def side_effects(
    before: Inventory, after: Inventory, hosts: Sequence[str], request: PinRequest | None
) -> tuple[Diagnostic, ...]:
    """Return an error where the edits change other hosts than ``hosts``, or not all of these.

    ``request`` is ``None`` for none. That a file says nothing else than before is the editor's to
    check; but a file may be that of several hosts, and something else may decide a host's provider.
    """
    chosen = frozenset(hosts)
    changed = _Changes()
    others = tuple(
        name
        for name, host in after.hosts.items()
        if name not in chosen and changed.between(before.hosts[name], host)
    )
    without_effect = tuple(name for name in hosts if not _has_effect(after.hosts[name], request))
    found: list[Diagnostic] = []
    if others:
        words = "with this edit something else of these hosts changes too"
        found.append(error("cannot-edit", words, hint=BY_HAND, hosts=others))
    if without_effect:
        words = "this edit would have no effect: something else decides these hosts' providers"
        found.append(error("cannot-edit", words, hint=BY_HAND, hosts=without_effect))
    return tuple(found)


class _Changes:
    """Tells which hosts have other values than before; hosts that share theirs are compared once.

    Of an edit only values count, not places: those behind an edit are others.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], bool] = {}

    def between(self, before: Host, after: Host) -> bool:
        shared = (
            *(id(before.provider), id(before.settings), id(before.overrides), id(before.env)),
            *(id(after.provider), id(after.settings), id(after.overrides), id(after.env)),
        )
        known = self._known.get(shared)
        if known is None:
            known = self._known[shared] = _values(before) != _values(after)
        return known


def _values(host: Host) -> tuple[object, ...]:
    return host.pinned, [(item.key, item.value) for item in host.effective()]


def _has_effect(host: Host, request: PinRequest | None) -> bool:
    if request is None:
        return not host.pinned
    own = {**host.settings, **host.overrides}
    if host.provider is None or not host.pinned or host.provider.value != request.provider:
        return False
    return all(
        name == "provider" or (name in own and str(own[name].value) == str(value))
        for name, value in request.pairs().items()
    )
