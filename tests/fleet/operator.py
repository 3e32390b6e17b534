"""An operator at a terminal: a home, hosts behind one sshd, and what commands print."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from aegis_provision.cli.main import run
from tests.fleet.program import PROGRAM, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fleet.openssh import Sshd

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-operator"
HOST_FILE = '{\n  "authToken": "the-hosts-own",\n  "port": 9100\n}\n'
NOBODY_LISTENS = 1


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Operator:
    """Works in ``root``; every host of theirs is a directory behind ``sshd``."""

    root: Path
    sshd: Sshd
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the directories and set an environment in which commands are short."""
        for name in ("work", "home", "tmp", "hosts"):
            (self.root / name).mkdir(parents=True, mode=0o700)
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "LOGNAME": "operator",
            "LC_ALL": "C.UTF-8",
            "OPENROUTER_API_KEY": TOKEN,
            "AEGIS_PROVISION_SSH_CONFIG": "none",
            "AEGIS_PROVISION_KNOWN_HOSTS": str(self.sshd.known_hosts),
            **self.environ,
        }

    @property
    def work(self) -> Path:
        """The directory in which commands are typed."""
        return self.root / "work"

    def file_of(self, host: str) -> Path:
        """Return where the file of ``host`` lies."""
        return self.root / "hosts" / host / "aegis.config.json"

    def furnish(self, *hosts: str, content: str | None = HOST_FILE) -> None:
        """Make the hosts' directories, and their files with ``content`` unless it is ``None``."""
        for host in hosts:
            file = self.file_of(host)
            file.parent.mkdir(exist_ok=True, mode=0o700)
            if content is not None:
                file.write_text(content, encoding="utf-8")
                file.chmod(0o600)

    def inventory(self, *hosts: str, unreachable: tuple[str, ...] = (), more: str = "") -> Path:
        """Write ``inventory.yml`` with ``hosts``; ``more`` is put into the vars of all."""
        lines = [
            "all:",
            "  vars:",
            "    provider: openrouter",
            f"    address: {self.sshd.address}",
            f"    port: {self.sshd.port}",
            f"    user: {self.sshd.user}",
            f"    identity_file: {self.sshd.client_key}",
            *([f"    {more}"] if more else []),
            "  hosts:",
        ]
        for host in hosts:
            port = f", port: {NOBODY_LISTENS}" if host in unreachable else ""
            lines.append(f"    {host}: {{config_path: {self.file_of(host)}{port}}}")
        path = self.work / "inventory.yml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def run(
        self, *args: str, stdin: str = "", own_python: bool = False, **environ: str
    ) -> CommandResult:
        """Run the program as a process of its own."""
        environ = {**self.environ, **environ}
        done = run_program(args, self.work, environ, stdin, own_python=own_python)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def execute(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run another program where the operator works, in the operator's environment."""
        return subprocess.run(
            argv,
            cwd=self.work,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def call(self, *args: str, environ: Mapping[str, str] | None = None) -> CommandResult:
        """Run one command line in this process: what is printed is the same, only quicker."""
        out, err = io.StringIO(), io.StringIO()
        with (
            chdir(self.work),
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch("sys.stdin", io.StringIO()),
        ):
            code = run(args, {**self.environ, **(environ or {})})
        return CommandResult(code, out.getvalue(), err.getvalue())

    def start(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        """Start the program, its output in pipes."""
        return subprocess.Popen(
            [*PROGRAM, *args],
            cwd=self.work,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
