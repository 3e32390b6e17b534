"""The request that starts a session: as a masked document, and as a shell command."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH
from aegis_provision.aegis.session_request import METHOD, Hidden
from aegis_provision.documents.secret_detection import REFERENCE
from aegis_provision.errors import InputError
from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.aegis.session_request import ShownRequest

MASK = "<secret>"

_SHELL_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_HEAD = r"""(
set +x
case $(command -v printf) in printf) ;; *)
  echo 'a shell is needed that has printf built in: secrets never go into arguments' >&2; exit 1
esac
escape() {
  escaped= rest=$1
  case $rest in *[[:cntrl:]]*) echo "$2 holds a control character" >&2; exit 1 ;; esac
  while :; do
    case $rest in *[\\\"]*) ;; *) break ;; esac
    plain=${rest%%[\\\"]*}
    rest=${rest#"$plain"}
    next=${rest#?}
    escaped=$escaped$plain\\${rest%"$next"}
    rest=$next
  done
  escaped=$escaped$rest
}
"""
"""The beginning of a command: ``escape`` sets ``$escaped`` to ``$1`` as both JSON and curl want it.

It works in any POSIX shell, and with the shell's own means alone: no other process gets a secret in
its arguments. ``$2`` says whose value it is.
"""

_SETTINGS = (
    "silent", "show-error", "globoff", 'noproxy = "*"', 'request = "POST"', 'url = "%s"',
    'header = "Content-Type: application/json"', 'header = "Expect:"',
    'header = "Authorization: Bearer %s"', 'data-raw = "%s"',
    'write-out = "\\\\n%%{http_code}\\\\n"',
)  # fmt: skip


def requests_document(requests: Sequence[ShownRequest]) -> Document:
    """Return the ``session-request`` document; each secret in it is :data:`MASK`."""
    return document("session-request", {"hosts": [_request(item) for item in requests]})


def _request(request: ShownRequest) -> Document:
    return {
        "host": request.host,
        "method": METHOD,
        "url": request.url,
        "path": SESSIONS_PATH,
        "headers": {"Authorization": f"Bearer {MASK}", "Content-Type": "application/json"},
        "body": _body(request, MASK),
    }


def _body(request: ShownRequest, mask: str) -> Document:
    env = {
        name: mask if isinstance(value, Hidden) else value for name, value in request.env.items()
    }
    name = {"name": request.name} if request.name else {}
    return {"workDir": request.work_dir, **name, "env": env}


def curl_command(request: ShownRequest) -> str:
    """Return a command for a POSIX shell that sends ``request`` from the host itself.

    It takes every secret from the environment, by name, when it runs, and gives headers and body to
    curl on its standard input. Raises :class:`InputError` where a shell has no such variable.
    """
    for name in request.needed:
        if not _SHELL_NAME.fullmatch(name):
            raise InputError(
                f"no shell takes a variable called {name} from its environment",
                "rename it; --print json shows the request",
            )
    settings = shlex.quote("".join(f"{line}\\n" for line in _SETTINGS))
    lines = [
        f": {shlex.quote(request.host)}",
        *_body_lines(request),
        *_value_lines(request.token.template),
        "escape \"$value\" 'the token of the API'",
        "token=$escaped",
        "escape \"$body\" 'the body'",
        f"printf {settings} \\",
        f'  {shlex.quote(request.url)} "$token" "$escaped" | curl -q --config -',
        ")",
    ]
    return _HEAD + "\n".join(lines)


def _body_lines(request: ShownRequest) -> Iterator[str]:
    """Yield what sets ``$body``: JSON, in which hidden values are filled in between the rest."""
    name = f', "name": {json.dumps(request.name)}' if request.name else ""
    text = f'{{"workDir": {json.dumps(request.work_dir)}{name}, "env": {{'
    start, between = "body=", ""
    for variable, value in request.env.items():
        text += f"{between}{json.dumps(variable)}: "
        between = ", "
        if isinstance(value, str):
            text += json.dumps(value)
            continue
        yield f"{start}{shlex.quote(text + chr(34))}"
        yield from _value_lines(value.template)
        yield f'escape "$value" {shlex.quote(variable)}'
        start, text = "body=$body$escaped", '"'
    yield f"{start}{shlex.quote(text + '}}')}"


def _value_lines(template: str) -> Iterator[str]:
    """Yield what sets ``$value`` to ``template``, filled in from the environment.

    A variable without a default that is unset or empty ends the command, and is named.
    """
    yield "value="
    end = 0
    for match in REFERENCE.finditer(template):
        name, default = match[1], match[2]
        before = shlex.quote(template[end : match.start()]) if match.start() > end else ""
        if default is None:
            yield f'value=$value{before}"${{{name}:?is not set}}"'
        else:
            yield f'case "${{{name}:-}}" in'
            yield f"  '') value=$value{before}{shlex.quote(default)} ;;"
            yield f'  *) value=$value{before}"${name}" ;;'
            yield "esac"
        end = match.end()
    if end < len(template):
        yield f"value=$value{shlex.quote(template[end:])}"
