"""The inventory in the shape of Ansible's dynamic inventory protocol.

Connection settings have Ansible's names, so that Ansible may read it too; all else of ours stands
under the variable ``aegis``. As with ``ansible-inventory --export`` a group has its own settings
and a host its own: read back by this tool it is the same fleet, with the same pins. Own recipes
have no place in the protocol.
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

_OURS = "aegis"
_ANSIBLES_NAME = {ours: ansibles for ansibles, ours in reversed(ALIASES.items())}


def hosts_document(inventory: Inventory, chosen: Sequence[str]) -> Document:
    """Return what ``--list`` prints: groups, and ``_meta.hostvars`` for ``chosen`` hosts.

    The schema name stands in ``_meta``, since each top-level key of the protocol is a group; so
    does what comes of it all for each host, under ``resolved``.
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
    ours: Document = {}
    env: Document = {}
    for item in settings:
        if item.key in _ANSIBLES_NAME:
            found[_ANSIBLES_NAME[item.key]] = _value(item.value)
        elif item.key.startswith(ENV_PREFIX):
            env[item.key.removeprefix(ENV_PREFIX)] = _value(item.value)
        else:
            ours[item.key] = _value(item.value)
    if env:
        ours["env"] = env
    return {**found, _OURS: ours} if ours else found


def _value(value: Value) -> Any:
    if isinstance(value, tuple):
        return list(value) or "none"
    return value
