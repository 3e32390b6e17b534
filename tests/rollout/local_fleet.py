"""A fleet of this machine's own directories, for laws that are tried on many fleets."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOSTS = ("a", "b", "c")
TOKEN = "token-of-the-law"
FIVE = {
    "ANTHROPIC_BASE_URL": "https://llm.example.com/v1",
    "ANTHROPIC_AUTH_TOKEN": TOKEN,
    "ANTHROPIC_DEFAULT_MODEL": "big",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
    "API_TIMEOUT_MS": "60000",
}
"""What every host is to have, beside what is ``wanted`` of it."""


@contextmanager
def place() -> Iterator[Path]:
    """Give a directory for one fleet."""
    root = Path(tempfile.mkdtemp(prefix="aegis-provision-law-"))
    try:
        yield root
    finally:
        shutil.rmtree(root)


@dataclass
class LocalFleet:
    """Hosts on this machine, their ``env`` in the inventory, and the token that is in force.

    ``None`` in an ``env`` is a ``null`` there.
    """

    root: Path
    wanted: dict[str, dict[str, str | None]]
    token: str = TOKEN

    def variables(self, host: str) -> dict[str, str]:
        """Return the session variables that the inventory wants on a host."""
        own = {name: value for name, value in self.wanted[host].items() if value is not None}
        return {**FIVE, **own}

    def nulls(self, host: str) -> set[str]:
        """Return the session variables that the inventory removes from a host."""
        return {name for name, value in self.wanted[host].items() if value is None}

    @property
    def inventory(self) -> Path:
        return self.root / "inventory.yml"

    def file(self, host: str) -> Path:
        return self.root / host / "aegis.config.json"

    def put(self, host: str, env: dict[str, str] | None) -> None:
        """Let the host's file hold ``env``, or let there be none."""
        self.file(host).parent.mkdir(exist_ok=True)
        self.file(host).unlink(missing_ok=True)
        if env is not None:
            self.file(host).touch(mode=0o600)
            self.file(host).write_text(json.dumps({"authToken": "x", "defaultSessionEnv": env}))

    def write_inventory(self) -> None:
        recipe = {
            "base_url": FIVE["ANTHROPIC_BASE_URL"],
            "auth_token": "${LAW_TOKEN}",
            "model": "big",
            "fast_model": "small",
            "timeout_ms": "60000",
        }
        hosts = {
            name: {"config_path": str(self.file(name)), "env": self.wanted[name]} for name in HOSTS
        }
        common = {"provider": "law", "connection": "local", "api": "127.0.0.1:1"}
        document = {"providers": {"law": recipe}, "all": {"vars": common, "hosts": hosts}}
        self.inventory.write_text(json.dumps(document))

    def run(self, *args: str) -> tuple[int, dict[str, Any], str]:
        """Run a command; return its exit code, its document and what it said beside it."""
        code, out, err = self._call([*args, "--format", "json"])
        return code, json.loads(out or "{}"), err

    def output(self, *args: str) -> str:
        """Run a command; return all that it printed."""
        _, out, err = self._call(args)
        return out + err

    def _call(self, args: Sequence[str]) -> tuple[int, str, str]:
        environ = {
            "HOME": str(self.root),
            "LOGNAME": "law",
            "LAW_TOKEN": self.token,
            "AEGIS_PROVISION_SSH_CONFIG": "none",
        }
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(args, environ)
        return code, out.getvalue(), err.getvalue()
