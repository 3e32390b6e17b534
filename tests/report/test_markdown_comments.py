"""Comments: what is from outside stands as code, and they fit where they are posted."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
from aegis_provision.report.markdown_comments import plan_comment
from aegis_provision.report.markdown_layout import Block, Section, comment
from tests.report.fleets import plans

_LINES = st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])), max_size=30)
_SECTIONS = st.lists(
    st.builds(
        Section,
        st.just("words"),
        st.text(max_size=30),
        st.lists(st.builds(Block, _LINES.map(tuple)), max_size=3).map(tuple),
    ),
    max_size=20,
)
_FENCE = re.compile(r"(?ms)^(`{3,})(?:text|diff)\n.*?^\1$")


@given(_SECTIONS, st.integers(1000, 5000))
def test_no_comment_is_longer_than_it_may_be(sections: list[Section], longest: int) -> None:
    text = comment("Plan", {"to update": 3}, sections, longest=longest)
    assert len(text) <= longest
    shown = text.count("<details")
    left = re.search(r"_(\d+) more groups?", text)
    assert shown + (int(left[1]) if left else 0) == len(sections)
    assert text.count("</details>") == shown


@given(_SECTIONS)
def test_nothing_leaves_its_fence(sections: list[Section]) -> None:
    text = comment("Plan", {}, sections, longest=10**9)
    outside = _FENCE.sub("", text)
    assert "```" not in re.sub(r"<code>.*?</code>", "", outside)
    assert outside.count("<details>\n<summary>words") == len(sections)


def test_a_host_mentions_no_person_and_brings_no_markup() -> None:
    change = Change("X", ChangeKind.CHANGED, "```\n</details>", "@everyone <b>", sensitive=False)
    plan = HostPlan("h", "p<script>", "/a/`b`/c.json", Action.UPDATE, (change,), message="![x](y)")
    text = plan_comment([plan])
    outside = _FENCE.sub("", text)
    assert "<code>p&lt;script&gt;</code>" in outside
    text += comment("Run", {}, [Section("w", "p\n\n@all", ())], facts={"limit": "a\n\n@all"})
    assert "\n@all" not in text
    for word in ("@everyone", "![x]", "/a/"):
        assert word in text
        assert word not in outside


def test_what_needs_a_person_comes_first_and_open() -> None:
    right = HostPlan("a", "glm", "/c", Action.UNCHANGED)
    broken = replace(right, host="b", action=Action.ERROR, message="not JSON", hint="look at it")
    text = plan_comment([right, broken, replace(right, host="c")])
    assert text.startswith("## Plan: nothing to write, 1 can't be planned\n")
    first, second = re.findall(r"<details.*?</details>", text, re.DOTALL)
    assert first.startswith("<details open>\n<summary>error: 1 host, <code>glm</code>")
    assert "not JSON\ntry: look at it" in first
    assert second.startswith("<details>\n<summary>unchanged: 2 hosts,")


def test_a_large_fleet_is_a_short_comment() -> None:
    text = plan_comment(plans())
    assert len(text) < 20_000
    assert "build-[001:016].example.com" in text
    assert "\n+ANTHROPIC_DEFAULT_MODEL: " in text
