"""A provider, an Aegis and a host that say the tokens back, wherever they can say anything.

Nothing that is printed or kept may hold one, however it is spelt: only the hosts' own files do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from aegis_provision.providers.redaction import MASK
from tests.fleet.hosts import TOKEN as GATEWAY_TOKEN
from tests.fleet.hosts import running_hosts
from tests.fleet.provider_server import running_provider
from tests.providers.test_redaction import SPELLINGS
from tests.rollout.local_fleet import LocalFleet, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fleet.provider_server import Provider

TOKEN = "tkn/4f1d+9wXy7LmN"
FILE_TOKEN = "own-8c2e+7qRt5VbZ"
BOOK = (
    "- hosts: all\n  restart: changed\n  sessions: ignore\n  preflight: {probe: true}\n"
    "  verify: {health: true, probe: true, timeout: 1s}\n  on_failure: rollback\n"
)
RUNS = (
    ("plan", "--format", "text", "-vvv"),
    ("plan", "--format", "json"),
    ("plan", "--out", "plan.json", "--format", "json"),
    ("status", "--format", "text", "-vvv"),
    ("status", "--format", "json"),
    ("apply", "book.yml", "--yes", "--report", "page.html", "--format", "ndjson"),
    ("apply", "book.yml", "--yes", "--report", "page2.html", "--format", "text", "-vvv"),
    ("rollback", "--yes", "--format", "text", "-vvv"),
    ("history", "--format", "json"),
    ("import", "--out", "new.yml", "--format", "text"),
)
FIRST = 12


@dataclass
class Echo:
    """One host on this machine whose provider and Aegis say what the test sets."""

    fleet: LocalFleet
    provider: Provider
    aegis: Provider

    @property
    def host(self) -> Path:
        return self.fleet.file("a").parent

    def says(self, spelt: str) -> None:
        """Let ``spelt`` be said in every place at once that does not end a run before another."""
        self.aegis.told = 200, json.dumps({"status": spelt, "version": spelt}), ""
        (self.host / "words").write_text(spelt)
        env = {"ANTHROPIC_DEFAULT_MODEL": spelt, "MORE": f"x{spelt}", "API_TIMEOUT_MS": "1"}
        self.fleet.put("a", env)
        content = json.loads(self.fleet.file("a").read_text())
        content["authToken"] = FILE_TOKEN
        self.fleet.file("a").write_text(json.dumps(content))


def in_provider_models(echo: Echo, spelt: str) -> None:
    models = [spelt, f"big-{spelt}", "big", "small"]
    echo.provider.told = 200, json.dumps({"data": [{"id": name} for name in models[:2]]}), ""


def in_provider_wildcards(echo: Echo, spelt: str) -> None:
    echo.provider.told = 200, json.dumps({"data": [{"id": f"{spelt}/*"}]}), ""


def in_provider_redirect(echo: Echo, spelt: str) -> None:
    echo.provider.told = 307, "", f"https://away.example/{spelt}/models"


def in_provider_error(echo: Echo, spelt: str) -> None:
    echo.provider.told = 401, json.dumps({"error": {"message": f"bad key {spelt}"}}), ""


def in_restart(echo: Echo, spelt: str) -> None:
    models = json.dumps({"data": [{"id": "big"}, {"id": "small"}]})
    echo.provider.told = 200, models, ""


def in_lock(echo: Echo, spelt: str) -> None:
    in_restart(echo, spelt)
    kept = echo.host / ".aegis-provision"
    kept.mkdir(mode=0o700, exist_ok=True)
    (kept / "lock").write_text(json.dumps({"owner": spelt, "since": f"since {spelt}"}))


def in_link(echo: Echo, spelt: str) -> None:
    echo.fleet.file("a").unlink()
    echo.fleet.file("a").symlink_to(f"{spelt}")


def in_name(echo: Echo, spelt: str) -> None:
    content = json.loads(echo.fleet.file("a").read_text())
    content["defaultSessionEnv"] = {spelt: "value"}
    echo.fleet.file("a").write_text(json.dumps(content))


PLACES: dict[str, Callable[[Echo, str], None]] = {
    "models": in_provider_models,
    "wildcards": in_provider_wildcards,
    "redirect": in_provider_redirect,
    "error": in_provider_error,
    "restart": in_restart,
    "lock": in_lock,
    "link": in_link,
    "name": in_name,
}
TELLS = {"models", "wildcards", "redirect", "restart", "lock", "link", "name"}
"""Places from which something is repeated to the operator."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    with place() as root, running_provider() as provider, running_provider() as aegis:
        provider.instead = aegis.instead = "told"
        fleet = LocalFleet(root, {"a": {}, "b": {}, "c": {}}, TOKEN)
        fleet.write_inventory()
        document = json.loads(fleet.inventory.read_text())
        document["providers"]["law"]["base_url"] = provider.base_url()
        document["all"]["hosts"] = {"a": document["all"]["hosts"]["a"]}
        (root / "a").mkdir()
        document["all"]["vars"] |= {
            "api": f"127.0.0.1:{aegis.port}",
            "restart_command": f"cat {root / 'a' / 'words'}; exit 3",
        }
        fleet.inventory.write_text(json.dumps(document))
        (root / "book.yml").write_text(BOOK)
        yield Echo(fleet, provider, aegis)


