"""What one session gets of its own: all five variables always, and nothing of another provider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.providers.recipes import VARIABLE_OF, builtin_recipes, resolve_providers
from aegis_provision.providers.session_override import (
    FLAG,
    incomplete_problem,
    override_spec,
    read_assignments,
    with_variables,
)
from aegis_provision.providers.session_variables import recipe_spec, session_specs
from aegis_provision.report.diagnostics import diagnostics_lines
from tests.fleet.specs import specified
from tests.inventory.inventories import HOST, Files, inventories, load

if TYPE_CHECKING:
    from aegis_provision.providers.session_variables import SessionSpec

FIVE = tuple(VARIABLE_OF.values())
CANARY = "canaryliteral"


@given(inventories(), st.sampled_from(["glm", "ollama", "own", "inner", "azure-openai"]))
@settings(max_examples=200, deadline=None)
def test_all_five_are_there_and_no_value_of_another_provider(files: Files, name: str) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    inventory, recipes = loaded
    specs, _ = session_specs(inventory, recipes)
    host, own = inventory.hosts[HOST], specs[HOST]
    spec = override_spec(host, own, recipes[name], {}, overrides_provider)
    assert tuple(item.name for item in spec.variables)[: len(FIVE)] == FIVE
    assert incomplete_problem(spec, None) is None
    five = spec.variables[: len(FIVE)]
    if name == own.provider:
        assert spec is own
    else:
        assert {item.setting: item.template for item in five} == {
            key: value.template for key, value in recipes[name].values.items()
        }
        assert not {item.span for item in five} & {item.span for item in host.overrides.values()}


INVENTORY = """
providers:
  gateway:
    extends: openrouter
    base_url: https://llm.example.com/v1
    auth_token: ${GATEWAY_TOKEN}
    env: {RECIPES: one}
all:
  hosts:
    h:
      provider: glm
      model: hosts-model
      auth_token: ${HOSTS_TOKEN}
      env: {ANTHROPIC_MODEL: hosts-own, KEPT: two, GONE: null}
"""


def override(provider: str | None, *assignments: str) -> SessionSpec:
    inventory, specs = specified(INVENTORY)
    recipes, _ = resolve_providers(inventory)
    given_, problems = read_assignments(assignments)
    assert not problems
    recipe = recipes[provider] if provider else None
    return override_spec(inventory.hosts["h"], specs["h"], recipe, given_, overrides_provider)


def templates(provider: str | None, *assignments: str) -> dict[str, str]:
    return {item.name: item.template for item in override(provider, *assignments).variables}


def test_the_hosts_own_provider_keeps_all_that_the_host_has() -> None:
    for own in (templates(None), templates("glm")):
        assert own["ANTHROPIC_DEFAULT_MODEL"] == "hosts-model"
        assert own["ANTHROPIC_AUTH_TOKEN"] == "${HOSTS_TOKEN}"
        assert (own["ANTHROPIC_MODEL"], own["KEPT"]) == ("hosts-own", "two")


def test_another_provider_brings_its_own_values_and_the_hosts_further_ones_stay() -> None:
    found = templates("gateway")
    assert found["ANTHROPIC_AUTH_TOKEN"] == "${GATEWAY_TOKEN}"
    assert found["ANTHROPIC_DEFAULT_MODEL"].startswith("${OPENROUTER_MODEL")
    assert (found["RECIPES"], found["KEPT"]) == ("one", "two")
    # It would decide over the provider's model.
    assert "ANTHROPIC_MODEL" not in found
    assert override("gateway").removed == ("GONE",)


def test_what_is_given_goes_before_all_else() -> None:
    spec = override(
        "gateway", "ANTHROPIC_AUTH_TOKEN=${MINE}", "NEW=a=b", "GONE=x", "RECIPES=${R:-}"
    )
    found = {item.name: item.template for item in spec.variables}
    assert tuple(found)[: len(FIVE)] == FIVE
    assert (found["ANTHROPIC_AUTH_TOKEN"], found["NEW"]) == ("${MINE}", "a=b")
    assert (found["GONE"], found["RECIPES"], spec.removed) == ("x", "${R:-}", ())
    token = next(item for item in spec.variables if item.name == "ANTHROPIC_AUTH_TOKEN")
    assert (token.setting, token.sensitive, str(token.span)) == ("auth_token", True, "--env:1:22")


def test_what_is_missing_would_be_the_hosts() -> None:
    spec = recipe_spec(builtin_recipes()["glm"])
    some = replace(spec, variables=spec.variables[1:3])
    problem = incomplete_problem(some, None)
    assert problem is not None
    assert "brings no ANTHROPIC_BASE_URL, no ANTHROPIC_DEFAULT_FAST_MODEL" in problem.message
    texts = ["ANTHROPIC_BASE_URL=http://h/v1", "ANTHROPIC_DEFAULT_FAST_MODEL=f"]
    given_, _ = read_assignments([*texts, "API_TIMEOUT_MS=1000"])
    assert incomplete_problem(with_variables(some, given_), None) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CANARY, "bad-assignment"),
        (f"={CANARY}", "bad-assignment"),
        (f"ANTHROPIC_AUTH_TOKEN={CANARY}", "literal-secret"),
        (f"ANTHROPIC_AUTH_TOKEN={CANARY}-${{X}}", "literal-secret"),
        (f"ANTHROPIC_AUTH_TOKEN=${{X:-{CANARY}}}", "literal-secret"),
        (f"GATEWAY_KEY={CANARY}", "literal-secret"),
        (f"HEADERS=Authorization: Bearer {CANARY}", "literal-secret"),
        (f"ANTHROPIC_BASE_URL=https://user:{CANARY}@llm.example.com/v1", "literal-secret"),
        (f"ANTHROPIC_DEFAULT_MODEL=sk-ant-{CANARY}", "literal-secret"),
        ("ANTHROPIC_DEFAULT_MODEL=${GLM_API_KEY}", "secret-in-the-open"),
        ("ANTHROPIC_DEFAULT_MODEL=${lower}", "stray-reference"),
        ("OTHER=${A-d}", "stray-reference"),
    ],
)
def test_a_wrong_assignment_is_told_and_not_repeated(text: str, code: str) -> None:
    _, problems = read_assignments(["FINE=x", text])
    assert [item.code for item in problems] == [code]
    [problem] = problems
    assert problem.place.startswith(f"{FLAG}:2:")
    shown = "\n".join(line.plain for line in diagnostics_lines(problems))
    assert CANARY not in shown
    assert problem.hint


def test_a_name_that_is_given_twice_is_an_error() -> None:
    _, problems = read_assignments(["A=1", "B=2", "A=3"])
    assert [(item.code, item.place) for item in problems] == [("given-twice", "--env:3:3")]


@pytest.mark.parametrize("text", ["A=x", "A=", "MAX_TOKENS=8000", "A=${B}", "A=1\n2", "B_KEY=${K}"])
def test_what_may_be_given(text: str) -> None:
    found, problems = read_assignments([text])
    assert not problems
    [(name, value)] = found.items()
    assert f"{name}={value.template}" == text
