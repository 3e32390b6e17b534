"""A fleet for tests: hosts behind one real sshd, each with a stand-in Aegis of its own."""

from __future__ import annotations

import io
import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from aegis_provision.cli.main import run
from tests.fleet.aegis_server import Misbehaviour, Place, write_whole
from tests.fleet.openssh import ADDRESS, Sshd, running_sshd
from tests.fleet.program import PROGRAM, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TOKEN = "gateway-token-not-real"
"""The provider's token that the operator has."""

PROVIDERS: Mapping[str, Mapping[str, object]] = {
    "gateway": {
        "base_url": "${GATEWAY_BASE_URL:-http://127.0.0.1:9/v1}",
        "auth_token": "${GATEWAY_TOKEN}",
        "model": "${GATEWAY_MODEL:-big}",
        "fast_model": "${GATEWAY_FAST_MODEL:-small}",
        "timeout_ms": "60000",
    }
}
OLD_ENV: Mapping[str, str] = {
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8/v1",
    "ANTHROPIC_AUTH_TOKEN": "old-token-not-real",
    "ANTHROPIC_DEFAULT_MODEL": "old-big",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "old-small",
    "API_TIMEOUT_MS": "30000",
}
"""What a host's sessions use before anybody applies anything."""

_SERVER = Path(__file__).with_name("aegis_server.py")
_UP_WITHIN = 20.0
# So long, by its own word, has every Aegis been running when a test begins; its file is older.
_RUNNING_FOR = 3600.0
# Below what the kernel gives to connections that are made: a port stays free across a restart.
_PORTS = range(10_000, 32_000)

_SYSTEMCTL = """\
#!/bin/sh
for unit; do :; done
unit=${{unit%.service}}
while case "$1" in -*) ;; *) false ;; esac; do shift; done
if [ "$1" = show ] && [ -e {hosts}/"$unit"/show ]; then
    exec cat {hosts}/"$unit"/show
fi
if [ "$1" != restart ] || [ ! -x {hosts}/"$unit"/restart ]; then
    echo "Failed to $1 $unit.service: Unit $unit.service not found." >&2
    exit 5
fi
exec {hosts}/"$unit"/restart
"""


