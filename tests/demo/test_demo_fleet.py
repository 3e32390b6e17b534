"""The demo's hosts, seen through OpenSSH's own client."""

from __future__ import annotations

import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from aegis_provision.demo.fleet import DemoFleet, running_fleet
from aegis_provision.demo.scenario import FEWEST_HOSTS, MOST_HOSTS, VARIABLES, demo_hosts

if TYPE_CHECKING:
    from pathlib import Path


def sftp(fleet: DemoFleet, host: str, *commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sftp", "-b", "-", "-F", fleet.directory / "ssh_config", host],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_host_shows_its_own_files_and_no_others(tmp_path: Path) -> None:
    fetched = tmp_path / "fetched"
    with running_fleet(FEWEST_HOSTS) as fleet:
        config = fleet.config_file("gpu-02")
        result = sftp(fleet, "gpu-02", "pwd", "ls -ln /", f"get /opt/aegis/{config.name} {fetched}")
        escaped = sftp(fleet, "gpu-02", f"get ../../../{fleet.directory}/tokens.env {fetched}.2")
        assert result.returncode == 0, result.stderr
        assert "Remote working directory: /" in result.stdout
        assert fetched.read_bytes() == config.read_bytes()
        assert escaped.returncode != 0


def test_a_file_can_be_replaced_and_keeps_its_owner_for_a_client(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text("{}")
    with running_fleet(FEWEST_HOSTS) as fleet:
        result = sftp(
            fleet,
            "eu-01",
            f"put -f {new} /opt/aegis/new",
            "chmod 600 /opt/aegis/new",
            "chown 1000 /opt/aegis/new",
            "rename /opt/aegis/new /opt/aegis/aegis.config.json",
            "ls -ln /opt/aegis",
        )
        foreign = sftp(fleet, "eu-01", "chown 0 /opt/aegis/aegis.config.json")
        written = fleet.config_file("eu-01")
        assert result.returncode == 0, result.stderr
        assert "1000" in result.stdout.splitlines()[-1].split()
        assert written.read_text() == "{}"
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        assert foreign.returncode != 0


def test_only_the_demos_key_gets_in(tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    with running_fleet(FEWEST_HOSTS) as fleet:
        config = fleet.directory / "ssh_config"
        text = config.read_text().replace(str(fleet.directory / "id_ed25519"), str(other))
        config.write_text(text)
        result = sftp(fleet, "gpu-01", "pwd")
    assert result.returncode != 0
    assert "Permission denied" in result.stderr


def test_nobody_else_can_look_inside() -> None:
    with running_fleet(FEWEST_HOSTS) as fleet:
        assert stat.S_IMODE(fleet.directory.stat().st_mode) == 0o700
        private = ["id_ed25519", "known_hosts", "ssh_config", "tokens.env"]
        modes = {stat.S_IMODE((fleet.directory / name).stat().st_mode) for name in private}
        assert modes == {0o600}


def test_nothing_is_left_of_it_even_with_a_client_connected() -> None:
    before = threading.active_count()
    with running_fleet(FEWEST_HOSTS) as fleet:
        client = subprocess.Popen(
            ["sftp", "-F", fleet.directory / "ssh_config", "gpu-01"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("pwd\n")
        client.stdin.flush()
        while "Remote working directory" not in (line := client.stdout.readline()):
            assert line, "the client never got through"
    client.communicate("ls\n", timeout=30)
    assert client.returncode != 0
    assert not fleet.directory.exists()
    assert threading.active_count() == before


def test_all_is_removed_when_the_block_fails() -> None:
    with pytest.raises(RuntimeError, match="on purpose"), running_fleet(FEWEST_HOSTS) as fleet:
        raise RuntimeError("on purpose")
    assert not fleet.directory.exists()


@pytest.mark.parametrize("count", [FEWEST_HOSTS - 1, MOST_HOSTS + 1])
def test_a_count_out_of_bounds(count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        demo_hosts(count)


def test_every_token_says_that_it_is_not_real() -> None:
    tokens = {name: value for name, value in VARIABLES.items() if "KEY" in name or "TOKEN" in name}
    assert tokens
    assert all("not-real" in value for value in tokens.values())
