"""``run``: what the command gets, how signals and ends are passed on, and that nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run
from aegis_provision.files.private_directory import PREFIX
from tests.fleet.needs import missing
from tests.fleet.operator import ROOT
from tests.fleet.program import PROGRAM
from tests.fleet.terminal import running_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary-token-4f1d"
INVENTORY = """\
providers:
  gateway:
    extends: openrouter
    base_url: https://${USER}.example.com/v1
    auth_token: ${GATEWAY_TOKEN}
  partial: {base_url: "https://llm.example.com/v1", auth_token: "${GATEWAY_TOKEN}"}
all:
  vars: {provider: gateway, api_token: "${HOSTS_TOKEN}", password: "${LOGIN_PASSWORD}"}
  hosts:
    h1: {env: {ANTHROPIC_CUSTOM_HEADERS: null}}
    in-yaml: {config_path: .aegis/config.yaml}
    ollama: {model: of-the-host}
"""
# Writes down what it was given; then it ends as it is told, or prints the signals that it gets.
COMMAND = """\
import json, os, signal, stat, sys
how, record, file = sys.argv[1], sys.argv[2], sys.argv[-1]
mode = lambda path: oct(stat.S_IMODE(os.stat(path).st_mode))
with open(record, "w") as stream:
    json.dump({
        "argv": sys.argv[3:], "environ": dict(os.environ), "parent": os.getppid(),
        "modes": [mode(os.path.dirname(file)), mode(file)], "content": open(file).read(),
        "blocked": [int(item) for item in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "ignored": [int(item) for item in signal.valid_signals()
                    if signal.getsignal(item) == signal.SIG_IGN],
    }, stream)
if how.isdigit():
    sys.exit(int(how))
count = 0
def told(number, frame):
    global count
    count += 1
    os.write(1, f"{signal.Signals(number).name} {count}\\n".encode())
names, _, deaf = how.partition(":")
for name in names.split(","):
    signal.signal(getattr(signal, name), told)
os.write(1, b"ready\\n")
while deaf:
    signal.pause()
for line in sys.stdin:
    os.write(1, f"total {count}\\n".encode())
sys.exit(3)
"""


@dataclass(slots=True)
class Bench:
    """A directory to type commands in, and where directories of ours may lie."""

    work: Path
    runtime: Path
    environ: dict[str, str]

    @property
    def left(self) -> list[Path]:
        return sorted(self.runtime.glob(f"{PREFIX}*"))

    def words(self, how: str, record: str = "record.json") -> list[str]:
        return ["--", sys.executable, "-I", "-S", "command.py", how, record]

    def recorded(self, record: str = "record.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.work / record).read_text())
        return found

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*PROGRAM, "run", *args],
            cwd=self.work,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            try:
                yield program
            finally:
                program.kill()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    work, runtime = tmp_path / "work", tmp_path / "runtime"
    for path in (work, runtime):
        path.mkdir(mode=0o700)
    (work / "command.py").write_text(COMMAND)
    monkeypatch.chdir(work)
    return Bench(
        work,
        runtime,
        {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "USER": "operator",
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(runtime),
            "OPENROUTER_API_KEY": CANARY,
        },
    )


def test_the_command_gets_the_file_and_no_secret(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    env_file = bench.work / "secrets.env"
    env_file.write_text(f"GLM_API_KEY={CANARY}-of-the-file\nOPENROUTER_MODEL=m\n")
    env_file.chmod(0o600)
    kept = {"AEGIS_AUTH_TOKEN": "lock", "UNRELATED": "x"}
    secret = {
        "COPY_OF_IT": CANARY,
        "HEADER_WITH_IT": f"Authorization: Bearer {CANARY}",
        "PROXY_WITH_IT": f"https://user:{CANARY}@proxy.example.com/",
        "AZURE_OPENAI_API_KEY": f"{CANARY}-azure",
        "ANTHROPIC_API_KEY": f"{CANARY}-own",
        "ANTHROPIC_BASE_URL": "https://elsewhere.example.com",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "OPENROUTER_BASE_URL": "https://proxy.example.com/v1",
    }
    bench.environ |= kept | secret
    command = [*PROGRAM, "run", "openrouter", "-v", "--env-file", str(env_file), *bench.words("7")]
    done = subprocess.run(
        [*command, "--port", "9200"],
        cwd=bench.work,
        env=bench.environ,
        capture_output=True,
        text=True,
        umask=0,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, ""), done.stderr
    found = bench.recorded()
    *port, flag, file = found["argv"]
    assert (port, flag) == (["--port", "9200"], "--config")
    assert file.startswith(f"{bench.runtime}/{PREFIX}")
    assert file.endswith("/aegis.config.json")
    assert found["modes"] == ["0o700", "0o600"]
    assert json.loads(found["content"])["defaultSessionEnv"]["ANTHROPIC_AUTH_TOKEN"] == CANARY
    rest = {name: bench.environ[name] for name in bench.environ.keys() - secret.keys()}
    del rest["OPENROUTER_API_KEY"]
    assert found["environ"] == rest
    assert found["blocked"] == []
    assert signal.SIGINT not in found["ignored"]
    assert not bench.left
    assert CANARY not in done.stderr
    assert f"on {file}\n" in done.stderr
    assert (
        "note: ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, CLAUDE_CODE_USE_BEDROCK: not" in done.stderr
    )
    args = ["render", "--provider", "openrouter", "--reveal", "--env-file", str(env_file)]
    assert run(args, bench.environ) == 0
    assert capfd.readouterr().out == found["content"]


def test_signals_are_passed_on_and_a_fatal_one_tells(bench: Bench) -> None:
    names = ["SIGUSR1", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR2"]
    with bench.started("openrouter", *bench.words(",".join(names))) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "ready\n"
        for count, name in enumerate(names, 1):
            program.send_signal(getattr(signal, name))
            assert program.stdout.readline() == f"{name} {count}\n"
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == f"total {len(names)}\n"
        assert len(bench.left) == 1
        program.send_signal(signal.SIGTERM)
        # Its input stays open until then: the command ends at the end of it, too.
        program.wait(timeout=60)
        _, err = program.communicate()
    assert program.returncode == 128 + signal.SIGTERM
    assert "authToken" in err
    assert not bench.left


def test_one_that_is_ignored_stays_so(bench: Bench) -> None:
    program = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *PROGRAM, "run", "openrouter"]
    argv = [*program, *bench.words("0")]
    done = subprocess.run(argv, cwd=bench.work, env=bench.environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert signal.SIGHUP in bench.recorded()["ignored"]


def test_what_a_killed_run_leaves_the_next_one_removes(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        bench.started("openrouter", *bench.words("SIGHUP", "a.json")) as alive,
        bench.started("openrouter", *bench.words("SIGHUP", "b.json")) as killed,
    ):
        for program in (alive, killed):
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
        directories = {
            name: Path(bench.recorded(name)["argv"][-1]).parent for name in ("a.json", "b.json")
        }
        killed.kill()
        assert killed.communicate(timeout=30)[0] == ""  # its command is gone, and the pipe with it
        assert set(bench.left) == set(directories.values())
        assert run(["run", "openrouter", "--", "no-such-program"], bench.environ) == 127
        assert bench.left == [directories["a.json"]]
        alive.terminate()
        alive.communicate(timeout=30)
    assert not bench.left
    assert 'error: there is no program "no-such-program" on PATH\n' in capfd.readouterr().err


def test_a_command_that_can_not_be_started(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    tool = bench.work / "tool"
    tool.write_text("#!/no/such/interpreter\n")
    said = {}
    for mode in (0o600, 0o700):
        tool.chmod(mode)
        assert run(["run", "openrouter", "-q", "--", "./tool"], bench.environ) == 126
        said[mode] = capfd.readouterr().err
    assert 'error: "./tool" can\'t be started: Permission denied\n' in said[0o600]
    assert "the interpreter that its first line names is not there" in said[0o700]
    assert run(["run", "openrouter", "-q", "--", "./none"], bench.environ) == 127
    assert 'error: there is no program "./none"\n' in capfd.readouterr().err
    assert not bench.left


def test_without_a_program_it_is_ag_and_npms_link_to_it_works(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    script = bench.work / "cli.js"
    script.write_text('#!/bin/sh\necho "$0 $1 $2 $3"\n')
    script.chmod(0o755)
    programs = bench.work / "programs"
    programs.mkdir()
    (programs / "ag").symlink_to("../cli.js")
    bench.environ["PATH"] = f"{programs}:{bench.environ['PATH']}"
    for words, seen in (((), "--config"), (("--port", "9200"), "--port 9200 --config")):
        assert run(["run", "openrouter", "--", *words], bench.environ) == 0
        assert capfd.readouterr().out.startswith(f"{script} {seen}")
    (programs / "ag").unlink()
    shutil.copy(script, programs / "ag")
    assert run(["run", "openrouter"], bench.environ) == 0
    assert capfd.readouterr().out.startswith(f"{programs / 'ag'} --config {bench.runtime}/")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["openrouter", "sh"], 64, "the command to run goes after '--'"),
        (["openrouter", "--", "ag", "--config", "x"], 64, "a --config of its own"),
        (["openrouter", "--", "--config=x"], 64, "a --config of its own"),
        ([], 64, "Missing argument"),
        (["glm"], 3, "unset or empty: GLM_API_KEY"),
        (["opnrouter"], 3, 'neither a provider nor a host is called "opnrouter"'),
        (["azure-openai"], 3, "unset or empty: AZURE_OPENAI_API_KEY"),
        (["gateway", "--host"], 3, 'the inventory has no host "gateway"'),
        (["partial"], 3, "brings no model, no fast_model, no timeout_ms"),
        (["lm-studio"], 3, "placeholder"),
        (["ollama"], 3, "plain http://"),
        (["openrouter", "--base", "none.json"], 3, "none.json can't be read: No such file"),
        (["openrouter", "--base", "bad.json"], 3, '"port" must be a whole number'),
        (["openrouter", "--base", "bad.json"], 3, '"authToken" must be a string'),
        (["openrouter", "--base", "bad.yml"], 3, "defaultSessionEnv.X"),
    ],
)
def test_what_is_refused_starts_nothing(
    bench: Bench, capfd: pytest.CaptureFixture[str], args: list[str], code: int, words: str
) -> None:
    (bench.work / "inventory.yml").write_text(INVENTORY)
    (bench.work / "bad.json").write_text('{"port": "1", "authToken": 1}')
    (bench.work / "bad.yml").write_text("defaultSessionEnv: {X: 1}\n")
    bench.environ |= {
        "GATEWAY_TOKEN": CANARY,
        "LM_STUDIO_MODEL": "<model>",
        "OLLAMA_BASE_URL": "http://llm.example.com/v1",
    }
    assert run(["run", *args], bench.environ) == code
    out, err = capfd.readouterr()
    assert words in err
    assert (out, bench.left, CANARY in err) == ("", [], False)


def shown(bench: Bench, capfd: pytest.CaptureFixture[str], *args: str) -> tuple[str, str]:
    assert (
        run(["run", *args, "--", "sh", "-c", 'cat "$2"; basename "$2"', "sh"], bench.environ) == 0
    )
    out, err = capfd.readouterr()
    return out, err


def test_a_host_and_an_own_recipe_are_rendered_as_ever(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    (bench.work / "inventory.yml").write_text(INVENTORY)
    bench.environ["GATEWAY_TOKEN"] = CANARY
    bench.environ["HOSTS_TOKEN"] = f"{CANARY}-api"
    bench.environ["LOGIN_PASSWORD"] = f"{CANARY}-login"
    rendered = {}
    cases = {
        ("h1",): ["h1"],
        ("in-yaml",): ["in-yaml"],
        ("gateway",): ["--provider", "gateway"],
        ("ollama",): ["--provider", "ollama"],
        ("ollama", "--host"): ["ollama"],
    }
    for args, same_as in cases.items():
        assert run(["render", "--reveal", *same_as], bench.environ) == 0
        rendered[args] = capfd.readouterr().out
        name = "aegis.config.yaml" if "in-yaml" in args else "aegis.config.json"
        assert shown(bench, capfd, *args)[0] == f"{rendered[args]}{name}\n"
    assert len(set(rendered.values())) == 4  # h1 has what its recipe alone brings
    for name in ("h1", "ollama"):
        assert run(["run", name, *bench.words("0")], bench.environ) == 0
        environ = bench.recorded()["environ"]
        assert environ["USER"] == "operator"
        assert not any(CANARY in value for value in environ.values())


def test_a_base_keeps_its_other_keys(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    base = bench.work / "base.yml"
    base.write_text("# ours\nauthToken: lock # here\ndefaultSessionEnv:\n  FOO: bar\n")
    text, err = shown(bench, capfd, "openrouter", "--base", "base.yml")
    assert text.startswith("# ours\nauthToken: lock # here\ndefaultSessionEnv:\n  FOO: bar\n")
    assert f'ANTHROPIC_AUTH_TOKEN: "{CANARY}"' in text
    assert text.endswith("aegis.config.yaml\n")
    assert err == ""
    base = bench.work / "base.json"
    base.write_text('{"port": 1e3, "defaultSessionEnv": {"ANTHROPIC_MODEL": "x"}, "webhooks": []}')
    text, err = shown(bench, capfd, "openrouter", "--base", "base.json")
    found = json.loads(text.removesuffix("aegis.config.json\n"))
    assert list(found) == ["port", "defaultSessionEnv", "webhooks"]
    assert found["defaultSessionEnv"]["ANTHROPIC_MODEL"] == "x"
    assert "warning: the file has no authToken" in err
    assert "warning: sessions follow ANTHROPIC_MODEL, which base.json has" in err
    assert "1e3" in base.read_text()


def test_keys_of_a_terminal_reach_the_command_once(bench: Bench) -> None:
    argv = [*PROGRAM, "run", "openrouter", *bench.words("SIGINT,SIGQUIT")]
    with running_on_terminal(argv, bench.work, bench.environ) as terminal:
        terminal.read_until("ready\n")
        terminal.type(b"\x03")
        terminal.read_until("SIGINT 1\n")
        terminal.type(b"\x1c")
        terminal.read_until("SIGQUIT 2\n")
        terminal.type(b"\n")
        terminal.read_until("total 2\n")
        terminal.type(b"\x04")
        assert terminal.end() == 3
    assert not bench.left


def test_a_shell_stops_it_and_lets_it_go_on(bench: Bench) -> None:
    if shutil.which("bash") is None:
        missing("bash is not installed")
    argv = ["bash", "--noprofile", "--norc", "-i"]
    bench.environ |= {"PS1": "> ", "TERM": "dumb"}
    # Its command does not read: a stopped process may still get what is typed next.
    words = " ".join([*PROGRAM, "run", "openrouter", "-q", *bench.words("SIGCONT,SIGHUP:deaf")])
    with running_on_terminal(argv, bench.work, bench.environ, columns=500) as terminal:
        terminal.type(f"{words}\n".encode())
        terminal.read_until("ready\n")
        terminal.type(b"\x1a")
        terminal.read_until("Stopped")
        terminal.seen = terminal.seen.partition("Stopped")[2]
        terminal.read_until("\n> ")
        assert len(bench.left) == 1
        terminal.type(b"fg\n")
        terminal.read_until("SIGCONT 1\n")
        terminal.seen = ""
        terminal.type(b"\x1c")
        terminal.read_until("> ")
        terminal.type(b"exit $?\n")
        assert terminal.end() == 128 + signal.SIGQUIT
    assert not bench.left


def test_the_hang_up_of_a_terminal_ends_it(bench: Bench) -> None:
    argv = [*PROGRAM, "run", "openrouter", *bench.words("SIGUSR1:deaf")]
    with running_on_terminal(argv, bench.work, bench.environ) as terminal:
        terminal.read_until("ready\n")
        os.close(terminal.descriptor)
        terminal.descriptor = os.open(os.devnull, os.O_RDWR)
        assert terminal.program.wait(30) == 128 + signal.SIGHUP
    assert not bench.left


def test_a_signal_that_comes_before_the_command_starts_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = os.geteuid

    def interrupted() -> int:
        if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []):
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return real()

    monkeypatch.setattr("aegis_provision.files.private_directory.os.geteuid", interrupted)
    assert run(["run", "openrouter", *bench.words("0")], bench.environ) == 130
    assert "interrupted; nothing was written\n" in capfd.readouterr().err
    assert not (bench.work / "record.json").exists()
    assert not bench.left


def test_list_prints_names_alone(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    built_in = ["glm", "openrouter", "lm-studio", "ollama", "azure-openai"]
    assert run(["providers", "--list"], bench.environ) == 0
    assert capfd.readouterr() == ("\n".join(built_in) + "\n", "")
    (bench.work / "inventory.yml").write_text(INVENTORY)
    assert run(["providers", "--list"], bench.environ) == 0
    assert capfd.readouterr() == ("\n".join([*built_in, "gateway", "partial"]) + "\n", "")
