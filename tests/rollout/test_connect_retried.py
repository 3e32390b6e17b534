"""What is tried again to connect is told while it happens, and is in the record of the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aegis_provision as ap
from aegis_provision.rollout.events import ConnectRetried
from tests.fleet.relay import turning_away

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.rollout.events import Event
    from tests.fleet.openssh import Sshd

THROTTLED = "handshake: the host takes no more connections for now (MaxStartups)"


def retried(events: list[Event]) -> list[tuple[str, int, str]]:
    found = [event for event in events if isinstance(event, ConnectRetried)]
    events.clear()
    return [(event.host, event.attempt, event.reason) for event in found]


def test_it_is_told_of_a_plan_and_recorded_of_a_run(sshd: Sshd, tmp_path: Path) -> None:
    told: list[Event] = []
    file, inventory = tmp_path / "aegis.config.json", tmp_path / "inventory.yml"
    file.write_text('{"authToken": "not-real"}')
    with turning_away(sshd.port, b"Exceeded MaxStartups\r\n", times=1) as door:
        inventory.write_text(
            f"all:\n  vars: {{provider: ollama, user: {sshd.user}, port: {door.port},"
            f" identity_file: {sshd.client_key}}}\n"
            f"  hosts: {{a: {{address: 127.0.0.1, config_path: {file}}}}}\n"
        )
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{door.port} {sshd.host_key.read_text()}")
        plan = ap.plan(
            ap.load(inventory),
            environ={"HOME": str(tmp_path)},
            on_event=told.append,
            known_hosts=[known_hosts],
            ssh_config="none",
        )
        assert [item.action for item in plan] == [ap.Action.UPDATE]
        assert retried(told) == [("a", 2, THROTTLED)]
        door.closed = 2
        run = ap.apply(plan, on_event=told.append)
    assert run.ok
    assert retried(told) == [("a", 2, THROTTLED), ("a", 3, THROTTLED)]
    assert ap.past_run(run.name, environ={"HOME": str(tmp_path)}).state.results[0].ok
    record = tmp_path / ".local" / "state" / "aegis-provision" / "runs" / f"{run.name}.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()[1:]]
    attempts = [line for line in lines if line.get("event") == "connect_retried"]
    assert [(line["host"], line["attempt"], line["reason"]) for line in attempts] == [
        ("a", 2, THROTTLED),
        ("a", 3, THROTTLED),
    ]
