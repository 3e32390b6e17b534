"""Which values are secrets, and the rule that they are references and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.quoting import shown
from aegis_provision.providers.templates import (
    GRAMMAR,
    has_stray_reference,
    references,
    single_reference,
)

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.source import Span

HARMLESS_TOKENS = frozenset({"", "<local-token>", "ollama-local"})
"""What a token's default may be: nothing, or the stand-in of a recipe for a local server."""

_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)
_HINT = "write one reference, such as ${GLM_API_KEY}, and keep the value in your environment"


def is_secret_name(name: str) -> bool:
    """Tell whether a variable of this name is held to the rule for secrets."""
    return _SECRET_NAME.search(name) is not None


def refers_to_secret(template: str) -> bool:
    """Tell whether ``template`` takes something out of a variable that is named like a secret."""
    return any(is_secret_name(reference.name) for reference in references(template))


def is_safe_reference(template: str) -> bool:
    """Tell whether ``template`` is one reference and holds no secret: the rule for secrets."""
    reference = single_reference(template)
    return reference is not None and (reference.default or "") in HARMLESS_TOKENS


def secret_problem(setting: str, template: str, span: Span) -> Diagnostic | None:
    """Return what is wrong with a secret's template; its text is never repeated."""
    reference = single_reference(template)
    if reference is None and has_stray_reference(template):
        return _literal(
            f'{shown(setting)} holds a "${{" that is no reference: '
            "a secret never stands in an inventory",
            span,
            hint=GRAMMAR,
        )
    if reference is None:
        what = "is not exactly one reference" if references(template) else "is a literal"
        return _literal(f"{shown(setting)} {what}: a secret never stands in an inventory", span)
    if reference.default is not None and reference.default not in HARMLESS_TOKENS:
        return _literal(
            f"{shown(setting)} has a default, and that would be a secret in the inventory", span
        )
    return None


def _literal(message: str, span: Span, *, hint: str = _HINT) -> Diagnostic:
    """Return the error, with a place that is never quoted.

    Behind an alias the text stands under another key, one that is not named like a secret.
    """
    return replace(error("literal-secret", message, span, hint=hint), quotable=False)
