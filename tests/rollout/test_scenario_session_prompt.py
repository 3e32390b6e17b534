"""An Aegis whose sessions go wrong once they were started: what `session start` says, and sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.http_server import JsonHandler, serving
from tests.rollout.local_fleet import FIVE, LocalFleet, place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = "0b5f8f0e-1111-4222-8333-444455556666"
Answer = tuple[int, dict[str, Any]]
RUNS: Answer = (200, {"claudeRunning": True, "status": "idle"})
NOT_YET: Answer = (200, {"claudeRunning": False, "status": "unknown"})
HANGS_UP: Answer = (0, {})


@dataclass(frozen=True)
class Script:
    """What Aegis answers: each health of the session in turn, a prompt, and the start itself."""

    health: tuple[Answer, ...] = (RUNS,)
    send: Answer = (200, {"delivered": True})
    start: Answer = (201, {"id": ID, "windowName": "n"})


class _Aegis(ThreadingHTTPServer):
    daemon_threads = True
    script = Script()
    asked = 0
    prompts = 0


class _Handler(JsonHandler):
    server: _Aegis

    def do_GET(self) -> None:
        if self.path == "/v1/health":
            self._say((200, {"status": "ok", "uptime": 5, "sessions": {"active": 1}}))
        elif self.path.endswith("/health"):
            answers = self.server.script.health
            self.server.asked += 1
            self._say(answers[min(self.server.asked, len(answers)) - 1])
        else:
            self._say((401, {}))

    def do_POST(self) -> None:
        if self.path.endswith("/send"):
            self.server.prompts += 1
            self._say(self.server.script.send)
        else:
            self._say(self.server.script.start)

    def _say(self, answer: Answer) -> None:
        status, what = answer
        if not status:
            self.close_connection = True
            return
        self.say(status, what)


@pytest.fixture(scope="module")
def aegis() -> Iterator[_Aegis]:
    with serving(_Aegis(("127.0.0.1", 0), _Handler)) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(aegis: _Aegis) -> Iterator[LocalFleet]:
    with place() as root:
        fleet = LocalFleet(root, {"a": {}, "b": {}, "c": {}}, "token-of-this-fleet")
        fleet.write_inventory()
        document = json.loads(fleet.inventory.read_text())
        document["all"]["vars"]["api"] = f"127.0.0.1:{aegis.server_port}"
        fleet.inventory.write_text(json.dumps(document))
        fleet.put("a", FIVE)
        yield fleet


STILL_THERE = "; the session is still there"
TABLE = {
    "Claude ends at once": (
        Script((RUNS, NOT_YET)),
        f"Claude ended in it at once{STILL_THERE}",
        0,
    ),
    "whether it asks something is not told": (
        Script((RUNS, RUNS, (401, {}))),
        (
            "the prompt was not sent: whether the session asks something can't be told: Aegis "
            f"answers with status 401{STILL_THERE}"
        ),
        0,
    ),
    "no answer tells whether the prompt arrived": (
        Script(send=HANGS_UP),
        f"whether the prompt arrived can't be told: it hung up without an answer{STILL_THERE}",
        1,
    ),
    "the session is gone before the prompt": (
        Script(send=(404, {"error": "Session not found"})),
        "the session was gone at once: Claude ended in it",
        1,
    ),
    "the prompt is refused": (
        Script(send=(400, {"error": "no"})),
        f'the prompt was not sent: Aegis refuses the request (400): "no"{STILL_THERE}',
        1,
    ),
    "Aegis runs on a file from before": (
        Script(start=(500, {"error": 'Forbidden env var: "GITHUB_TOKEN" - denylisted'})),
        (
            "Aegis fails every session over GITHUB_TOKEN (500), which this request does not hold: "
            "it comes from the defaultSessionEnv that Aegis was started with"
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_goes_wrong_after_the_start_is_told(
    fleet: LocalFleet, aegis: _Aegis, name: str, tmp_path: Path
) -> None:
    aegis.script, message, prompts = TABLE[name]
    aegis.asked = aegis.prompts = 0
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Say ok")
    code, document, err = fleet.run(
        "session", "start", "a", "--work-dir", "/srv/work", "--wait", "0.1",
        "--prompt-file", str(prompt), "-i", str(fleet.inventory),
    )  # fmt: skip
    assert code == 4, err
    [host] = document["hosts"]
    assert (host["status"], host["message"]) == ("failed", message)
    assert aegis.prompts == prompts
