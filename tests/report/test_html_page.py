"""The page of a run: nothing from elsewhere, nothing unescaped, and fit for a small screen."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.plan import Action, Change, ChangeKind, Write
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report import html_page
from aegis_provision.report.html_markup import Markup, element
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostFinished,
    HostPlanned,
    KeysAccepted,
    RunFinished,
    RunStarted,
    Step,
    StepStarted,
)
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.run_state import replay
from aegis_provision.rollout.task import not_begun
from aegis_provision.transport.options import AcceptedKey
from tests.fleet.browser import browser
from tests.report.runs import CHANGES, PATH, RUN, carried_out, hosts, plan, play, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aegis_provision.rollout.events import Event
    from tests.fleet.browser import Page
    from tests.report.runs import Told

PHONE = 360
HOSTILE = (
    "<script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "' onmouseover='document.title=1",
    "]]></style><script>document.title='taken'</script><!--",
    "&lt;b&gt; &amp; &#x3c;",
    "\u202egnp.exe \u2066 \x1b[2J \x00 \ud7ff",
    "very-" * 200,
    "\u05e9\u05dc\u05d5\u05dd 123",
)
SECRET = b"token-that-never-shows"


def render_page(
    entries: Iterable[tuple[float, Event]], about: Mapping[str, str] | None = None
) -> str:
    """Return the page of the run that ``entries`` tell of."""
    return html_page.render_page(replay(entries), about)


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


def _hostile_run() -> list[tuple[float, Event]]:
    names = [f"{number}{text}" for number, text in enumerate(HOSTILE)]
    plans = {
        name: replace(
            plan(name),
            path=f"/etc/{text}",
            provider=text,
            warnings=(text,),
            write=Write(PATH, SECRET, 0o600, 0, 0, None),
            changes=(
                Change(text, ChangeKind.CHANGED, text, text, sensitive=False),
                Change(text, ChangeKind.REMOVED, text, None, sensitive=False),
                *CHANGES,
            ),
        )
        for name, text in zip(names, HOSTILE, strict=True)
    }
    schedule = Schedule(
        tuple(play(text, [name]) for name, text in zip(names, HOSTILE, strict=True))
    )
    told = carried_out(schedule, lambda *_: Status.FAILED, plans=plans)
    entries: list[tuple[float, Event]] = []
    for at, event in told.events:
        match event:
            case StepStarted(host, step):
                entries.append((at, StepStarted(host, step, host)))
            case HostFinished(number, result):
                text = result.host
                evil = HostResult(text, Status.FAILED, text, text, (text,))
                entries.append((at, HostFinished(number, evil)))
                keys = (AcceptedKey(text, text, text),)
                entries.append((at, KeysAccepted(text, keys)))
                entries.append((at, BudgetSpent(0, text, (text,))))
            case RunFinished(results):
                evils = [replace(it, message=it.host, hint=it.host) for it in results]
                entries.append((at, RunFinished(tuple(evils), 4)))
            case _:
                entries.append((at, event))
    return entries


def _fleet(count: int, bad: int = 7) -> Sequence[tuple[float, Event]]:
    """Return the events of a run over ``count`` hosts in which every ``bad``-th goes wrong."""
    names = hosts(count)
    cuts = (0, 1, max(2, count // 10), count)
    batches = [names[start:end] for start, end in pairwise(cuts)]
    schedule = Schedule(
        (
            play("Canaries", batches[0]),
            play("Everyone else", *batches[1:], pause=2.0, max_fail=HostCount(50, percent=True)),
        )
    )
    kinds = [Status.FAILED, Status.ROLLED_BACK, Status.UNREACHABLE, Status.ROLLBACK_FAILED]
    ends = {
        name: kinds[at % len(kinds)] if at % bad == bad - 1 else Status.APPLIED
        for at, name in enumerate(names)
    }
    return carried_out(schedule, lambda _, host: ends[host], forks=32).events


def test_a_page_needs_nothing_besides_itself_and_forbids_the_rest() -> None:
    page = render_page(_fleet(20))
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
    page = render_page(_hostile_run(), dict.fromkeys(HOSTILE, HOSTILE[0]))
    taken = _taken_apart(page)
    ordinary = {tag for tag, _ in _taken_apart(render_page(_fleet(20))).found} | {"s"}
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
    page = render_page(_hostile_run())
    assert SECRET.decode() not in page
    assert "secret, set" in page


@given(told=runs(), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_run_that_was_cut_off_anywhere_has_a_page(told: Told, share: float) -> None:
    entries = told.events[: int(len(told.events) * share) + 1]
    page = _taken_apart(render_page(entries))
    finished = any(isinstance(event, RunFinished) for _, event in entries)
    assert ("Cut off: this run has no end" in page.text) is not finished
    if any(isinstance(event, RunStarted) for _, event in entries):
        assert all(host in page.text for host in told.schedule.hosts)


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
    told = carried_out(Schedule((play("", names),)), lambda _, host: ends[host])
    *before, (at, finished) = told.events
    assert isinstance(finished, RunFinished)
    text = _taken_apart(render_page([*before, (at, replace(finished, exit_code=code))])).text
    assert text.index(verdict) < text.index("Started")


def test_an_account_of_a_host_has_its_steps_and_its_changes() -> None:
    names = hosts(2)
    schedule = Schedule((play("", names),))
    told = carried_out(schedule, lambda *_: Status.APPLIED)
    page = render_page(told.events, {"Playbook": "playbooks/all.yml"})
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


@given(told=runs(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_numbers_of_a_page_agree(told: Told, share: float) -> None:
    entries = told.events[: int(len(told.events) * share) + 1]
    page = render_page(entries)
    filters = _filters(page)
    rows = re.findall(r'class="(host [^"]*)" id="h(\d+)"', page)
    hosts_of = [host for play in told.schedule.plays for host in play.hosts]
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
    told = carried_out(
        Schedule((play("", ["good", "bad"], ["late"], ["broken"]),)),
        lambda _, host: Status.FAILED if host == "bad" else Status.APPLIED,
        plans=plans,
    )
    begun = [
        (at, event)
        for at, event in told.events
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
    told = carried_out(schedule, lambda _, host: Status.FAILED if host == "a" else Status.UNCHANGED)
    page = render_page(told.events)
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
    told = carried_out(
        Schedule((play("", names),)),
        lambda _, host: Status.APPLIED if host == names[-1] else Status.FAILED,
    )
    page = render_page(told.events)
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
    told = carried_out(
        schedule, lambda _, host: Status.FAILED if host == names[0] else Status.APPLIED, forks=64
    )
    page = render_page(told.events)
    assert page.count('<details class="card batch" open>') == (1 if folded else 2)
    assert page.count('<details class="card batch">') == (1 if folded else 0)


def test_the_reason_of_a_pin_is_in_the_page() -> None:
    inventory, findings = load_inventory(
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
    assert not findings
    names = ("a", "b", "c")
    plans = {name: plan(name, pin=pin_of(inventory.hosts[name])) for name in names}
    told = carried_out(Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans)
    text = _taken_apart(render_page(told.events)).text
    assert text.count("glm: pin until 2099-12-31: a <trial>") == 1
    assert text.count("glm: pin") == 2


def test_a_pinned_host_where_nothing_was_done_says_so_too() -> None:
    inventory, _ = load_inventory(
        [InputFile("inventory", "", "i.yml", b"all: {hosts: {a: {provider: glm}}}", 0)]
    )
    assert inventory is not None
    told = plan("a", Action.UNCHANGED, pin=pin_of(inventory.hosts["a"]))
    schedule = Schedule((play("", ["a"]),))
    events: list[tuple[float, Event]] = [
        (0.0, RunStarted(RUN, schedule, (told,))),
        (1.0, HostFinished(0, HostResult("a", Status.UNCHANGED))),
    ]
    assert "glm: pinNothing was done here." in _taken_apart(render_page(events)).text


def test_a_spent_budget_shows_its_arithmetic() -> None:
    told = carried_out(Schedule((play("", hosts(4)),)), lambda *_: Status.FAILED)
    *before, last = told.events
    spent = BudgetSpent(0, "4 of 4 hosts failed, above max_fail 0", hosts(4))
    text = _taken_apart(render_page([*before, (last[0], spent), last])).text
    assert "Stopped: too many hosts failed" in text
    assert "4 of 4 hosts failed, above max_fail 0 (allowed: 0 hosts)" in text


def test_a_thousand_hosts_stay_handy() -> None:
    page = render_page(_fleet(1000))
    assert len(page.encode()) < 3_000_000
    assert page.count('class="host ') == 1000


def test_a_thousand_hosts_with_many_variables_stay_handy() -> None:
    many = tuple(
        Change(f"VARIABLE_{number}", ChangeKind.ADDED, None, "value " * 10, sensitive=False)
        for number in range(60)
    )
    names = hosts(1000)
    plans = {name: replace(plan(name), changes=many) for name in names}
    told = carried_out(
        Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans, forks=32
    )
    page = render_page(told.events)
    assert len(page.encode()) < 3_000_000
    assert page.count("60 changes, the same as on a host above.") == 999


def test_a_plan_that_nobody_carried_out_has_a_page_too() -> None:
    page = render_page([(0.0, HostPlanned(plan("a", Action.UNCHANGED)))])
    assert "No host was taken on." in page


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


def _write(tmp_path: Path, entries: Sequence[tuple[float, Event]]) -> Path:
    path = tmp_path / "run.html"
    path.write_text(render_page(entries), encoding="utf-8")
    return path


TOO_WIDE = f"""
[...document.querySelectorAll("body *")]
  .filter(it => it.checkVisibility() && it.getBoundingClientRect().right > {PHONE} + 0.5)
  .map(it => it.outerHTML.slice(0, 200))
