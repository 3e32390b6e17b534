"""How often a host's answer is waited for, counted by a way to it that takes its time.

The bounds are those of docs/performance.md.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run
from tests.fleet.agent import running_agent
from tests.fleet.hosts import OLD_ENV, PROVIDERS
from tests.fleet.long_way import LongWay, long_way
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd

ROUND_TRIP = 0.1  # seconds: much longer than what either side does in between
PLAN, APPLY = 8, 14
_BASTION = 4  # to log in there, and to be led on


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs commands on one host, far away, whose file is at ``path``."""

    home: Path
    sshd: Sshd
    way: LongWay
    path: Path
    key: Path
    environ: dict[str, str]

    def count(self, *args: str, **common: object) -> list[int]:
        """Run a command; return the round trips of each connection that it took.

        ``common`` are settings of the host.
        """
        inventory = self.home / "inventory.yml"
        settings = {
            "provider": "gateway",
            "address": "127.0.0.1",
            "port": self.way.port,
            "user": self.sshd.user,
            "config_path": str(self.path),
            "identity_file": str(self.key),
            **common,
        }
        everything = {"vars": {k: v for k, v in settings.items() if v is not None}}
        document = {"providers": PROVIDERS, "all": {**everything, "hosts": {"far": {}}}}
        inventory.write_text(json.dumps(document))
        self.way.trips.clear()
        known = str(self.sshd.known_hosts)
        where = ("-i", str(inventory), "--ssh-config", "none", "--known-hosts", known)
        assert run([*args, *where], self.environ) == 0
        return self.way.round_trips

    def put(self, name: str) -> None:
        """Let the host's file name another model than it should."""
        env = {**OLD_ENV, "ANTHROPIC_DEFAULT_MODEL": name}
        self.path.write_text(json.dumps({"defaultSessionEnv": env}))
        self.path.chmod(0o600)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """Run a host a long way off."""
    keys = [make_key(tmp_path / kind, kind=kind) for kind in ("rsa", "ed25519")]
    authorized = [key.with_suffix(".pub") for key in keys]
    (tmp_path / "host").mkdir()
    path = tmp_path / "host" / "aegis.config.json"
    with (
        running_sshd(tmp_path / "sshd", authorized=authorized) as sshd,
        long_way(sshd.port, ROUND_TRIP) as way,
    ):
        with sshd.known_hosts.open("a") as known:
            known.write(f"[127.0.0.1]:{way.port} {sshd.host_key.read_text()}")
        environ = {
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "GATEWAY_TOKEN": "gateway-token-not-real",
        }
        yield Operator(tmp_path, sshd, way, path, keys[0], environ)


def test_plan_and_apply_wait_no_more_often_than_they_must(operator: Operator) -> None:
    count = operator.count
    # A client that is still loading while it connects speaks after the server.
    importlib.import_module("aegis_provision.transport.ssh.sftp_session")
    assert count("plan") < [PLAN], "there is no file yet"
    assert count("apply", "--yes") < [APPLY], "a new file"
    assert count("plan") == [PLAN], "nothing to change"
    operator.put("old")
    assert count("apply", "--yes") == [APPLY], "over a file, with a receipt beside it"
    with running_agent(operator.home) as agent:
        agent.add(operator.home / "ed25519")
        operator.environ["SSH_AUTH_SOCK"] = agent.socket
        assert count("plan", identity_file=None) == [PLAN]
        bastion = f"{operator.sshd.user}@127.0.0.1:{operator.way.port}"
        behind = count("plan", identity_file=None, jump=[bastion], port=operator.sshd.port)
        assert behind == [PLAN + _BASTION]