@dataclass(frozen=True, slots=True)
class FleetHost:
    """A host: its files, its Aegis on ``port``, and what has happened there."""

    name: str
    place: Place
    port: int
    restart_command: str

    @property
    def config_path(self) -> Path:
        """Aegis' file."""
        return self.place.directory / "work" / "aegis.config.json"

    @property
    def api_token(self) -> str:
        """The token in the file that the host began with."""
        return f"{self.name}-api-token-not-real"

    def config(self) -> dict[str, Any]:
        """Return what the file says."""
        found: dict[str, Any] = json.loads(self.config_path.read_bytes())
        return found

    def session_env(self) -> dict[str, str]:
        """Return the session variables that the file says."""
        found: dict[str, str] = self.config().get("defaultSessionEnv", {})
        return found

    def write_config(self, content: Mapping[str, object] | bytes) -> None:
        """Write the file, which is then the owner's alone. Aegis runs on with what it read."""
        data = content if isinstance(content, bytes) else _pretty(content).encode()
        self.config_path.write_bytes(data)
        self.config_path.chmod(0o600)

    def misbehave(
        self, name: Misbehaviour, value: float | Sequence[float] = 0, *, times: int | None = None
    ) -> None:
        """Tell the host to misbehave from its next start or restart on, at most ``times`` times."""
        told: object = value
        if name == "sessions":
            count, seconds = (value, 0) if isinstance(value, int | float) else value
            told = [int(count), seconds, time.time()]
        directory = self.place.directory / "misbehaviour"
        write_whole(directory / name, json.dumps({"value": told, "times": times}))

    def behave(self, *names: Misbehaviour) -> None:
        """Tell the host to do as it should again."""
        for name in names:
            (self.place.directory / "misbehaviour" / name).unlink(missing_ok=True)

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what happened in order, or all of one kind."""
        path = self.place.directory / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [entry for entry in entries if event in {None, entry["event"]}]

    @property
    def starts(self) -> int:
        """How often Aegis has been started."""
        return len(self.log("start"))

    def loaded_env(self) -> dict[str, str]:
        """Return the session variables that Aegis read at its last start."""
        env: dict[str, str] = self.log("start")[-1]["env"]
        return env

    def loaded_provider(self) -> str | None:
        """Return the base URL that Aegis read at its last start."""
        return self.loaded_env().get("ANTHROPIC_BASE_URL")

    def requests(self, path: str) -> list[dict[str, Any]]:
        """Return what the API was asked for at ``path``: ``method``, ``token``, ``status``."""
        return [entry for entry in self.log("request") if entry["path"] == path]

    def pid(self) -> int | None:
        """Return the pid of the Aegis that runs."""
        return self.place.running()

    def restart(self, *, wait: bool = True) -> subprocess.CompletedProcess[str]:
        """Restart Aegis as an operator on the host would, and ``wait`` until it listens."""
        done = subprocess.run(
            ["/bin/sh", "-c", self.restart_command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if wait:
            self.wait_until_up()
        return done

    def wait_until_up(self) -> None:
        """Return when the API takes connections; fail the test where it does not."""
        until = time.monotonic() + _UP_WITHIN
        while time.monotonic() < until:
            try:
                with socket.create_connection((ADDRESS, self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.01)
        console = self.place.directory / "console"
        said = console.read_text() if console.exists() else ""
        pytest.fail(f"{self.name}: no Aegis on port {self.port}: {said}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command said, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The document on stdout."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The events on stdout, where it is NDJSON."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def statuses(self) -> dict[str, str]:
        """Each host's status, or what a plan would do there, out of the document."""
        return {
            entry["host"]: entry.get("status") or entry["action"] for entry in self.json["hosts"]
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hosts that are up, and the operator's side of them.

    ``environ`` is what every command runs with; a test may change it.
    """

    directory: Path
    sshd: Sshd
    hosts: Mapping[str, FleetHost]
    inventory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> FleetHost:
        return self.hosts[name]

    def __iter__(self) -> Iterator[FleetHost]:
        return iter(self.hosts.values())

    @property
    def state(self) -> Path:
        """Where the runs of this operator are recorded."""
        return Path(self.environ["XDG_STATE_HOME"]) / "aegis-provision"

    def playbook(self, text: str, name: str = "playbook.yml") -> Path:
        """Write a playbook and return where it is."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120,
        own_python: bool = False,
    ) -> CommandResult:
        """Run the program to its end: ``fleet.run("apply", playbook, "--yes")``."""
        done = run_program(
            [*map(str, args)],
            self.directory,
            {**self.environ, **(env or {})},
            stdin,
            timeout=timeout,
            own_python=own_python,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def call(self, *args: str | Path, env: Mapping[str, str] | None = None) -> CommandResult:
        """Run one command line in this process: what is printed is the same, only quicker."""
        out, err = io.StringIO(), io.StringIO()
        with (
            chdir(self.directory),
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch("sys.stdin", io.StringIO()),
        ):
            code = run([*map(str, args)], {**self.environ, **(env or {})})
        return CommandResult(code, out.getvalue(), err.getvalue())

    @contextmanager
    def started(
        self, *args: str | Path, env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Start the program and leave it running; what is left of it at the end is killed."""
        with subprocess.Popen(
            [*PROGRAM, *map(str, args)],
            cwd=self.directory,
            env={**self.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def running_hosts(
    directory: Path,
    names: int | Sequence[str],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    common: Mapping[str, object] | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    providers: Mapping[str, Mapping[str, object]] = PROVIDERS,
    sshd_settings: Sequence[str] = (),
    stop_timeout: float = 5.0,
) -> Iterator[Fleet]:
    """Start hosts, all in their right mind, until the block ends.

    ``names`` are theirs, or how many there are: ``host-01`` and so on. In the inventory they are
    in ``all``, and in ``groups``; ``common`` goes into the vars of ``all``, ``settings`` to single
    hosts (``None`` removes one of our own). Each has a file with :data:`OLD_ENV`, a token of its
    own and foreign keys. A restart kills a process that has not gone after ``stop_timeout``.

    A host is restarted by its ``restart_command``; instead of that its ``service`` may be its own
    name, which the ``systemctl`` on these hosts knows as a unit; it shows of it what the file
    ``show`` in the host's directory says.
    """
    if isinstance(names, int):
        names = [f"host-{number:02}" for number in range(1, names + 1)]
    login = directory / "login"
    login.mkdir(parents=True)
    commands = _commands(directory)
    # A login shell's start-up files are none of a test's business. (sshd takes one SetEnv alone.)
    path = f"{commands}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    own = (*sshd_settings, f"SetEnv HOME={login} PATH={path}")
    with ExitStack() as undo:
        ports = [undo.enter_context(reserved_port()) for _ in names]
        hosts = {
            name: _furnish(directory / "hosts" / name, name, port, stop_timeout)
            for name, port in zip(names, ports, strict=True)
        }
        sshd = undo.enter_context(running_sshd(directory / "sshd", max_startups=1000, settings=own))
        undo.enter_context(_kept(list(hosts.values())))
        inventory = directory / "inventory.yml"
        document = _inventory(sshd, hosts, groups or {}, common or {}, settings or {}, providers)
        inventory.write_text(_pretty(document), encoding="utf-8")
        yield Fleet(directory, sshd, hosts, inventory, _environ(directory, sshd, inventory))


def _furnish(directory: Path, name: str, port: int, stop_timeout: float) -> FleetHost:
    for part in ("work", "home", "misbehaviour"):
        (directory / part).mkdir(parents=True)
    place = Place(directory)
    place.settle(
        {
            "port": port,
            "stop_timeout": stop_timeout,
            "config": None,
            "aged": _RUNNING_FOR,
            "owner": os.getpid(),
        }
    )
    (directory / "node").symlink_to(Path(sys.executable).resolve())
    script = directory / "restart"
    script.write_text(_restart_script(directory))
    script.chmod(0o700)
    host = FleetHost(name, place, port, shlex.quote(str(script)))
    host.write_config(
        {
            "authToken": host.api_token,
            "allowedWorkDirs": [str(directory / "work"), "/srv/work"],
            "stallThresholdMs": 300000,
            "defaultSessionEnv": dict(OLD_ENV),
        }
    )
    written = time.time() - 2 * _RUNNING_FOR
    os.utime(host.config_path, (written, written))
    return host


def _restart_script(directory: Path) -> str:
    """Return the program that restarts the Aegis of the host in ``directory``.

    It asks who keeps the host, or does it all anew where the file ``config`` says what follows
    ``--config`` in the arguments of Aegis.
    """
    anew = shlex.join((*_aegis(directory), "restart", str(directory)))
    home = shlex.quote(str(directory / "home"))
    return f"""\
#!/bin/sh
cd {shlex.quote(str(directory))} || exit 1
if [ -e config ]; then
    config=$(cat config)
    cd work && HOME={home} exec {anew} --config "$config"
fi
[ -p restarts ] && {shutil.which("mkfifo")} "answer.$$" || exit 1
echo "$$ answer.$$" >restarts
code=1
while read -r word line; do
    case $word in exit) code=$line ;; *) echo "$word $line" >&2 ;; esac