"""
OPEN_ALL = 'document.querySelectorAll("details").forEach(it => it.open = true)'


@pytest.mark.parametrize("kind", ["fleet", "hostile"])
def test_nothing_is_wider_than_a_phone(tab: Page, tmp_path: Path, kind: str) -> None:
    entries = _hostile_run() if kind == "hostile" else _fleet(40)
    tab.open(_write(tmp_path, entries), width=PHONE)
    tab.value(OPEN_ALL)
    assert tab.value("innerWidth") == PHONE
    assert tab.value("document.documentElement.scrollWidth") == PHONE
    assert tab.value(TOO_WIDE) == []


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_a_browser_shows_it_without_asking_anybody_or_complaining(
    tab: Page, tmp_path: Path, width: int
) -> None:
    path = _write(tmp_path, _fleet(40))
    tab.open(path, width=width)
    assert tab.requested == [path.as_uri()]
    assert tab.complaints == []
    text = tab.value("document.body.innerText")
    assert f"Run {RUN}" in text
    assert all(host in text for host in hosts(40))
    assert tab.picture().startswith(b"\x89PNG")


def test_hostile_text_runs_nowhere(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, _hostile_run())
    tab.open(path, width=1280)
    assert tab.value("document.title") == f"Run {RUN} - aegis-provision"
    assert tab.value('document.querySelectorAll("script, img").length') == 0
    assert tab.requested == [path.as_uri()]
    assert HOSTILE[0] in tab.value("document.body.innerText")


def test_the_policy_stops_what_would_get_in(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, _fleet(4))
    page = path.read_text(encoding="utf-8")
    evil = "<script>document.title='taken'</script><p style='position:fixed'>x</p>"
    path.write_text(page.replace("<main>", f"<main>{evil}"), encoding="utf-8")
    tab.open(path, width=1280)
    assert tab.value("document.title") == f"Run {RUN} - aegis-provision"
    assert len(tab.complaints) == 2
    assert all("Content Security Policy" in words for words in tab.complaints)


def test_bars_have_the_colour_of_how_the_host_ended(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, _fleet(40)), width=1280)
    colour = 'getComputedStyle(document.querySelector(".chart .bar.{}")).fill'
    assert tab.value(colour.format("applied")) == "rgb(29, 138, 79)"
    assert tab.value(colour.format("failed")) == "rgb(207, 47, 47)"
    assert tab.value('document.querySelectorAll(".chart .band").length') == 3
    assert tab.value('document.querySelectorAll(".chart .bar").length') == 40


def test_a_filter_leaves_the_hosts_that_it_names(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, _fleet(100)), width=1280)
    shown = '[...document.querySelectorAll(".host")].filter(it => it.checkVisibility()).length'
    tab.value(OPEN_ALL)
    assert tab.value(shown) == 100
    tab.click("label:has(#only-bad)")
    assert tab.value(shown) == 100 // 7
    tab.click("label:has(#only-all)")
    assert tab.value(shown) == 100


def test_dark_is_dark(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, _fleet(4))
    background = "getComputedStyle(document.body).backgroundColor"
    tab.open(path, width=1280)
    light = tab.value(background)
    tab.open(path, width=1280, dark=True)
    assert (light, tab.value(background)) == ("rgb(244, 245, 247)", "rgb(16, 20, 26)")


def test_paper_gets_every_host_on_white_and_no_buttons(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, _fleet(100)), width=1280, dark=True)
    tab.as_printed()
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.value('document.querySelector(".filters").checkVisibility()') is False
    shown = (
        '[...document.querySelectorAll(".host > summary")]'
        ".filter(it => it.getBoundingClientRect().height > 0).length"
    )
    assert tab.value(shown) == 100
    assert tab.printed().startswith(b"%PDF-")


@pytest.mark.slow
def test_a_thousand_hosts_are_laid_out_soon(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, _fleet(1000)), width=PHONE)
    assert (
        tab.value("performance.timing.loadEventEnd - performance.timing.navigationStart") < 10_000
    )
    assert tab.value("document.documentElement.scrollWidth") == PHONE
