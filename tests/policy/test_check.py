"""Which inventories break which rule, where that is told, and for which hosts."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from aegis_provision.inventory.files import InputFile
from aegis_provision.operations.load import resolve_fleet
from aegis_provision.policy.check import check_defaults, check_policy, check_resolved, rule_hosts
from aegis_provision.policy.load import load_policy
from aegis_provision.providers.session_variables import resolve_env

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic

TODAY = date(2026, 6, 15)
FLEET = """\
all:
  vars: {provider: openrouter}
  hosts:
    a:
    b:
    c: {provider: glm, pin_until: 2026-07-15, pin_reason: a trial}
    d: {provider: glm}
  children:
    eu: {vars: {provider: gateway, env: {ANTHROPIC_MODEL: x, OTHER: y}}, hosts: {e: , f: }}
    us: {hosts: {g: {timeout_ms: 1000}, h: {base_url: "https://else.example/v1"}}}
providers:
  gateway:
    base_url: ${GATEWAY_URL}
    auth_token: ${OPENROUTER_API_KEY}
    model: m
    fast_model: m
    timeout_ms: ${GATEWAY_TIMEOUT:-60000}
    env: {FROM_RECIPE: z}
"""


def checked(
    rules: str,
    *,
    only: Collection[str] | None = None,
    environ: Mapping[str, str] | None = None,
    text: str = FLEET,
    defaults: bool = False,
) -> tuple[Diagnostic, ...]:
    """Return what breaks ``rules``: at once, in what ``environ`` decides, or by ``defaults``."""
    fleet, found = resolve_fleet([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert fleet is not None
    assert not [item for item in found if item.is_error]
    policy, _diagnostics = load_policy("p.yml", rules.encode())
    assert policy is not None
    hosts_of, problems = rule_hosts(policy, fleet.inventory, lambda _: "")
    if problems:
        return problems
    if environ is not None:
        sessions = {name: resolve_env(spec, environ) for name, spec in fleet.specs.items()}
        return check_resolved(policy, hosts_of, sessions)
    if defaults:
        return check_defaults(policy, hosts_of, fleet.specs)
    return check_policy(
        policy, hosts_of, fleet.inventory, fleet.specs, fleet.recipes, TODAY, only=only
    )


@pytest.mark.parametrize(
    ("rules", "place", "message", "hosts"),
    [
        (
            "- {name: Spread, max_share: {openrouter: 49%}}",
            "p.yml:1:42",
            "4 of 8 hosts (50 %) are on openrouter, and the policy (Spread) allows 49% (3 hosts)",
            (),
        ),
        (
            '- {hosts: eu, max_share: {"*": 1}}',
            "p.yml:1:32",
            '2 of 2 hosts (100 %) of "eu" are on gateway, and the policy allows 1',
            (),
        ),
        (
            "- {hosts: 'all:!d', providers: [openrouter, gateway]}",
            "i.yml:6:19",
            'the policy does not allow "glm" here',
            ("c",),
        ),
        (
            "- {providers: [openrouter, glm]}",
            "i.yml:9:27",
            'the policy does not allow "gateway" here',
            ("e", "f"),
        ),
        (
            "- pins: {reason: required}",
            "i.yml:7:19",
            "the policy wants a reason for each pin, and this one has none",
            ("d",),
        ),
        (
            "- {hosts: c, pins: {max_days: 29}}",
            "i.yml:6:35",
            "the policy wants each pin to end within 29 days, and this one ends in 30",
            ("c",),
        ),
        (
            "- {hosts: d, pins: {max_days: 1}}",
            "i.yml:7:19",
            "the policy wants each pin to end within 1 day, and this one has no end",
            ("d",),
        ),
        (
            "- timeout_ms: {min: 1001}",
            "i.yml:10:34",
            'the policy wants a timeout of at least 1001 ms, and this is "1000"',
            ("g",),
        ),
        (
            "- {hosts: us, timeout_ms: {max: 999}}",
            "i.yml:10:34",
            'the policy wants a timeout of at most 999 ms, and this is "1000"',
            ("g",),
        ),
        (
            "- forbidden: [base_url]",
            "i.yml:10:55",
            'the policy forbids "base_url"',
            ("h",),
        ),
        (
            '- forbidden: ["ANTHROPIC_*"]',
            "i.yml:9:59",
            'the policy forbids "ANTHROPIC_MODEL"',
            ("e", "f"),
        ),
        (
            "- forbidden: [FROM_RECIPE]",
            "i.yml:18:24",
            'the policy forbids "FROM_RECIPE"',
            ("e", "f"),
        ),
        (
            "- tokens: {OPENROUTER_API_KEY: [https://openrouter.ai]}",
            "",
            "the policy does not let OPENROUTER_API_KEY travel to \"https://else.example/v1\"",
            ("h",),
        ),
        ("- {hosts: nix, providers: [glm]}", "p.yml:1:11", '"hosts": ', ()),
        ("- providers: [openrouter, gateway, glmm]", "p.yml:1:14", "no provider is called", ()),
        ("- max_share: {glmm: 3}", "p.yml:1:21", 'no provider is called "glmm"', ()),
        (
            "- tokens: {OPENROUTER_KEY: []}",
            "p.yml:1:12",
            'no host\'s variables refer to "OPENROUTER_KEY"',
            (),
        ),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_with_its_place_and_hosts(
    rules: str, place: str, message: str, hosts: tuple[str, ...]
) -> None:
    found = [item for item in checked(rules) if item.hosts == hosts]
    assert any(
        item.message.startswith(message) and item.place.startswith(place) for item in found
    ), checked(rules)


@pytest.mark.parametrize(
    "rules",
    [
        "- max_share: {openrouter: 50%, glm: 25%, gateway: 25%}",
        "- max_share: 50%",
        "- max_share: 4",
        '- max_share: {openrouter: 4, "*": 2}',
        "- providers: [openrouter, glm, gateway]",
        "- {hosts: c, pins: {reason: required, max_days: 30}}",
        "- {hosts: 'a,b,eu', pins: {reason: required, max_days: 0}}",
        "- timeout_ms: {min: 1000, max: 600000}",
        "- {hosts: g, timeout_ms: {min: 1000, max: 1000}}",
        "- forbidden: [auth_token, NOTHING, FROM, PROVIDER]",
        "- {hosts: 'all:!h', tokens: {OPENROUTER_API_KEY: [https://openrouter.ai/api]}}",
        "- tokens: {GLM_API_KEY: [https://api.z.ai]}",
    ],
)
def test_what_holds_is_not_told(rules: str) -> None:
    assert not checked(rules)


def test_a_provider_that_only_another_inventory_has_may_be_allowed_and_not_be_limited() -> None:
    [found] = checked("- {hosts: d, providers: [glm, elsewhere]}")
    assert (found.is_error, found.message) == (False, 'no provider is called "elsewhere"')
    assert any(item.is_error for item in checked("- {hosts: d, max_share: {elsewhere: 1}}"))


def test_what_the_environment_could_decide_is_warned_of_before_there_is_one() -> None:
    """The built-in recipes let the environment decide each base URL and each timeout."""
    rules = "- tokens: {OPENROUTER_API_KEY: [], GLM_API_KEY: []}\n- timeout_ms: {min: 70000}\n"
    found = checked(rules, defaults=True)
    assert not any(item.is_error for item in found)
    assert {(item.code, item.hosts) for item in found} == {
        ("policy-tokens", ("a", "b", "g")),
        ("policy-tokens", ("c", "d")),
        ("policy-timeout", ("a", "b", "h")),
        ("policy-timeout", ("c", "d")),
        ("policy-timeout", ("e", "f")),
    }
    assert all(item.message.endswith("unless your environment says otherwise") for item in found)
    assert not checked("- timeout_ms: {min: 60000}", defaults=True)


def test_a_run_is_held_to_what_is_demanded_of_its_own_hosts_and_to_every_share() -> None:
    assert not checked("- forbidden: [base_url]", only=["a"])
    assert checked("- forbidden: [base_url]", only=["a", "h"])
    assert checked("- max_share: {glm: 24%}", only=["a"]), "2 of all 8 hosts, none of them a"


def test_of_many_pins_to_one_provider_a_few_places_are_shown() -> None:
    hosts = "".join(f"    p{number}: {{provider: glm}}\n" for number in range(9))
    [found] = checked("- max_share: 8", text=f"all:\n  hosts:\n{hosts}")
    assert [str(item.span) for item in found.related] == [
        f"i.yml:{line}:20" for line in range(3, 8)
    ]


def test_what_the_environment_decides_is_told_once_it_is_filled_in() -> None:
    rules = """\
