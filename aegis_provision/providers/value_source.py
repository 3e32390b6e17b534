"""Where a session variable's value comes from, in the words of a message about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.humanize import listed
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.templates import references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.providers.session_variables import Session


@dataclass(frozen=True, slots=True)
class ValueSource:
    """Where a host has the value of ``setting`` (``base_url``, ``model``, ...) from.

    ``variables`` are those of the operator's environment that the value refers to, and
    ``by_default`` says that none of them is set. ``recipe`` is the built-in recipe that brings the
    value, empty for one of the inventory's own. ``place`` is the inventory's (``file:line:column``)
    that sets it, or that chose the provider. ``from_file`` says that a host's own file has it.
    """

    setting: str
    variables: tuple[str, ...] = ()
    place: str = ""
    recipe: str = ""
    by_default: bool = False
    from_file: bool = False

    def __str__(self) -> str:
        """Return the setting with what sets it: ``auth_token (GW_TOKEN, inventory.yml:4:19)``."""
        if self.from_file:
            return f"{self.setting} ({VARIABLE_OF[self.setting]} in the host's own file)"
        parts = [*self.variables]
        if self.by_default:
            verb = "is" if len(self.variables) == 1 else "are"
            default = f"the default of the recipe {self.recipe}" if self.recipe else "its default"
            parts = [f"{listed(self.variables, between=' and ')} {verb} not set: {default}"]
        elif self.recipe:
            parts.append(f"recipe {self.recipe}")
        parts += [self.place] if self.place else []
        return f"{self.setting} ({', '.join(parts)})" if parts else self.setting


def value_source(session: Session, setting: str, chosen_at: str = "") -> ValueSource:
    """Return where ``session`` has the value of ``setting`` from.

    ``chosen_at`` is the inventory's place that chose the host's provider.
    """
    name = VARIABLE_OF[setting]
    variable = next((item for item in session.spec.variables if item.name == name), None)
    if variable is None:
        return ValueSource(setting, from_file=True)
    recipe = session.spec.lineage[-1] if variable.from_recipe and session.spec.lineage else ""
    return ValueSource(
        setting,
        tuple(dict.fromkeys(item.name for item in references(variable.template))),
        chosen_at if variable.from_recipe else str(variable.span),
        recipe,
        by_default=variable.name in session.by_default,
    )
