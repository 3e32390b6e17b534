"""A real ssh-agent, with a socket of its own."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fleet.clients import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READY_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that runs; ``socket`` is what SSH_AUTH_SOCK would be."""

    socket: str
    directory: Path

    def add(self, key: Path, *flags: str, passphrase: str = "") -> None:
        """Add a private key as ``ssh-add`` does."""
        asker = self.directory / "asker"
        asker.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        asker.chmod(0o700)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "SSH_AUTH_SOCK": self.socket,
            "SSH_ASKPASS": str(asker),
            "SSH_ASKPASS_REQUIRE": "force",
        }
        subprocess.run(
            [need("ssh-add", "openssh-client"), "-q", *flags, key],
            check=True,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )


@contextmanager
def running_agent(directory: Path) -> Iterator[Agent]:
    """Run an agent out of ``directory``, which must have a short path, until the block ends."""
    socket = directory / "agent"
    process = subprocess.Popen(
        [need("ssh-agent", "openssh-client"), "-D", "-a", socket],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Keys that are to be confirmed never are: there is no one to ask.
        env={"PATH": os.environ.get("PATH", os.defpath), "SSH_ASKPASS": "/bin/false"},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it says where it listens once it does
        yield Agent(str(socket), directory)
    finally:
        process.terminate()
        process.communicate(timeout=_READY_WITHIN)
