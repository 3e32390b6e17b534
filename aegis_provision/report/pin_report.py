"""Changes of an inventory's pins, with the files' diffs, as text and as a JSON document."""

from __future__ import annotations

from collections import Counter
from difflib import Match, SequenceMatcher
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.nodes import Source
from aegis_provision.documents.quoting import may_quote
from aegis_provision.documents.yaml_reader import decode
from aegis_provision.humanize import escape_control
from aegis_provision.inventory.ranges import truncate
from aegis_provision.report.diagnostics import WITHHELD, diagnostics_fields
from aegis_provision.report.json_documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.report.json_documents import Document

_WORDS = {
    "pinned": "pinned to {provider}",
    "repinned": "pin changed to {provider}",
    "unpinned": "unpinned",
}
_MOST_NAMES = 12

FileChange = tuple[str, bytes, bytes]
"""A file's name, and its content before and after."""
_DIFF_STYLE = {"-": "red", "+": "green", "@": "cyan", " ": ""}
_CONTEXT = 3
_LARGE = 2000
_NO_LINE_END = "\\ No newline at end of file"


def pin_lines(
    changes: Mapping[str, str],
    files: Sequence[FileChange],
    provider: str | None,
    *,
    dry_run: bool,
) -> list[Text]:
    """Return the diff of each file, and a line for each kind of change.

    ``changes`` maps each host to its change; ``provider`` is the one they are pinned to.
    """
    lines = [line for name, before, after in files for line in diff_lines(name, before, after)]
    for change, words in _WORDS.items():
        hosts = [host for host, what in changes.items() if what == change]
        if hosts:
            names = ", ".join(truncate(hosts, _MOST_NAMES))
            lines.append(Text(f"{words.format(provider=provider)}: {names}", style="bold"))
    same = [host for host, what in changes.items() if what == "unchanged"]
    if same:
        what = "not pinned" if provider is None else f"pinned to {provider} already"
        lines.append(Text(f"{what}: {', '.join(truncate(same, _MOST_NAMES))}", style="dim"))
    if dry_run and files:
        lines.append(Text("Dry run: nothing was written."))
    return lines


def pin_document(
    changes: Mapping[str, str],
    places: Mapping[str, Sequence[str]],
    files: Sequence[FileChange],
    diagnostics: Sequence[Diagnostic],
    *,
    dry_run: bool,
) -> Document:
    """Return the ``pin`` document, for ``pin`` and for ``unpin``."""
    return document(
        "pin",
        {
            "dry_run": dry_run,
            "hosts": [
                {"host": host, "change": change, "files": list(places.get(host, ()))}
                for host, change in changes.items()
            ],
            "files": [
                {"file": name, "diff": diff_text(name, before, after), "written": not dry_run}
                for name, before, after in files
            ],
            **diagnostics_fields(diagnostics),
        },
    )


def diff_lines(name: str, before: bytes, after: bytes) -> list[Text]:
    """Return the lines of a unified diff of the file called ``name``.

    Line ends are not shown, except that a missing one at the end of the file is noted.
    """
    return [
        Text(escape_control(line), style=_DIFF_STYLE.get(line[:1], ""))
        for line in _diff(name, before, after)
    ]


def diff_text(name: str, before: bytes, after: bytes) -> str:
    """Return the diff as text."""
    return "".join(f"{escape_control(line)}\n" for line in _diff(name, before, after))


def _diff(name: str, before: bytes, after: bytes) -> Iterator[str]:
    yield f"--- {name}"
    yield f"+++ {name}"
    old, new = _Lines(name, before), _Lines(name, after)
    begin, end = _common_lines(old.lines, new.lines)
    changed = (old.lines[begin : len(old.lines) - end], new.lines[begin : len(new.lines) - end])
    matcher = AnchoredMatcher(*changed) if sum(map(len, changed)) > _LARGE else _matcher(*changed)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        old_hunk = _hunk_range(begin + first[1], begin + last[2])
        yield f"@@ -{old_hunk} +{_hunk_range(begin + first[3], begin + last[4])} @@"
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                yield from old.quoted(" ", range(begin + old_from, begin + old_to))
                continue
            yield from old.quoted("-", range(begin + old_from, begin + old_to))
            yield from new.quoted("+", range(begin + new_from, begin + new_to))


def _matcher(old: Sequence[str], new: Sequence[str]) -> SequenceMatcher[str]:
    # Lines that stand there very often, such as "hosts:", must not be matched with each other.
    return SequenceMatcher(None, old, new, autojunk=len(old) > _LARGE)


class AnchoredMatcher(SequenceMatcher[str]):
    """Compares many lines piece by piece, so that the work grows with their number alone.

    Lines that stand once in both texts, in the same order, are the same line: an edit of single
    entries moves none. Only what lies between two of them is compared as a whole.
    """

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new)
        self._old, self._new = old, new

    def get_matching_blocks(self) -> list[Match]:
        """Return where both are the same, as the library does."""
        end = len(self._old), len(self._new)
        blocks = [Match(0, 0, 0)]
        old_from = new_from = 0
        for old_at, new_at in (*_anchors(self._old, self._new), end):
            piece = _matcher(self._old[old_from:old_at], self._new[new_from:new_at])
            found = [
                (old_from + at.a, new_from + at.b, at.size) for at in piece.get_matching_blocks()
            ]
            for old, new, size in (*found, (old_at, new_at, int((old_at, new_at) != end))):
                last = blocks[-1]
                if (last.a + last.size, last.b + last.size) == (old, new):
                    blocks[-1] = Match(last.a, last.b, last.size + size)
                elif size:
                    blocks.append(Match(old, new, size))
            old_from, new_from = old_at + 1, new_at + 1
        return [*(block for block in blocks if block.size), Match(*end, 0)]


def _anchors(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where lines stand in both texts that are there but once, as far as in one order."""
    counts, others = Counter(old), Counter(new)
    place = {line: at for at, line in enumerate(new) if others[line] == 1}
    last = -1
    for at, line in enumerate(old):
        found = place.get(line, -1) if counts[line] == 1 else -1
        if found > last:
            last = found
            yield at, found


def _common_lines(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """Return how many lines of both need no comparison: those far before and after all changes."""
    most = min(len(old), len(new))
    before = next((at for at in range(most) if old[at] != new[at]), most)
    after = next((at for at in range(most - before) if old[-1 - at] != new[-1 - at]), most - before)
    return max(0, before - _CONTEXT), max(0, after - _CONTEXT)


def _hunk_range(start: int, end: int) -> str:
    count = end - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


class _Lines:
    def __init__(self, name: str, data: bytes) -> None:
        source, _ = decode(name, data)
        self._source = source or Source(name, "")
        self.lines: Sequence[str] = self._source.text.split("\n")
        self._ended = not self.lines[-1]
        if self._ended:
            self.lines = self.lines[:-1]

    def quoted(self, sign: str, numbers: range) -> Iterator[str]:
        for number in numbers:
            line = self.lines[number]
            yield sign + (line if may_quote(self._source, number + 1) else WITHHELD)
            if number == len(self.lines) - 1 and not self._ended:
                yield _NO_LINE_END
