"""Users of this machine that a test makes and removes again, and what sudo and doas let them do."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.clients import need
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fleet.openssh import Sshd

_DOAS_CONF = Path("/etc/doas.conf")
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
def doas_conf(*rules: str) -> Iterator[None]:
    """Have doas follow ``rules`` in addition, until the block ends.

    There is one file for all: other tests may add their own rules to it meanwhile.
    """
    need("doas", "opendoas")

    def change(edit: Callable[[list[str]], list[str]]) -> None:
        with (Path(tempfile.gettempdir()) / "aegis-provision-test-doas").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            exists = _DOAS_CONF.exists()
            before = _DOAS_CONF.read_text().splitlines() if exists else []
            mode = stat.S_IMODE(_DOAS_CONF.stat().st_mode) if exists else 0o400
            after = edit(before)
            staging = Path(f"{_DOAS_CONF}.t-new")
            staging.write_text("".join(f"{line}\n" for line in after))
            staging.chmod(mode)
            if after:
                staging.rename(_DOAS_CONF)
            else:
                staging.unlink()
                _DOAS_CONF.unlink(missing_ok=True)

    change(lambda before: [*before, *rules])
    try:
        yield
    finally:
        change(lambda before: [line for line in before if line not in rules])


@contextmanager
def sshd_for(name: str, directory: Path, subsystem: str = "internal-sftp") -> Iterator[Sshd]:
    """Run a server that lets the user ``name`` alone in, with its ``client_key``.

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
