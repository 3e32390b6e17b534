"""What may stand for a host, a pattern, a provider or a key, by the inventory at hand.

Nothing is run or asked for it: of an inventory script nothing is known, and an inventory with
errors offers nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click
    from click.shell_completion import CompletionItem

    from aegis_provision.inventory.host import Inventory

_LAST_TERM = re.compile(r"(?s)(.*[,:])?([&!]?)([^,:]*)")


def hosts(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the hosts whose names begin with ``word``."""
    inventory = _inventory(ctx)
    return _items(inventory.hosts if inventory is not None else (), word)


def patterns(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return what the last term of the pattern ``word`` may become: groups, hosts, providers."""
    match = _LAST_TERM.fullmatch(word)
    inventory = _inventory(ctx)
    if inventory is None or match is None:
        return []
    before = (match[1] or "") + match[2]
    used = dict.fromkeys(
        f"provider={host.provider.value}"
        for host in inventory.hosts.values()
        if host.provider is not None
    )
    terms: tuple[str, ...] = (*inventory.groups, *inventory.hosts)
    if match[3].startswith("p"):
        terms = (*terms, *used)
    return _items((before + term for term in terms), word)


def providers(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the recipes whose names begin with ``word``, own ones too."""
    from aegis_provision.providers.recipes import builtin_recipes

    inventory = _inventory(ctx)
    own = inventory.providers if inventory is not None else ()
    return _items(dict.fromkeys((*builtin_recipes(), *own)), word)


def keys(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the settings and session variables of the host named before that begin with ``word``.

    Those of any host where none is named.
    """
    from aegis_provision.documents.yaml_edits import REPLACES
    from aegis_provision.inventory.settings import ENV_PREFIX
    from aegis_provision.packaged_files import load_schema
    from aegis_provision.providers.recipes import VARIABLE_OF

    described = load_schema("inventory")["$defs"]["vars"]["properties"]
    inventory = _inventory(ctx)
    host = inventory.hosts.get(ctx.params.get("host") or "") if inventory is not None else None
    env = (ENV_PREFIX + name for name in host.env) if host is not None else ()
    names = dict.fromkeys((*described, *env, *VARIABLE_OF.values()))
    return _items((name for name in names if name != REPLACES), word)


def _items(names: Iterable[str], word: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(word)]


def _inventory(ctx: click.Context) -> Inventory | None:
    """Return the inventory that the line names, or that is here; ``None`` where it is broken."""
    from aegis_provision.documents.diagnostic import has_errors
    from aegis_provision.inputs.inventory_files import read_inventory_files
    from aegis_provision.inventory.load import load_inventory
    from aegis_provision.operations.load import DEFAULT_INVENTORY

    named = ctx.params.get("inventory") or (DEFAULT_INVENTORY,)
    files, findings = read_inventory_files(named, {}, run=False)
    if not files or has_errors(findings):
        return None
    inventory, found = load_inventory(files)
    return None if has_errors(found) else inventory
