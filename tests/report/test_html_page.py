"""The page of a run: nothing from elsewhere, nothing unescaped, and fit for a small screen."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.plan import Action, Change, ChangeKind
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report.html_markup import Markup, element
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostFinished,
    HostPlanned,
    RunFinished,
    RunStarted,
    Step,
    StepStarted,
)
from aegis_provision.rollout.host_job import not_begun
from aegis_provision.rollout.results import HostResult, Status
from tests.report.pages import HOSTILE, SECRET, fleet_run, hostile_run, render_page
from tests.report.runs import PATH, RUN, hosts, plan, play, runs, simulate_run

if TYPE_CHECKING:
    from aegis_provision.rollout.events import Event
    from tests.report.runs import SimulatedRun


class _Elements(HTMLParser):
    """Takes a page apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def _taken_apart(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_a_page_needs_nothing_besides_itself_and_forbids_the_rest() -> None:
    page = render_page(fleet_run(20))
    found = _taken_apart(page).found
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in found}
    for _, attributes in found:
        assert not any(name.startswith("on") or name in {"src", "style"} for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(it["content"] for _, it in found if it.get("http-equiv"))
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_text_is_text_and_nothing_else() -> None:
    page = render_page(hostile_run(), dict.fromkeys(HOSTILE, HOSTILE[0]))
    taken = _taken_apart(page)
    ordinary = {tag for tag, _ in _taken_apart(render_page(fleet_run(20))).found} | {"s"}
    assert {tag for tag, _ in taken.found} <= ordinary
    assert HOSTILE[0] in taken.text
    assert "\u202e" not in page
    assert page.replace("\n", "").isprintable()


@given(text=st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_comes_back_out_of_an_element(text: str) -> None:
    taken = _taken_apart(element("p", text, title=text).text)
    ((_, attributes),) = taken.found
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    assert (taken.text, attributes["title"]) == (shown, shown)


def test_markup_goes_out_as_it_is_and_names_are_checked() -> None:
    assert element("p", Markup("<b>x</b>"), hidden=True, id=None).text == "<p hidden><b>x</b></p>"
    with pytest.raises(ValueError, match="no name of an element"):
        element("p onclick=x")


def test_no_secret_is_in_a_page() -> None:
    page = render_page(hostile_run())
    assert SECRET.decode() not in page
    assert "secret, set" in page


@given(run=runs(), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_run_that_was_cut_off_anywhere_has_a_page(run: SimulatedRun, share: float) -> None:
    entries = run.events[: int(len(run.events) * share) + 1]
    page = _taken_apart(render_page(entries))
    finished = any(isinstance(event, RunFinished) for _, event in entries)
    assert ("Cut off: this run has no end" in page.text) is not finished
    if any(isinstance(event, RunStarted) for _, event in entries):
        assert all(host in page.text for host in run.schedule.hosts)


@pytest.mark.parametrize(
    ("statuses", "code", "verdict"),
    [
        ([Status.APPLIED, Status.UNCHANGED], 0, "All went well"),
        ([Status.RESTART_PENDING], 0, "All went well; restarts are pending"),
        ([Status.APPLIED, Status.FAILED], 4, "1 host did not go well"),
        ([Status.APPLIED, Status.NOT_ATTEMPTED], 130, "Interrupted"),
    ],
)
def test_the_verdict_is_the_first_thing_to_read(
    statuses: list[Status], code: int, verdict: str
) -> None:
    names = hosts(len(statuses))
    ends = dict(zip(names, statuses, strict=True))
    run = simulate_run(Schedule((play("", names),)), lambda _, host: ends[host])
    *before, (at, finished) = run.events
    assert isinstance(finished, RunFinished)
    text = _taken_apart(render_page([*before, (at, replace(finished, exit_code=code))])).text
    assert text.index(verdict) < text.index("Started")


def test_an_account_of_a_host_has_its_steps_and_its_changes() -> None:
    names = hosts(2)
    schedule = Schedule((play("", names),))
    run = simulate_run(schedule, lambda *_: Status.APPLIED)
    page = render_page(run.events, {"Playbook": "playbooks/all.yml"})
    text = _taken_apart(page).text
    assert "playbooks/all.yml" in text
    assert text.count("Steps") == 2
    assert "write+0.0s2.0srestart+2.0s2.0s" in text
    assert "ANTHROPIC_AUTH_TOKENsecret, set" in text
    assert f"Changes in {PATH}" in text


def _filters(page: str) -> dict[str, int]:
    """Return what the buttons of a page say: names and numbers."""
    buttons = re.findall(r'<input[^>]*id="only-[^>]*>([^<]*) (\d+)</label>', page)
    return {name: int(number) for name, number in buttons}


def _attention(page: str) -> int:
    found = re.search(r'<h2 id="attention">Needs attention \((\d+)\)</h2>', page)
    return int(found[1]) if found is not None else 0


@given(run=runs(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_numbers_of_a_page_agree(run: SimulatedRun, share: float) -> None:
    entries = run.events[: int(len(run.events) * share) + 1]
    page = render_page(entries)
    filters = _filters(page)
    rows = re.findall(r'class="(host [^"]*)" id="h(\d+)"', page)
    hosts_of = [host for play in run.schedule.plays for host in play.hosts]
    for name, group in (("Needs attention", "g-bad"), ("Written", "g-done"),
                        ("Unchanged", "g-same"), ("Not attempted", "g-left")):  # fmt: skip
        shown = {hosts_of[int(row)] for kinds, row in rows if group in kinds.split()}
        assert not filters or filters.get(name, 0) == len(shown)
    assert not filters or filters["All"] == len({hosts_of[int(row)] for _, row in rows})
    assert not filters or filters.get("Needs attention", 0) == _attention(page)


def test_hosts_that_were_not_begun_need_attention_and_keep_their_button() -> None:
    names = ("good", "bad", "late", "broken")
    broken = plan("broken", Action.ERROR, message="not JSON", hint="mend it")
    plans = {name: plan(name) for name in names} | {"broken": broken}
    run = simulate_run(
        Schedule((play("", ["good", "bad"], ["late"], ["broken"]),)),
        lambda _, host: Status.FAILED if host == "bad" else Status.APPLIED,
        plans=plans,
    )
    begun = [
        (at, event)
        for at, event in run.events
        if not isinstance(event, RunFinished)
        and getattr(event, "host", "") not in {"late", "broken"}
        and not (isinstance(event, HostFinished) and event.result.host in {"late", "broken"})
    ]
    results = (
        HostResult("good", Status.APPLIED),
        HostResult("bad", Status.FAILED, "it said no", "ask it again"),
        HostResult("late", Status.NOT_ATTEMPTED, "nothing was done there"),
        not_begun(broken),
    )
    page = render_page([*begun, (9.0, RunFinished(results, 4))])
    assert _filters(page) == {"All": 4, "Needs attention": 3, "Written": 1, "Not attempted": 2}
    assert _attention(page) == 3
    text = _taken_apart(page).text
    assert text.count("nothing was done there, and nothing could be: not JSON") == 2
    order = [text.index(words) for words in ("failed: it said no", "not attempted: nothing")]
    assert order == sorted(order)
    cut = _taken_apart(render_page(begun)).text
    assert "Not begun.not JSONTry: mend it" in cut
    assert cut.count("Not begun.") == 2
    assert cut.count("Try: mend it") == 1


def test_a_host_that_went_wrong_is_no_more_than_one_that_needs_attention() -> None:
    schedule = Schedule((play("one", ["a", "b"]), play("two", ["a", "b"])))
    run = simulate_run(schedule, lambda _, host: Status.FAILED if host == "a" else Status.UNCHANGED)
    page = render_page(run.events)
    assert _filters(page) == {"All": 2, "Needs attention": 1, "Unchanged": 1, "Not attempted": 1}
    assert "It went wrong in an earlier play." in page


def test_all_that_is_known_of_a_host_is_in_its_account() -> None:
    changes = (
        Change("SHORT", ChangeKind.CHANGED, "old", "", sensitive=False),
        Change("LONG", ChangeKind.ADDED, None, "x" * 201, sensitive=False),
        Change("WHOLE", ChangeKind.ADDED, None, "y" * 200, sensitive=False),
        Change("GONE", ChangeKind.REMOVED, "it was", None, sensitive=False),
        Change("A_KEY", ChangeKind.REMOVED, None, None, sensitive=True),
        Change("B_KEY", ChangeKind.CHANGED, None, None, sensitive=True),
    )
    planned = replace(plan("a", warnings=("root owns it",)), changes=changes)
    schedule = Schedule((play("", ["a"]),))
    result = HostResult("a", Status.FAILED, "it said no", "ask again", ("the new file is there",))
    page = render_page(
        [
            (0.0, RunStarted(RUN, schedule, (planned,))),
            (0.0, BatchStarted(0, 0, ("a",))),
            (1.0, StepStarted("a", Step.WRITE, "2 sessions")),
            (3.5, HostFinished(0, result)),
            (4.0, RunFinished((result,), 4)),
        ]
    )
    text = _taken_apart(page).text
    assert (
        "it said noTry: ask againWarning: the new file is thereWarning: root owns it"
        "Stepswrite2 sessions+1.0s2.5s"
        f"Changes in {PATH}"
        'SHORTold \N{RIGHTWARDS ARROW} ""'
        f"LONG{'x' * 200}... (201 characters)"
        f"WHOLE{'y' * 200}"
        "GONEit was removed"
        "A_KEYsecret, removed"
        "B_KEYsecret, changed"
    ) in text
    assert 'class="host failed g-bad" id="h0" open' in page
    assert re.search(r'<details class="card batch" open>', page)


@pytest.mark.parametrize(("bad", "is_open"), [(20, True), (21, False)])
def test_hosts_that_went_wrong_are_open_unless_they_are_many(bad: int, is_open: bool) -> None:
    names = hosts(bad + 1)
    run = simulate_run(
        Schedule((play("", names),)),
        lambda _, host: Status.APPLIED if host == names[-1] else Status.FAILED,
    )
    page = render_page(run.events)
    assert page.count('class="host failed g-bad"') == bad
    opened = len(re.findall(r'class="host failed g-bad" id="h\d+" open', page))
    assert opened == (bad if is_open else 0)
    assert not re.search(r'class="host applied g-done" id="h\d+" open', page)


@pytest.mark.parametrize(("count", "folded"), [(60, False), (61, True)])
def test_a_batch_in_which_all_went_well_is_closed_where_hosts_are_many(
    count: int, folded: bool
) -> None:
    names = hosts(count)
    schedule = Schedule((play("", names[:1], names[1:]),))
    run = simulate_run(
        schedule, lambda _, host: Status.FAILED if host == names[0] else Status.APPLIED, forks=64
    )
    page = render_page(run.events)
    assert page.count('<details class="card batch" open>') == (1 if folded else 2)
    assert page.count('<details class="card batch">') == (1 if folded else 0)


def test_the_reason_of_a_pin_is_in_the_page() -> None:
    inventory, diagnostics = load_inventory(
        [
            InputFile(
                "inventory",
                "",
                "i.yml",
                b"all: {hosts: {a: {provider: glm, pin_until: 2099-12-31, pin_reason: a <trial>}, "
                b"b: {provider: glm}, c: }, vars: {provider: ollama}}",
                0,
            )
        ]
    )
    assert inventory is not None
    assert not diagnostics
    names = ("a", "b", "c")
    plans = {name: plan(name, pin=pin_of(inventory.hosts[name])) for name in names}
    run = simulate_run(Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans)
    text = _taken_apart(render_page(run.events)).text
    assert text.count("glm: pin until 2099-12-31: a <trial>") == 1
    assert text.count("glm: pin") == 2


def test_a_pinned_host_where_nothing_was_done_says_so_too() -> None:
    inventory, _ = load_inventory(
        [InputFile("inventory", "", "i.yml", b"all: {hosts: {a: {provider: glm}}}", 0)]
    )
    assert inventory is not None
    run = plan("a", Action.UNCHANGED, pin=pin_of(inventory.hosts["a"]))
    schedule = Schedule((play("", ["a"]),))
    events: list[tuple[float, Event]] = [
        (0.0, RunStarted(RUN, schedule, (run,))),
        (1.0, HostFinished(0, HostResult("a", Status.UNCHANGED))),
    ]
    assert "glm: pinNothing was done here." in _taken_apart(render_page(events)).text


def test_a_spent_budget_shows_its_arithmetic() -> None:
    run = simulate_run(Schedule((play("", hosts(4)),)), lambda *_: Status.FAILED)
    *before, last = run.events
    spent = BudgetSpent(0, "4 of 4 hosts failed, above max_fail 0", hosts(4))
    text = _taken_apart(render_page([*before, (last[0], spent), last])).text
    assert "Stopped: too many hosts failed" in text
    assert "4 of 4 hosts failed, above max_fail 0 (allowed: 0 hosts)" in text


def test_a_thousand_hosts_stay_handy() -> None:
    page = render_page(fleet_run(1000))
    assert len(page.encode()) < 3_000_000
    assert page.count('class="host ') == 1000


def test_a_thousand_hosts_with_many_variables_stay_handy() -> None:
    many = tuple(
        Change(f"VARIABLE_{number}", ChangeKind.ADDED, None, "value " * 10, sensitive=False)
        for number in range(60)
    )
    names = hosts(1000)
    plans = {name: replace(plan(name), changes=many) for name in names}
    run = simulate_run(
        Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans, forks=32
    )
    page = render_page(run.events)
    assert len(page.encode()) < 3_000_000
    assert page.count("60 changes, the same as on a host above.") == 999


def test_a_plan_that_nobody_carried_out_has_a_page_too() -> None:
    page = render_page([(0.0, HostPlanned(plan("a", Action.UNCHANGED)))])
    assert "No host was taken on." in page
