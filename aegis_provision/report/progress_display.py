"""What goes on, while it goes on: a live view on a terminal, lines that scroll by elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.text import Text

from aegis_provision.humanize import counted, escape_control
from aegis_provision.planning.status import HostState
from aegis_provision.report.apply_report import result_lines
from aegis_provision.report.console import (
    Encodable,
    can_redraw,
    duration,
    is_plain,
    play_title,
    print_lines,
)
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    ConnectRetried,
    HostChecked,
    HostDiagnosed,
    HostFinished,
    HostPlanned,
    KeysAccepted,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    SessionReported,
    SessionsListed,
    Step,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import Status
from aegis_provision.rollout.run_state import RunState, reduce

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType
    from rich.live import Live

    from aegis_provision.rollout.events import Event

_PER_SECOND = 4
_BAD_STATES = {HostState.NOT_READ, HostState.ERROR, HostState.UNREACHABLE}


class ProgressDisplay:
    """Shows events on ``console``. A context manager: on exit the picture is gone.

    Takes events one at a time, from any thread. ``forks`` is how many hosts are worked on at
    once, for the estimate; ``clock`` tells the time in seconds. ``state`` is what is known.
    """

    def __init__(
        self,
        console: Console,
        *,
        verbosity: int,
        quiet: bool,
        forks: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._verbosity = verbosity
        self._quiet = quiet
        self._forks = forks
        self._clock = clock
        self._live: Live | None = None
        self.state = RunState()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        before = self.state
        self.state = reduce(before, event, self._clock())
        if isinstance(event, ReadingStarted | RunStarted):
            self._begin()
        elif isinstance(event, RunFinished):
            self.pause()
        drawn = self._live is not None
        lines = event_lines(
            before, event, verbosity=self._verbosity, quiet=self._quiet, drawn=drawn
        )
        if lines:
            print_lines(self._console, lines)

    def pause(self) -> None:
        """Take the picture away: something else is about to be printed or asked."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def redraw(self) -> None:
        """Draw the picture as it looks now; it is drawn again by itself several times a second."""
        if self._live is not None:
            self._live.refresh()

    def _begin(self) -> None:
        self.pause()
        if self._quiet or not can_redraw(self._console):
            return
        from rich.live import Live

        # What others print on stdout is the result, and must not come out here.
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _draw(self) -> RenderableType:
        from aegis_provision.report.live_view import live_view

        width, height = self._console.size
        return Encodable(
            live_view(self.state, self._clock(), width=width, height=height, forks=self._forks)
        )


def event_lines(
    state: RunState, event: Event, *, verbosity: int, quiet: bool, drawn: bool
) -> list[Text]:
    """Return what is printed for ``event``, told while ``state`` was what was known.

    ``drawn`` says that a picture shows how far the run has come: only what must not be missed is
    printed then. What an operator must know comes out however quiet they like it.
    """
    lines = _always(event)
    if lines or quiet:
        return lines
    lines = _host_lines(state, event, verbosity=verbosity, drawn=drawn)
    return lines if lines or drawn else _milestone(state, event, verbosity)


def _always(event: Event) -> list[Text]:
    match event:
        case KeysAccepted(host, keys):
            lead = f"{host}: accepted new host key for"
            return [
                Text(escape_control(f"{lead} {key.name}: {key.key_type} {key.fingerprint}"))
                for key in keys
            ]
        case StopRequested(running):
            words = f"Stopping: no further host is begun; {running} under way will finish."
            return [Text(words)]
        case BudgetSpent(_, words):
            return [Text(escape_control(words), style="bold red")]
        case _:
            return []


def _host_lines(state: RunState, event: Event, *, verbosity: int, drawn: bool) -> list[Text]:
    match event:
        case ConnectRetried(host, attempt, reason, wait) if verbosity:
            words = f"{host}: attempt {attempt} to connect in {wait:.1f} s: {reason}"
            return [Text(escape_control(words))]
        case HostPlanned(plan):
            if verbosity or plan.action.is_failure:
                return [Text(f"{plan.host}: {plan.action}")]
        case HostChecked(status):
            if verbosity or _BAD_STATES.intersection(status.states):
                from aegis_provision.report.status_report import WORDS

                return [Text(f"{status.host}: {', '.join(WORDS[item] for item in status.states)}")]
        case SessionReported(result) | SessionsListed(result):
            if verbosity:
                from aegis_provision.report.session_report import WORDS as SESSION_WORDS

                return [Text(f"{result.host}: {SESSION_WORDS[result.status]}")]
        case HostDiagnosed(host):
            from aegis_provision.diagnosis.checks import CheckResult

            failed = [check.check for check in host.checks if check.result is CheckResult.FAIL]
            if verbosity or failed:
                return [Text(f"{host.host}: {', '.join(failed) or 'nothing failed'}")]
        case HostFinished(_, result):
            fine = drawn and result.ok
            if verbosity or not (fine or _is_known_already(state, event)):
                return result_lines(result)
        case _:
            pass
    return []


def _is_known_already(state: RunState, event: HostFinished) -> bool:
    """Tell whether the plan has lead so already, or the recap will say it for many at once."""
    if event.result.status is Status.NOT_ATTEMPTED:
        return True
    plan, host = state.plans.get(event.result.host), state.host(event.result.host)
    return plan is not None and not plan.writes and host.begun is None


def _milestone(state: RunState, event: Event, verbosity: int) -> list[Text]:
    words = ""
    match event:
        case ReadingStarted(hosts) if hosts:
            words = f"Reading {counted(hosts, 'host')}"
        case RunStarted(_, schedule, plans) if is_plain(schedule):
            hosts = sum(plan.writes for plan in plans)
            words = f"Writing {counted(hosts, 'host')}" if hosts else ""
        case PlayStarted(play) if state.schedule and not is_plain(state.schedule):
            words = _play_words(state, play)
        case BatchStarted(play, batch, hosts) if state.schedule:
            batches = len(state.schedule.plays[play].batches)
            if batches > 1:
                words = f"Batch {batch + 1}/{batches}: {counted(len(hosts), 'host')}"
        case StepStarted(host, step, detail) if verbosity or (
            # A wait may take minutes: what for is news, with or without a live view.
            detail and step is Step.WAIT_FOR_SESSIONS
        ):
            words = f"{host}: {step.words}{f' ({detail})' if detail else ''}"
        case PauseStarted(seconds):
            words = f"Waiting {duration(seconds)} before the next batch"
        case _:
            pass
    return [Text(escape_control(words))] if words else []


def _play_words(state: RunState, play: int) -> str:
    if state.schedule is None:
        return ""
    scheduled = state.schedule.plays[play]
    hosts = counted(len(scheduled.hosts), "host")
    batches = len(scheduled.batches)
    tail = f" in {batches} batches" if batches > 1 else ""
    return f"{play_title(state.schedule, play)}: {hosts}{tail}"
