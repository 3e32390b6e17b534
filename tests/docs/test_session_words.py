"""The words that docs/sessions.md lists under "When it fails" are those that are said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegis_provision.aegis.api_verdict import (
    DROPPED_FILE,
    ApiAccess,
    ApiVerdict,
    RequestContext,
    explain_failure,
    explain_refusal,
    explain_reuse,
)
from aegis_provision.aegis.session_api import RefusedField, RefusedRequest
from aegis_provision.providers.connect_failure import ConnectFailure

TEXT = (Path(__file__).parents[2] / "docs/sessions.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("| Aegis says | words | what to do |\n")[2].partition("\n\n")[0]
ROWS = [re.split(r" *\| *", line.strip("| ")) for line in TABLE.splitlines()[1:]]
WORDS = [words.replace("`", "") for _, cell, _ in ROWS for words in cell.split("; ")]
CONTEXT = RequestContext({"env.NAME": "where it comes from", "workDir": "--work-dir"})
FAILING = RequestContext(failing=("defaultSessionEnv.PATH: denied",))
REFUSALS = (
    RefusedRequest(400, fields=(RefusedField("env.NAME", "no"),)),
    *(
        RefusedRequest(400, "INVALID_WORKDIR", words)
        for words in ("is not in the allowed directories", "does not exist", "path traversal")
    ),
    RefusedRequest(401),
    RefusedRequest(403),
    RefusedRequest(403, "TENANT_WORKDIR_DENIED"),
    RefusedRequest(422, "CC_VERSION_TOO_OLD"),
    RefusedRequest(429),
    RefusedRequest(429, "QUOTA_EXCEEDED"),
    RefusedRequest(500),
    RefusedRequest(500, "", 'Forbidden env var: "NAME" - denylisted'),
    RefusedRequest(503),
)


def said() -> str:
    """Return all that is said of an API, each in its own line."""
    accesses = [ApiAccess("a:1"), ApiAccess("a:1", has_tokens=True), ApiAccess("a:1", taken="NAME")]
    verdicts: list[ApiVerdict] = [
        explain_refusal(refused, access, context)
        for refused in REFUSALS
        for access in accesses
        for context in (CONTEXT, FAILING)
    ]
    verdicts += [DROPPED_FILE, explain_reuse("id", CONTEXT, "session stop")]
    verdicts.append(explain_failure("", ConnectFailure.NOT_LISTENING, accesses[0]))
    return "\n".join(item.message for item in verdicts)


def test_the_table_has_a_row_for_each_status() -> None:
    assert all(len(row) == 3 for row in ROWS)
    listed = {row[0].partition(" ")[0].strip(",") for row in ROWS}
    assert {str(refused.status) for refused in REFUSALS} <= listed


@pytest.mark.parametrize("words", WORDS)
def test_the_words_are_said(words: str) -> None:
    assert words in said()
