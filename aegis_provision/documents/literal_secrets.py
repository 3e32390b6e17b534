"""Finds secrets that are written out in the operator's files, under any key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import LITERAL_SECRET, error
from aegis_provision.documents.nodes import Mapping, Scalar
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.secret_detection import holds_token, is_named_hash, looks_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Node, Span

HINT = "write one reference, such as ${GLM_API_KEY}, and keep the value in your environment"

_OUT_OF_ENV = "write a reference there, such as ${GATEWAY_KEY}, and keep it in your environment"
_OUT = "take it out; a token goes into auth_token, as one reference such as ${GLM_API_KEY}"
_FILLED_IN = (
    "; to Ansible too it is plain text, since what a template or a vault gives is the secret itself"
)
_ENV = "env"
_REFERENCES_ONLY = frozenset({"auth_token", "api_token", "identity_passphrase", "password"})
_OWN_RULES = frozenset({"pin_reason"})
_NAMES = frozenset(
    {"address", "user", "become_user", "jump", "connection", "provider", "extends", "hosts",
     "identity_file", "config_path"}
)  # fmt: skip
_ANSIBLES = "ansible_"


def literal_secrets(
    node: Node, file: str = "an inventory", *, names: Collection[str] = ()
) -> Iterator[Diagnostic]:
    """Yield an error for each secret that stands in ``node``, as a value or as a name.

    ``file`` says what kind of file it is, in the words of a message.
    ``names`` are further keys whose values are names, addresses or paths: the variables of
    Ansible's that mean something here. Its other variables are neither read nor shown, so they may
    hold anything. Keys that take just one reference have a rule of their own
    (:mod:`aegis_provision.providers.secret`), and so have reasons of pins. No diagnostic repeats
    the secret.
    """
    for problem, span, in_env in _within(node, "", _NAMES.union(names)):
        words = f"{problem}: a secret never stands in {file}"
        yield literal_secret(words, span, hint=_OUT_OF_ENV if in_env else _OUT)


def _within(
    node: Node, key: str, names: frozenset[str], *, in_env: bool = False
) -> Iterator[tuple[str, Span, bool]]:
    """Yield what is wrong below ``key``, where, and whether that is a session variable."""
    if isinstance(node, Mapping):
        for entry in node:
            name = entry.key.text
            if holds_token(name):
                yield "this name is a token", entry.key.span, False
            if in_env or not _is_passed_over(name, names):
                yield from _within(entry.value, name, names, in_env=key == _ENV or name == _ENV)
    elif isinstance(node, Scalar):
        is_name = key in names and not in_env
        if is_named_hash(key, node.text):
            return
        if holds_token(node.text) if is_name else looks_secret(node.text):
            yield f"{quote(key)} holds what looks like a secret", node.span, in_env
    else:
        for item in node.items:
            yield from _within(item, key, names, in_env=in_env)


def _is_passed_over(name: str, names: frozenset[str]) -> bool:
    return name in _REFERENCES_ONLY | _OWN_RULES or (
        name.startswith(_ANSIBLES) and name not in names
    )


def literal_secret(message: str, span: Span, *, hint: str = HINT) -> Diagnostic:
    """Return the error that ``message`` describes, with a place that is never quoted.

    Behind an alias the text stands under another key, one that is not named like a secret. Of what
    Ansible says, which has no lines, a template or a vault may have made a literal.
    """
    if not span.source.numbered:
        hint += _FILLED_IN
    return error(LITERAL_SECRET, message, span, hint=hint, quotable=False)