def said_and_kept(echo: Echo) -> str:
    """Run everything; return all that was printed, and all that is left on the operator's side."""
    root = echo.fleet.root
    texts = []
    for args in RUNS:
        named = [str(root / arg) if "." in arg else arg for arg in args]
        texts.append(echo.fleet.output(*named, "-i", str(echo.fleet.inventory)))
    kept = [path for path in root.rglob("*") if not path.is_relative_to(echo.host)]
    return "\n".join(
        (*texts, *(path.read_text(errors="replace") for path in kept if path.is_file()))
    )


SPELT = ("plain", "percent-lower", "half-percent", "json-escaped", "base64-after-2", "hex")
CASES = [
    *((name, spelling, TOKEN) for name in PLACES for spelling in SPELT),
    # What a spelling is known by is no other with another token; a link has no token of its own.
    *((n, s, FILE_TOKEN) for n in PLACES if n != "link" for s in ("plain", "base64-after-2")),
]


@pytest.mark.parametrize(("name", "spelling", "token"), CASES)
def test_no_token_comes_back(echo: Echo, name: str, spelling: str, token: str) -> None:
    spelt = SPELLINGS[spelling](token)
    if "/" in spelt and name == "link":
        spelt = spelt.replace("/", "%2F")
    echo.says(spelt)
    PLACES[name](echo, spelt)
    found = said_and_kept(echo)
    for piece in (token, token[-FIRST:], spelt, SPELLINGS[spelling](token[:FIRST]).rstrip("=")):
        assert piece not in found
    if name in TELLS and spelling == "plain":
        assert MASK in found


@pytest.mark.parametrize("spelling", ["plain", "percent-lower", "base64-after-2"])
def test_an_sshd_that_says_the_token_is_not_repeated(tmp_path: Path, spelling: str) -> None:
    spelt = SPELLINGS[spelling](GATEWAY_TOKEN)
    hidden = "(what it said may hold a secret)"
    words_of = {"plain": f"Welcome, {MASK}!", "percent-lower": f"Welcome, {MASK}!"}
    words_of["base64-after-2"] = hidden
    words = tmp_path / "words"
    words.write_text(f"Welcome, {spelt}!\n")
    own = [f"ForceCommand cat {words}", f"Banner {words}"]
    with running_hosts(tmp_path / "fleet", ["a"], sshd_settings=own) as fleet:
        for args in (("plan", "-vvv"), ("status",), ("apply", "--yes", "--format", "ndjson")):
            result = fleet.run(*args)
            assert words_of[spelling] in result.stdout
            for piece in (GATEWAY_TOKEN, spelt):
                assert piece not in result.stdout + result.stderr
        for path in fleet.state.rglob("*"):
            assert path.is_dir() or spelt.encode() not in path.read_bytes()