done <"answer.$$"
exit "$code"
"""


def _aegis(directory: Path) -> tuple[str, ...]:
    """Return how Aegis is called: like Node.js."""
    return (str(directory / "node"), "-I", "-S", str(_SERVER))


def _commands(directory: Path) -> Path:
    """Make a directory with a ``systemctl`` that knows our hosts, each as a unit of its name."""
    commands = directory / "bin"
    commands.mkdir()
    systemctl = commands / "systemctl"
    systemctl.write_text(_SYSTEMCTL.format(hosts=shlex.quote(str(directory / "hosts"))))
    systemctl.chmod(0o755)
    return commands


@contextmanager
def _kept(hosts: Sequence[FleetHost]) -> Iterator[None]:
    """Start an Aegis on each host, in the host's own directory and home, until the block ends."""
    with ExitStack() as undo:
        for host in hosts:
            directory = host.place.directory
            keeper = subprocess.Popen(
                [*_aegis(directory), "keep", str(directory)],
                cwd=directory / "work",
                env={**os.environ, "HOME": str(directory / "home")},
                stdin=subprocess.DEVNULL,
            )
            undo.callback(keeper.wait)
            undo.callback(host.place.close)
        for host in hosts:
            host.wait_until_up()
            host.place.settle({**host.place.settings, "aged": 0})
        yield


@contextmanager
def reserved_port() -> Iterator[int]:
    """Keep a port for one host, against every other test on this machine, until the block ends."""
    for port in random.sample(_PORTS, 200):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            try:
                claim.bind(f"\0aegis-provision-tests-{port}")
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((ADDRESS, port))
            except OSError:
                continue
            yield port
            return
    pytest.fail("no port is free")


def _inventory(
    sshd: Sshd,
    hosts: Mapping[str, FleetHost],
    groups: Mapping[str, Sequence[str]],
    common: Mapping[str, object],
    settings: Mapping[str, Mapping[str, object]],
    providers: Mapping[str, Mapping[str, object]],
) -> dict[str, object]:
    everywhere = {
        "provider": "gateway",
        "address": sshd.address,
        "port": sshd.port,
        "user": sshd.user,
        "identity_file": str(sshd.client_key),
        **common,
    }
    entries = {}
    for name, host in hosts.items():
        entry: dict[str, object] = {
            "config_path": str(host.config_path),
            "api": f"{ADDRESS}:{host.port}",
            "restart_command": host.restart_command,
            **settings.get(name, {}),
        }
        entries[name] = {key: value for key, value in entry.items() if value is not None}
    children = {
        group: {"hosts": {name: dict[str, object]() for name in members}}
        for group, members in groups.items()
    }
    return {
        "providers": providers,
        "all": {"vars": everywhere, "hosts": entries, "children": children},
    }


def _environ(directory: Path, sshd: Sshd, inventory: Path) -> dict[str, str]:
    home = directory / "operator"
    home.mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "LC_ALL": "C.UTF-8",
        "AEGIS_PROVISION_INVENTORY": str(inventory),
        "AEGIS_PROVISION_KNOWN_HOSTS": str(sshd.known_hosts),
        "AEGIS_PROVISION_SSH_CONFIG": "none",
        "GATEWAY_TOKEN": TOKEN,
    }


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
