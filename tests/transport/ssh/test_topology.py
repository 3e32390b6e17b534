"""An operator, a bastion and two networks behind it, OpenSSH everywhere: who is reached, and how.

What is reached or refused here is held against what the real client does from the same place.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.agent import running_agent
from tests.fleet.clients import need
from tests.fleet.namespaces import Networks, running_networks
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.fleet.agent import Agent

pytestmark = [pytest.mark.root, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
_MANY = 100

_CONFIG = """\
Host wrong-gate
    HostName {gate}
    HostKeyAlias wrong-gate
Host gate
    HostName {gate}
Host wrong-left
    HostName {left}
    HostKeyAlias wrong-left
    ProxyJump gate
Host behind-wrong-gate
    HostName {left}
    ProxyJump wrong-gate
Host left inner
    HostName {left}
    ProxyJump gate
Host right
    HostName {right}
    ProxyJump gate
Host deep
    HostName {deep}
    ProxyJump inner
Host straight
    HostName {left}
Host *
    IdentityFile {key}
    UserKnownHostsFile {known_hosts}
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 5
"""


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's files: an inventory is written for each plan."""

    networks: Networks
    home: Path
    agent: Agent

    @property
    def environ(self) -> dict[str, str]:
        """The environment that every command runs with, an agent's socket in it."""
        return {
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "LOGNAME": self.networks.user,
            "SSH_AUTH_SOCK": self.agent.socket,
            "XDG_STATE_HOME": str(self.home / "state"),
        }

    def plan(self, hosts: dict[str, str], *flags: str) -> dict[str, str]:
        """Plan for ``hosts``, each with its name in the ssh config; return what is said of each."""
        for name in hosts:
            file = self.home / "hosts" / name / "aegis.config.json"
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text('{"authToken": "not-real"}\n')
            file.chmod(0o600)
        inventory = {
            "all": {
                "vars": {"provider": "ollama", "user": self.networks.user},
                "hosts": {
                    name: {
                        "address": address,
                        "config_path": str(self.home / "hosts" / name / "aegis.config.json"),
                    }
                    for name, address in hosts.items()
                },
            }
        }
        path = self.home / "inventory.yml"
        path.write_text(json.dumps(inventory))
        done = self.command("plan", "-i", str(path), "--format", "json", *flags)
        assert done.stdout, done.stderr
        plans: list[dict[str, Any]] = json.loads(done.stdout)["hosts"]
        return {item["host"]: item.get("message") or item["action"] for item in plans}

    def command(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the program on the operator's machine."""
        program = (sys.executable, "-W", "error", "-m", "aegis_provision")
        return self.networks.run(*program, *args, env=self.environ, cwd=self.home)

    def reaches(self, name: str) -> bool:
        """Tell whether the real client gets to ``name`` with the same files."""
        done = self.networks.run(
            need("ssh", "openssh-client"),
            *("-F", self.home / ".ssh" / "config", name, "true"),
            env=self.environ,
            cwd=self.home,
        )
        return done.returncode == 0


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    with running_networks(tmp_path_factory.mktemp("networks")) as found:
        yield found


@pytest.fixture(scope="module")
def operator(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    home = tmp_path_factory.mktemp("operator")
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    other = make_key(home / "other").with_suffix(".pub").read_text()
    lines = [machine.known_hosts_line for machine in networks.machines.values()]
    lines += [f"wrong-gate {other}", f"wrong-left {other}"]
    (ssh / "known_hosts").write_text("".join(lines))
    addresses = {name: machine.address for name, machine in networks.machines.items()}
    known_hosts, key = ssh / "known_hosts", f"{networks.client_key}.pub"
    (ssh / "config").write_text(_CONFIG.format(key=key, known_hosts=known_hosts, **addresses))
    with running_agent(home) as agent:
        agent.add(networks.client_key)
        yield Operator(networks, home, agent)


def test_many_hosts_behind_a_default_bastion_over_one_connection(
    operator: Operator, networks: Networks
) -> None:
    sides = ("left", "right")
    before = {name: networks[name].logins for name in ("gate", *sides)}
    hosts = {f"h{number}": sides[number % 2] for number in range(_MANY)}
    assert set(operator.plan(hosts).values()) == {"update"}
    after = {name: networks[name].logins - count for name, count in before.items()}
    assert after == {"gate": 1, "left": _MANY // 2, "right": _MANY // 2}


def test_a_chain_and_all_that_the_real_client_refuses(
    operator: Operator, networks: Networks
) -> None:
    before = networks["gate"].logins
    names = ("left", "right", "deep", "wrong-left", "behind-wrong-gate", "straight")
    found = operator.plan({name: name for name in names})
    logged_in = networks["gate"].logins - before
    assert {name for name, said in found.items() if said == "update"} == {"left", "right", "deep"}
    assert {name for name in names if operator.reaches(name)} == {"left", "right", "deep"}
    # One connection for all who go by its right name. The wrong one is refused before the login.
    assert logged_in == 1
    assert found["wrong-left"].startswith("host key: ")
    assert found["behind-wrong-gate"].startswith("bastion wrong-gate: host key: ")
    assert found["straight"].startswith("connect: the network is unreachable")


def test_no_agent_is_forwarded(operator: Operator, networks: Networks) -> None:
    assert operator.plan({"deep": "deep"}) == {"deep": "update"}
    for machine in networks.machines.values():
        log = machine.log.read_text()
        assert "direct-tcpip" in log or machine.name in {"right", "deep"}  # it tells of channels
        assert "auth-agent-req" not in log
