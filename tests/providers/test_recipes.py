"""The built-in recipes are data of the same shape as an inventory's providers."""

from __future__ import annotations

from importlib import resources

import pytest

from aegis_provision.documents.nodes import Mapping, Source
from aegis_provision.documents.schema import check
from aegis_provision.documents.yaml_reader import read_document
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.providers.recipes import (
    VARIABLE_OF,
    builtin_recipes,
    recipe_secrets,
    resolve_providers,
    template_problems,
)
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import recipe_spec, resolve_env

NAMES = ["glm", "openrouter", "lm-studio", "ollama", "azure-openai"]


def test_the_five_in_order() -> None:
    assert list(builtin_recipes()) == NAMES


def test_the_file_fits_the_inventory_schema() -> None:
    file = resources.files("aegis_provision.providers").joinpath("recipes.yml")
    node, diagnostics = read_document(Source("recipes.yml", file.read_text(encoding="utf-8")))
    assert diagnostics == ()
    assert isinstance(node, Mapping)
    for entry in node:
        assert check(entry.value, "inventory", "/$defs/provider") == ()


@pytest.mark.parametrize("name", NAMES)
def test_complete_and_within_the_rules(name: str) -> None:
    recipe = builtin_recipes()[name]
    assert list(recipe.values) == list(VARIABLE_OF)
    for key, value in recipe.values.items():
        assert list(template_problems(key, value.template, value.span)) == []
        assert value.span.source.text.split("\n")[value.span.line - 1].strip().startswith(key)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_token_is_a_secret(name: str) -> None:
    spec = recipe_spec(builtin_recipes()[name])
    secret = [variable.name for variable in spec.variables if variable.sensitive]
    assert secret == ["ANTHROPIC_AUTH_TOKEN"]
    assert [variable.name for variable in spec.variables] == list(VARIABLE_OF.values())


def test_filling_hides_the_token_and_tells_what_is_missing() -> None:
    spec = recipe_spec(builtin_recipes()["glm"])
    session = resolve_env(spec, {"GLM_API_KEY": "canary-token", "GLM_MODEL": "m"})
    token = session.values["ANTHROPIC_AUTH_TOKEN"]
    assert isinstance(token, Secret)
    assert token.matches("canary-token")
    assert token.origin == "${GLM_API_KEY}"
    assert "canary" not in repr(session)
    assert "ANTHROPIC_DEFAULT_MODEL" not in session.by_default
    assert "ANTHROPIC_DEFAULT_FAST_MODEL" in session.by_default
    missing = resolve_env(spec, {"GLM_API_KEY": ""})
    assert missing.missing == ("GLM_API_KEY",)
    assert "ANTHROPIC_AUTH_TOKEN" not in missing.values


def test_what_the_environment_holds_for_recipes_secrets_is_known_used_or_not() -> None:
    text = (
        "providers:\n  gw:\n    extends: glm\n    base_url: ${NO_SECRET}\n"
        "    auth_token: ${GW}\n    env: {MORE_KEY: '${MORE}', PLAIN: '${PLAIN}'}\n"
        "all: {hosts: {h: {provider: gw}}}\n"
    )
    inventory, diagnostics = load_inventory(
        [InputFile("inventory", "", "inventory.yml", text.encode(), 0)]
    )
    assert inventory is not None, diagnostics
    recipes, _ = resolve_providers(inventory)
    environ = {
        "GW": "one", "MORE": "two", "OPENROUTER_API_KEY": "three", "GLM_API_KEY": "",
        "NO_SECRET": "x", "PLAIN": "y", "OTHER_TOKEN": "z", "GLM_MODEL": "m",
    }  # fmt: skip
    found = recipe_secrets(recipes, environ)
    assert {secret.origin: secret.matches(environ[secret.origin[2:-1]]) for secret in found} == {
        "${OPENROUTER_API_KEY}": True,
        "${GW}": True,
        "${MORE}": True,
    }
