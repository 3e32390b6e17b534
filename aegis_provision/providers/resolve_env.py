"""Templates to values: the only place where the operator's environment meets a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import is_plain_setting
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.secret_rules import TOKENS
from aegis_provision.providers.session import Session
from aegis_provision.providers.templates import expand, references, single_reference
from aegis_provision.providers.unusable_tokens import UnusableToken, unusable_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.providers.session import SessionSpec, Variable


def resolve_env(
    spec: SessionSpec, environ: Mapping[str, str], *, with_secrets: bool = True
) -> Session:
    """Return ``spec`` with ``environ`` filled in; sensitive values become secrets.

    Without secrets, what sensitive variables refer to is neither read nor missing; a variable that
    is none of them and refers to it too would show it, and is withheld with them. A further
    variable that is named like a secret and holds short digits, ``true`` or ``false`` is none.
    """
    values: dict[str, str | Secret] = {}
    missing: set[str] = set()
    by_default: set[str] = set()
    unusable: list[UnusableToken] = []
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
        elif _is_secret(variable, expansion.text):
            unusable.extend(
                unusable_tokens(variable.template, environ, variable.name, variable.setting)
            )
            origin = ", ".join(f"${{{name}}}" for name in names)
            values[variable.name] = Secret(expansion.text, origin or "the inventory")
        else:
            values[variable.name] = expansion.text
    return Session(
        spec,
        values,
        tuple(sorted(missing)),
        frozenset(by_default),
        withheld,
        tuple(dict.fromkeys(unusable)),
    )


def _is_secret(variable: Variable, text: str) -> bool:
    return variable.sensitive and (variable.setting in TOKENS or not is_plain_setting(text))


def unusable_tokens(
    template: str, environ: Mapping[str, str], used_as: str, setting: str
) -> Iterator[UnusableToken]:
    """Yield what the secret ``template`` of ``setting`` refers to that is obviously no token.

    ``used_as`` is what the operator knows the value by.
    """
    alone = single_reference(template) is not None
    for reference in references(template):
        value = environ.get(reference.name) or reference.default or ""
        reason = unusable_token(value, reference.name, alone=alone, token=setting in TOKENS)
        if reason:
            yield UnusableToken(used_as, reference.name, reason)


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


def resolve_secret(template: str, environ: Mapping[str, str]) -> Secret | tuple[str, ...]:
    """Return the secret that ``template`` refers to, or the names of what is unset for it.

    An empty default is no secret, and nothing is missing then.
    """
    expansion = expand(template, environ)
    return Secret(expansion.text, template) if expansion.text else expansion.missing
