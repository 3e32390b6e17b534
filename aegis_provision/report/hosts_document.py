"""The inventory in the shape of Ansible's dynamic inventory protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.model import Host, Inventory
    from aegis_provision.report.documents import Document


def hosts_document(inventory: Inventory, chosen: Sequence[str]) -> Document:
    """Return what ``--list`` prints: groups, and ``_meta.hostvars`` for ``chosen`` hosts.

    The schema name stands in ``_meta``: each top-level key of the protocol is a group.
    """
    wanted = set(chosen)
    content: Document = {
        "_meta": {
            "schema": "aegis-provision/hosts/v1",
            "hostvars": {name: host_document(inventory.hosts[name]) for name in chosen},
        }
    }
    for group in inventory.groups.values():
        content[group.name] = {
            "hosts": [name for name in group.hosts if name in wanted],
            "children": list(group.children),
        }
    return content


def host_document(host: Host) -> Document:
    """Return a host's settings by name, as its own and its groups' entries set them.

    A token is the reference that the inventory holds, never its value.
    """
    found: Document = {name: _value(item.value) for name, item in host.settings.items()}
    if host.provider is not None:
        found["provider"] = host.provider.value
    found.update({name: _value(item.value) for name, item in host.overrides.items()})
    if host.env:
        found["env"] = {name: item.value for name, item in host.env.items()}
    return found


def _value(value: str | int | bool | tuple[str, ...]) -> Any:
    return list(value) if isinstance(value, tuple) else value
