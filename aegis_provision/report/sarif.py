"""Diagnostics in SARIF 2.1.0, which code scanners and code review exchange.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from aegis_provision.report.diagnostics import MOST_IN_DOCUMENTS, deduplicate, hosts_words
from aegis_provision.report.sarif_rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.documents.diagnostic import Diagnostic, Related
    from aegis_provision.documents.nodes import Span
    from aegis_provision.report.json_documents import Document

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Places:
    """How files are named: relative to ``root``, the repository's; the tool ran in ``here``.

    Both are absolute. A file outside of ``root`` keeps an absolute name.
    """

    root: str
    here: str

    def reference(self, name: str) -> str:
        """Return the reference to the file that the operator called ``name``."""
        path = posixpath.normpath(posixpath.join(self.here, name))
        root = self.root.rstrip("/") + "/"
        inside = path.removeprefix(root) if path.startswith(root) else path
        # In a name that is no UTF-8 other bytes stand as halves of surrogate pairs (PEP 383).
        reference = quote(inside.encode("utf-8", "surrogateescape"))
        return f"file://{reference}" if inside.startswith("/") else reference


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
    name = "".join(word.capitalize() for word in code.split("-"))
    words = RULES.get(code, "")
    return {
        "id": code,
        "name": name,
        **({"shortDescription": {"text": words}, "help": {"text": words}} if words else {}),
    }


def _result(item: Diagnostic, rule: int, places: Places) -> Document:
    hint = f"\n{item.hint}" if item.hint else ""
    found: Document = {
        "ruleId": item.code,
        "ruleIndex": rule,
        "level": item.severity.value,
        "message": {"text": f"{item.message}{hosts_words(item.hosts)}{hint}"},
        "locations": [_location(item.span, places)] if item.span is not None else [],
    }
    if item.related:
        found["relatedLocations"] = [
            _related(other, at, places) for at, other in enumerate(item.related[:MOST_IN_DOCUMENTS])
        ]
    return found


def _related(other: Related, number: int, places: Places) -> Document:
    return {"id": number, **_location(other.span, places), "message": {"text": other.message}}


def _location(span: Span, places: Places) -> Document:
    if not span.source.numbered:
        return {"logicalLocations": [{"fullyQualifiedName": span.source.name}]}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": places.reference(span.source.name)},
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
            },
        }
    }
