"""What ``doctor`` found, as text and as the ``doctor`` document.

The document has ``hosts``, each with ``host`` and ``checks``: that list is always there. The
control node, which ``doctor`` looks at without an inventory, has checks of the same shape and
no host: they stand under ``control_node``, as :func:`check_content` makes them, beside an empty
``hosts``. As text they are :func:`control_node_lines`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.diagnosis.checks import CheckResult, HostChecks, worst
from aegis_provision.humanize import counted, escape_control, group_by
from aegis_provision.inventory.ranges import truncate
from aegis_provision.report.console import count_words, name_lines
from aegis_provision.report.json_documents import Document, document
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from aegis_provision.diagnosis.checks import Check

STYLE = {
    CheckResult.OK: "green",
    CheckResult.WARN: "yellow",
    CheckResult.FAIL: "bold red",
    CheckResult.NOT_CHECKED: "dim",
}
_SIGN = {CheckResult.OK: "=", CheckResult.WARN: "!", CheckResult.FAIL: "x"}
_WORD = {
    CheckResult.OK: "ok",
    CheckResult.WARN: "warn",
    CheckResult.FAIL: "fail",
    CheckResult.NOT_CHECKED: "-",
}
_SUMMARY = {
    CheckResult.FAIL: "with a failed check",
    CheckResult.WARN: "with warnings",
    CheckResult.OK: "without a finding",
}
_WORD_OF_CHECKS = {
    CheckResult.FAIL: "failed",
    CheckResult.WARN: "with a warning",
    CheckResult.OK: "ok",
}
_FINDINGS = (CheckResult.FAIL, CheckResult.WARN)
_ORDER = (CheckResult.FAIL, CheckResult.WARN, CheckResult.OK)
_MOST_NAMES = 8
_FEW_NAMES = 2
_INDENT = 4
_WORD_WIDTH = 4
# What differs between hosts with one and the same fault: digests, addresses, numbers. A status of
# HTTP is the fault itself: "(503)", "answers 503".
_OWN = re.compile(
    r"((?:\(|\banswers )[1-5][0-9]{2}\b)|SHA256:[A-Za-z0-9+/]+|[0-9]+(?:[.:,][0-9]+)*"
)


def doctor_lines(
    hosts: Sequence[HostChecks], *, width: int, every_host: bool = False
) -> list[Text]:
    """Return the lines for ``hosts``: those with the same findings form a group, failed ones first.

    Findings are checks that failed or warn. They are the same where they differ in no more than
    the host's name, numbers and digests. Checks that were not made are counted where they rest on
    another one, and named once, at the end, where the reason is their own. ``every_host`` names
    each host, with all its checks.
    """
    if every_host:
        lines = [line for host in hosts for line in _whole_host_lines(host)]
    else:
        fold = _Fold()
        groups = group_by(hosts, lambda host: fold.key(host.host, _finding_texts(host)))
        ordered = sorted(groups.values(), key=lambda group: _ORDER.index(worst(group[0].checks)))
        lines = [line for group in ordered for line in _group_lines(group, width)]
        lines.extend(_not_checked_lines(hosts))
    return [*lines, _summary(hosts)]


def control_node_lines(checks: Sequence[Check]) -> list[Text]:
    """Return the lines for the control node: all of its checks, and what came of them."""
    result = worst(checks)
    counts = Counter(check.result for check in checks)
    parts = [f"{counts[item]} {_WORD_OF_CHECKS[item]}" for item in _ORDER if counts[item]]
    return [
        Text(f"{_SIGN[result]} control node", style=STYLE[result]),
        *all_check_lines(checks),
        Text(f"Doctor: control node: {', '.join(parts)}", style="bold"),
    ]


def finding_lines(checks: Sequence[Check], example: str = "") -> Iterator[Text]:
    """Yield the lines for what is not ok in ``checks``: failed ones first, then those that warn.

    ``example`` is the host that the texts are of, where they differ in a group.
    """
    for result in _FINDINGS:
        for check in checks:
            if check.result is result:
                yield from _check_lines(check, example=example)
    found = {check.check for check in checks if check.result in _FINDINGS}
    causes = Counter(check.rests_on for check in checks if check.rests_on in found)
    for cause, number in causes.items():
        verb = "rests" if number == 1 else "rest"
        yield Text(f"    {counted(number, 'further check')} {verb} on {cause}", style="dim")


def all_check_lines(checks: Sequence[Check]) -> Iterator[Text]:
    """Yield the lines for all of ``checks``, in their order."""
    column = max((len(check.check) for check in checks), default=0)
    for check in checks:
        yield from _check_lines(check, column=column)


def _check_lines(check: Check, *, column: int = 0, example: str = "") -> Iterator[Text]:
    word = f"{_WORD[check.result]:<{_WORD_WIDTH}}"
    of = f" ({example})" if example else ""
    name = f"{check.check:<{column}} " if column else f"{check.check}{of}:"
    text = f"    {word}  {name} {escape_control(check.text)}"
    yield Text(text.rstrip(), style=STYLE[check.result])
    if check.remedy:
        indent = " " * (_INDENT + _WORD_WIDTH + 2)
        yield Text(f"{indent}try: {escape_control(check.remedy)}")


def _whole_host_lines(host: HostChecks) -> Iterator[Text]:
    result = worst(host.checks)
    yield Text(f"{_SIGN[result]} {host.host}", style=STYLE[result])
    yield from all_check_lines(host.checks)


def _finding_texts(host: HostChecks) -> tuple[str, ...]:
    return tuple(
        text
        for check in _findings(host)
        for text in (check.check, check.result, check.message, check.remedy)
    )


@dataclass(slots=True)
class _Fold:
    """Tells which hosts have the same texts, but for what is a host's own: numbers, its name.

    A name may be a word of our own sentences, too ("a", "file"): so hosts have the same texts
    where these are the same without their names, or as they are.
    """

    _keys: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def key(self, host: str, texts: Iterable[str]) -> tuple[str, ...]:
        """Return what is the same for all hosts with the same ``texts``."""
        whole_name = re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])")
        plain = tuple(map(_without_numbers, texts))
        nameless = tuple(_without_numbers(whole_name.sub("#", text)) for text in texts)
        known = self._keys.get(plain, self._keys.get(nameless, nameless))
        self._keys.setdefault(plain, known)
        return self._keys.setdefault(nameless, known)


def _without_numbers(text: str) -> str:
    return _OWN.sub(lambda found: found[1] or "#", text)


def _group_lines(group: Sequence[HostChecks], width: int) -> Iterator[Text]:
    first = group[0]
    result = worst(first.checks)
    names = [host.host for host in group]
    if result is CheckResult.OK:
        who = f"{len(names)} hosts" if len(names) > 1 else names[0]
        yield Text(f"{_SIGN[result]} {who}: {_all_ok(group)}", style=STYLE[result])
        if len(names) > 1:
            yield from name_lines(truncate(names, _MOST_NAMES), width)
        return
    yield from _title_lines(names, result, width)
    texts = {tuple((item.message, item.remedy) for item in _findings(host)) for host in group}
    yield from finding_lines(first.checks, example=first.host if len(texts) > 1 else "")


def _findings(host: HostChecks) -> Iterator[Check]:
    return (check for check in host.checks if check.result in _FINDINGS)


def _title_lines(names: Sequence[str], result: CheckResult, width: int) -> Iterator[Text]:
    lead = f"{_SIGN[result]} "
    if len(names) > 1:
        lead += f"{len(names)} hosts"
    shown = truncate(names, _MOST_NAMES)
    separator = ": " if len(names) > 1 else ""
    line = f"{lead}{separator}{', '.join(shown)}"
    if len(line) <= width:
        yield Text(line, style=STYLE[result])
        return
    yield Text(lead, style=STYLE[result])
    yield from name_lines(shown, width)


def _all_ok(group: Sequence[HostChecks]) -> str:
    numbers = {
        (sum(check.result is CheckResult.OK for check in host.checks), len(host.checks))
        for host in group
    }
    if len(numbers) > 1:
        return "all checks that were made are ok"
    [(made, every)] = numbers
    if made == every:
        return f"all {counted(every, 'check')} are ok"
    return f"{counted(made, 'check')} are ok, {every - made} could not be made"


def _not_checked_lines(hosts: Sequence[HostChecks]) -> Iterator[Text]:
    """Yield what was not checked for reasons of its own, each reason once."""
    fold = _Fold()
    reasons: dict[Hashable, tuple[Check, dict[str, None], dict[str, None]]] = {}
    for host in hosts:
        for check in host.checks:
            if check.result is CheckResult.NOT_CHECKED and not check.rests_on:
                key = fold.key(host.host, (check.message, check.remedy))
                _, checks, names = reasons.setdefault(key, (check, {}, {}))
                checks[check.check] = names[host.host] = None
    if not reasons:
        return
    yield Text("- not checked:", style=STYLE[CheckResult.NOT_CHECKED])
    for check, checks, names in reasons.values():
        of = ""
        if len(names) < len(hosts):
            shown = truncate(list(names), _FEW_NAMES)
            listed = f": {', '.join(shown)}" if len(shown) <= _FEW_NAMES else ""
            of = f" ({shown[0]})" if len(names) == 1 else f" ({len(names)} hosts{listed})"
        yield Text(f"    {', '.join(checks)}: {escape_control(check.message)}{of}", style="dim")
        if check.remedy:
            yield Text(f"      try: {escape_control(check.remedy)}")


def _summary(hosts: Sequence[HostChecks]) -> Text:
    counts = Counter(worst(host.checks) for host in hosts)
    parts = count_words(counts, _SUMMARY)
    number = counted(len(hosts), "host")
    return Text(f"Doctor: {number}{': ' if parts else ''}{', '.join(parts)}", style="bold")


def doctor_document(
    hosts: Sequence[HostChecks], *, control_node: Sequence[Check] | None = None
) -> Document:
    """Return the ``doctor`` document; ``control_node`` are that one's checks."""
    counts = Counter(worst(host.checks) for host in hosts)
    body: Document = {
        "hosts": [host_checks_content(host) for host in hosts],
        "summary": {result.value: counts[result] for result in reversed(_ORDER)},
    }
    if control_node is not None:
        body["control_node"] = check_content(control_node)
    return document("doctor", body)


def host_checks_content(host: HostChecks) -> Document:
    """Return one host's checks as they stand in a document."""
    return {"host": host.host, "checks": check_content(host.checks)}


def check_content(checks: Iterable[Check]) -> list[Document]:
    """Return checks as they stand in a document."""
    return [
        {
            "check": check.check,
            "result": check.result.value,
            "message": check.text,
            "remedy": check.remedy,
            "rests_on": check.rests_on,
        }
        for check in checks
    ]
