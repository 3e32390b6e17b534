"""A small run to write records of."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.history.run_header import HostIdentity, RunHeader, RunHost, RunKind, SourceFile
from aegis_provision.history.state_dir import StateDir
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import (
    Gates,
    OnFailure,
    Play,
    Restart,
    Schedule,
    ScheduledPlay,
    Verify,
)

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/opt/aegis/aegis.config.json"
CANARY = "canary-7f3a91c2"
HOSTS = ("a", "b", "c", "d")
RUN = "20261125T101500Z-1a2b3c"
STARTED = datetime(2026, 11, 25, 10, 15, 0, 250_000, tzinfo=UTC)
GATES = Gates(Restart.CHANGED, Verify(health=True, probe=True, timeout=30), OnFailure.ROLLBACK)


def state_dir_in(directory: Path) -> StateDir:
    """Return a state directory below ``directory``, of which nothing exists yet."""
    return StateDir(directory / "state" / "aegis-provision")


def identity(host: str) -> HostIdentity:
    return HostIdentity("ssh", f"{host}.example.com", 22, None, PATH)


def header(run: str = RUN, hosts: tuple[str, ...] = HOSTS) -> RunHeader:
    """Return a header of two plays: the first host, then the others in batches of two."""
    rest = hosts[1:]
    batches = tuple(rest[index : index + 2] for index in range(0, len(rest), 2))
    plays = (
        ScheduledPlay(Play("Canary", hosts[0], gates=GATES), (hosts[:1],)),
        ScheduledPlay(
            Play("Rest", f"all:!{hosts[0]}", serial=(HostCount(2, percent=False),), pause=1.5),
            batches,
        ),
    )
    return RunHeader(
        run=run,
        kind=RunKind.APPLY,
        tool_version="0.1.0",
        operator="ada@control",
        started=STARTED,
        inventories=(SourceFile("inventory.yml", "11" * 32),),
        playbook=SourceFile("rollout.yml", "22" * 32),
        limit="",
        schedule=Schedule(plays),
        hosts={host: RunHost(identity(host), "openrouter") for host in hosts},
    )


def write_of(host: str) -> Write:
    """Return a write whose old and new content hold a canary."""
    base = RemoteFile(f"old {host} {CANARY}".encode(), 0o640, 1000, 1001)
    return Write(PATH, f"new {host} {CANARY}".encode(), 0o600, 1000, 1000, base)


def plan_of(host: str) -> HostPlan:
    """Return the plan that ``write_of`` belongs to."""
    return HostPlan(
        host,
        "openrouter",
        PATH,
        Action.UPDATE,
        changes=(
            Change("ANTHROPIC_BASE_URL", ChangeKind.CHANGED, f"http://{CANARY}", CANARY, False),
            Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.CHANGED, None, None, True),
        ),
        write=write_of(host),
    )


def environ(state: Path) -> dict[str, str]:
    """Return the environment of a command whose state directory lies in ``state``."""
    return {**os.environ, "XDG_STATE_HOME": str(state), "HOME": str(state)}
