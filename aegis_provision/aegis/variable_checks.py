"""Checks of the inventory's values against Aegis' rules, before any connection (docs/aegis.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_rules import (
    SHORT_TIMEOUT,
    fixed_url_problem,
    name_problem,
    placeholder_problem,
    sends_token_in_the_open,
    timeout_problem,
    url_problems,
    value_problem,
)
from aegis_provision.documents.diagnostic import Diagnostic, Severity, error, warning
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import HARMLESS_TOKENS
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.templates import (
    expand,
    references,
    single_reference,
    without_references,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.documents.nodes import Span
    from aegis_provision.providers.session_variables import Session, SessionSpec, Variable
    from aegis_provision.providers.unusable_tokens import UnusableToken

UNUSABLE_DEFAULT = "unusable-default"
"""The code of warnings about defaults that work only once a variable is set."""

_STAND_IN_MODELS = frozenset({"local-model", "gpt-4o-mini"})
_MODELS = frozenset({"model", "fast_model"})


def check_spec(spec: SessionSpec) -> tuple[Diagnostic, ...]:
    """Return what is wrong with ``spec`` in any environment.

    What depends on the environment is no error here, because the check must pass without secrets.
    A recipe's default that could never work is a warning that names the variable to set.
    """
    return tuple(found for variable in spec.variables for found in _spec_problems(spec, variable))


def _spec_problems(spec: SessionSpec, variable: Variable) -> Iterator[Diagnostic]:
    yield from _name_problems(variable)
    names = references(variable.template)
    if not names:
        if not variable.sensitive:
            yield from _value_problems(spec, variable, variable.template)
        return
    fixed = without_references(variable.template)
    problem = value_problem(fixed) or (placeholder_problem(fixed) if fixed else None)
    if problem is None and variable.setting == "base_url":
        problem = fixed_url_problem(variable.template)
    if problem is None and variable.setting == "timeout_ms" and fixed:
        problem = timeout_problem(fixed)
    if problem is not None:
        # The text itself is wrong, in any environment.
        yield error(
            "refused-value",
            f"{_shown_name(variable.name)} is refused: {problem}",
            variable.span,
            hint="correct what stands around the references",
        )
        return
    if variable.sensitive:
        return
    by_default = expand(variable.template, {})
    if not by_default.missing:
        for found in _value_problems(spec, variable, by_default.text):
            yield Diagnostic(
                Severity.WARNING,
                UNUSABLE_DEFAULT,
                f"by default, {found.message}",
                found.span,
                f"set {' or '.join(dict.fromkeys(item.name for item in names))} before you plan",
            )


def check_session(session: Session, *, single: bool = False) -> tuple[Diagnostic, ...]:
    """Return what is wrong with the values that hosts would get. Messages repeat no value.

    ``single`` says that they are the ``env`` of one session, where Aegis takes no empty value.
    """
    found: list[Diagnostic] = []
    for variable in session.spec.variables:
        value = session.values.get(variable.name)
        if value is None:
            continue
        text = value.reveal() if isinstance(value, Secret) else value
        found.extend(_name_problems(variable))
        unusable = [item for item in session.unusable if item.used_as == variable.name]
        found.extend(unusable_problem(item, variable.span) for item in unusable)
        if not unusable:
            found.extend(_value_problems(session.spec, variable, text))
            if single and not text and variable.setting not in VARIABLE_OF:
                reason = "it would be empty, and Aegis refuses that in the env of a single session"
                found.append(_refused(variable, reason))
        stand_in = variable.setting in _MODELS and text in _STAND_IN_MODELS
        if stand_in and variable.from_recipe and variable.name in session.by_default:
            names = " or ".join(item.name for item in references(variable.template))
            found.append(
                warning(
                    "stand-in-model",
                    f"{variable.name} is the recipe's stand-in, which your provider may not have",
                    variable.span,
                    hint=f'set "{variable.setting}" in the inventory, or {names}',
                )
            )
    return tuple(dict.fromkeys(found))


def unusable_problem(item: UnusableToken, span: Span) -> Diagnostic:
    """Return the error for a variable of the environment that holds no token."""
    return error(
        "refused-value",
        f"{_shown_name(item.used_as)} (from {item.name}) is refused: {item.reason}",
        span,
        hint=f"put the token itself into {item.name}",
    )


def _name_problems(variable: Variable) -> Iterator[Diagnostic]:
    problem = name_problem(variable.name)
    if problem is not None:
        upper = variable.name.upper().replace("-", "_")
        fits = upper != variable.name and name_problem(upper) is None
        hint = f"write it as {quote(upper)}" if fits else "leave it out, or rename it"
        message = f"{quote(variable.name)} can't be a session variable: {problem}"
        yield error("bad-variable-name", message, variable.span, hint=hint)


def _value_problems(spec: SessionSpec, variable: Variable, text: str) -> Iterator[Diagnostic]:
    """Yield what is wrong with a value that a host would get."""
    if not text:
        if variable.setting in VARIABLE_OF:
            yield _refused(variable, "it would be empty")
        return
    problem = value_problem(text)
    if problem is None and not _is_harmless(variable, text):
        problem = placeholder_problem(text)
    if problem is not None:
        yield _refused(variable, problem)
        return
    match variable.setting:
        case "base_url":
            for reason in url_problems(text):
                yield _refused(variable, reason)
            if not spec.allow_http and sends_token_in_the_open(text):
                yield _refused(
                    variable,
                    "it would send the token over plain http:// to an address that is neither "
                    "loopback nor private",
                    hint="use https://, or say allow_http: true in the provider",
                )
        case "timeout_ms":
            if problem := timeout_problem(text):
                yield _refused(variable, problem)
            elif int(text) < SHORT_TIMEOUT:
                yield warning(
                    "short-timeout",
                    f"{variable.name} is less than a second; it is in milliseconds",
                    variable.span,
                )


def _is_harmless(variable: Variable, text: str) -> bool:
    """Tell whether a placeholder is a local server's stand-in token, put there by its recipe."""
    reference = single_reference(variable.template)
    return (
        variable.setting == "auth_token"
        and text in HARMLESS_TOKENS
        and reference is not None
        and reference.default == text
    )


def _shown_name(name: str) -> str:
    """Return the name of a variable or setting; a bad one may be a secret, pasted there."""
    return name if name_problem(name.upper()) is None else quote(name)


def _refused(variable: Variable, reason: str, *, hint: str = "") -> Diagnostic:
    names = " and ".join(dict.fromkeys(item.name for item in references(variable.template)))
    source = f" (from {names})" if names else ""
    if not hint and names:
        hint = f"correct {names} in your environment"
        if variable.from_recipe and not variable.sensitive:
            hint += f', or set "{variable.setting}" in the inventory'
    return error(
        "refused-value",
        f"{_shown_name(variable.name)}{source} is refused: {reason}",
        variable.span,
        hint=hint or "correct it here",
    )
