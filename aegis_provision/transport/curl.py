"""The same HTTP question where the host's sshd forwards nothing: asked there, by curl."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from aegis_provision.providers.probe import Silence
from aegis_provision.transport.http import LARGEST_BODY, USER_AGENT, Answer, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.command import CommandEnd
    from aegis_provision.transport.http import Question

COMMAND = "command -v curl >/dev/null 2>&1 || exit 127; exec curl -q --config -"
"""The whole command line: what is asked, the token above all, comes on standard input."""

_NO_CURL = 127
# curl(1), EXIT CODES.
_SILENCES = {
    1: (Silence.NOT_HTTP, "what answers there does not speak HTTP"),
    6: (Silence.UNKNOWN_NAME, "the name is not known there"),
    7: (Silence.NOT_LISTENING, "nothing listens there"),
    28: (Silence.TIMED_OUT, "no answer in time"),
    35: (Silence.NOT_TLS, "it does not speak TLS"),
    52: (Silence.HUNG_UP, "it hung up without an answer"),
    56: (Silence.HUNG_UP, "it hung up without an answer"),
    60: (Silence.UNTRUSTED, "the host does not trust its certificate"),
}
_STATUS = re.compile(rb"\n([0-9]{3}) (\S*)\n?\Z")


def ask_with_curl(
    run: Callable[[str, bytes], CommandEnd], question: Question, timeout: float
) -> Answer | NoAnswer:
    """Ask with the host's own curl; ``run`` runs a command there with the given input."""
    began = time.monotonic()
    end = run(COMMAND, _config(question, timeout))
    if end.status is None:
        return NoAnswer(Silence.TIMED_OUT, "no answer in time")
    if end.status == _NO_CURL:
        return NoAnswer(None, "the host's sshd forwards nothing, and there is no curl")
    found = _STATUS.search(end.output)
    if end.status != 0 or found is None:
        return NoAnswer(*_SILENCES.get(end.status, (Silence.UNREACHABLE, "curl got no answer")))
    location = found[2].decode(errors="replace")
    seconds = time.monotonic() - began
    return Answer(int(found[1]), end.output[: found.start()], seconds, location)


def _config(question: Question, timeout: float) -> bytes:
    lines = [
        "silent",
        f"max-time = {timeout:.3f}",
        f"max-filesize = {LARGEST_BODY}",
        f"user-agent = {_quoted(USER_AGENT)}",
        f"url = {_quoted(question.url)}",
        'header = "Accept: application/json"',
        'write-out = "\\n%{http_code} %{redirect_url}\\n"',
        "globoff",
    ]
    if question.token is not None:
        lines.append(f"header = {_quoted('Authorization: Bearer ' + question.token.reveal())}")
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
