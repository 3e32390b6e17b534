"""An Aegis that says the tokens back, wherever it speaks of sessions: none of them comes out."""

from __future__ import annotations

import json
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from aegis_provision.providers.redaction import MASK
from tests.fleet.http_server import JsonHandler, serving
from tests.providers.test_redaction import SPELLINGS
from tests.rollout.local_fleet import FIVE, LocalFleet, place

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "tkn/4f1d+9wXy7LmN"
FILE_TOKEN = "own-8c2e+7qRt5VbZ"
ID = "0b5f8f0e-1111-4222-8333-444455556666"
FORMS = (("--format", "text", "-vvv"), ("--format", "json"), ("--format", "ndjson"))
NOT_SHOWN = "(not shown)"
START = ("session", "start", "a", "--work-dir", "/srv/work", "--wait", "0.1")


class _Aegis(ThreadingHTTPServer):
    """Answers ``POST`` and ``DELETE`` with ``told``, and says ``word`` of every session."""

    daemon_threads = True
    told: tuple[int, object] = (500, {})
    word = ""


class _Handler(JsonHandler):
    server: _Aegis

    def do_GET(self) -> None:
        word = self.server.word
        if self.path == "/v1/health":
            self.say(200, {"status": "ok", "uptime": 5, "sessions": {"active": 1}})
        elif self.path.endswith("/health"):
            self.say(200, {"status": word, "claudeRunning": False, "details": word})
        elif self.headers["Authorization"] is None:
            self.say(401, {})
        else:
            names = {"windowName": word, "status": word, "workDir": f"/{word}"}
            self.say(200, {"sessions": [{"id": ID, **names}, {"id": word}]})

    def do_POST(self) -> None:
        self.say(*self.server.told)

    def do_DELETE(self) -> None:
        self.do_POST()


@pytest.fixture
def aegis() -> Iterator[_Aegis]:
    with serving(_Aegis(("127.0.0.1", 0), _Handler)) as server:
        yield server


@pytest.fixture
def fleet(aegis: _Aegis) -> Iterator[LocalFleet]:
    with place() as root:
        fleet = LocalFleet(root, {"a": {}, "b": {}, "c": {}}, TOKEN)
        fleet.write_inventory()
        document = json.loads(fleet.inventory.read_text())
        document["all"]["vars"]["api"] = f"127.0.0.1:{aegis.server_port}"
        fleet.inventory.write_text(json.dumps(document))
        fleet.put("a", FIVE)
        content = json.loads(fleet.file("a").read_text())
        fleet.file("a").write_text(json.dumps({**content, "authToken": FILE_TOKEN}))
        yield fleet


def answers(word: str) -> Iterator[tuple[int, object]]:
    details = [{"path": ["env", "ANTHROPIC_AUTH_TOKEN"], "message": word}, {"path": [word]}]
    yield 400, {"error": word, "details": details}
    yield 400, {"error": f"workDir: {word}", "code": "INVALID_WORKDIR"}
    yield 403, {"error": word, "code": "TENANT_WORKDIR_DENIED"}
    yield 418, {"error": word, "code": word}
    yield 429, {"error": "QUOTA_EXCEEDED", "message": word}
    yield 500, {"error": word}
    yield 200, {"id": ID, "windowName": word, "reused": True}
    yield 201, {"id": ID, "windowName": word}


def test_no_token_comes_back_and_nothing_drives_a_terminal(
    fleet: LocalFleet, aegis: _Aegis
) -> None:
    spelt = SPELLINGS["percent-lower"](TOKEN), SPELLINGS["base64-after-2"](FILE_TOKEN)
    aegis.word = "\x1b[2J\u202e" + " ".join((*spelt, FILE_TOKEN, TOKEN))
    said = []
    for number, answer in enumerate(answers(aegis.word)):
        form = FORMS[number % len(FORMS)]
        aegis.told = answer
        said.append(fleet.output(*START, *form, "-i", str(fleet.inventory)))
        said.append(fleet.output("session", "stop", "a", ID, *form, "-i", str(fleet.inventory)))
    said += [
        fleet.output("session", "list", "a", *form, "-i", str(fleet.inventory)) for form in FORMS
    ]
    for text in said:
        for piece in (*spelt, TOKEN, FILE_TOKEN, TOKEN[-12:], FILE_TOKEN[-12:]):
            assert piece not in text
        assert text.replace("\n", "").isprintable()
    assert sum(MASK in text for text in said) > 5
    assert sum(MASK in text or NOT_SHOWN in text for text in said) > 10
