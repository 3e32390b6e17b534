"""The document of ``explain``, for all that an inventory may hold."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings

from aegis_provision.providers.explain import explain
from aegis_provision.report.explain_report import explain_document, explanation_lines
from tests.inventory.inventories import Files, inventories, load
from tests.schemas import check_document


@given(files=inventories())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_is_what_its_schema_says_and_the_text_tells_as_much(files: Files) -> None:
    loaded = load(files)
    assume(loaded is not None)
    assert loaded is not None
    inventory, recipes = loaded
    for host in inventory.hosts.values():
        found = explain(host, inventory, recipes, {"TOKEN_ONE"})
        content = explain_document(host, found)
        check_document("explain", content)
        text = [line.plain for line in explanation_lines(host, found)]
        places = [
            place
            for item in content["values"]
            for place in (item["place"], *item["agreeing"], *item["overrode"], *item["ignored"])
            if place is not None
        ]
        for place in places:
            named = f"{place['holder']}, {place['file']}:{place['line']}:{place['column']})"
            assert any(named in line for line in text)
