"""Runs whose page is looked at: a fleet of some size, and one of hostile texts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Change, ChangeKind, Write
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report import html_page
from aegis_provision.rollout.events import (
    BudgetSpent,
    ConnectRetried,
    HostFinished,
    KeysAccepted,
    RunFinished,
    StepStarted,
)
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.transport.connect_options import AcceptedKey
from tests.report.runs import CHANGES, PATH, hosts, plan, play, replay, simulate_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.rollout.events import Event

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


def hostile_run() -> list[tuple[float, Event]]:
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
    run = simulate_run(schedule, lambda *_: Status.FAILED, plans=plans)
    entries: list[tuple[float, Event]] = []
    for at, event in run.events:
        match event:
            case StepStarted(host, step):
                entries.append((at, StepStarted(host, step, host)))
            case HostFinished(number, result):
                text = result.host
                evil = HostResult(text, Status.FAILED, text, text, (text,))
                entries.append((at, HostFinished(number, evil)))
                keys = (AcceptedKey(text, text, text),)
                entries.append((at, KeysAccepted(text, keys)))
                entries.append((at, ConnectRetried(text, 2, text, 0.5)))
                entries.append((at, BudgetSpent(0, text, (text,))))
            case RunFinished(results):
                evils = [replace(it, message=it.host, hint=it.host) for it in results]
                entries.append((at, RunFinished(tuple(evils), 4)))
            case _:
                entries.append((at, event))
    return entries


def fleet_run(count: int, bad: int = 7) -> Sequence[tuple[float, Event]]:
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
    return simulate_run(schedule, lambda _, host: ends[host], forks=32).events