- tokens: {OPENROUTER_API_KEY: [https://openrouter.ai, https://gw.example/llm]}
- timeout_ms: {min: 30000}
"""
    token = {"OPENROUTER_API_KEY": "a-token-of-sixteen-and-more"}
    assert not [item for item in checked(rules) if item.hosts == ("e", "f")]
    assert not checked(rules, environ={**token, "GATEWAY_URL": "https://gw.example/llm/v1"})
    travels, timeout = checked(
        rules,
        environ={**token, "GATEWAY_URL": "https://gw.example/x", "GATEWAY_TIMEOUT": "29999"},
    )
    assert travels.message == (
        'the policy does not let OPENROUTER_API_KEY travel to "https://gw.example/x"'
    )
    assert travels.hosts == timeout.hosts == ("e", "f")
    assert timeout.message.endswith('at least 30000 ms, and this is "29999"')


def test_a_token_in_a_further_variable_travels_too() -> None:
    other = FLEET.replace("OTHER: y", 'OTHER: "x-key: ${GLM_API_KEY}"')
    fleet, _ = resolve_fleet([InputFile("inventory", "", "i.yml", other.encode(), 0)])
    policy, _ = load_policy("p.yml", b"- tokens: {GLM_API_KEY: [https://api.z.ai]}")
    assert fleet is not None
    assert policy is not None
    hosts_of, _ = rule_hosts(policy, fleet.inventory, lambda _: "")
    environ = {"GATEWAY_URL": "https://gw.example", "OPENROUTER_API_KEY": "k", "GLM_API_KEY": "k"}
    sessions = {"e": resolve_env(fleet.specs["e"], environ)}
    [found] = check_resolved(policy, hosts_of, sessions)
    assert found.hosts == ("e",)
    assert str(found.span) == "i.yml:9:69"
