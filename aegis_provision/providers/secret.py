"""Secrets: the value that is never printed, and the rule that an inventory only refers to it.

:mod:`aegis_provision.documents.secret_detection` decides what a secret is.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NoReturn, final

from aegis_provision.documents.literal_secrets import literal_secret
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import (
    HARMLESS_TOKENS,
    is_plain_setting,
    is_secret_name,
    puts_references_in_secrets,
)
from aegis_provision.inventory.host import LOGIN_SECRETS
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.providers.templates import (
    GRAMMAR,
    has_stray_reference,
    references,
    single_reference,
)

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span

_ANY = ("utf-8", "surrogatepass")


@final
class Secret:
    """A secret string that fails closed.

    It is no ``str``: a subclass would lose its mask when formatted, joined or quoted. ``str``
    and ``repr`` show only where it came from; ``pickle`` and ``copy`` raise :class:`TypeError`.
    Two secrets are equal when their values are; they are not hashable.
    """

    __slots__ = ("__value", "origin")

    SHORTEST_SEARCHED: Final = 6

    def __init__(self, value: str, origin: str) -> None:
        """Keep ``value``; ``origin`` names the source, such as ``${GLM_API_KEY}``."""
        self.__value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the value. Only modules on the list in the tests may call this."""
        return self.__value

    def matches(self, text: str) -> bool:
        """Tell whether ``text`` is the secret value, without taking it out of its box."""
        return hmac.compare_digest(self.__value.encode(*_ANY), text.encode(*_ANY))

    def within(self, text: str) -> bool:
        """Tell whether ``text`` holds the secret value anywhere.

        Values shorter than :attr:`SHORTEST_SEARCHED` count only as the whole text: a token
        such as ``a`` is in every text, and hiding all of them would tell more than it hides.
        """
        if len(self.__value) < self.SHORTEST_SEARCHED:
            return self.matches(text)
        return self.__value in text

    def __repr__(self) -> str:
        return f"Secret({self.origin})"

    def __str__(self) -> str:
        return f"<secret from {self.origin}>"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Secret):
            return self.reveal() == other.reveal()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a set of secrets would be a leak waiting to happen

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")


TOKENS = frozenset({"auth_token", "api_token", *LOGIN_SECRETS})
"""The settings that are secrets, with any value."""

_TOKENS_OF_FILES = frozenset({"ANTHROPIC_AUTH_TOKEN", "authToken", "clientAuthToken"})
"""The names that are tokens in a host's file, with any value."""


def is_named_secret(name: str, value: str) -> bool:
    """Tell whether the name alone makes a secret of what a host's file has under ``name``.

    Short digits, ``true`` and ``false`` are no secret under any name but a token's own.
    """
    return is_secret_name(name) and not is_plain_value(name, value)


def is_plain_value(name: str, value: str) -> bool:
    """Tell whether ``value`` is no secret under ``name`` in a host's file, nor anywhere else."""
    return name not in _TOKENS_OF_FILES and is_plain_setting(value)


def is_secret_setting(setting: str, template: str) -> bool:
    """Tell whether the value that ``template`` makes for ``setting`` is a secret.

    ``setting`` is one of our keys, or ``env.NAME``: a further variable is one by its name, by the
    name of what it refers to, or by the place of a reference in it (``Bearer ${GATEWAY}``).
    """
    if setting in TOKENS:
        return True
    name = setting.removeprefix(ENV_PREFIX)
    if setting == name:
        return False
    if is_secret_name(name):
        return not is_plain_setting(template)
    return refers_to_secret(template) or puts_references_in_secrets(template)


def refers_to_secret(template: str) -> bool:
    """Tell whether ``template`` refers to a variable that is named like a secret."""
    return any(is_secret_name(reference.name) for reference in references(template))


def is_safe_reference(template: str) -> bool:
    """Tell whether ``template`` is one reference and holds no secret: the rule for secrets."""
    reference = single_reference(template)
    return reference is not None and (reference.default or "") in HARMLESS_TOKENS


def secret_problem(setting: str, template: str, span: Span) -> Diagnostic | None:
    """Return what is wrong with a secret's template; its text is never repeated.

    In a further variable, which may hold more than one reference, only the defaults are checked
    here: another check finds literal secrets under every key.
    """
    is_token = setting in TOKENS
    if not is_token and not is_secret_name(setting.removeprefix(ENV_PREFIX)):
        checked = [item for item in references(template) if is_secret_name(item.name)]
    elif not is_token and is_plain_setting(template):
        return None
    elif reference := single_reference(template):
        checked = [reference]
    elif has_stray_reference(template):
        return literal_secret(
            f'{quote(setting)} holds a "${{" that is no reference: '
            "a secret never stands in an inventory",
            span,
            hint=GRAMMAR,
        )
    else:
        what = "is not exactly one reference" if references(template) else "is a literal"
        return literal_secret(
            f"{quote(setting)} {what}: a secret never stands in an inventory", span
        )
    for reference in checked:
        default = reference.default or ""
        if default not in HARMLESS_TOKENS and (is_token or not is_plain_setting(default)):
            return literal_secret(
                f"{quote(setting)} has a default, and that would be a secret in the inventory", span
            )
    return None
