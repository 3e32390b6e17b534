"""Loads an inventory: its files become hosts with settings, or errors, all at once."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error, has_errors, note, warning
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.json_reader import read_json
from aegis_provision.documents.literal_secrets import literal_secrets
from aegis_provision.documents.nodes import Mapping as MappingNode
from aegis_provision.documents.nodes import Scalar
from aegis_provision.documents.nodes import Sequence as SequenceNode
from aegis_provision.documents.schema import check
from aegis_provision.documents.syntax_errors import ini_inventory, looks_like_ini
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.humanize import listed
from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.groups import ALL, Ancestry, RawHost, Tree, cycles, too_deep
from aegis_provision.inventory.host import AUTO_PATH, OVERRIDE_KEYS, Group, Host, Inventory, Setting
from aegis_provision.inventory.other_documents import other_document
from aegis_provision.inventory.pins import pin_errors
from aegis_provision.inventory.precedence import (
    Conflict,
    MergedSettings,
    host_over_groups,
    merge_groups,
    merge_level,
    outranked,
    outranked_by,
    scope_overrides,
    settles,
    unclear_override,
    without_unset,
)
from aegis_provision.inventory.settings import ENV_PREFIX, FILLED_IN_BY_ANSIBLE
from aegis_provision.inventory.shared_with_ansible import VariableFilter, has_own_settings
from aegis_provision.inventory.targets import service_of, target_alike, target_of
from aegis_provision.inventory.unknown_variables import fold_unknown
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Node
    from aegis_provision.documents.yaml_reader import Read
    from aegis_provision.inventory.ansible_hosts import AnsibleHost
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Service, Target

_VAULTED = b"$ANSIBLE_VAULT;"
_BESIDE = frozenset({"group_vars", "host_vars"})
_NOT_IN_SETTINGS = frozenset({*OVERRIDE_KEYS, "provider"})


def load_inventory(
    files: Sequence[InputFile], *, with_providers: bool = True, read: Read = read_yaml
) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    """Return the inventory that ``files`` make up, and everything that is wrong with it.

    ``with_providers`` says that each host needs one. ``read`` reads the text of files.

    The inventory is ``None`` where there is nothing to resolve (no host, or groups that contain
    themselves). With errors among the diagnostics it may be incomplete: good for finding more of
    them, and for nothing else.
    """
    texts = [_read(file, read) for file in sorted(files, key=lambda file: file.kind in _BESIDE)]
    shared = not with_providers or any(text.is_shared for text in texts)
    variables = VariableFilter(shared)
    diagnostics: list[Diagnostic] = []
    tree = Tree()
    complete = True
    for text in texts:
        file = text.file
        if not file.certain and not tree.knows(file):
            tree.skip_unused(file)
            continue
        if file.kind == "ansible":
            found = _add_ansible(tree, file)
            diagnostics.extend(found)
            complete = complete and not has_errors(found)
            continue
        node, found = _relevant(text, variables)
        diagnostics.extend(found)
        if node is None:
            complete = complete and not has_errors(found)
            continue
        if file.kind == "inventory":
            tree.add_inventory(file, node)
        else:
            tree.add_variables(file, node)
    diagnostics.extend(variables.all_diagnostics())
    diagnostics.extend(
        item for item in tree.all_diagnostics() if complete or item.code != "unused-variables"
    )
    circular = cycles(tree.groups) or too_deep(tree.groups)
    diagnostics.extend(circular)
    if circular:
        return None, tuple(diagnostics)
    if not tree.hosts:
        # Where something could not be read, its hosts are merely unknown.
        if not has_errors(diagnostics):
            diagnostics.append(_no_hosts(files, tree.others))
        return None, tuple(diagnostics)
    resolver = _Resolver(tree, needs_providers=complete and with_providers)
    inventory = resolver.inventory()
    return inventory, (*diagnostics, *resolver.diagnostics)


@dataclass(frozen=True, slots=True)
class _Text:
    """A file as it was read; ``node`` is ``None`` where it holds nothing, or no YAML."""

    file: InputFile
    node: Node | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def is_shared(self) -> bool:
        """Tell whether it shows that Ansible shares the inventory: a script, or an ``aegis``."""
        is_inventory = self.file.kind == "inventory"
        return self.file.printed or (
            self.node is not None and has_own_settings(self.node, is_inventory=is_inventory)
        )


def _add_ansible(tree: Tree, file: InputFile) -> tuple[Diagnostic, ...]:
    """Take what Ansible said of an inventory; return what is wrong with the settings in it."""
    from aegis_provision.inventory.ansible_hosts import read_ansible_document

    inventory = read_ansible_document(file)
    users: dict[int, list[AnsibleHost]] = {}
    for host in inventory.hosts:
        users.setdefault(id(host.body), []).append(host)
    found: list[Diagnostic] = [*inventory.diagnostics]
    for hosts in users.values():
        names = tuple(host.name for host in hosts)
        problems = _checked(hosts[0].body, "/$defs/vars")
        found.extend(replace(item, hosts=names) for item in problems)
    tree.add_ansible(file, inventory)
    return tuple(found)


def _read(file: InputFile, read: Read) -> _Text:
    if file.kind == "ansible":
        return _Text(file, None, ())
    if file.printed:
        return _Text(file, *read_json(file.name, file.data))
    if file.data.startswith(_VAULTED):
        return _Text(file, None, (_vaulted(file),))
    node, found = read(file.name, file.data)
    if node is None and not found and file.kind == "inventory":
        hint = "write hosts into it, or begin with 'aegis-provision init'"
        found = (error("empty-file", f"{file.name} is empty", hint=hint),)
    # Hosts line by line, and "[gpu]" alone, are YAML as well: a text, and a list.
    if file.kind == "inventory" and isinstance(node, Scalar | SequenceNode):
        source = node.span.source
        if looks_like_ini(source.text):
            return _Text(file, None, (ini_inventory(source),))
    other = other_document(node) if file.kind == "inventory" and node is not None else None
    if other is not None:
        return _Text(file, None, (other,))
    return _Text(file, node, tuple(map(_of_template, found)))


def _of_template(item: Diagnostic) -> Diagnostic:
    """Return ``item`` in other words where a template without quotes is what YAML can't read."""
    if item.code != "complex-key" or item.span is None:
        return item
    line = item.span.source.text.split("\n")[item.span.line - 1]
    if "{{" not in line:
        return item
    words = "this is a template of Ansible's, which is not filled in here"
    return replace(item, message=words, hint=FILLED_IN_BY_ANSIBLE)


