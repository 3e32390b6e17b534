"""Users of this machine that a test makes and removes again, and what sudo lets them do."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.clients import need
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.openssh import Sshd

_SUDOERS = Path("/etc/sudoers.d")


@contextmanager
def user(purpose: str, login_shell: str = "/bin/sh") -> Iterator[str]:
    """Make a user for the block, with a name of its own that tells its ``purpose``."""
    name = f"t-{purpose}-{os.getpid()}"
    made = ["--no-create-home", "-d", "/", "-s", login_shell, "-p", "*", name]
    subprocess.run([need("useradd", "passwd"), *made], check=True)
    try:
        yield name
    finally:
        # Processes of its last connection may end a moment later than the connection.
        subprocess.run(
            [need("userdel", "passwd"), "--force", name], check=True, capture_output=True
        )


@contextmanager
def sudoers(*rules: str) -> Iterator[None]:
    """Have sudo follow ``rules`` in addition, until the block ends."""
    need("sudo", "sudo")
    # sudo passes over names with a dot, so a file that is being written counts for nothing.
    staging = _SUDOERS / f"t-{os.getpid()}.new"
    place = _SUDOERS / f"t-{os.getpid()}"
    try:
        staging.write_text("".join(f"{rule}\n" for rule in rules))
        staging.chmod(0o440)
        staging.rename(place)
        yield
    finally:
        staging.unlink(missing_ok=True)
        place.unlink(missing_ok=True)


@contextmanager
def sshd_for(name: str, directory: Path, subsystem: str = "internal-sftp") -> Iterator[Sshd]:
    """Run a server that lets the user ``name``, and nobody else, in with its ``client_key``.

    sshd reads the authorized keys as that user, so they lie where everyone can look.
    """
    with tempfile.TemporaryDirectory(prefix="authorized-") as open_to_all:
        Path(open_to_all).chmod(0o755)
        authorized = Path(open_to_all) / "keys"
        own = [f"AuthorizedKeysFile {authorized}", f"AllowUsers {name}"]
        with running_sshd(directory, subsystem=subsystem, settings=own) as server:
            authorized.write_text(server.client_key.with_suffix(".pub").read_text())
            authorized.chmod(0o644)
            yield server
