"""Random fleets and random edits: 'status' says of every key what happened to it, and no more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollout.local_fleet import HOSTS, LocalFleet, place

OTHERS = ("ALPHA", "BETA", "GAMMA")

_NAME = st.sampled_from([*OTHERS, "API_TIMEOUT_MS"])
_VALUE = st.sampled_from(["1", "2", "3"])
_ENV = st.dictionaries(st.sampled_from(OTHERS), _VALUE)
_WANTED = st.dictionaries(st.sampled_from(OTHERS), st.none() | _VALUE)
_HOST = st.sampled_from(HOSTS)
_STEP = st.one_of(
    st.tuples(st.just("want"), _HOST, _WANTED),
    st.tuples(st.just("edit"), _HOST, st.tuples(_NAME, st.none() | _VALUE)),
    st.tuples(st.just("lose receipt"), _HOST, st.none()),
    st.tuples(st.just("lose file"), _HOST, st.none()),
    st.tuples(st.just("there and back"), _HOST, st.none()),
    st.tuples(st.just("apply"), st.lists(_HOST, min_size=1, unique=True), st.none()),
)


@dataclass
class Fleet(LocalFleet):
    """Hosts on this machine, and what a bystander knows of each."""

    written: dict[str, dict[str, str] | None] = field(default_factory=dict)

    def there(self, host: str) -> dict[str, str]:
        if not self.file(host).exists():
            return {}
        found: dict[str, str] = json.loads(self.file(host).read_bytes())["defaultSessionEnv"]
        return found

    def call(self, *args: str, exit_code: int = 0) -> dict[str, Any]:
        self.write_inventory()
        code, found, result = self.run(*args, "-i", str(self.inventory))
        assert code == exit_code, result
        return found

    def check(self) -> None:
        for entry in self.call("status")["hosts"]:
            host = entry["host"]
            drifted, pending = self.expected(host)
            assert set(entry["drifted"]) == drifted, (host, entry)
            assert set(entry["pending"]) == pending, (host, entry)
            states = set(entry["state"]) - {"restart_pending", "edited"}
            expected = {"drifted"} if drifted else set()
            if self.written[host] is None:
                expected.add("never_provisioned")
            elif pending:
                expected.add("pending")
            assert states == (expected | ({"in_sync"} if not drifted | pending else set()))

    def expected(self, host: str) -> tuple[set[str], set[str]]:
        """Return what has drifted and what is pending, by the words of the contract."""
        wanted, there = self.variables(host), self.there(host)
        written, removed = self.written[host], self.nulls(host) & there.keys()
        if written is None:
            missing = {name for name in wanted if there.get(name) != wanted[name]}
            return set(), missing | removed
        drifted, pending = set(), set(removed)
        for name in {*wanted, *written}:
            was, now, then = written.get(name), there.get(name), wanted.get(name)
            if now == then:
                continue
            if was is not None and now != was:
                drifted.add(name)
            if then != was and (then is not None or now == was):
                pending.add(name)
        return drifted, pending

    def apply(self, hosts: list[str]) -> None:
        before = {host: self.there(host) for host in hosts}
        due = {host: self.call("plan", "--limit", host)["hosts"][0] for host in hosts}
        self.call("apply", "--yes", "--limit", ",".join(hosts))
        for host in hosts:
            wanted, written = self.variables(host), self.written[host] or {}
            mine = {name for name in written if before[host].get(name) == written[name]}
            mine |= self.nulls(host)
            kept = {name: value for name, value in before[host].items() if name not in mine}
            assert self.there(host) == {**kept, **wanted}
            if due[host]["action"] != "unchanged":
                self.written[host] = wanted
            assert self.call("plan", "--limit", host)["hosts"][0]["action"] == "unchanged"

    def lose_file(self, host: str) -> None:
        """Remove the file: an error where this tool wrote it, until it is written anew."""
        self.file(host).unlink(missing_ok=True)
        if self.written[host] is None:
            return
        assert self.call("plan", "--limit", host, exit_code=4)["hosts"][0]["action"] == "error"
        assert self.call("status", "--limit", host, exit_code=4)["hosts"][0]["state"] == ["error"]
        self.call("apply", "--yes", "--recreate", "--limit", host)
        wanted = self.written[host] = self.variables(host)
        assert self.there(host).items() >= wanted.items()
        assert self.nulls(host).isdisjoint(self.there(host))

    def there_and_back(self, host: str) -> None:
        """Apply and undo it: what a way back wrote is what was ours before, as it was then."""
        file, written = self.file(host), self.written[host]
        there, before = file.read_bytes() if file.exists() else None, self.there(host)
        if self.call("plan", "--limit", host)["hosts"][0]["action"] == "unchanged":
            return
        self.apply([host])
        self.call("rollback", "--yes")
        assert (file.read_bytes() if file.exists() else None) == there
        self.written[host] = None
        if written is not None and there is not None:
            self.written[host] = {name: before[name] for name in written if name in before}


@given(
    first=st.fixed_dictionaries(dict.fromkeys(HOSTS, _WANTED)),
    foreign=st.fixed_dictionaries({host: st.none() | _ENV for host in HOSTS}),
    steps=st.lists(_STEP, min_size=1, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_status_is_what_happened(
    first: dict[str, dict[str, str | None]],
    foreign: dict[str, dict[str, str] | None],
    steps: list[tuple[str, Any, Any]],
) -> None:
    with place() as root:
        fleet = Fleet(root, dict(first), written=dict.fromkeys(HOSTS))
        for host in HOSTS:
            fleet.put(host, foreign[host])
        fleet.check()
        fleet.apply(["a", "b"])
        fleet.check()
        for step in steps:
            _take(fleet, *step)
            fleet.check()


def _take(fleet: Fleet, kind: str, where: Any, what: Any) -> None:
    match kind:
        case "want":
            fleet.wanted[where] = what
        case "edit":
            name, value = what
            env = {**fleet.there(where), name: value}
            fleet.put(where, {key: text for key, text in env.items() if text is not None})
        case "lose receipt":
            receipt = fleet.file(where).parent / ".aegis-provision" / "receipt.json"
            receipt.unlink(missing_ok=True)
            fleet.written[where] = None
        case "lose file":
            fleet.lose_file(where)
        case "there and back":
            fleet.there_and_back(where)
        case "apply":
            fleet.apply(where)
