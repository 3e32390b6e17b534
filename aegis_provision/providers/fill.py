"""Templates to values: the only place where the operator's environment meets a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session import Session
from aegis_provision.providers.templates import expand, references

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.providers.session import SessionSpec


def fill(spec: SessionSpec, environ: Mapping[str, str], *, with_secrets: bool = True) -> Session:
    """Return ``spec`` with ``environ`` filled in; sensitive values become secrets.

    Without secrets, what sensitive variables refer to is neither read nor missing; a variable that
    is none of them and refers to it too would show it, and is withheld with them.
    """
    values: dict[str, str | Secret] = {}
    missing: set[str] = set()
    by_default: set[str] = set()
    withheld = frozenset() if with_secrets else _withheld(spec)
    for variable in spec.variables:
        if variable.name in withheld:
            continue
        expansion = expand(variable.template, environ)
        names = dict.fromkeys(item.name for item in references(variable.template))
        if names and set(expansion.defaulted) == names.keys():
            by_default.add(variable.name)
        if expansion.missing:
            missing.update(expansion.missing)
        elif variable.sensitive:
            origin = ", ".join(f"${{{name}}}" for name in names)
            values[variable.name] = Secret(expansion.text, origin or "the inventory")
        else:
            values[variable.name] = expansion.text
    return Session(spec, values, tuple(sorted(missing)), frozenset(by_default), withheld)


def _withheld(spec: SessionSpec) -> frozenset[str]:
    """Return the variables that are sensitive, or refer to what one of those refers to."""
    secret = {
        reference.name
        for variable in spec.variables
        if variable.sensitive
        for reference in references(variable.template)
    }
    return frozenset(
        variable.name
        for variable in spec.variables
        if variable.sensitive
        or any(reference.name in secret for reference in references(variable.template))
    )


def fill_secret(template: str, environ: Mapping[str, str]) -> Secret | tuple[str, ...]:
    """Return the secret that ``template`` refers to, or the names of what is unset for it.

    An empty default is no secret, and nothing is missing then.
    """
    expansion = expand(template, environ)
    return Secret(expansion.text, template) if expansion.text else expansion.missing
