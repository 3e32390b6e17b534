"""Ctrl-C and a polite kill: at any moment, and what the hosts look like then."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fleet.gated import ADDRESS, Gate, GatedHost
from tests.fleet.operator import HOST_FILE, Operator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = ("a", "b", "c", "d")
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def gates() -> tuple[Gate, Gate]:
    return Gate(), Gate()


@pytest.fixture
def held(operator: Operator, tmp_path: Path, gates: tuple[Gate, Gate]) -> Iterator[Operator]:
    """An operator whose hosts are all one server that can be held still."""
    root = tmp_path / "gated"
    for host in HOSTS:
        (root / host).mkdir(parents=True)
        (root / host / "aegis.config.json").write_text(HOST_FILE)
        (root / host / "aegis.config.json").chmod(0o600)
    with GatedHost(root, *gates) as server:
        key = tmp_path / "gated_key"
        server.client_key.write_private_key(key)
        key.chmod(0o600)
        known = tmp_path / "gated_known_hosts"
        public = server.host_key.export_public_key().decode()
        known.write_text(f"[{ADDRESS}]:{server.port} {public}")
        operator.environ["AEGIS_PROVISION_KNOWN_HOSTS"] = str(known)
        common = f"address: {ADDRESS}, port: {server.port}, user: x, identity_file: {key}"
        hosts = "".join(
            f"    {name}: {{config_path: /{name}/aegis.config.json}}\n" for name in HOSTS
        )
        (operator.work / "inventory.yml").write_text(
            f"all:\n  vars: {{provider: openrouter, {common}}}\n  hosts:\n{hosts}"
        )
        yield operator


@contextmanager
def started(operator: Operator, *args: str) -> Iterator[subprocess.Popen[str]]:
    with operator.start(*args) as program:
        try:
            yield program
        finally:
            program.kill()


def files(root: Path) -> dict[str, bool]:
    """Tell of each host whether it has its new file; each must be whole."""
    texts = {host: (root / host / "aegis.config.json").read_text() for host in HOSTS}
    assert all(json.loads(text)["authToken"] == "the-hosts-own" for text in texts.values())
    return {host: "defaultSessionEnv" in json.loads(text) for host, text in texts.items()}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [["plan"], ["apply", "--yes"]], ids=lambda args: args[0])
def test_a_signal_while_hosts_are_read_ends_it_with_nothing_written(
    held: Operator,
    gates: tuple[Gate, Gate],
    tmp_path: Path,
    command: list[str],
    number: signal.Signals,
) -> None:
    with started(held, *command) as program:
        gates[0].wait_until_reached()
        program.send_signal(number)
        out, err = program.communicate(timeout=30)
    assert (program.returncode, out) == (130, "")
    assert err == "Reading 4 hosts\ninterrupted; nothing was written\n"
    assert not any(files(tmp_path / "gated").values())


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_a_signal_while_a_host_is_written_lets_it_finish_and_begins_no_other(
    held: Operator, gates: tuple[Gate, Gate], tmp_path: Path, number: signal.Signals
) -> None:
    gates[0].open()
    with started(held, "apply", "--yes", "--forks", "1", "--format", "json") as program:
        gates[1].wait_until_reached()
        program.send_signal(number)
        told = read_until(program, "under way will finish")
        gates[1].open()
        out, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Stopping: no further host is begun; 1 under way will finish." in told
    assert "Traceback" not in told + err
    result = json.loads(out)
    assert result["exit_code"] == 130
    assert result["summary"]["restart_pending"] == 1
    assert result["summary"]["not_attempted"] == 3
    assert files(tmp_path / "gated") == {"a": True, "b": False, "c": False, "d": False}
    past = held.call("history", result["run"], "--format", "json")
    assert json.loads(past.out)["run"]["state"] == "interrupted"


def test_those_not_attempted_are_named(
    held: Operator, gates: tuple[Gate, Gate], tmp_path: Path
) -> None:
    gates[0].open()
    with started(held, "apply", "--yes", "--forks", "2", "--quiet") as program:
        gates[1].wait_until_reached()
        program.send_signal(signal.SIGINT)
        read_until(program, "Stopping")
        gates[1].open()
        out, _ = program.communicate(timeout=30)
    written = files(tmp_path / "gated")
    left = [host for host in HOSTS if not written[host]]
    assert "not attempted: nothing was done there\n" in out
    assert f"    {', '.join(left)}\n" in out or f"{left[0]}: not attempted" in out
    [recap] = [line for line in out.splitlines() if line.startswith("Recap: ")]
    assert f"{list(written.values()).count(False)} not attempted" in recap


def test_a_host_that_could_not_be_written_anyway_keeps_its_reason(
    held: Operator, gates: tuple[Gate, Gate], tmp_path: Path
) -> None:
    (tmp_path / "gated" / "d" / "aegis.config.json").write_text("no file of ours")
    (held.work / "one.yml").write_text("- {hosts: all, serial: 1, max_fail: 100%}\n")
    gates[0].open()
    with started(held, "apply", "one.yml", "--yes", "--report", "run.html") as program:
        gates[1].wait_until_reached()
        program.send_signal(signal.SIGINT)
        read_until(program, "Stopping")
        gates[1].open()
        out, _ = program.communicate(timeout=30)
    assert program.returncode == 130
    reason = "nothing was done there, and nothing could be: Aegis ignores the whole file: it is"
    assert f"d: not attempted: {reason}" in out
    assert "Recap: 1 written, restart pending, 3 not attempted\n" in out
    assert out.count("nothing was done there\n") == 2
    page = (held.work / "run.html").read_text()
    assert reason in page
    assert held.call("history", "last").out.count(reason) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_ctrl_c_does_not_wait_and_leaves_files_whole(
    held: Operator, gates: tuple[Gate, Gate], tmp_path: Path, workers: str
) -> None:
    gates[0].open()
    with started(held, "apply", "--yes", "--forks", "1", "--workers", workers) as program:
        gates[1].wait_until_reached()
        program.send_signal(signal.SIGINT)
        read_until(program, "Stopping")
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in err
    assert "a: failed: interrupted while it was worked on" in out
    assert "Recap: 1 failed, 3 not attempted\n" in out
    files(tmp_path / "gated")


def read_until(program: subprocess.Popen[str], words: str) -> str:
    """Read the program's stderr up to the line with ``words``."""
    assert program.stderr is not None
    result = ""
    while words not in result:
        line = program.stderr.readline()
        assert line, f"it ended before it said {words!r}:\n{result}"
        result += line
    return result
