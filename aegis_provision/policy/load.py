"""Reads the text of a policy: its rules, or all that is wrong with it."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.described_document import check_described, read_described
from aegis_provision.documents.diagnostic import error, has_errors
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.nodes import Mapping, Scalar, Sequence
from aegis_provision.documents.quoting import quote
from aegis_provision.playbook.host_counts import host_count
from aegis_provision.policy.base_urls import base_url_problem
from aegis_provision.policy.rules import (
    ANY_PROVIDER,
    PinLimits,
    Policy,
    Rule,
    ShareLimit,
    TimeoutLimits,
    TokenBinding,
)
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Entry, Node, Span

_HOW_TO_BEGIN = "begin each rule with '- name: ...' or '- hosts: ...'"
_NO_DEMANDS = frozenset({"name", "hosts"})
_DEMANDS = ("max_share", "providers", "tokens", "pins", "timeout_ms", "forbidden")
_HOW_TO_WRITE_SHARE = "write a share of the rule's hosts, such as 60%, or a number of them"
_HOW_TO_NAME_VARIABLE = "write its name alone, of A-Z, 0-9 and _, such as OPENROUTER_API_KEY"
_VARIABLE = re.compile(r"[A-Z0-9_]+")
_MAY_MATCH_VARIABLES = re.compile(r"[A-Z0-9_*?\[\]!-]+")
_HOW_TO_WRITE_URL = "write https://HOST, with a path if it matters; *.example.com is any host below"


def load_policy(name: str, data: bytes) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    """Return the policy in the file called ``name``, and everything that is wrong with it.

    With errors among the diagnostics there is none.
    """
    node, found = read_described(name, data, _HOW_TO_BEGIN)
    if node is None:
        return None, found
    reader = _Reader()
    rules = reader.rules(node)
    told = (*found, *reader.diagnostics)
    diagnostics = check_described(node, told, schema="policy", noun="a policy")
    return None if has_errors(diagnostics) else Policy(name, rules), diagnostics


@dataclass(slots=True)
class _Reader:
    """Reads rules. A value of the wrong type counts as absent: the schema tells of it."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def rules(self, node: Node) -> tuple[Rule, ...]:
        if not isinstance(node, Sequence):
            self._refuse("wrong-type", "a policy is a list of rules", node.span, _HOW_TO_BEGIN)
            return ()
        if not node.items:
            words = "a policy without a rule demands nothing"
            self._refuse("no-rules", words, node.span, _HOW_TO_BEGIN)
        return tuple(self._rule(item) for item in node.items if isinstance(item, Mapping))

    def _rule(self, node: Mapping) -> Rule:
        if all(entry.key.text in _NO_DEMANDS for entry in node):
            words = "this rule demands nothing"
            self._refuse("empty-rule", words, node.span, f"add one of: {', '.join(_DEMANDS)}")
        hosts = node.entry("hosts")
        pattern = _text(hosts) or "all"
        providers, forbidden = node.entry("providers"), node.entry("forbidden")
        return Rule(
            name=_text(node.entry("name")),
            hosts=pattern,
            span=node.span,
            hosts_span=hosts.value.span if hosts is not None else node.span,
            shares=self._shares(node.entry("max_share")),
            providers=_texts(providers) if providers is not None else None,
            providers_span=providers.value.span if providers is not None else None,
            tokens=self._tokens(node.entry("tokens")),
            pins=_pins(node.entry("pins")),
            timeout_ms=self._timeouts(node.entry("timeout_ms")),
            forbidden=self._forbidden(forbidden),
            forbidden_span=forbidden.value.span if forbidden is not None else None,
        )

    def _shares(self, entry: Entry | None) -> dict[str, ShareLimit]:
        if entry is None:
            return {}
        if isinstance(entry.value, Sequence):
            words = '"max_share" is one share, or a share for each provider, and this is a list'
            self._refuse("wrong-type", words, entry.value.span, _HOW_TO_WRITE_SHARE)
        if not isinstance(entry.value, Mapping):
            return self._share(ANY_PROVIDER, entry)
        limits: dict[str, ShareLimit] = {}
        for item in entry.value:
            limits.update(self._share(item.key.text, item))
        return limits

    def _share(self, provider: str, entry: Entry) -> dict[str, ShareLimit]:
        value = entry.value
        if not isinstance(value, Scalar) or not isinstance(value.value, (str, int)):
            return {}
        try:
            return {provider: ShareLimit(host_count(value.text), value.span)}
        except ValueError as problem:
            self._refuse(
                "bad-value", f"{quote(entry.key.text)} {problem}", value.span, _HOW_TO_WRITE_SHARE
            )
            return {}

    def _tokens(self, entry: Entry | None) -> tuple[TokenBinding, ...]:
        if entry is None or not isinstance(entry.value, Mapping):
            return ()
        for item in entry.value:
            if not _VARIABLE.fullmatch(item.key.text):
                words = f"{quote(item.key.text)} is no variable that an inventory can refer to"
                self._refuse("bad-value", words, item.key.span, _HOW_TO_NAME_VARIABLE)
            nodes = item.value.items if isinstance(item.value, Sequence) else (item.value,)
            for url in nodes:
                text = url.value if isinstance(url, Scalar) else None
                if isinstance(text, str) and (problem := base_url_problem(text)):
                    self._refuse("bad-value", problem, url.span, _HOW_TO_WRITE_URL)
        return tuple(
            TokenBinding(item.key.text, _texts(item), item.key.span) for item in entry.value
        )

    def _forbidden(self, entry: Entry | None) -> tuple[str, ...]:
        if entry is None:
            return ()
        patterns = _texts(entry)
        for pattern in patterns:
            bound = fnmatch.filter(VARIABLE_OF, pattern)
            if not bound and not _MAY_MATCH_VARIABLES.fullmatch(pattern):
                words = f"{quote(pattern)} forbids nothing"
                hint = did_you_mean(pattern, VARIABLE_OF) or (
                    f"write one of {', '.join(VARIABLE_OF)}, or variables under env: ANTHROPIC_*"
                )
                self._refuse("bad-value", words, entry.value.span, hint)
        return patterns

    def _timeouts(self, entry: Entry | None) -> TimeoutLimits | None:
        if entry is None or not isinstance(entry.value, Mapping):
            return None
        shortest, longest = (_number(entry.value.entry(key)) for key in ("min", "max"))
        if shortest is not None and longest is not None and shortest > longest:
            words = f'"min" is {shortest}, and "max" is {longest}: no timeout is both'
            self._refuse("bad-value", words, entry.value.span, "put the smaller one under min")
        return TimeoutLimits(shortest, longest, entry.value.span)

    def _refuse(self, code: str, message: str, span: Span, hint: str) -> None:
        self.diagnostics.append(error(code, message, span, hint=hint))


def _pins(entry: Entry | None) -> PinLimits | None:
    if entry is None or not isinstance(entry.value, Mapping):
        return None
    reason = entry.value.entry("reason")
    needs_reason = reason is not None and _text(reason) == "required"
    return PinLimits(needs_reason, _number(entry.value.entry("max_days")), entry.value.span)


def _text(entry: Entry | None) -> str:
    value = entry.value.value if entry is not None and isinstance(entry.value, Scalar) else None
    return value if isinstance(value, str) else ""


def _texts(entry: Entry | None) -> tuple[str, ...]:
    if entry is None:
        return ()
    nodes = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
    values = (node.value for node in nodes if isinstance(node, Scalar))
    return tuple(value for value in values if isinstance(value, str))


def _number(entry: Entry | None) -> int | None:
    value = entry.value.value if entry is not None and isinstance(entry.value, Scalar) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
