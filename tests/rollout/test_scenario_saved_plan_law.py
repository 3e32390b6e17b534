"""Random fleets and random edits: a saved plan does what it said, or nothing at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollout.local_fleet import FIVE, HOSTS, TOKEN, LocalFleet, place

_HOST = st.sampled_from(HOSTS)
_VALUE = st.sampled_from(["1", "2"])
_NAME = st.sampled_from(["ALPHA", "BETA", "API_TIMEOUT_MS", "ANTHROPIC_AUTH_TOKEN"])
_ENV = st.dictionaries(_NAME, _VALUE)
_WANTED = st.dictionaries(st.sampled_from(["ALPHA"]), st.none() | _VALUE)
_EDIT = st.one_of(
    st.tuples(st.just("file"), _HOST, _ENV),
    st.tuples(st.just("mode"), _HOST, st.sampled_from([0o600, 0o644])),
    st.tuples(st.just("gone"), _HOST, st.none()),
    st.tuples(st.just("wanted"), _HOST, _WANTED),
    st.tuples(st.just("token"), st.just(""), st.sampled_from([TOKEN, "another-of-the-law"])),
    st.tuples(st.just("nothing"), st.just(""), st.none()),
)


class World(LocalFleet):
    """Hosts on this machine, and all that a plan of them rests on."""

    def facts(self) -> tuple[bytes, str, dict[str, tuple[bytes, int] | None]]:
        files = {host: self.facts_of(host) for host in HOSTS}
        return self.inventory.read_bytes(), self.token, files

    def facts_of(self, host: str) -> tuple[bytes, int] | None:
        path = self.file(host)
        return (path.read_bytes(), path.stat().st_mode) if path.exists() else None

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
    wanted=st.fixed_dictionaries(dict.fromkeys(HOSTS, _WANTED)),
    edits=st.lists(_EDIT, max_size=3),
    no_secrets=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_saved_plan_does_what_it_shows_or_nothing(
    first: dict[str, dict[str, str] | None],
    wanted: dict[str, dict[str, str | None]],
    edits: list[tuple[str, str, Any]],
    no_secrets: bool,
) -> None:
    with place() as root:
        world = World(root, dict(wanted))
        for host, env in first.items():
            world.put(host, env)
        world.write_inventory()
        result = ["--no-secrets"] if no_secrets else []
        saved = str(root / "plan.json")
        code, plan, _ = world.run("plan", "-i", str(world.inventory), "--out", saved, *result)
        assert code == 0
        then = world.facts()
        for edit in edits:
            world.edit(*edit)
        now = world.facts()
        before = {host: world.facts_of(host) for host in HOSTS}
        code, _, _ = world.run("apply", saved, "--yes")
        if now == then or (no_secrets and then[::2] == now[::2]):
            assert code == 0
            _is_as_planned(world, plan, before)
        else:
            assert code == 6
            assert {host: world.facts_of(host) for host in HOSTS} == before


def _is_as_planned(
    world: World, plan: dict[str, Any], before: dict[str, tuple[bytes, int] | None]
) -> None:
    """Check that what changed is what the plan named, or said to be unknown."""
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
        assert world.nulls(host).isdisjoint(new)
