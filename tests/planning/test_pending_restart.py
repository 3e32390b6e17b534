"""Whether Aegis waits for a restart: its API, its process, the records, in this order."""

from __future__ import annotations

import pytest

from aegis_provision.aegis.api_responses import Health
from aegis_provision.aegis.identify_server import AegisServer, ServerUser
from aegis_provision.planning.pending_restart import is_restart_pending

FILE = 1_795_000_000
LONG = 900
SERVER = AegisServer("/opt/aegis", "/opt/aegis", None, ServerUser(998, frozenset()), running=True)


@pytest.mark.parametrize(
    ("api", "process", "recorded", "pending"),
    [
        (-LONG, None, False, True),
        (LONG, -LONG, True, False),  # the API knows better than its process, or a record
        (0, -LONG, False, True),  # too near the file: the process tells
        (0, LONG, False, False),
        (0, None, False, False),
        (0, LONG, True, True),
        (None, -LONG, False, True),
        (None, LONG, False, False),
        (None, None, True, True),
        (None, None, False, None),
    ],
)
@pytest.mark.parametrize("answers", [True, False])
def test_who_says_since_when_aegis_runs(
    answers: bool, api: int | None, process: int | None, recorded: bool, pending: bool | None
) -> None:
    started = None if api is None else float(FILE + api)
    health = Health("ok", started) if answers or api is not None else None
    server = None
    if process is not None:
        server = AegisServer(
            "/opt/aegis",
            "/opt/aegis",
            None,
            ServerUser(998, frozenset()),
            True,
            started=FILE + process,
        )
    assert is_restart_pending(health, server, float(FILE), recorded=recorded) is pending
