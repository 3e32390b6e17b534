"""The inventory in the shape of Ansible's dynamic inventory protocol.

Connection settings have Ansible's names, so that Ansible can read it too; all other settings stand
under the variable ``aegis``. As with ``ansible-inventory --export``, a group has only its own
settings and so has a host: this tool reads it back as the same fleet, with the same pins. The
protocol has no place for recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.inventory.host import Group, Host, Inventory, Setting
    from aegis_provision.inventory.settings import Value

_AEGIS = "aegis"
_ANSIBLES_NAME = {key: alias for alias, key in reversed(ALIASES.items())}


def hosts_document(inventory: Inventory, chosen: Sequence[str]) -> Document:
    """Return what ``--list`` prints: groups, and ``_meta.hostvars`` for ``chosen`` hosts.

    The schema name stands in ``_meta``, because each top-level key of the protocol is a group. So
    do each host's provider, pin and groups, under ``resolved``.
    """
    wanted = set(chosen)
    hosts = [inventory.hosts[name] for name in chosen]
    content: Document = {
        "_meta": {
            "schema": "aegis-provision/hosts/v1",
            "hostvars": {host.name: _variables(_own(host)) for host in hosts},
            "resolved": {host.name: _resolved(host) for host in hosts},
        }
    }
    for group in inventory.groups.values():
        content[group.name] = _group(group, wanted)
    return content


def host_document(host: Host) -> Document:
    """Return the ``host`` document: what ``--host`` prints, its groups' settings included.

    A token is the reference that the inventory holds, never its value.
    """
    return document("host", _variables(host.effective()))


def _group(group: Group, wanted: set[str]) -> Document:
    return {
        "hosts": [name for name in group.hosts if name in wanted],
        "children": list(group.children),
        "vars": _variables(group.settings.values()),
    }


def _resolved(host: Host) -> Document:
    return {
        "provider": host.provider.value if host.provider is not None else None,
        "pinned": host.pinned,
        "groups": list(host.groups),
    }


def _own(host: Host) -> Iterable[Setting]:
    """Return what the host's own entries set: nothing is nearer, so all of that counts."""
    return (item for item in host.effective() if item.holder_kind == "host")


def _variables(settings: Iterable[Setting]) -> Document:
    found: Document = {}
    nested: Document = {}
    env: Document = {}
    for item in settings:
        if item.key in _ANSIBLES_NAME:
            found[_ANSIBLES_NAME[item.key]] = _value(item.value)
        elif item.key.startswith(ENV_PREFIX):
            env[item.key.removeprefix(ENV_PREFIX)] = _value(item.value)
        else:
            nested[item.key] = _value(item.value)
    if env:
        nested["env"] = env
    return {**found, _AEGIS: nested} if nested else found


def _value(value: Value) -> Any:
    if isinstance(value, tuple):
        return list(value) or "none"
    return value
