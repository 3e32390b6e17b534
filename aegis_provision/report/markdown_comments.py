"""The comments that ``plan``, ``apply``, ``status`` and ``history`` print as Markdown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted, escape_control
from aegis_provision.inventory.ranges import compress
from aegis_provision.report import apply_report, history_report, plan_report, status_report
from aegis_provision.report.console import name_lines
from aegis_provision.report.markdown_layout import WIDTH, Block, Section, comment
from aegis_provision.rollout.results import SUCCESSES, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.history.past_run import DamagedRun, PastRun
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.results import HostResult

_MOST_RUNS = 50


def plan_comment(plans: Sequence[HostPlan]) -> str:
    """Return ``plans`` as a comment: what can't be planned first, what does not change last."""
    sections = [_plan_section(group) for group in plan_report.groups_worst_first(plans)]
    warnings = plan_report.warnings_of(plans)
    if warnings:
        blocks = tuple(
            Block((*_lines([f"warning: {words}"]), *_names(hosts)))
            for words, hosts in warnings.items()
        )
        sections.insert(0, Section(counted(len(warnings), "warning"), "", blocks, is_open=True))
    return comment(
        f"Plan: {plan_report.verdict(plans)}", plan_report.summary_counts(plans), sections
    )


def _plan_section(group: plan_report.PlanGroup) -> Section:
    plan = group.plan
    blocks = [Block(_names(group.hosts))]
    if group.pin:
        blocks.append(Block(_lines([group.pin])))
    told = plan_report.group_message_lines(group)
    if told:
        blocks.append(Block.of(told))
    if plan.changes or plan.unknown:
        lines = Block.of(plan_report.diff_lines(group)).lines
        blocks.append(Block(lines, "diff"))
    is_open = plan.action.is_failure
    return Section(f"{group.title},", group.provider, tuple(blocks), is_open=is_open)


def apply_comment(run: str, results: Sequence[HostResult]) -> str:
    """Return the results of a run as a comment: what needs attention first."""
    counts = Counter(item.status for item in results)
    bad = sum(item.status not in SUCCESSES for item in results)
    verdict = f"{counted(bad, 'host')} did not end well" if bad else "all hosts ended well"
    rows = {words: counts[status] for status, words in apply_report.WORDS.items()}
    return comment(f"Apply: {verdict}", rows, _result_sections(results), facts={"run": run})


def _result_sections(results: Iterable[HostResult]) -> list[Section]:
    order = (*apply_report.MOST_URGENT_FIRST, Status.APPLIED, Status.RESTART_PENDING)
    results = tuple(results)
    sections: list[Section] = []
    for status in (*order, Status.UNCHANGED):
        groups = apply_report.group_results(item for item in results if item.status is status)
        for shared, hosts in groups:
            told = [shared.message] if shared.message else []
            told += [f"try: {shared.hint}"] if shared.hint else []
            told += [f"warning: {words}" for words in shared.warnings]
            blocks = (Block(_names(hosts)), *((Block(_lines(told)),) if told else ()))
            words = f"{apply_report.WORDS[status]}: {counted(len(hosts), 'host')}"
            sections.append(Section(words, "", blocks, is_open=status not in SUCCESSES))
    return sections


def status_comment(statuses: Sequence[HostStatus]) -> str:
    """Return the status of hosts as a comment, what differs from what is wanted first."""
    counts = Counter(state for status in statuses for state in status.states)
    rows = {words: counts[state] for state, words in status_report.WORDS.items()}
    needing = sum(map(status_report.needs_attention, statuses))
    verdict = f"{needing} of {counted(len(statuses), 'host')} need attention"
    groups = sorted(
        status_report.group_statuses(statuses),
        key=lambda group: not status_report.needs_attention(group[0]),
    )
    sections = [
        Section(
            f"{status_report.state_words(group[0])}: {counted(len(group), 'host')}",
            "",
            (
                Block(_names([status.host for status in group])),
                *((Block.of(told),) if (told := status_report.detail_lines(group[0])) else ()),
            ),
            is_open=status_report.needs_attention(group[0]),
        )
        for group in groups
    ]
    return comment(f"Status: {verdict}", rows, sections)


def run_comment(past: PastRun) -> str:
    """Return all about one past run as a comment."""
    facts = {
        "run": past.header.run,
        "state": past.status.value,
        "by": past.header.operator,
        "started": f"{past.header.started:%Y-%m-%d %H:%M:%S} UTC",
        "playbook": past.header.playbook.path if past.header.playbook else "",
        "limit": past.header.limit,
    }
    rows = history_report.count_rows(past.counts)
    results = [host.result for host in past.hosts.values() if host.result is not None]
    sections = _result_sections(results)
    endless = [host.host for host in past.hosts.values() if host.result is None]
    if endless:
        words = f"without an end: {counted(len(endless), 'host')}"
        sections.insert(0, Section(words, "", (Block(_names(endless)),), is_open=True))
    lines = Block.of(history_report.run_lines(past, width=WIDTH, every_host=True))
    sections.append(Section("everything", "", (lines,)))
    return comment(f"Run: {past.header.kind.value}", rows, sections, facts=facts)


def history_comment(runs: Sequence[RunSummary | DamagedRun]) -> str:
    """Return the past runs as a comment."""
    lines = Block.of(history_report.history_lines(runs))
    section = Section(counted(len(runs), "run"), "", (lines,), is_open=len(runs) <= _MOST_RUNS)
    return comment("Runs", {"runs": len(runs)}, [section])


def _names(hosts: Sequence[str]) -> tuple[str, ...]:
    return Block.of(name_lines(compress(hosts), WIDTH)).lines


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(escape_control, texts))
