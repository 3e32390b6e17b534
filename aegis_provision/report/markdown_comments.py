"""What ``plan``, ``apply``, ``status`` and ``history`` say, as comments in Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted, escape_control
from aegis_provision.inventory.ranges import compress, expand_range
from aegis_provision.planning.status import HostState
from aegis_provision.report import apply_report, history_report, plan_report, status_report
from aegis_provision.report.console import name_lines
from aegis_provision.report.markdown_layout import WIDTH, Block, Section, comment
from aegis_provision.rollout.results import SUCCESSES, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.history.past_run import DamagedRun, PastRun
    from aegis_provision.history.run_header import RunKind
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.results import HostResult

_MOST_RUNS = 50
_MOST_NAMES = 60
_LONGEST_HEADLINE = 100
_MOST_OPEN = 12
_WORST_STATE_FIRST = (
    HostState.ERROR,
    HostState.NOT_READ,
    HostState.UNREACHABLE,
    HostState.DRIFTED,
    HostState.EDITED,
    HostState.NEVER_PROVISIONED,
    HostState.PENDING,
    HostState.RESTART_PENDING,
    HostState.IN_SYNC,
)


def plan_comment(plans: Sequence[HostPlan]) -> str:
    """Return ``plans`` as a comment: what can't be planned first, what does not change last."""
    groups = plan_report.groups_worst_first(plans)
    failed = [_plan_section(group) for group in groups if group.plan.action.is_failure]
    others = [_plan_section(group) for group in groups if not group.plan.action.is_failure]
    sections = [*_opened(failed), *_warning_sections(plans), *others]
    return comment(
        f"Plan: {plan_report.verdict(plans)}", plan_report.summary_counts(plans), sections
    )


def _warning_sections(plans: Sequence[HostPlan]) -> list[Section]:
    warnings = plan_report.warnings_of(plans)
    if not warnings:
        return []
    blocks = tuple(
        Block((*_sentences([f"warning: {words}"]).lines, *_names(hosts).lines))
        for words, hosts in warnings.items()
    )
    words = counted(len(warnings), "warning")
    return [Section(words, (), blocks, is_open=True, kind="warnings")]


def _plan_section(group: plan_report.PlanGroup) -> Section:
    plan = group.plan
    section = _section_of(plan.action.value, group.hosts, codes=(group.provider,))
    blocks = [*section.blocks]
    if group.pin:
        blocks.append(_sentences([group.pin]))
    told = plan_report.group_message_lines(group)
    if told:
        blocks.append(Block.of(told).wrapped())
    if plan.changes or plan.unknown:
        blocks.append(Block(Block.of(plan_report.diff_lines(group)).lines, "diff"))
    return replace(section, blocks=tuple(blocks))


def apply_comment(kind: RunKind, run: str, results: Sequence[HostResult]) -> str:
    """Return the results of a run as a comment: what needs attention first."""
    counts = Counter(item.status for item in results)
    rows = {words: counts[status] for status, words in apply_report.WORDS.items()}
    title = f"{kind.value.capitalize()}: {_verdict(results)}"
    return comment(title, rows, _result_sections(results), facts={"run": run})


def _verdict(results: Sequence[HostResult]) -> str:
    if apply_report.nothing_to_do(results):
        return "nothing to do"
    bad = sum(item.status not in SUCCESSES for item in results)
    if not bad:
        return "all hosts ended well"
    ended = f"{counted(bad, 'host')} did not end well"
    untouched = all(item.status in apply_report.NOT_WRITTEN for item in results)
    return f"nothing was written, {ended}" if untouched else ended


def _result_sections(results: Sequence[HostResult]) -> list[Section]:
    order = (*apply_report.MOST_URGENT_FIRST, Status.APPLIED, Status.RESTART_PENDING)
    bad: list[Section] = []
    good: list[Section] = []
    for status in (*order, Status.UNCHANGED):
        groups = apply_report.group_results(item for item in results if item.status is status)
        for shared, hosts in sorted(groups, key=lambda group: -len(group[1])):
            told = [shared.message] if shared.message else []
            told += [f"try: {shared.hint}"] if shared.hint else []
            told += [f"warning: {words}" for words in shared.warnings]
            blocks = (_sentences(told),) if told else ()
            section = _section_of(apply_report.WORDS[status], hosts, blocks)
            (good if status in SUCCESSES else bad).append(section)
    return [*_opened(bad), *good]


def status_comment(statuses: Sequence[HostStatus]) -> str:
    """Return the status of hosts as a comment, what differs from what is wanted first."""
    counts = Counter(state for status in statuses for state in status.states)
    rows = {words: counts[state] for state, words in status_report.WORDS.items()}
    needing = sum(map(status_report.needs_attention, statuses))
    of_hosts = counted(len(statuses), "host")
    verdict = f"{needing} of {of_hosts} {'needs' if needing == 1 else 'need'} attention"
    groups = sorted(
        status_report.group_statuses(statuses),
        key=lambda group: (min(map(_WORST_STATE_FIRST.index, group[0].states)), -len(group)),
    )
    bad: list[Section] = []
    good: list[Section] = []
    for group in groups:
        told = status_report.detail_lines(group[0])
        section = _section_of(
            status_report.state_words(group[0]),
            [status.host for status in group],
            (Block.of(told).wrapped(),) if told else (),
        )
        (bad if status_report.needs_attention(group[0]) else good).append(section)
    return comment(f"Status: {verdict}", rows, [*_opened(bad), *good])


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
    verdict = _verdict(results)
    endless = [host.host for host in past.hosts.values() if host.result is None]
    if endless:
        sections[:0] = _opened([_section_of("without an end", endless)])
        verdict = f"{counted(len(endless), 'host')} without an end"
    lines = Block.of(history_report.run_lines(past, width=WIDTH, every_host=True))
    sections.append(Section("everything", (), (lines,), kind="everything"))
    title = f"{past.header.kind.value.capitalize()}: {verdict}"
    return comment(title, rows, sections, facts=facts)


def history_comment(runs: Sequence[RunSummary | DamagedRun]) -> str:
    """Return the past runs as a comment."""
    lines = Block.of(history_report.history_lines(runs))
    section = Section(counted(len(runs), "run"), (), (lines,), is_open=len(runs) <= _MOST_RUNS)
    return comment("Runs", {"runs": len(runs)}, [section])


def _section_of(
    kind: str, hosts: Sequence[str], blocks: tuple[Block, ...] = (), *, codes: tuple[str, ...] = ()
) -> Section:
    """Return the section of ``hosts``: their names stand in its headline, or in its first block."""
    names = ", ".join(compress(hosts))
    in_headline = len(names) <= _LONGEST_HEADLINE
    return Section(
        f"{kind}: {counted(len(hosts), 'host')},",
        (names if in_headline else f"{hosts[0]} ...", *codes),
        blocks if in_headline else (_names(hosts), *blocks),
        kind=kind,
        hosts=len(hosts),
    )


def _opened(sections: Sequence[Section]) -> list[Section]:
    """Return ``sections`` as what shows at once, unless it would be many screens."""
    return [replace(item, is_open=len(sections) <= _MOST_OPEN) for item in sections]


def _names(hosts: Sequence[str]) -> Block:
    names = compress(hosts)
    rest = sum(len(expand_range(name)) for name in names[_MOST_NAMES:])
    more = [f"and {rest} more"] if rest else []
    return Block.of(name_lines([*names[:_MOST_NAMES], *more], WIDTH))


def _sentences(texts: Iterable[str]) -> Block:
    return Block(tuple(map(escape_control, texts))).wrapped()
