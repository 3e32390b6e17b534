"""The page of a plan: what needs a person first, nothing unescaped, nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
from aegis_provision.report.html_plan import render_plan_page
from tests.report.fleets import plans
from tests.report.pages import HOSTILE


def test_hosts_with_the_same_plan_are_one_part_and_what_is_wrong_comes_first() -> None:
    right = HostPlan("a", "glm", "/c", Action.UNCHANGED)
    changes = (
        Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.CHANGED, None, None, sensitive=True),
        Change("ANTHROPIC_BASE_URL", ChangeKind.CHANGED, "https://a", "https://b", sensitive=False),
    )
    update = HostPlan("b", "glm", "/c", Action.UPDATE, changes, warnings=("beware",))
    broken = HostPlan("c", "glm", "/c", Action.ERROR, message="not JSON", hint="look at it")
    right = replace(right, restart_pending=True, unknown=("ANTHROPIC_AUTH_TOKEN",))
    page = render_plan_page([right, update, broken], {"Playbook": "rollout.yml"})
    parts = re.findall(r'<details class="card batch (\w+)"( open)?>', page)
    assert parts == [("failed", " open"), ("restart_pending", " open"), ("unchanged", "")]
    for words in (
        "1 host to write, 1 can&#x27;t be planned",
        "Restart owed: Aegis has not started since the file came.",
        "unknown until apply: ANTHROPIC_AUTH_TOKEN",
        "rollout.yml",
        "beware",
        "not JSON",
        "look at it",
    ):
        assert words.replace("&#x27;", "'") in page
    assert "secret, changed" in page
    assert "<code" in page
    assert ">Nothing to write<" in render_plan_page([right], {})


def test_where_there_are_many_groups_only_what_is_wrong_is_open() -> None:
    plan = HostPlan("a", "glm", "/c", Action.UPDATE)
    many = [replace(plan, host=f"h{number}", provider=f"p{number}") for number in range(41)]
    assert render_plan_page(many[:40], {}).count('" open>') == 40
    page = render_plan_page([*many, replace(plan, action=Action.ERROR)], {})
    assert page.count('" open>') == 1


def test_many_names_are_folded_so_that_what_follows_is_seen() -> None:
    plan = HostPlan("a", "glm", "/c", Action.UPDATE, warnings=("beware",))
    apart = [replace(plan, host=f"h{number}") for number in range(0, 82, 2)]
    for hosts, folded in ((apart[:40], 0), (apart, 2)):
        page = render_plan_page(hosts, {})
        names = ", ".join(host.host for host in hosts)
        assert page.count(f'<p class="name">{names}</p>') == 2
        assert page.count(f"<details><summary>{len(hosts)} hosts</summary>") == folded


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_hostile_is_text(text: str) -> None:
    change = Change(text, ChangeKind.CHANGED, text, text, sensitive=False)
    plan = HostPlan("h", text, text, Action.UPDATE, (change,), message=text, warnings=(text,))
    page = render_plan_page([plan], {"Limit": text})
    assert not re.findall(r"<(?:script|img|link|iframe|svg)\b", page)
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\u202e]", page)


def test_a_large_fleet_is_a_page_of_few_parts() -> None:
    page = render_plan_page(plans(), {})
    assert page.count("<details") < 60
    assert len(page) < 100_000
