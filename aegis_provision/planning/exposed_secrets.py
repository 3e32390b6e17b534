"""Which values of a diff must not be shown although their variable is no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def exposes_secret(text: str, secrets: Iterable[Secret | str], name: str = "") -> bool:
    """Tell whether showing ``text``, the value of ``name``, would show a secret.

    ``secrets`` are the tokens known from either side. A host's file may hold a token in the
    wrong place (a URL with user information, a key pasted as a model): such a value is masked
    like a token.
    """
    return may_hold_secret(text, name) or any(_holds(text, secret) for secret in secrets)


def without_exposed(values: Mapping[str, str | Secret]) -> dict[str, str | Secret]:
    """Return ``values``, with each value that would show a secret wrapped as a :class:`Secret` too.

    A variable that is not named like a secret may hold a token all the same, or a part of one.
    """
    secrets = [value for value in values.values() if isinstance(value, Secret)]
    return {
        name: Secret(value, name)
        if isinstance(value, str) and exposes_secret(value, secrets, name)
        else value
        for name, value in values.items()
    }


def _holds(text: str, secret: Secret | str) -> bool:
    if isinstance(secret, Secret):
        return secret.within(text)
    return len(secret) >= Secret.SHORTEST_SEARCHED and secret in text