def _relevant(text: _Text, variables: VariableFilter) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return what of a file is for us, and what is wrong with that."""
    node, found, is_inventory = text.node, text.diagnostics, text.file.kind == "inventory"
    if node is None:
        return None, found
    fragment = "" if is_inventory else "/$defs/vars"
    if text.file.printed:
        from aegis_provision.inventory.script_output import inventory_of, settings_of

        node, more = inventory_of(node) if is_inventory else settings_of(node)
        return node, (*found, *more, *_checked(node, fragment))
    if found or variables.shared or not is_inventory:
        node = variables.inventory(node) if is_inventory else variables.file(node)
        found = tuple(item for item in found if not variables.is_foreign(item))
    found = (*found, *_checked(node, fragment))
    return node, fold_unknown(node, found, is_inventory=is_inventory, name=text.file.name)


def _checked(node: Node, fragment: str) -> Iterator[Diagnostic]:
    yield from literal_secrets(node, names=ALIASES)
    yield from check(node, "inventory", fragment)


def _vaulted(file: InputFile) -> Diagnostic:
    if file.kind == "inventory":
        return error(
            "vaulted",
            f"{file.name} is encrypted with ansible-vault, and nothing is decrypted here",
            hint=f"let Ansible decrypt it: -i ansible:{file.name}, where settings of ours stand "
            "under 'aegis'",
        )
    return note(
        "vaulted",
        f"{file.name} is encrypted with ansible-vault, so it is not read",
        hint="settings of ours go into a file of their own",
    )


def _no_hosts(files: Sequence[InputFile], others: Mapping[str, tuple[str, ...]]) -> Diagnostic:
    if any(file.kind == "ansible" for file in files):
        named = f" ({listed(others)})" if others else ""
        groups = [name for names in others.values() for name in names if name != "ungrouped"]
        return error(
            "no-hosts",
            f"no host of Ansible's inventory{named} has the variable 'aegis': settings of ours "
            "stand in it",
            hint=f"give it to a group: a file group_vars/{[*groups, 'all'][0]}/aegis.yml with "
            "'aegis: {provider: glm}' in it",
        )
    names = listed(file.name for file in files if file.kind == "inventory")
    return error(
        "no-hosts",
        f"no host stands in {names or 'the inventory'}",
        hint="let it list hosts under a group, such as 'ungrouped'"
        if all(file.printed for file in files)
        else "write hosts as a mapping under a group's 'hosts:', each name with a colon",
    )


_NO_PROVIDER = "set 'provider' under all.vars, a group's vars, or the host"


def _lost_provider(host: Host) -> Setting | None:
    """Return the provider of a mapping that Ansible replaced whole by a nearer one."""
    return next((item for item in host.replaced if item.key == "provider"), None)


def _replaced_whole(hosts: Sequence[Host]) -> str:
    place = next((str(item.span) for item in map(_lost_provider, hosts) if item is not None), "")
    return (
        f"{place} names one, but to Ansible the 'aegis' of a nearer place replaces it whole: name "
        "the provider there too, or set hash_behaviour = merge"
    )


_Inherited = tuple[tuple[str, ...], MergedSettings, tuple[Conflict, ...]]
"""All groups of a host, what they say together, and where they differ."""


@dataclass(slots=True)
class _HostSettings:
    """A host's settings, sorted out. Shared by hosts that say nothing for themselves.

    ``target`` is that of the first of these, and what is wrong comes last.
    """

    groups: tuple[str, ...]
    settings: MergedSettings
    provider: Setting | None
    overrides: Mapping[str, Setting]
    ignored: tuple[Setting, ...]
    env: Mapping[str, Setting]
    service: Service
    target: Target
    unclear: tuple[Setting, ...]
    outranked: tuple[tuple[Setting, Setting], ...]
    conflicts: tuple[Conflict, ...]
    target_problems: tuple[Diagnostic, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.unclear or self.outranked or self.conflicts or self.target_problems)


@dataclass(slots=True)
class _Resolver:
    tree: Tree
    needs_providers: bool
    diagnostics: list[Diagnostic] = field(default_factory=list)
    ancestry: Ancestry = field(init=False)
    _own: dict[str, MergedSettings] = field(default_factory=dict)
    _inherited: dict[tuple[str, ...], _Inherited] = field(default_factory=dict)
    _of_groups: dict[tuple[str, ...], _HostSettings] = field(default_factory=dict)
    _of_ranges: dict[int, _HostSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ancestry = Ancestry(self.tree.groups)

    def inventory(self) -> Inventory:
        """Resolve everything; ``diagnostics`` then holds what was found."""
        for name, group in self.tree.groups.items():
            settings, found = merge_level(name, "group", group.declared)
            self._own[name] = settings
            self.diagnostics.extend(found)
        conflicts: dict[Conflict, list[str]] = {}
        unclear: dict[tuple[Setting, Setting], list[str]] = {}
        contradicted: dict[tuple[Setting, Setting], list[str]] = {}
        hosts: dict[str, Host] = {}
        for name, raw in self.tree.hosts.items():
            alike = self._of_ranges.get(id(raw)) if raw.shared else None
            if alike is None:
                said, target = self._resolved(name, raw)
            else:
                said, target = alike, target_alike(name, alike.target, alike.settings)
            hosts[name] = Host(
                name,
                raw.span,
                said.groups,
                said.settings,
                said.provider,
                said.overrides,
                said.ignored,
                said.env,
                target,
                said.service,
                raw.replaced,
                raw.host_vars,
                raw.merges,
            )
            if said.is_sound:
                continue
            self.diagnostics.extend(said.target_problems)
            for conflict in said.conflicts:
                conflicts.setdefault(conflict, []).append(name)
            for setting in said.unclear:
                if said.provider is not None:
                    unclear.setdefault((setting, said.provider), []).append(name)
            for pair in said.outranked:
                contradicted.setdefault(pair, []).append(name)
        self.diagnostics.extend(item.diagnostic(names) for item, names in conflicts.items())
        self.diagnostics.extend(
            unclear_override(setting, provider, names)
            for (setting, provider), names in unclear.items()
        )
        self.diagnostics.extend(outranked_by(*pair, names) for pair, names in contradicted.items())
        self.diagnostics.extend(self._without_provider(hosts))
        self.diagnostics.extend(_same_file(hosts))
        self.diagnostics.extend(self._same_names(hosts))
        groups = {
            name: Group(
                name,
                group.span,
                tuple(group.hosts),
                tuple(group.children),
                without_unset(self._own[name]),
            )
            for name, group in self.tree.groups.items()
        }
        self.diagnostics.extend(pin_errors(groups, hosts))
        others = {
            name: self.ancestry.closure(found)
            for name, found in self.tree.others.items()
            if name not in hosts
        }
        return Inventory(hosts, groups, self.tree.providers, others)

    def _without_provider(self, hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
        """Yield an error for hosts without a provider, unless that follows from another one."""
        without = [host for host in hosts.values() if host.provider is None]
        if not without or not self.needs_providers:
            return
        uncertain = {
            name for name, group in self.tree.groups.items() if _may_name_provider(group.bodies)
        }
        certain = [
            host
            for host in without
            if uncertain.isdisjoint((*host.groups, ALL))
            and not _may_name_provider(self.tree.hosts[host.name].bodies)
        ]
        lost = [host for host in certain if _lost_provider(host) is not None]
        for hosts_alike, hint in (
            ([host for host in certain if _lost_provider(host) is None], _NO_PROVIDER),
            (lost, _replaced_whole(lost)),
        ):
            if hosts_alike:
                yield error(
                    "no-provider",
                    "no provider is named for this host, neither by itself nor by a group of its",
                    hosts_alike[0].span,
                    hint=hint,
                    hosts=tuple(host.name for host in hosts_alike),
                )

    def _resolved(self, name: str, raw: RawHost) -> tuple[_HostSettings, Target]:
        """Return what is said for a host, which it may share with others, and its target."""
        direct = tuple(raw.groups)
        said = None if raw.declared else self._of_groups.get(direct)
        if said is not None:
            return said, target_alike(name, said.target, said.settings)
        groups, inherited, conflicts = self._from_groups(direct)
        own, found = merge_level(name, "host", raw.declared)
        self.diagnostics.extend(found)
        settings = host_over_groups(own, inherited)
        said = self._sorted_out(name, groups, settings, _unresolved(conflicts, own))
        if not raw.declared and not said.target_problems:
            self._of_groups[direct] = said
            if raw.shared:
                self._of_ranges[id(raw)] = said
        return said, said.target

    def _from_groups(self, direct: tuple[str, ...]) -> _Inherited:
        cached = self._inherited.get(direct)
        if cached is None:
            groups = self.ancestry.closure(direct)
            settings, conflicts = merge_groups(groups, self._own, self.ancestry)
            cached = self._inherited[direct] = groups, settings, conflicts
        return cached

    def _sorted_out(
        self,
        host: str,
        groups: tuple[str, ...],
        settings: MergedSettings,
        conflicts: tuple[Conflict, ...],
    ) -> _HostSettings:
        settings = without_unset(settings)
        overrides, ignored, unclear = scope_overrides(settings, self.ancestry)
        own_settings = {
            key: item
            for key, item in settings.items()
            if key not in _NOT_IN_SETTINGS and not key.startswith(ENV_PREFIX)
        }
        target, target_problems = target_of(host, own_settings)
        return _HostSettings(
            groups=groups,
            settings=own_settings,
            provider=settings.get("provider"),
            overrides=overrides,
            ignored=ignored,
            unclear=unclear,
            outranked=tuple(outranked(settings)),
            env={
                key.removeprefix(ENV_PREFIX): item
                for key, item in settings.items()
                if key.startswith(ENV_PREFIX)
            },
            service=service_of(settings),
            target=target,
            conflicts=conflicts,
            target_problems=target_problems,
        )

    def _same_names(self, hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
        for name in hosts.keys() & self.tree.groups.keys():
            group = self.tree.groups[name]
            related = (Related(group.span, "the group"),) if group.span is not None else ()
            yield warning(
                "same-name",
                f'"{name}" is both a host and a group; in patterns it means the group',
                hosts[name].span,
                related=related,
            )


def _unresolved(conflicts: tuple[Conflict, ...], own: MergedSettings) -> tuple[Conflict, ...]:
    """Return the conflicts that a host does not settle by what it says for itself."""
    if not conflicts or not own:
        return conflicts
    return tuple(
        item
        for item in conflicts
        if not (item.key in own and settles(own[item.key], item))
        and not ("provider" in own and item.key in OVERRIDE_KEYS)
    )


def _may_name_provider(bodies: Sequence[Node]) -> bool:
    """Tell whether settings that are wrong as they stand may name a provider once corrected."""
    for body in bodies:
        if not isinstance(body, MappingNode):
            if not isinstance(body, Scalar) or body.value is not None:
                return True
        elif any(did_you_mean(entry.key.text, ("provider",)) for entry in body):
            return True
    return False


def _same_file(hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
    addresses = {host.target.address for host in hosts.values()}
    has_local = any(host.target.connection == "local" for host in hosts.values())
    if len(addresses) == len(hosts) and not has_local:
        return
    seen: dict[tuple[object, ...], Host] = {}
    for host in hosts.values():
        target = host.target
        # Behind another bastion, or in another network, an address is another host's.
        network = (target.address, target.port, target.jump, target.site)
        where = (
            "localhost" if target.connection == "local" else network,
            target.connection,
            target.user if not target.config_path.startswith("/") else None,
            target.config_path,
            # Each of several servers at one address reads a file of its own.
            (host.service.unit, host.service.api) if target.config_path == AUTO_PATH else None,
        )
        first = seen.setdefault(where, host)
        if first is not host:
            yield warning(
                "same-file",
                f'"{first.name}" and "{host.name}" name the same file at the same address, '
                "so the later write wins",
                host.span,
                hint="give one of them another address or config_path",
                related=(Related(first.span, "the other host"),),
            )
