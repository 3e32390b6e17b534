"""Why Aegis' API does not do what is asked of it, in words: what was wrong, and the remedy.

One wording for all who ask it. The rows are those of docs/aegis.md, "One session", and
docs/sessions.md, "When it fails". What Aegis itself says is quoted; the caller redacts it.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.aegis.session_api import QUOTA_EXCEEDED
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import listed, wait_text
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.aegis.session_api import RefusedField, RefusedRequest

HOW_TO_OPEN = "set api_token to a token that Aegis takes there (its AEGIS_AUTH_TOKEN, or a key)"
"""What to do where the API is locked and no known token opens it."""

NONE_TAKEN = "takes none of the known tokens"
LOCKED = "is locked, and no token for it is known"
TOO_OFTEN = "Aegis was asked too often"
NO_CLAUDE = "Aegis finds no Claude Code on the host"
CLAUDE_TOO_OLD = "Claude Code on the host is too old"
LOOK_AT_LOG = "look at its log on the host"
TRY_CLAUDE = "look at the session on the host, and try 'claude' there as Aegis' user"

_INVALID = 400
_LONGEST_QUOTED = 200
_PERMISSION = re.compile(r"missing ([a-z_]{1,20}) permission")
_VARIABLE = re.compile(
    r"""env\ var(?:\ name|\ key|\ value\ for)?:?\ ["']?([A-Za-z_][A-Za-z0-9_]{0,99})(?!\w)""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_MOST_NAMED = 10
_WITHOUT_LIST = "its user's home, the system's temporary directory, and where it was started itself"


@dataclass(frozen=True, slots=True)
class ApiVerdict:
    """What is wrong with an API, or what it refused, and what to do next."""

    message: str
    hint: str = ""


DROPPED_FILE = ApiVerdict(
    "Aegis dropped its file: its API answers without a token",
    "look at its log for why, and whether it can read the file",
)
"""What is wrong where a file with an ``authToken`` lies and the API needs none."""

SESSION_GONE = ApiVerdict(
    "the session was gone at once: Claude ended in it",
    "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
)
"""What is wrong where a session that was started is not there any more."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How an API is asked: at ``address``, as the host sees it, which may be a guess.

    ``has_tokens`` says that some token was known. ``taken`` is where the one comes from that the
    API took for its health, empty for none.
    """

    address: str
    address_is_known: bool = True
    has_tokens: bool = False
    taken: str = ""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is known of a request, to explain why it was refused.

    ``places`` says where each field came from: ``env.NAME``, ``env``, ``workDir`` and ``name`` map
    to ``inventory.yml:4:12`` or a flag. ``failing`` are the reasons why the host's own session
    variables fail every session there. ``work_dirs`` are the file's ``allowedWorkDirs``. ``unread``
    says why the host's file, and a token in it, was not read; empty where it was. ``sent`` are the
    names in the request's ``env``.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    work_dirs: tuple[str, ...] = ()
    unread: str = ""
    sent: frozenset[str] = frozenset()

    @property
    def work_dir(self) -> str:
        """Return what the caller calls the session's directory."""
        return self.places.get("workDir", "workDir")

    @property
    def env(self) -> str:
        """Return what the caller calls the session's further variables."""
        return self.places.get("env", "env")


def explain_refusal(
    refused: RefusedRequest,
    access: ApiAccess,
    context: RequestContext,
    retry_after: float | None = None,
) -> ApiVerdict:
    """Return why Aegis refused a request, and what to do.

    ``retry_after`` is how many seconds it asks to wait, ``None`` for nothing.
    """
    words = f": {aegis_words(refused.message)}" if refused.message else ""
    match refused.status:
        case 400 if refused.code == "INVALID_WORKDIR":
            return _work_dir(refused.message, context)
        case 400 if refused.fields:
            reasons = _fields(refused.fields, context)
            return ApiVerdict(
                f"Aegis refuses the request: {reasons}",
                "correct what stands there, or leave it out",
            )
        case 401:
            return locked_api(access, context)
        case 403 if refused.code == "TENANT_WORKDIR_DENIED":
            return ApiVerdict(
                f"the token's tenant may not work in that directory{words}",
                f"name another {context.work_dir}, within the tenant's root (tenantWorkdirs in "
                "Aegis' file), or set api_token to another token",
            )
        case 403:
            found = _PERMISSION.search(refused.message)
            wanted = f"the permission {found[1]!r}" if found else "more permissions"
            return ApiVerdict(
                f"the API's token may not do that{words}",
                f"set api_token to a token of Aegis' with {wanted}",
            )
        case 422 if refused.code == "CC_VERSION_TOO_OLD":
            return ApiVerdict(
                f"{CLAUDE_TOO_OLD} for Aegis{words}",
                "update it there, as Aegis' user: 'claude update'",
            )
        case 429 if refused.code == QUOTA_EXCEEDED:
            return ApiVerdict(
                f"the token's key has as many sessions, or has spent as much, as it may{words}",
                "stop a session of it, or raise the key's quota",
            )
        case 429:
            return too_often(retry_after)
        case 500:
            return _failed(refused.message, context)
        case 503:
            return ApiVerdict(f"Aegis takes no session now{words}", "try again when it is back up")
        case status if status < _INVALID:
            return ApiVerdict(
                f"Aegis answered with {status}, in which no session can be made out",
                "see whether api leads to Aegis",
            )
        case status:
            code = f" {refused.code}" if _PLAIN.fullmatch(refused.code) else ""
            return ApiVerdict(f"Aegis refuses the request ({status}{code}){words}", LOOK_AT_LOG)


def explain_reuse(session: str, context: RequestContext, stop_command: str) -> ApiVerdict:
    """Return what to say of ``session``, which Aegis gave instead of a new one.

    ``stop_command`` is what ends it.
    """
    return ApiVerdict(
        f"the override was ignored: an idle session ({session}) is in that directory already, and "
        "Aegis gave that one, which runs on the host's own provider or on one from before",
        f"name another {context.work_dir}, or end that session with {stop_command}",
    )


def locked_api(access: ApiAccess, context: RequestContext) -> ApiVerdict:
    """Return what to say where no token opens the API."""
    if access.taken:
        message = f"the API took {access.taken} for its health, and refuses it here (401)"
        return ApiVerdict(message, HOW_TO_OPEN)
    message = f"the API {NONE_TAKEN if access.has_tokens else LOCKED} (401)"
    if context.unread:
        message += f"; the host's own file, which may hold one, was not read: {context.unread}"
    return ApiVerdict(message, HOW_TO_OPEN)


def explain_failure(reason: str, cause: ConnectFailure | None, access: ApiAccess) -> ApiVerdict:
    """Return why Aegis could not be asked at all, and what to do."""
    if cause is ConnectFailure.NOT_LISTENING:
        guess = "" if access.address_is_known else ", and that Aegis listens there is a guess"
        return ApiVerdict(
            f"nothing listens on {access.address}{guess}",
            "start Aegis there, or set api to where it listens on the host",
        )
    return ApiVerdict(f"{reason} ({access.address})", "see whether Aegis is well on the host")


def too_often(retry_after: float | None) -> ApiVerdict:
    """Return what to say of 429; ``retry_after`` is how many seconds Aegis asks to wait."""
    if retry_after is None:
        return ApiVerdict(f"{TOO_OFTEN} (429)", "try again in a minute")
    wait = wait_text(retry_after)
    return ApiVerdict(f"{TOO_OFTEN} (429), and asks to wait {wait}", f"try again in {wait}")


def aegis_words(text: str) -> str:
    """Return what Aegis says, in quotes that it can't end, and not all of a long text."""
    return quote(text.replace('"', "'"), _LONGEST_QUOTED)


def _work_dir(message: str, context: RequestContext) -> ApiVerdict:
    """Return which of Aegis' reasons against a work directory it is (its ``validateWorkDir``)."""
    name, words = context.work_dir, f": {aegis_words(message)}" if message else ""
    if "not in the allowed" in message:
        if context.work_dirs:
            known = f"the file's allowedWorkDirs are {listed(context.work_dirs, most=_MOST_NAMED)}"
        else:
            known = f"without allowedWorkDirs Aegis takes {_WITHOUT_LIST}"
        return ApiVerdict(
            f"{name} is not allowed on the host (INVALID_WORKDIR): {known}",
            "name a directory within those, or add it to allowedWorkDirs in the host's file, which "
            "AEGIS_ALLOWED_WORK_DIRS of Aegis' environment goes before; where a link leads counts, "
            "too",
        )
    if "does not exist" in message:
        return ApiVerdict(
            f"{name} is not there on the host, or Aegis' user can't see it (INVALID_WORKDIR)",
            "make it there as the user that runs Aegis, or name another",
        )
    if "traversal" in message:
        return ApiVerdict(
            f"Aegis takes no {name} with '..' in it (INVALID_WORKDIR)",
            "name the directory itself",
        )
    return ApiVerdict(
        f"Aegis refuses {name} (INVALID_WORKDIR){words}",
        "name another directory",
    )


def _fields(fields: Sequence[RefusedField], context: RequestContext) -> str:
    words = [_field(item, context) for item in fields[:_MOST_NAMED]]
    if len(fields) > _MOST_NAMED:
        words.append(f"{len(fields) - _MOST_NAMED} more")
    return listed(words, between="; ")


def _field(refused: RefusedField, context: RequestContext) -> str:
    place = context.places.get(refused.path, "")
    name = refused.path.removeprefix("env.") or "the request"
    if refused.path and not _PLAIN.fullmatch(name):
        name = aegis_words(name)
    words = aegis_words(refused.message) if refused.message else "not taken"
    return f"{name}{f' ({place})' if place else ''}: {words}"


def _failed(message: str, context: RequestContext) -> ApiVerdict:
    if context.failing:
        return ApiVerdict(
            "Aegis fails every session over its own file (500): "
            + listed(context.failing, between="; "),
            "correct that in the file; 'env: {NAME: null}' in the inventory takes a variable out "
            "with the next apply. Then restart Aegis",
        )
    found = _VARIABLE.search(message)
    if found is not None and found[1] not in context.sent:
        # Nothing in the file that is there now is refused, as far as that was read.
        hint = "restart Aegis there: it runs on an older file, or on another one"
        if context.unread:
            hint = "take it out of the file that Aegis reads, and restart Aegis there"
        return ApiVerdict(
            f"Aegis fails every session over {found[1]} (500), which this request does not hold: "
            "it comes from the defaultSessionEnv that Aegis was started with",
            hint,
        )
    words = f": {aegis_words(message)}" if message else ""
    return ApiVerdict(f"Aegis failed (500){words}", LOOK_AT_LOG)
