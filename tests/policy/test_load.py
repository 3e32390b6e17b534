"""What a policy may say, and what is told of one that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.policy.load import load_policy

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic

WHOLE = """\
- name: Spread
  max_share: {glm: 50%, "*": 10}
- hosts: eu
  max_share: 29%
  providers: [glm]
- tokens: {GLM_API_KEY: ["https://api.z.ai", "https://*.example.com:8443/v1"]}
  pins: {reason: required, max_days: 30}
  timeout_ms: {min: 1000, max: 2000}
  forbidden: [base_url, "ANTHROPIC_*"]
"""


def refused(text: str) -> tuple[Diagnostic, ...]:
    policy, diagnostics = load_policy("policy.yml", text.encode())
    assert policy is None
    return tuple(item for item in diagnostics if item.is_error)


def test_a_whole_policy() -> None:
    policy, diagnostics = load_policy("policy.yml", WHOLE.encode())
    assert policy is not None
    assert not diagnostics
    spread, eu, rest = policy.rules
    assert {name: str(limit.most) for name, limit in spread.shares.items()} == {
        "glm": "50%",
        "*": "10",
    }
    assert (spread.name, spread.hosts, eu.hosts) == ("Spread", "all", "eu")
    assert str(eu.shares["*"].most) == "29%"
    assert eu.providers == ("glm",)
    assert spread.providers is None
    [binding] = rest.tokens
    assert binding.variable == "GLM_API_KEY"
    assert binding.base_urls == ("https://api.z.ai", "https://*.example.com:8443/v1")
    assert rest.pins is not None
    assert (rest.pins.needs_reason, rest.pins.max_days) == (True, 30)
    assert rest.timeout_ms is not None
    assert (rest.timeout_ms.shortest, rest.timeout_ms.longest) == (1000, 2000)
    assert rest.forbidden == ("base_url", "ANTHROPIC_*")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "", "policy.yml is empty"),
        ("a: 1", "policy.yml:1:1", "a policy is a list of rules"),
        ("[]", "policy.yml:1:1", "a policy without a rule demands nothing"),
        ("- x", "policy.yml:1:3", "must be a mapping"),
        ("- hosts: eu", "policy.yml:1:3", "this rule demands nothing"),
        ("- max_shares: 3", "policy.yml:1:3", 'unknown key "max_shares"'),
        ("- max_share: 150%", "policy.yml:1:14", "is 150%, which is more than all hosts"),
        ("- max_share: {glm: some}", "policy.yml:1:20", "is neither a number of hosts nor"),
        ("- max_share: [1]", "policy.yml:1:14", '"max_share" is one share'),
        ("- providers: glm", "policy.yml:1:14", '"providers" must be a list'),
        ("- tokens: {A: [b]}", "policy.yml:1:16", '"b" is no plain base URL'),
        ("- tokens: {A: https://a.example}", "policy.yml:1:15", '"A" must be a list'),
        ("- pins: {reason: true}", "policy.yml:1:18", '"reason" must be one of'),
        ("- pins: {max_days: -1}", "policy.yml:1:20", '"max_days" must be at least 0'),
        ("- timeout_ms: {min: 5, max: 4}", "policy.yml:1:15", '"min" is 5, and "max" is 4'),
        ("- tokens: {'${A}': []}", "policy.yml:1:12", '"${A}" is no variable'),
        ("- tokens: {a: []}", "policy.yml:1:12", '"a" is no variable'),
        ("- forbidden: [modle, 'base_*', 'A_[XY]*']", "policy.yml:1:14", '"modle" forbids nothing'),
        ("- forbidden: [Base_url]", "policy.yml:1:14", '"Base_url" forbids nothing'),
        ("- {hosts: '', max_share: 1}", "policy.yml:1:4", '"hosts" is empty'),
        ("- forbidden: [sk-ant-api03-abcdefghijklmnopqrstuvwxyz]", "", "looks like a secret"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, place: str, words: str) -> None:
    found = refused(text)
    assert any(item.place.startswith(place) and words in item.message for item in found), found
    assert len({item.place for item in found}) == len(found), "a fault is told once"


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = refused("- max_share: 150%\n- providers: glm\n- nope: 1\n- tokens: {A: [b]}\n")
    assert {item.place.split(":")[1] for item in found} == {"1", "2", "3", "4"}
