"""``aegis-provision demo`` as a whole process."""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_provision.demo.scenario import VARIABLES, demo_hosts

PROGRAM = [sys.executable, "-W", "error", "-m", "aegis_provision"]
KEPT = ["demo", "--hosts", "6", "--keep"]
OFFERED = "In another terminal:\n"
LAST = "\ncat hosts/"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose home is empty, read-only, and whose temporary files are watched."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir(mode=0o500)
    temporary.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "TMPDIR": str(temporary), "LC_ALL": "C.UTF-8"}


def secrets_of(count: int) -> list[str]:
    found = [value for name, value in VARIABLES.items() if "KEY" in name or "TOKEN" in name]
    for host in demo_hosts(count):
        found += re.findall(r'"(?:authToken|ANTHROPIC_AUTH_TOKEN)": "([^"]+)"', host.content or "")
    return found


def run_demo(environ: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "demo", *args],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_shows_every_step_and_leaves_nothing(environ: dict[str, str]) -> None:
    result = run_demo(environ, "--hosts", "6")
    assert result.returncode == 0, result.stdout + result.stderr
    typed = re.findall(r"^\$ aegis-provision (\S+)", result.stdout, re.MULTILINE)
    assert typed == ["validate", "plan", "apply", "plan", "status"]
    assert "Valid: 6 hosts, 5 groups, 6 providers in use, 1 pin." in result.stdout
    assert "Plan: 1 to create, 4 to update, 1 unchanged" in result.stdout
    assert "Plan: 6 unchanged" in result.stdout
    assert "Status: 6 in sync, 1 never provisioned, 5 restart pending" in result.stdout
    assert "playbook.yml: 2 plays, 4 batches, 6 hosts." in result.stdout
    batches = [line for line in result.stderr.splitlines() if line.startswith(("Play", "Batch"))]
    assert batches == [
        'Play 1/2 "Canary": 1 host',
        'Play 2/2 "Everyone else": 5 hosts in 3 batches',
        "Batch 1/3: 1 host",
        "Batch 2/3: 2 hosts",
        "Batch 3/3: 2 hosts",
    ]
    assert not list(Path(environ["HOME"]).iterdir())
    assert not list(Path(environ["TMPDIR"]).iterdir())


def test_it_shows_no_secret(environ: dict[str, str]) -> None:
    result = run_demo(environ, "--hosts", "8")
    assert result.returncode == 0, result.stdout + result.stderr
    shown = [secret for secret in secrets_of(8) if secret in result.stdout + result.stderr]
    # Ollama's token is a harmless placeholder of the recipe's own; it is masked all the same.
    assert shown == []


def test_the_operators_own_settings_do_not_reach_it(environ: dict[str, str]) -> None:
    own = {
        "OPENROUTER_API_KEY": "canary-of-the-operator",
        "OPENROUTER_MODEL": "canary-model",
        "AEGIS_PROVISION_INVENTORY": "/nonexistent",
        "AEGIS_PROVISION_LIMIT": "nobody",
        "SSH_AUTH_SOCK": "/nonexistent/agent",
    }
    result = run_demo({**environ, **own}, "--hosts", "6")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "canary-model" not in result.stdout
    assert "Plan: 6 unchanged" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_keep_stays_up_until_a_signal_and_then_tidies_up(
    environ: dict[str, str], number: signal.Signals
) -> None:
    with start(environ, *KEPT) as demo:
        try:
            directory = Path(read_offers(demo)[0][1])
            tokens = directory / "tokens.env"
            assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
            demo.send_signal(number)
            after, errors = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert demo.returncode == 0, errors
    assert "stopped and everything of theirs is removed" in after
    assert not directory.exists()
    assert not list(Path(environ["TMPDIR"]).iterdir())


def test_the_commands_to_try_work(environ: dict[str, str]) -> None:
    with start(environ, *KEPT) as demo:
        try:
            cd, *commands = read_offers(demo)
            programs = [command[0] for command in commands]
            results = [
                subprocess.run(
                    [*PROGRAM, *command[1:]] if command[0] == "aegis-provision" else command,
                    cwd=cd[1],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                for command in commands
            ]
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert cd[0] == "cd"
    assert programs.count("aegis-provision") == 7
    assert programs[-1] == "cat"
    assert [result.returncode for result in results] == [0] * len(results), results


def test_it_says_what_of_the_operators_shell_is_in_the_way(environ: dict[str, str]) -> None:
    own = {"OPENROUTER_MODEL": "canary-model", "GLM_API_KEY": "canary-token", "OTHER": "x"}
    with start({**environ, **own}, *KEPT) as demo:
        try:
            offers = read_offers(demo)
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert ["unset", "GLM_API_KEY", "OPENROUTER_MODEL"] in offers


def test_a_reader_that_goes_away_ends_it_in_order(environ: dict[str, str]) -> None:
    with start(environ, "demo", "--hosts", "6") as demo:
        try:
            assert demo.stdout is not None
            assert demo.stderr is not None
            demo.stdout.readline()
            demo.stdout.close()
            errors = demo.stderr.read()
            demo.wait(timeout=60)
        finally:
            demo.kill()
    assert "error" not in errors
    assert not list(Path(environ["TMPDIR"]).iterdir())


def test_too_few_hosts_is_a_usage_error(environ: dict[str, str]) -> None:
    result = run_demo(environ, "--hosts", "2")
    assert result.returncode == 64
    assert "6<=x<=99" in result.stderr
    assert not list(Path(environ["TMPDIR"]).iterdir())


def test_no_room_for_its_files_is_said_plainly(environ: dict[str, str], tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv.pop(1);"
        "from aegis_provision.cli.main import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, nowhere, "demo"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 6
    assert result.stderr == "error: the demo's hosts can't be set up: Not a directory\n"


def start(environ: dict[str, str], *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *args],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_offers(demo: subprocess.Popen[str]) -> list[list[str]]:
    """Read the demo's output up to the last command it offers; return those, as words."""
    assert demo.stdout is not None
    text = ""
    while LAST not in text:
        line = demo.stdout.readline()
        assert line, f"the demo ended early:\n{text}"
        text += line
    offered = text.partition(OFFERED)[2].replace("\\\n", " ")
    lines = [line for line in offered.splitlines() if line and not line.startswith("#")]
    return [shlex.split(line) for line in lines]
