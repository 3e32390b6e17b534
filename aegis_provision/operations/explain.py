"""Where each value of a host comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import InputError

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Host
    from aegis_provision.operations.load import Environment, Fleet
    from aegis_provision.providers.explain import Explanation

_SESSIONS_FOLLOW = "sessions follow it rather than the provider's own variables"


def explain_values(
    fleet: Fleet, host: Host, key: str | None, environment: Environment
) -> tuple[Explanation, ...]:
    """Return where each value of ``host`` comes from, or those that ``key`` names.

    Raises :class:`Error` for a key that the host does not have.
    """
    from aegis_provision.providers.explain import explain, matching

    is_set = {name for name, value in environment.variables.items() if value}
    values = tuple(
        replace(item, remark=_SESSIONS_FOLLOW) if _decides(item) else item
        for item in explain(host, fleet.inventory, fleet.recipes, is_set)
    )
    if key is None:
        return values
    found = matching(values, key)
    if not found:
        names = dict.fromkeys(
            name for item in values for name in (item.key, item.variable) if name is not None
        )
        raise InputError(
            f"the host has no value {quote(key)}",
            did_you_mean(key, names) or f"known: {', '.join(names)}",
        )
    return found


def _decides(item: Explanation) -> bool:
    """Tell whether the inventory itself sets a variable that decides over the provider's own."""
    variable, is_set = item.variable, item.value is not None
    return variable is not None and is_set and overrides_provider(variable)
