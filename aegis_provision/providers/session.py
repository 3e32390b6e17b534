"""The session variables that one host should have, before and after secrets are filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.documents.source import Span
    from aegis_provision.providers.secret import Secret
    from aegis_provision.providers.unusable_tokens import UnusableToken

VARIABLE_OF = {
    "base_url": "ANTHROPIC_BASE_URL",
    "auth_token": "ANTHROPIC_AUTH_TOKEN",
    "model": "ANTHROPIC_DEFAULT_MODEL",
    "fast_model": "ANTHROPIC_DEFAULT_FAST_MODEL",
    "timeout_ms": "API_TIMEOUT_MS",
}
"""The five keys and their variables, in the order of docs/aegis.md, "The five variables"."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One session variable as a template.

    ``template`` is the text with its ``${...}`` references; ``setting`` the key it came from
    (``base_url``, or ``env.NAME``); ``sensitive`` variables are never shown.
    ``from_recipe`` is true where a built-in recipe set it rather than the operator.
    """

    name: str
    template: str = field(repr=False)
    setting: str
    sensitive: bool
    span: Span
    from_recipe: bool


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Every session variable of a host, in the order in which the file holds them.

    Hosts with the same settings share one instance: compare with ``is`` to save work.
    ``lineage`` names the recipes that the provider was made of, itself first.
    """

    provider: str
    variables: tuple[Variable, ...]
    allow_http: bool
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A spec with the operator's environment filled in.

    ``values`` maps variable names to text, or to a :class:`Secret` where it is sensitive, in the
    spec's order; a variable with a missing reference is absent. ``missing`` names the
    environment variables that are unset or empty and have no default, sorted, once each.
    ``by_default`` names the session variables for which nothing was set: every reference in
    them took its default. ``withheld`` names the variables that were left empty because they hold
    secrets: such a session can be compared with what a host has, but never written. ``unusable``
    are variables of the environment that would be written as a secret and obviously are none.
    """

    spec: SessionSpec
    values: Mapping[str, str | Secret]
    missing: tuple[str, ...]
    by_default: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()
    unusable: tuple[UnusableToken, ...] = ()

    @property
    def in_order(self) -> tuple[str, ...]:
        """Return the names of all variables, those without a value too, in the spec's order."""
        return tuple(dict.fromkeys((*(item.name for item in self.spec.variables), *self.values)))

    @property
    def names(self) -> frozenset[str]:
        """Return the same names, to look one up."""
        return frozenset(self.in_order)
