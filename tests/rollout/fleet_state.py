"""What is true of a fleet after a run: on the hosts, and in the run's record."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fleet.hosts import CommandResult, Fleet, FleetHost


@dataclass(frozen=True, slots=True)
class Before:
    """A host as it was before a run."""

    content: bytes | None
    mode: int
    starts: int


def before(host: FleetHost) -> Before:
    """Take note of a host as it is."""
    path = host.config_path
    if not path.exists():
        return Before(None, 0, host.starts)
    return Before(path.read_bytes(), stat.S_IMODE(path.stat().st_mode), host.starts)


def before_all(fleet: Fleet) -> dict[str, Before]:
    """Take note of every host as it is."""
    return {host.name: before(host) for host in fleet}


def is_new(host: FleetHost) -> bool:
    """Tell whether a host's file is the one of this inventory."""
    return (
        host.config_path.exists()
        and host.session_env()["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9/v1"
    )


def left_behind(host: FleetHost) -> set[str]:
    """Return what of ours lies on a host, the previous file and the receipt apart."""
    own = host.config_path.parent / ".aegis-provision"
    return {path.name for path in own.glob("*")} - {"previous", "receipt.json"}


def recorded(fleet: Fleet, run: str = "last") -> dict[str, Any]:
    """Return what the record of a run says."""
    result = fleet.call("history", run, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = result.json["run"]
    return found


def recorded_hosts(fleet: Fleet, run: str = "last") -> dict[str, dict[str, Any]]:
    """Return what the record of a run says of each host."""
    return {entry["host"]: entry for entry in recorded(fleet, run)["hosts"]}


def logins(fleet: Fleet) -> int:
    """Return how many logins there were to hosts."""
    return fleet.sshd.log.read_text(errors="replace").count("Accepted publickey")


def message_of(result: CommandResult, host: str) -> str:
    """Return what a run says of a host."""
    [message] = [entry["message"] for entry in result.json["hosts"] if entry["host"] == host]
    assert isinstance(message, str)
    return message
