"""Recipes as text and JSON: what they take from the environment, and never a secret."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.providers.recipes import resolve_providers
from aegis_provision.report.json_documents import as_text
from aegis_provision.report.providers_report import providers_document, recipe_lines
from tests.inventory.inventories import Files, inventories, load
from tests.schemas import check_document

CANARY = "canary-in-a-default"


@given(files=inventories())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_document_is_what_its_schema_says(files: Files) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    for uses in (None, {"glm": 3}):
        check_document("providers", providers_document(loaded[1], {"GLM_API_KEY": "x"}, uses))


def test_a_variable_that_it_removes_is_told() -> None:
    text = "all: {hosts: {h: {provider: own}}}\nproviders: {own: {extends: glm, env: {A: null}}}"
    inventory, _ = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert inventory is not None
    recipes, _ = resolve_providers(inventory)
    found = providers_document(recipes, {}, None)["providers"][-1]
    assert (found["removed"], "A" in found["variables"]) == (["A"], False)
    lines = [line.plain for line in recipe_lines(recipes["own"], {}, None)]
    assert [line.split() for line in lines if "removed" in line] == [
        ["A", "removed", "from", "the", "host"]
    ]


def test_what_could_be_a_secret_in_a_template_is_left_out() -> None:
    text = (
        "all: {vars: {provider: own}, hosts: {h: }}\n"
        f"providers: {{own: {{extends: glm, env: {{HEADERS: 'x ${{A_TOKEN:-{CANARY}}}'}}}}}}"
    )
    inventory, _ = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert inventory is not None
    recipes, _ = resolve_providers(inventory)
    run = as_text(providers_document(recipes, {}, None))
    run += "\n".join(line.plain for line in recipe_lines(recipes["own"], {}, None))
    assert "...${A_TOKEN:-...}" in run
    assert CANARY not in run
