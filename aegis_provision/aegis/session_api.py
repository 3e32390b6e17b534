"""Starting one session through Aegis' API: what is sent, and what its responses mean.

The routes are those of docs/aegis.md, "Sessions". A host sent the responses, so none of them is
trusted: texts are bounded and safe to show, but may still hold what we sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aegis_provision.aegis.api_responses import SESSIONS_PATH, json_value
from aegis_provision.humanize import blank_control
from aegis_provision.providers.secret import Secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PROMPT = 10_000
"""How many UTF-16 units ``/v1/sessions/ID/send`` takes at most, as JavaScript counts them."""

TOO_LONG = f"is longer than {LONGEST_PROMPT:,} characters, Aegis' own limit"

QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
"""The code of a session that is one more than the token's key may have."""

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TYPES_KEYS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HALF = re.compile("[\ud800-\udfff]")
_CREATED, _REUSED = 201, 200
_LONGEST_TEXT = 300
_MOST_FIELDS = 50


@dataclass(frozen=True, slots=True)
class CreatedSession:
    """A new session; ``name`` is what Aegis calls it. That Claude runs in it is not proved."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReusedSession:
    """Aegis gave an idle session that was there already: ``env`` was ignored."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class RefusedField:
    """One field that Aegis refuses: ``path`` is as ``env.NAME``, ``message`` Aegis' own words."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that Aegis did not carry out.

    ``code`` is Aegis' own (``VALIDATION_ERROR``, ``INVALID_WORKDIR``), empty where it names none;
    ``message`` its own words. ``retry_after`` is the header of that name, empty for none.
    """

    status: int
    code: str = ""
    message: str = ""
    fields: tuple[RefusedField, ...] = ()
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class SessionHealth:
    """What Aegis sees of a session: whether Claude runs in it, ``None`` where it does not tell."""

    claude_running: bool | None
    status: str = ""


def normal_prompt(text: str) -> str:
    """Return ``text`` with the line ends that a session is sent."""
    return text.replace("\r\n", "\n")


def prompt_problem(text: str) -> str:
    """Return why ``text`` can't be a prompt, as in ``holds no text``; empty where it can.

    It is typed into a terminal: a control character other than tab and line feed would be a key.
    """
    if not text.strip():
        return "holds no text"
    found = _TYPES_KEYS.search(text)
    if found is not None:
        return f"holds a control character (U+{ord(found[0]):04X}), which would be typed as a key"
    if _HALF.search(text):
        return "holds half of a character, and is no text"
    # A character beyond U+FFFF counts twice.
    if len(text.encode("utf-16-le")) // 2 > LONGEST_PROMPT:
        return TOO_LONG
    return ""


def session_body(
    work_dir: str, name: str = "", env: Mapping[str, str | Secret] | None = None
) -> bytes:
    """Return the body of ``POST /v1/sessions``: JSON, which holds the secrets of ``env``.

    It never has a prompt: Aegis may give an idle session that is there already, and would run the
    prompt in it, on the host's own provider.
    """
    body: dict[str, object] = {"workDir": work_dir}
    if name:
        body["name"] = name
    if env is not None:
        body["env"] = {
            key: value.reveal() if isinstance(value, Secret) else value
            for key, value in env.items()
        }
    return json.dumps(body).encode()


def prompt_body(text: str) -> bytes:
    """Return the body of ``POST /v1/sessions/ID/send``."""
    return json.dumps({"text": text}).encode()


def is_session_id(text: str) -> bool:
    """Tell whether ``text`` may be the id of a session."""
    return _SESSION_ID.fullmatch(text) is not None


def session_path(session: str, action: str = "") -> str:
    """Return the path of a session, or of ``health`` or ``send`` of it."""
    path = f"{SESSIONS_PATH}/{quote(session, safe='')}"
    return f"{path}/{action}" if action else path


def parse_session(
    status: int, body: bytes, retry_after: str = ""
) -> CreatedSession | ReusedSession | RefusedRequest:
    """Return what a response to ``POST /v1/sessions`` means.

    A response in which no session can be made out counts as refused.
    """
    root = json_value(body)
    if status in {_CREATED, _REUSED} and isinstance(root, dict):
        found, name = root.get("id"), _text(root.get("windowName"))
        if isinstance(found, str) and is_session_id(found):
            # What is not new is an old one, whether it says so or not.
            return CreatedSession(found, name) if status == _CREATED else ReusedSession(found, name)
    return parse_refusal(status, body, retry_after)


def parse_refusal(status: int, body: bytes, retry_after: str = "") -> RefusedRequest:
    """Return why a request was not carried out."""
    root = json_value(body)
    if not isinstance(root, dict):
        return RefusedRequest(status, retry_after=retry_after)
    error, code = _text(root.get("error")), _text(root.get("code"))
    if error == QUOTA_EXCEEDED:
        code = QUOTA_EXCEEDED
    details = root.get("details")
    fields = tuple(
        RefusedField(_path(item.get("path")), _text(item.get("message")))
        for item in (details[:_MOST_FIELDS] if isinstance(details, list) else ())
        if isinstance(item, dict)
    )
    message = _text(root.get("message")) or error
    return RefusedRequest(status, code, message, fields, retry_after)


def parse_session_health(status: int, body: bytes) -> SessionHealth | None:
    """Return what ``GET /v1/sessions/ID/health`` says, ``None`` if it is not one of Aegis'."""
    root = json_value(body) if status == 200 else None
    if not isinstance(root, dict) or not isinstance(root.get("status"), str):
        return None
    running = root.get("claudeRunning")
    return SessionHealth(running if isinstance(running, bool) else None, _text(root["status"]))


def parse_delivered(status: int, body: bytes) -> bool | None:
    """Return whether a prompt reached its session, ``None`` where the response does not tell."""
    root = json_value(body) if 200 <= status < 300 else None
    delivered = root.get("delivered") if isinstance(root, dict) else None
    return delivered if isinstance(delivered, bool) else None


def _path(value: Any) -> str:
    if isinstance(value, list):
        return _text(".".join(str(item) for item in value[:_MOST_FIELDS]))
    return _text(value)


def _text(value: object) -> str:
    return blank_control(value.strip())[:_LONGEST_TEXT] if isinstance(value, str) else ""
