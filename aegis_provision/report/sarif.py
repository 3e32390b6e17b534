"""Diagnostics in SARIF 2.1.0, which code scanners and code review exchange.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import quote

from aegis_provision.report.diagnostics import MOST_IN_DOCUMENTS, deduplicate, hosts_words
from aegis_provision.report.sarif_rules import RULES
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic, Related
    from aegis_provision.documents.nodes import Span
    from aegis_provision.report.json_documents import Document

_ROOT = "%SRCROOT%"
"""What the base of relative references is called by convention: the repository's root."""

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Places:
    """How files are named: relative to ``root``, the repository's; the tool ran in ``here``.

    Both are absolute. ``real`` returns where a path leads through symbolic links. What is at fault
    without a place in any file is shown at the beginning of ``entry``, mostly the inventory: code
    scanners take no result without a file, and then nothing at all of the log.
    """

    root: str
    here: str
    entry: str
    real: Callable[[str], str] = posixpath.normpath

    def artifact(self, name: str) -> Document:
        """Return the location of the file that the operator called ``name``.

        One outside of the root keeps an absolute name.
        """
        path = posixpath.join(self.here, name)
        root = self.root.rstrip("/") + "/"
        for candidate in (self.real(path), posixpath.normpath(path)):
            if candidate.startswith(root):
                return {"uri": _reference(candidate.removeprefix(root)), "uriBaseId": _ROOT}
        return {"uri": f"file://{_reference(posixpath.normpath(path))}"}


def _reference(path: str) -> str:
    # In a name that is no UTF-8 other bytes stand as halves of surrogate pairs (PEP 383).
    return quote(path.encode("utf-8", "surrogateescape"))


def sarif_log(diagnostics: Sequence[Diagnostic], version: str, places: Places) -> Document:
    """Return ``diagnostics`` as a log of one run of the tool in its ``version``.

    As in text each diagnostic is shown once, and no line of a file is repeated. Of very many
    the first are there, and a notification says how many are not.
    """
    selection = deduplicate(diagnostics, MOST_IN_DOCUMENTS)
    rules = list(dict.fromkeys(item.code for item in selection.shown))
    run: Document = {
        "tool": {
            "driver": {
                "name": "aegis-provision",
                "version": version,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, rules.index(item.code), places) for item in selection.shown],
    }
    if selection.omitted:
        run["invocations"] = [_invocation(selection.omitted)]
        run["properties"] = {"omitted": selection.omitted}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _invocation(omitted: int) -> Document:
    """Return the notification that diagnostics were left out."""
    words = f"{omitted} more diagnostics are left out: correct these first"
    return {
        "executionSuccessful": True,
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": words}}],
    }


def _rule(code: str) -> Document:
    """Return a rule with the texts that GitHub asks of each."""
    name = "".join(word.capitalize() for word in code.split("-"))
    words = {"text": RULES.get(code) or f"{code.replace('-', ' ').capitalize()}."}
    return {
        "id": code,
        "name": name,
        "shortDescription": words,
        "fullDescription": words,
        "help": words,
    }


def _result(item: Diagnostic, rule: int, places: Places) -> Document:
    hint = f"\n{item.hint}" if item.hint else ""
    found: Document = {
        "ruleId": item.code,
        "ruleIndex": rule,
        "level": item.severity.value,
        "message": {"text": f"{item.message}{hosts_words(item.hosts)}{hint}"},
        "locations": [_location(item.span, places)],
    }
    if item.related:
        found["relatedLocations"] = [
            _related(other, at, places) for at, other in enumerate(item.related[:MOST_IN_DOCUMENTS])
        ]
    return found


def _related(other: Related, number: int, places: Places) -> Document:
    return {"id": number, **_location(other.span, places), "message": {"text": other.message}}


def _location(span: Span | None, places: Places) -> Document:
    if span is None:
        return _physical(places.artifact(places.entry), {"startLine": 1})
    if not span.source.numbered:
        return {
            **_physical(places.artifact(places.entry), {"startLine": 1}),
            "logicalLocations": [{"fullyQualifiedName": span.source.name}],
        }
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    return _physical(places.artifact(span.source.name), region)


def _physical(artifact: Document, region: Document) -> Document:
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}
