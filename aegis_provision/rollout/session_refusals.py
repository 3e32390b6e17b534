"""Why Aegis did not do what was asked of one session, in words: what was wrong, and the remedy.

The rows are those of docs/aegis.md, "One session". What Aegis itself says goes into the words; the
caller redacts them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.aegis.session_api import QUOTA_EXCEEDED
from aegis_provision.humanize import listed
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.providers.retry_after import parse_retry_after, waiting_time
from aegis_provision.rollout.session_wait import HOW_TO_OPEN
from aegis_provision.rollout.verdicts import Blocked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.aegis.session_api import RefusedField, RefusedRequest
    from aegis_provision.rollout.aegis_client import AegisClient
    from aegis_provision.transport.http_messages import HttpFailure

WORK_DIR = "--work-dir"

_INVALID = 400
_LOOK_AT_LOG = "look at its log on the host"
_PERMISSION = re.compile(r"missing ([a-z_]{1,20}) permission")
_WITHOUT_LIST = "its user's home, the system's temporary directory, and where it was started itself"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is known of a request, to explain why it was refused.

    ``places`` says where each field came from: ``env.NAME``, ``workDir`` and ``name`` map to
    ``inventory.yml:4:12`` or a flag. ``failing`` are the reasons why the host's own session
    variables fail every session there. ``work_dirs`` are the file's ``allowedWorkDirs``. ``unread``
    says why the host's file, and a token in it, was not read; empty where it was.
    """

    places: Mapping[str, str]
    failing: tuple[str, ...] = ()
    work_dirs: tuple[str, ...] = ()
    unread: str = ""


def explain_refusal(
    refused: RefusedRequest, client: AegisClient, context: RequestContext
) -> Blocked:
    """Return why Aegis refused a request of ``client``, and what to do."""
    words = f": {refused.message}" if refused.message else ""
    match refused.status:
        case 400 if refused.code == "INVALID_WORKDIR":
            return _work_dir(refused.message, context)
        case 400 if refused.fields:
            reasons = listed((_field(item, context) for item in refused.fields), between="; ")
            return Blocked(
                f"Aegis refuses the request: {reasons}",
                "correct what stands there, or leave it out",
            )
        case 401:
            return locked_api(client, context)
        case 403 if refused.code == "TENANT_WORKDIR_DENIED":
            return Blocked(
                f"the token's tenant may not work in that directory{words}",
                f"name another {WORK_DIR}, within the tenant's root (tenantWorkdirs in Aegis' "
                "file), or set api_token to another token",
            )
        case 403:
            found = _PERMISSION.search(refused.message)
            wanted = f"the permission {found[1]!r}" if found else "more permissions"
            return Blocked(
                f"the API's token may not do that{words}",
                f"set api_token to a token of Aegis' with {wanted}",
            )
        case 422 if refused.code == "CC_VERSION_TOO_OLD":
            return Blocked(
                f"Claude Code on the host is too old for Aegis{words}",
                "update it there, as Aegis' user: 'claude update'",
            )
        case 429 if refused.code == QUOTA_EXCEEDED:
            return Blocked(
                f"the token's key has as many sessions, or has spent as much, as it may{words}",
                "stop a session of it, or raise the key's quota",
            )
        case 429:
            return _too_often(refused.retry_after)
        case 500:
            return _failed(words, context)
        case 503:
            return Blocked(f"Aegis takes no session now{words}", "try again when it is back up")
        case status if status < _INVALID:
            return Blocked(
                f"Aegis answered with {status}, in which no session can be made out",
                "see whether api leads to Aegis",
            )
        case status:
            code = f" {refused.code}" if refused.code else ""
            return Blocked(f"Aegis refuses the request ({status}{code}){words}", _LOOK_AT_LOG)


def locked_api(client: AegisClient, context: RequestContext) -> Blocked:
    """Return what to say where no token opens the API."""
    if client.tokens:
        message = "the API takes none of the known tokens (401)"
    else:
        message = "the API is locked, and no token for it is known (401)"
    if context.unread:
        message += f"; the host's own file, which may hold one, was not read: {context.unread}"
    return Blocked(message, HOW_TO_OPEN)


def explain_failure(failure: HttpFailure, client: AegisClient) -> Blocked:
    """Return why Aegis could not be asked at all, and what to do."""
    if failure.cause is ConnectFailure.NOT_LISTENING:
        guess = "" if client.address_is_known else ", and that Aegis listens there is a guess"
        return Blocked(
            f"nothing listens on {client.address}{guess}",
            "start Aegis there, or set api to where it listens on the host",
        )
    return Blocked(f"{failure.reason} ({client.address})", "see whether Aegis is well on the host")


def _work_dir(message: str, context: RequestContext) -> Blocked:
    """Return which of Aegis' reasons against a work directory it is (its ``validateWorkDir``)."""
    if "not in the allowed" in message:
        if context.work_dirs:
            known = f"its allowedWorkDirs are {listed(context.work_dirs)}"
        else:
            known = f"without allowedWorkDirs Aegis takes {_WITHOUT_LIST}"
        return Blocked(
            f"{WORK_DIR} is not allowed on the host (INVALID_WORKDIR): {known}",
            "name a directory within those, or add it to allowedWorkDirs in the host's file; where "
            "a link leads counts, too",
        )
    if "does not exist" in message:
        return Blocked(
            f"{WORK_DIR} is not there on the host, or Aegis' user can't see it (INVALID_WORKDIR)",
            "make it there as the user that runs Aegis, or name another",
        )
    if "traversal" in message:
        return Blocked(
            f"Aegis takes no {WORK_DIR} with '..' in it (INVALID_WORKDIR)",
            "name the directory itself",
        )
    return Blocked(
        f"Aegis refuses {WORK_DIR} (INVALID_WORKDIR){f': {message}' if message else ''}",
        "name another directory",
    )


def _field(field: RefusedField, context: RequestContext) -> str:
    place = context.places.get(field.path, "")
    name = field.path.removeprefix("env.") or "the request"
    return f"{name}{f' ({place})' if place else ''}: {field.message or 'not taken'}"


def _too_often(retry_after: str) -> Blocked:
    seconds = parse_retry_after(retry_after, datetime.now(UTC))
    if seconds is None:
        return Blocked("Aegis was asked too often (429)", "try again in a minute")
    wait = waiting_time(seconds)
    return Blocked(
        f"Aegis was asked too often (429), and asks to wait {wait}", f"try again in {wait}"
    )


def _failed(words: str, context: RequestContext) -> Blocked:
    if context.failing:
        return Blocked(
            "Aegis fails every session over its own file (500): "
            + listed(context.failing, between="; "),
            "correct that in the file; 'env: {NAME: null}' in the inventory takes a variable out "
            "with the next apply. Then restart Aegis",
        )
    return Blocked(f"Aegis failed (500){words}", _LOOK_AT_LOG)
