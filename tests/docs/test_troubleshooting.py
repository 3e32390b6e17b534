"""The words that docs/aegis.md lists under "Troubleshooting" are those that are said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.connect_failure_verdict import connect_failure_verdict
from aegis_provision.providers.probe_verdict import Expected, Reply, probe_verdict

TEXT = (Path(__file__).parents[2] / "docs/aegis.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("| symptom | words | what to do |\n")[2].partition("\n\n")[0]
ROWS = [re.split(r" *\| *", line.strip("| ")) for line in TABLE.splitlines()[1:]]
WORDS = [words for _, cell, _ in ROWS for words in cell.split("; ")]


def said() -> str:
    """Return all that is said of providers, each in its own line."""
    wanted = Expected("http://127.0.0.1:11434/v1", "big", "big")
    verdicts = [connect_failure_verdict(why, wanted, 5.0) for why in ConnectFailure]
    lists = [json.dumps([name]).encode() for name in ("other", "openai/*")]
    replies = [Reply(200, body) for body in (*lists, b"<html>")]
    replies += [Reply(429, b"", retry_after=30.0), Reply(307, b"", location="/elsewhere")]
    replies += [Reply(status, b"") for status in (401, 402, 403, 404, 407, 503)]
    verdicts += [probe_verdict(reply, None, wanted) for reply in replies]
    tls = Reply(400, b"Client sent an HTTP request to an HTTPS server.")
    verdicts.append(probe_verdict(tls, None, wanted))
    verdicts.append(probe_verdict(replies[0], None, Expected("http://h/v1", "*", "*")))
    return "\n".join(text for item in verdicts for text in (item.message, *item.warnings))


def test_the_table_is_read() -> None:
    assert len(ROWS) > 15
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("words", WORDS)
def test_the_words_are_said(words: str) -> None:
    assert words in said()
