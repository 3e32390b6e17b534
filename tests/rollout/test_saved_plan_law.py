"""Random fleets and random edits: a saved plan does what it said, or nothing at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.cli.main import run

HOSTS = ("a", "b", "c")
TOKEN = "token-of-the-law"
FIVE = {
    "ANTHROPIC_BASE_URL": "https://llm.example.com/v1",
    "ANTHROPIC_AUTH_TOKEN": TOKEN,
    "ANTHROPIC_DEFAULT_MODEL": "big",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
    "API_TIMEOUT_MS": "60000",
}
_HOST = st.sampled_from(HOSTS)
_VALUE = st.sampled_from(["1", "2"])
_NAME = st.sampled_from(["ALPHA", "BETA", "API_TIMEOUT_MS", "ANTHROPIC_AUTH_TOKEN"])
_ENV = st.dictionaries(_NAME, _VALUE)
_EDIT = st.one_of(
    st.tuples(st.just("file"), _HOST, _ENV),
    st.tuples(st.just("mode"), _HOST, st.sampled_from([0o600, 0o644])),
    st.tuples(st.just("gone"), _HOST, st.none()),
    st.tuples(st.just("wanted"), _HOST, st.dictionaries(st.sampled_from(["ALPHA"]), _VALUE)),
    st.tuples(st.just("token"), st.just(""), st.sampled_from([TOKEN, "another-of-the-law"])),
    st.tuples(st.just("nothing"), st.just(""), st.none()),
)


@dataclass
class World:
    """Hosts on this machine, what they should have, and the operator's token."""

    root: Path
    wanted: dict[str, dict[str, str]]
    token: str = TOKEN

    def file(self, host: str) -> Path:
        return self.root / host / "aegis.config.json"

    def put(self, host: str, env: dict[str, str] | None) -> None:
        self.file(host).parent.mkdir(exist_ok=True)
        self.file(host).unlink(missing_ok=True)
        if env is not None:
            self.file(host).touch(mode=0o600)
            self.file(host).write_text(json.dumps({"authToken": "x", "defaultSessionEnv": env}))

    def write_inventory(self) -> None:
        recipe = {
            "base_url": FIVE["ANTHROPIC_BASE_URL"],
            "auth_token": "${LAW_TOKEN}",
            "model": "big",
            "fast_model": "small",
            "timeout_ms": "60000",
        }
        hosts = {
            name: {"config_path": str(self.file(name)), "env": self.wanted[name]} for name in HOSTS
        }
        common = {"provider": "law", "connection": "local"}
        document = {"providers": {"law": recipe}, "all": {"vars": common, "hosts": hosts}}
        (self.root / "inventory.yml").write_text(json.dumps(document))

    def facts(self) -> object:
        """Return all that a plan rests on."""
        inventory = (self.root / "inventory.yml").read_bytes()
        return inventory, self.token, {host: self.facts_of(host) for host in HOSTS}

    def facts_of(self, host: str) -> tuple[bytes, int] | None:
        path = self.file(host)
        return (path.read_bytes(), path.stat().st_mode) if path.exists() else None

    def call(self, *args: str) -> tuple[int, dict[str, Any]]:
        environ = {"HOME": str(self.root), "LOGNAME": "law", "LAW_TOKEN": self.token}
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*args, "--format", "json"], environ)
        return code, json.loads(out.getvalue() or "{}")

    def edit(self, kind: str, host: str, what: Any) -> None:
        match kind:
            case "file":
                self.put(host, what)
            case "mode" if self.file(host).exists():
                self.file(host).chmod(what)
            case "gone":
                self.put(host, None)
            case "wanted":
                self.wanted[host] = what
                self.write_inventory()
            case "token":
                self.token = what


@given(
    first=st.fixed_dictionaries({host: st.none() | _ENV for host in HOSTS}),
    wanted=st.fixed_dictionaries(
        dict.fromkeys(HOSTS, st.dictionaries(st.sampled_from(["ALPHA"]), _VALUE))
    ),
    edits=st.lists(_EDIT, max_size=3),
    no_secrets=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_saved_plan_does_what_it_said_or_nothing(
    first: dict[str, dict[str, str] | None],
    wanted: dict[str, dict[str, str]],
    edits: list[tuple[str, str, Any]],
    no_secrets: bool,
) -> None:
    root = Path(tempfile.mkdtemp(prefix="aegis-provision-law-"))
    try:
        world = World(root, dict(wanted))
        for host, env in first.items():
            world.put(host, env)
        world.write_inventory()
        said = ["--no-secrets"] if no_secrets else []
        inventory, saved = str(root / "inventory.yml"), str(root / "plan.json")
        code, plan = world.call("plan", "-i", inventory, "--out", saved, *said)
        assert code == 0
        then = world.facts()
        for edit in edits:
            world.edit(*edit)
        now = world.facts()
        before = {host: world.facts_of(host) for host in HOSTS}
        code, _ = world.call("apply", saved, "--yes")
        token_alone = isinstance(then, tuple) and isinstance(now, tuple) and then[::2] == now[::2]
        if now == then or (no_secrets and token_alone):
            assert code == 0
            _is_as_planned(world, plan, before)
        else:
            assert code == 6
            assert {host: world.facts_of(host) for host in HOSTS} == before
    finally:
        shutil.rmtree(root)


def _is_as_planned(
    world: World, plan: dict[str, Any], before: dict[str, tuple[bytes, int] | None]
) -> None:
    """Check that what changed is what the plan named, and those it said could not be told."""
    for entry in plan["hosts"]:
        host = entry["host"]
        was, after = before[host], world.facts_of(host)
        assert after is not None
        old = json.loads(was[0])["defaultSessionEnv"] if was else {}
        new = json.loads(after[0])["defaultSessionEnv"]
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        named = {change["key"] for change in entry["changes"] if "file." not in change["key"]}
        assert named <= changed <= named | set(entry["unknown"])
        assert {name: new[name] for name in FIVE} == {**FIVE, "ANTHROPIC_AUTH_TOKEN": world.token}
