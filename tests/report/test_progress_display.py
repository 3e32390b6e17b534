"""What an operator sees while a run goes on, on a real screen and in a log."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report.console import make_console, print_lines
from aegis_provision.report.live_view import live_view
from aegis_provision.report.progress_display import ProgressDisplay
from aegis_provision.rollout.events import (
    BudgetSpent,
    ConnectRetried,
    HostFinished,
    HostPlanned,
    KeysAccepted,
    PauseStarted,
    ReadingStarted,
    RunStarted,
    Step,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.run_state import RunState, reduce
from aegis_provision.transport.connect_options import AcceptedKey
from tests.report.runs import hosts, plan, play, runs, simulate_run
from tests.report.terminal import Terminal, console_on

if TYPE_CHECKING:
    from aegis_provision.rollout.events import Event
    from tests.report.runs import SimulatedRun

NAMES = hosts(8)
BOOK = Schedule(
    (
        play("Canaries", NAMES[:1]),
        play(
            "Everyone else", NAMES[1:3], NAMES[3:], pause=30.0, max_fail=HostCount(2, percent=False)
        ),
    )
)


def _ends(_play: int, host: str) -> Status:
    return Status.FAILED if host == NAMES[5] else Status.APPLIED


def _book() -> SimulatedRun:
    return simulate_run(BOOK, _ends, forks=2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _tell(
    display: ProgressDisplay, clock: Clock, run: SimulatedRun, *, until: type, count: int
) -> None:
    """Tell all up to and with the event of the type ``until`` that is number ``count``."""
    for at, event in run.events:
        clock.now = at
        display(event)
        count -= isinstance(event, until)
        if not count:
            return
    raise AssertionError(until)


def _log(run: SimulatedRun, *, verbosity: int = 0, quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    console = make_console(stream, "auto", no_color=False)
    with ProgressDisplay(console, verbosity=verbosity, quiet=quiet) as display:
        for _, event in run.events:
            display(event)
    return stream.getvalue().splitlines()


def test_a_log_has_a_line_for_each_play_batch_and_host() -> None:
    assert _log(_book()) == [
        "Reading 8 hosts",
        'Play 1/2 "Canaries": 1 host',
        "host-0001.example.com: applied",
        'Play 2/2 "Everyone else": 7 hosts in 2 batches',
        "Batch 1/2: 2 hosts",
        "host-0002.example.com: applied",
        "host-0003.example.com: applied",
        "Waiting 30s before the next batch",
        "Batch 2/2: 5 hosts",
        "host-0004.example.com: applied",
        "host-0005.example.com: applied",
        "host-0006.example.com: failed: it said no",
        "    try: ask it again",
        "host-0007.example.com: applied",
        "host-0008.example.com: applied",
    ]


def test_a_run_without_a_playbook_is_told_without_plays() -> None:
    run = simulate_run(Schedule((play("", NAMES[:2]),)), _ends)
    assert _log(run) == [
        "Reading 2 hosts",
        "Writing 2 hosts",
        "host-0001.example.com: applied",
        "host-0002.example.com: applied",
    ]


def test_one_v_adds_the_steps() -> None:
    run = simulate_run(Schedule((play("", NAMES[:1]),)), _ends)
    assert _log(run, verbosity=1) == [
        "Reading 1 host",
        "host-0001.example.com: update",
        "Writing 1 host",
        "host-0001.example.com: write",
        "host-0001.example.com: restart",
        "host-0001.example.com: applied",
    ]


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [(0, []), (1, ["a: attempt 3 to connect in 0.6 s: connect: nothing listens there"])],
)
def test_one_v_tells_what_is_tried_again(verbosity: int, lines: list[str]) -> None:
    stream = io.StringIO()
    console = make_console(stream, "auto", no_color=False)
    with ProgressDisplay(console, verbosity=verbosity, quiet=False) as display:
        display(ConnectRetried("a", 3, "connect: nothing listens there", 0.61))
    assert stream.getvalue().splitlines() == lines


def test_quiet_leaves_only_what_must_be_known() -> None:
    assert _log(_book(), quiet=True) == []
    stream = io.StringIO()
    display = ProgressDisplay(make_console(stream, "auto", no_color=False), verbosity=0, quiet=True)
    display(KeysAccepted("a", (AcceptedKey("[a]:2222", "ssh-ed25519", "SHA256:xyz"),)))
    display(BudgetSpent(0, "3 of 4 hosts failed, and 2 are allowed", ("a",)))
    display(StopRequested(2))
    assert stream.getvalue().splitlines() == [
        "a: accepted new host key for [a]:2222: ssh-ed25519 SHA256:xyz",
        "3 of 4 hosts failed, and 2 are allowed",
        "Stopping: no further host is begun; 2 under way will finish.",
    ]


def test_what_the_plan_has_said_is_not_said_again() -> None:
    plans = {
        "a": plan("a", Action.UNCHANGED),
        "b": plan("b", Action.UNREACHABLE, message="no answer"),
        "c": plan("c"),
    }
    results = (
        HostResult("a", Status.UNCHANGED),
        HostResult("b", Status.UNREACHABLE, "no answer"),
        HostResult("c", Status.NOT_ATTEMPTED),
    )
    schedule = Schedule((play("", ["a", "b", "c"]),))
    events: list[Event] = [
        RunStarted("run", schedule, tuple(plans.values())),
        *(HostFinished(0, result) for result in results),
    ]
    stream = io.StringIO()
    display = ProgressDisplay(
        make_console(stream, "auto", no_color=False), verbosity=0, quiet=False
    )
    for event in events:
        display(event)
    assert stream.getvalue() == "Writing 1 host\n"


@pytest.mark.parametrize("no_color", [False, True], ids=["coloured", "NO_COLOR"])
def test_a_terminal_shows_play_batch_hosts_and_failures(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    terminal, clock = Terminal(), Clock()
    console = console_on(terminal, monkeypatch, no_color=no_color)
    with ProgressDisplay(console, verbosity=0, quiet=False, forks=2, clock=clock) as display:
        _tell(display, clock, _book(), until=HostFinished, count=6)
        display.redraw()
        seen = terminal.screen
    bar = seen.pop(3)
    assert bar.endswith(" 6/8  1 failed (2 allowed)")
    assert seen == [
        "host-0006.example.com: failed: it said no",
        "    try: ask it again",
        'Play 2/2 "Everyone else"  batch 2/2  46s  about 4s left',
        "  host-0007.example.com  restart                2s",
    ]


def test_a_pause_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    with ProgressDisplay(
        console_on(terminal, monkeypatch), verbosity=0, quiet=False, clock=clock
    ) as display:
        _tell(display, clock, _book(), until=PauseStarted, count=1)
        clock.now += 12
        display.redraw()
        assert "  next batch in 18s" in terminal.screen


def test_the_picture_vanishes_and_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    with ProgressDisplay(
        console_on(terminal, monkeypatch), verbosity=0, quiet=False, clock=clock
    ) as display:
        _tell(display, clock, _book(), until=HostFinished, count=6)
        hidden = terminal.cursor_hidden
    assert (hidden, terminal.cursor_hidden) == (True, False)
    assert terminal.screen == [
        "host-0006.example.com: failed: it said no",
        "    try: ask it again",
    ]


def _cut_off(console: Console, terminal: Terminal) -> None:
    with ProgressDisplay(console, verbosity=0, quiet=False) as display:
        display(ReadingStarted(3))
        assert terminal.screen
        raise KeyboardInterrupt


def test_the_picture_vanishes_when_the_run_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    console = console_on(terminal, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        _cut_off(console, terminal)
    assert not terminal.screen
    assert not terminal.cursor_hidden


def test_the_picture_makes_room_for_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    with ProgressDisplay(console_on(terminal, monkeypatch), verbosity=0, quiet=False) as display:
        display(ReadingStarted(2))
        display(HostPlanned(plan("a", Action.UNREACHABLE)))
        display.pause()
        terminal.write("Write to 2 hosts? ")
        assert terminal.screen == ["a: unreachable", "Write to 2 hosts?"]


def test_the_reading_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    with ProgressDisplay(
        console_on(terminal, monkeypatch), verbosity=0, quiet=False, clock=clock
    ) as display:
        display(ReadingStarted(3))
        display(HostPlanned(plan("a")))
        clock.now = 65.0
        display.redraw()
        (line,) = terminal.screen
    assert line.startswith("Reading 3 hosts ")
    assert line.endswith(" 1/3 1m 05s")


@pytest.mark.parametrize("reason", ["quiet", "dumb", "no terminal"])
def test_nothing_is_drawn_where_nobody_wants_it(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    stream = io.StringIO() if reason == "no terminal" else Terminal()
    console = console_on(stream, monkeypatch, color="always")  # type: ignore[arg-type]
    if reason == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    with ProgressDisplay(console, verbosity=0, quiet=reason == "quiet") as display:
        for _, event in _book().events:
            display(event)
    text = stream.getvalue()
    assert "\x1b[?25l" not in text  # the cursor is hidden only while something is drawn
    assert "\x1b[2K" not in text
    assert ("Batch 1/2: 2 hosts" in text) == (reason != "quiet")


def test_lines_without_colour_come_out_above_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    console = console_on(terminal, monkeypatch, no_color=True)
    with ProgressDisplay(console, verbosity=0, quiet=False, clock=clock) as display:
        _tell(display, clock, _book(), until=StepStarted, count=2)
        print_lines(console, [Text("one"), Text("two")])
        first, second, title, *_ = terminal.screen
    assert (first, second) == ("one", "two")
    assert title.startswith('Play 1/2 "Canaries"')
    assert terminal.screen == ["one", "two"]


def test_a_thousand_hosts_scroll_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    names = hosts(1000)
    schedule = Schedule((play("All", names[:500], names[500:]),))
    run = simulate_run(schedule, lambda *_: Status.APPLIED, forks=200)
    terminal, clock = Terminal(), Clock()
    with ProgressDisplay(
        console_on(terminal, monkeypatch), verbosity=0, quiet=False, clock=clock
    ) as display:
        _tell(display, clock, run, until=StepStarted, count=900)
        display.redraw()
        seen = terminal.screen
    assert len(seen) == 10
    assert seen[-1] == "  and 93 more"
    assert not terminal.scrolled
    assert not terminal.screen


HOSTILE_STEP = StepStarted("host", Step.WAIT_FOR_SESSIONS, "\x1b[2J\x07\u202e" + "long " * 100)


@given(
    run=runs(),
    moment=st.floats(0, 1),
    width=st.integers(20, 200),
    height=st.integers(3, 50),
    later=st.floats(0, 1e6),
)
@settings(max_examples=60, deadline=None)
def test_a_picture_fits_any_terminal(
    run: SimulatedRun, moment: float, width: int, height: int, later: float
) -> None:
    state, now = RunState(), 0.0
    for now, event in run.events[: int(len(run.events) * moment) + 1]:
        state = reduce(state, event, now)
    if state.schedule:
        state = reduce(state, HOSTILE_STEP, now)
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None)
    console.print(live_view(state, now + later, width=width, height=height))
    lines = stream.getvalue().splitlines()
    assert len(lines) < height or len(lines) <= 1
    assert all(len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)
