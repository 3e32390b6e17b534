"""Comments: what is from outside stands as code, and they fit where they are posted."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aegis_provision.documents.json_codec import json_line
from aegis_provision.history.past_run import DamagedRun, PastRun, parse_run
from aegis_provision.history.run_header import RunKind, header_lines
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
from aegis_provision.report.markdown_layout import WIDTH, Block, Section, comment
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import RUN, header
from tests.history.record_lines import finished
from tests.report.fleets import plans

_LINES = st.lists(
    st.sampled_from(["", "```", "a ````` b", "</details>", "_x_", "+y", "word " * 40]), max_size=30
)
_SECTIONS = st.lists(
    st.builds(
        Section,
        st.just("words"),
        st.sampled_from([(), ("p", "`a`"), ("</code>\n\n```",)]),
        st.lists(st.builds(Block, _LINES.map(tuple)), max_size=3).map(tuple),
        kind=st.sampled_from(["error", "update", "unchanged"]),
        hosts=st.just(2),
    ),
    max_size=20,
)
_FENCE = re.compile(r"(?ms)^(`{3,})(?:text|diff)\n.*?^\1$")


_GROUPS_LEFT = re.compile(
    r"^_(?:error|update|unchanged): (\d+) more groups? with (\d+) hosts: ", re.MULTILINE
)


@settings(max_examples=50)
@given(_SECTIONS, st.integers(2000, 9000))
def test_no_comment_is_longer_than_it_may_be(sections: list[Section], longest: int) -> None:
    text = comment("Plan", {"to update": 3}, sections, longest=longest)
    assert len(text) <= longest
    outside = _FENCE.sub("", text)
    shown = outside.count("<details>\n<summary>words")
    left = [(int(groups), int(hosts)) for groups, hosts in _GROUPS_LEFT.findall(outside)]
    assert shown + sum(groups for groups, _ in left) == len(sections)
    assert all(hosts == 2 * groups for groups, hosts in left)
    assert outside.count("</details>") == shown
    assert "```" not in re.sub(r"<code>.*?</code>", "", outside)


def test_sections_are_left_out_from_the_end() -> None:
    """A small one after the first that has no room is left out too: nothing less urgent is."""
    large = Section("large", (), (Block(("x" * 3000,)),), hosts=2)
    small = Section("small", (), (Block(("y",)),), hosts=1)
    text = comment("Plan", {}, [small, large, small], longest=2000)
    assert (text.count("small"), text.count("large")) == (1, 0)
    assert "_hosts: 2 more groups with 3 hosts: " in text


@settings(max_examples=50)
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
    text += comment("Run", {}, [Section("w", ("p\n\n@all",), ())], facts={"limit": "a|b\n\n@all"})
    assert "\n@all" not in text
    assert "| limit | `a\\|b\\n\\n@all` |" in text
    for word in ("@everyone", "![x]", "/a/"):
        assert word in text
        assert word not in outside


def test_what_needs_a_person_comes_first_and_open() -> None:
    right = HostPlan("a", "glm", "/c", Action.UNCHANGED)
    broken = replace(right, host="b", action=Action.ERROR, message="not JSON", hint="look at it")
    text = plan_comment([right, broken, replace(right, host="c")])
    assert text.startswith("## Plan: nothing to write, 1 can't be planned\n")
    first, second = re.findall(r"<details.*?</details>", text, re.DOTALL)
    assert first.startswith(
        "<details open>\n<summary>error: 1 host, <code>b</code> <code>glm</code>"
    )
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
        RunKind.APPLY,
        RUN,
        [
            HostResult("a", Status.UNCHANGED),
            HostResult("b", Status.APPLIED, warnings=("look",)),
            HostResult("c", Status.UNREACHABLE, "no answer", "plug it in"),
            HostResult("d", Status.ROLLBACK_FAILED, "it is gone"),
        ],
    )
    assert text.startswith("## Apply: 2 hosts did not end well\n")
    assert f"| run | `{RUN}` |" in text
    assert re.findall(r"<details( open)?>\n<summary>(.*?)</summary>", text) == [
        (" open", "rollback failed: 1 host, <code>d</code>"),
        (" open", "unreachable: 1 host, <code>c</code>"),
        ("", "applied: 1 host, <code>b</code>"),
        ("", "unchanged: 1 host, <code>a</code>"),
    ]
    assert "no answer\ntry: plug it in" in text
    assert "warning: look" in text


def test_states_that_need_a_person_come_first() -> None:
    right = HostStatus("a", "/c", "glm", (HostState.IN_SYNC,))
    wrong = HostStatus("b", "/c", "glm", (HostState.DRIFTED, HostState.PENDING), ("X",), ("Y",))
    text = status_comment([right, wrong])
    assert text.startswith("## Status: 1 of 2 hosts needs attention\n")
    assert re.findall(r"<details( open)?>\n<summary>(.*?)</summary>", text) == [
        (" open", "drifted, pending: 1 host, <code>b</code>"),
        ("", "in sync: 1 host, <code>a</code>"),
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
    assert "| state | `crashed` |" in text
    assert "| playbook | `rollout.yml` |" in text
    assert "<summary>applied: 1 host, <code>a</code></summary>" in text
    runs = history_comment([summary_of(past), DamagedRun("x", "no header")])
    assert "| runs | 2 |" in runs
    assert RUN in runs
    assert "its record is damaged: no header" in runs


@pytest.mark.parametrize(
    "value",
    [
        "build-*:!*-02*",
        "a|b",
        "a\\|b",
        "[a](http://x.example)",
        "![i](http://x.example/i.png)",
        "``x` y",
        "<b>&amp;</b>",
        "www.x.example a@b.example @all #12",
    ],
)
def test_a_fact_is_shown_as_it_is_and_is_no_markup(value: str) -> None:
    text = comment("Run", {"applied": 1}, [], facts={"limit": value})
    page = MarkdownIt("commonmark").enable("table").render(text)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert cells[2:] == ["limit", f"<code>{html.escape(value)}</code>"]


def test_long_facts_and_names_leave_room_for_what_matters() -> None:
    plan = HostPlan("h" * 200, "glm", "/c", Action.ERROR, message="word " * 100)
    plans = [replace(plan, host=f"{number}{plan.host}") for number in range(0, 6000, 2)]
    text = plan_comment(plans) + comment("Run", {}, [], facts={"limit": "x" * 70_000})
    assert len(text) < 20_000
    assert "and 2940 more" in text
    assert "<summary>error: 3000 hosts, <code>0hhh" in text
    assert all(len(line) <= 100 for line in text.splitlines() if line.startswith("word"))


def test_many_failures_of_their_own_leave_room_for_what_would_be_written() -> None:
    """A reader of 3,000 hosts wants to see what would change, and every kind of failure."""
    plans = [
        HostPlan(f"h{number}", "glm", "/c", Action.ERROR, message=f"no directory /a/h{number}")
        for number in range(0, 2000, 2)
    ]
    plans += [
        HostPlan(f"u{number}", "glm", "/c", Action.UNREACHABLE, message=f"no route to u{number}")
        for number in range(0, 2000, 2)
    ]
    change = Change("X", ChangeKind.CHANGED, "a", "b", sensitive=False)
    plans.append(HostPlan("x", "glm", "/c", Action.UPDATE, (replace(change, before="own"),)))
    plans += [HostPlan(f"w{n:03}", "glm", "/c", Action.UPDATE, (change,)) for n in range(300)]
    text = plan_comment(plans)
    assert len(text) <= 65_000
    assert text.startswith("## Plan: 301 hosts to write, 2000 can't be planned\n")
    places = [
        text.index(words)
        for words in (
            "no directory /a/h0\n",
            "_error: ",
            "no route to u0\n",
            "_unreachable: ",
            "<summary>update: 300 hosts, <code>w[000:299]</code> <code>glm</code></summary>",
            "<summary>update: 1 host, <code>x</code> <code>glm</code></summary>",
        )
    ]
    assert places == sorted(places)
    assert "-X: own\n+X: b\n" in text
    assert "<details open>" not in text
    shown = text.count("<summary>error: ")
    assert f"_error: {1000 - shown} more groups with {1000 - shown} hosts: " in text


def _headlines(text: str) -> list[str]:
    return re.findall(r"<summary>(.*?)</summary>", text)


def test_statuses_come_worst_first() -> None:
    statuses = [
        HostStatus("a", "/c", "glm", (HostState.IN_SYNC,)),
        HostStatus("b", "/c", "glm", (HostState.IN_SYNC, HostState.RESTART_PENDING)),
        HostStatus("c", "/c", "glm", (HostState.UNREACHABLE,), message="nothing listens there"),
        HostStatus("d", "/c", "glm", (HostState.ERROR,), message="not JSON"),
    ]
    text = status_comment(statuses)
    assert [line[-14:-7] for line in _headlines(text)] == [f"<code>{host}" for host in "dcba"]
    assert text.startswith("## Status: 3 of 4 hosts need attention\n")
    assert status_comment(statuses[2:3]).startswith("## Status: 1 of 1 host needs attention\n")


@pytest.mark.parametrize(
    ("statuses", "title"),
    [
        (["applied", "unchanged"], "## Apply: all hosts ended well\n"),
        (["unchanged"], "## Apply: nothing to do\n"),
        (["not_attempted", "refused"], "## Apply: nothing was written, 2 hosts did not end well\n"),
        (["applied", "failed"], "## Apply: 1 host did not end well\n"),
        (["rolled_back"], "## Apply: 1 host did not end well\n"),
    ],
)
def test_the_first_line_says_how_a_run_ended(statuses: list[str], title: str) -> None:
    results = [HostResult(f"h{at}", Status(word)) for at, word in enumerate(statuses)]
    assert apply_comment(RunKind.APPLY, "r", results).startswith(title)
    assert apply_comment(RunKind.ROLLBACK, "r", results).startswith("## Rollback: ")


def test_a_kind_leaves_the_room_that_it_does_not_need_to_the_others() -> None:
    small = Section("small", (), (Block(("y",)),), kind="small")
    large = Section("large", (), (Block(("x" * 50,) * 100),), kind="large")
    text = comment("Plan", {}, [small, large], longest=3000)
    assert "<summary>small" in text
    assert text.count("x" * 50) > 35, "more than the half of the comment"


def test_only_lines_that_are_too_long_are_wrapped() -> None:
    short = ("", "a   b", "  " + "c" * (WIDTH - 2))
    assert Block(short).wrapped().lines == short
    assert Block(("  " + "word " * 30,)).wrapped().lines[1].startswith("    word")
