"""Values that are obviously no token: references that nothing expands, placeholders, decorations.

The template engine takes every value as it is (Aegis' BYO-LLM page). That such a value is never
written to a host is this tool's own rule, on top of it: Aegis would pass it on, and every session
would fail with the provider's 401. Only whole values count: a token may hold any of this inside.
"""

from __future__ import annotations

import re

from aegis_provision.documents.secret_detection import HARMLESS_TOKENS
from aegis_provision.values import dataclass

NOT_EXPANDED = "nothing is expanded here, in an --env-file neither: it has to be the token itself"

LONGEST_TOKEN = 8192
"""What is longer Aegis takes for no variable's value; it is refused for that."""

_REFERENCE = f"it is a reference, and {NOT_EXPANDED}"
_STORE = (
    "it is the place of a secret in a store, which nothing here asks: it has to be the token itself"
)
_PLACEHOLDER = "it is a placeholder, not a token"
_MASKED = "it is what a masked token looks like, not the token"
_IN_QUOTES = "it stands in quotes, which would go to the provider with it"
_BLANKS = "it begins or ends with white space, which would go to the provider with it"
_WITH_SCHEME = "it begins with a header's scheme, which sessions put before the token themselves"
_ASSIGNED = "it begins with a variable's name and '=': only what follows is the token"
_ADDRESS = "it is an address, not a token"
_HEADER = "it is a whole header, and has to be the token alone"

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = ("''", '""', "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "\u201e\u201c")

_REFERENCES = re.compile(
    r"\$(?:[A-Z_][A-Z0-9_]*|[a-z_][a-z0-9_]*)"  # $NAME
    r"|\$\{.*\}|\$\(.*\)|`.*`|\$\{\{.*\}\}"  # ${NAME}, $(command), ${{ secrets.NAME }}
    r"|\$env:\w+|%\w+%|!\w+!"  # PowerShell, cmd.exe
    r"|\{\{.*\}\}|\{%.*%\}|<%.*%>|#\{.*\}|\[\[.*\]\]|%\{.*\}|%\(\w+\)s"  # templates
    r"|__[A-Z][A-Z0-9_]*__|@[A-Z][A-Z0-9_]*@|@@\w+@@",  # what deployments replace
    re.DOTALL,
)
_STORES = re.compile(
    r"(?:op|ref\+\w+|secretref\+?\w*|vault|hashivault|awssm|aws-sm|awssecretsmanager|awsssm|aws-ssm"
    r"|awskms|gcpsm|gcp-sm|gcpsecretmanager|gcpsecrets|secretmanager|secretsmanager|sm|ssm|akv"
    r"|azkv|azurekeyvault|keyvault|gopass|pass|bws|bw|bitwarden|doppler|infisical|keepass|keychain"
    r"|keyring|lastpass|conjur|sops|k8s|kubernetes|secret|secrets|env|file)://.*"
    r"|(?:vault|env|file|pass|gopass|keyring|keychain|ssm|awssm|encrypted|sops|secretref|secretsref"
    r"|secretkeyref):\S.*"
    r"|arn:aws[\w-]*:(?:secretsmanager|ssm|kms):.*"
    r"|projects/[^/]+/secrets/.+"
    r"|https://[\w-]+\.vault\.(?:azure\.net|azure\.cn|usgovcloudapi\.net)/.*"
    r"|@Microsoft\.KeyVault\(.*\)|ENC\[.*\]|\{cipher\}.*|\$ANSIBLE_VAULT;.*|!vault\b.*"
    r"|/(?:run|var|etc|home|root|opt|mnt|srv|tmp|usr)/[\w./-]+|~/[\w./-]+",
    re.IGNORECASE | re.DOTALL,
)
_MARKS = r"(?:[xX]{3,}|\*{3,}|\.{3,}|\u2026+|[\u2022\u25cf\u00b7]{3,}|#{3,}|_{3,}|-{3,}|\?{3,})"
_MASKS = re.compile(
    rf"(?:(?:sk|pk|rk|ghp|glpat|hf|gsk)[-_](?:[a-z0-9]+-){{0,2}})?{_MARKS}"
    r"|[*\[({<]*(?:redacted|masked|hidden)[*\])}>]*|[*\[({<]+secret[*\])}>]+",
    re.IGNORECASE,
)
_WHOSE = (
    r"(?:your|my|the|an?|real|actual|own|new|valid|openrouter|openai|anthropic|azure|glm|zhipu)"
)
_WHAT = r"(?:api|auth|access|secret|private|provider|bearer|litellm|llm|gateway)"
_THING = r"(?:key|token|secret|password|passwd|credentials?|value|apikey)s?"
_PLACEHOLDERS = re.compile(
    r"<[^<>]*>"
    r"|(?:please[-_ ]?)?(?:change|replace|fill)[-_ ]?(?:me|this|it|in)(?:[-_ ]?(?:now|please))?!*"
    r"|(?:please[-_ ]?)?replace[-_ ]?with[-_ ].*"
    r"|(?:to[-_ ]?do|tbd|fixme|placeholder|null|nil|undefined|none|nan|n/a)"
    rf"|(?:(?:sk|pk|ghp|glpat|hf|gsk)[-_](?:or-|ant-|proj-)?)?"
    rf"(?:(?:enter|insert|paste|put|add|set|use|replace)[-_ ]?(?:with[-_ ])?)?"
    rf"your[-_ ]?(?:[a-z]+[-_ ]?){{0,3}}{_THING}(?:[-_ ]?(?:goes[-_ ]?)?here)?"
    rf"|(?:enter|insert|paste|put|add)[-_ ](?:{_WHOSE}[-_ ])*(?:{_WHAT}[-_ ]?)*{_THING}"
    r"(?:[-_ ]?here)?"
    rf"|(?:{_WHOSE}[-_ ])*(?:{_WHAT}[-_ ]?)*{_THING}[-_ ](?:goes[-_ ])?here"
    rf"|(?:{_WHAT}[-_ ]?)+{_THING}",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:bearer|basic|token|digest)\s+\S.*", re.IGNORECASE | re.DOTALL)
_ANY_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.*", re.IGNORECASE | re.DOTALL)
_ANY_HEADER = re.compile(
    r"(?:(?:proxy-)?authorization|(?:[\w-]+-)?api-?key)\s*:.*", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class UnusableToken:
    """A variable of the operator's environment whose value is obviously no token.

    ``used_as`` is the session variable, or the setting, that refers to it; ``reason`` says what it
    is instead, without the value.
    """

    used_as: str
    name: str
    reason: str


def unusable_token(value: str, name: str = "", *, alone: bool = True, token: bool = True) -> str:
    """Return why ``value`` is obviously no token, an empty text where it may be one.

    ``name`` is the variable that holds it. ``alone`` is false where it becomes a part of a longer
    value, which may be a header without its scheme; ``token`` is false for further variables,
    whose secret may be an address with a password in it or a whole header.
    """
    if value in HARMLESS_TOKENS or len(value) > LONGEST_TOKEN:
        return ""
    if value.strip().strip(_INVISIBLE) != value:
        return _BLANKS
    if len(value) > 1 and value[0] + value[-1] in _QUOTES:
        return _IN_QUOTES
    for pattern, reason in (
        (_REFERENCES, _REFERENCE), (_STORES, _STORE), (_PLACEHOLDERS, _PLACEHOLDER),
        (_MASKS, _MASKED),
    ):  # fmt: skip
        if pattern.fullmatch(value):
            return reason
    if name and value == name:
        return _PLACEHOLDER
    if name and re.match(rf"(?:export\s+)?{re.escape(name)}\s*=", value):
        return _ASSIGNED
    if alone and _SCHEME.fullmatch(value):
        return _WITH_SCHEME
    if token and _ANY_ADDRESS.fullmatch(value):
        return _ADDRESS
    return _HEADER if token and _ANY_HEADER.fullmatch(value) else ""
