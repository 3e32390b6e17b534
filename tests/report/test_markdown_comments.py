"""Comments: what is from outside stands as code, and they fit where they are posted."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.json_codec import json_line
from aegis_provision.history.past_run import DamagedRun, PastRun, parse_run
from aegis_provision.history.run_header import header_lines
from aegis_provision.history.runs import summary_of
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
from aegis_provision.planning.status import HostState, HostStatus
from aegis_provision.report.markdown_comments import (
    apply_comment,
    history_comment,
    plan_comment,
    run_comment,
    status_comment,
)
from aegis_provision.report.markdown_layout import Block, Section, comment
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import RUN, header
from tests.history.record_lines import finished
from tests.report.fleets import plans

_ASCII = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]))
_LINES = st.lists(_ASCII | st.integers(1, 9).map(lambda length: "`" * length), max_size=30)
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


def test_sections_are_left_out_from_the_end() -> None:
    """A small one after the first that has no room is left out too: nothing less urgent is."""
    large = Section("large", "", (Block(("x" * 3000,)),))
    small = Section("small", "", (Block(("y",)),))
    text = comment("Plan", {}, [small, large, small], longest=2000)
    assert (text.count("small"), text.count("large")) == (1, 0)
    assert "_2 more groups of hosts left out" in text


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
    text += comment("Run", {}, [Section("w", "p\n\n@all", ())], facts={"limit": "a|b\n\n@all"})
    assert "\n@all" not in text
    assert "| limit | <code>a&#124;b\\n\\n@all</code> |" in text
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


def test_a_plan_tells_its_warnings_once_and_what_only_apply_finds_out() -> None:
    host = HostPlan("a", "glm", "/c", Action.UPDATE, warnings=("the API is open",))
    text = plan_comment([host, replace(host, host="b", restart_pending=True, unknown=("X",))])
    assert "<summary>1 warning</summary>" in text
    assert "```text\nwarning: the API is open\na, b\n```" in text
    assert "| to update | 2 |" in text
    assert "| owed a restart | 1 |\n| with tokens unknown until apply | 1 |" in text


def test_results_that_need_a_person_come_first_and_all_are_told() -> None:
    text = apply_comment(
        RUN,
        [
            HostResult("a", Status.UNCHANGED),
            HostResult("b", Status.APPLIED, warnings=("look",)),
            HostResult("c", Status.UNREACHABLE, "no answer", "plug it in"),
            HostResult("d", Status.ROLLBACK_FAILED, "it is gone"),
        ],
    )
    assert text.startswith("## Apply: 2 hosts did not end well\n")
    assert f"| run | <code>{RUN}</code> |" in text
    assert re.findall(r"<details( open)?>\n<summary>(.*?)</summary>", text) == [
        (" open", "rollback failed: 1 host"),
        (" open", "unreachable: 1 host"),
        ("", "applied: 1 host"),
        ("", "unchanged: 1 host"),
    ]
    assert "no answer\ntry: plug it in" in text
    assert "warning: look" in text
    assert "## Apply: all hosts ended well" in apply_comment(RUN, [HostResult("a", Status.APPLIED)])


def test_states_that_need_a_person_come_first() -> None:
    right = HostStatus("a", "/c", "glm", (HostState.IN_SYNC,))
    wrong = HostStatus("b", "/c", "glm", (HostState.DRIFTED, HostState.PENDING), ("X",), ("Y",))
    text = status_comment([right, wrong])
    assert text.startswith("## Status: 1 of 2 hosts need attention\n")
    assert re.findall(r"<details( open)?>\n<summary>(.*?)</summary>", text) == [
        (" open", "drifted, pending: 1 host"),
        ("", "in sync: 1 host"),
    ]
    assert "drifted: X\npending: Y" in text


def test_a_run_without_an_end_names_the_hosts_it_left() -> None:
    past = parse_run(
        RUN, header_lines(header()) + json_line(finished("a", Status.APPLIED)), held=False
    )
    assert isinstance(past, PastRun)
    text = run_comment(past)
    first, *_ = re.findall(r"<details.*?</details>", text, re.DOTALL)
    assert first.startswith("<details open>\n<summary>without an end: 3 hosts")
    assert "b, c, d" in first
    assert "| state | <code>crashed</code> |" in text
    assert "| playbook | <code>rollout.yml</code> |" in text
    assert "<summary>applied: 1 host</summary>" in text
    runs = history_comment([summary_of(past), DamagedRun("x", "no header")])
    assert "| runs | 2 |" in runs
    assert RUN in runs
    assert "its record is damaged: no header" in runs
