"""A real dropbear on loopback, the SSH server of small machines; SFTP is none of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.clients import need
from tests.fleet.needs import missing
from tests.fleet.openssh import ADDRESS, Sshd, free_port, make_key, wait_until_ready
from tests.fleet.users import user

if TYPE_CHECKING:
    from collections.abc import Iterator

SFTP_SERVER = Path("/usr/lib/sftp-server")
"""What Debian's dropbear runs for SFTP; it is OpenSSH's, by a link."""


@contextmanager
def running_dropbear(
    directory: Path, home: Path, *options: str, purpose: str = "dropbear"
) -> Iterator[Sshd]:
    """Run a server out of ``directory`` until the block ends.

    It lets in a user of its own, named for its ``purpose``, whose home is ``home``: others may look
    into the directories above it. ``options`` are further ones of dropbear's.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    dropbear = shutil.which("dropbear", path=path)
    if dropbear is None:
        message = "there is no dropbear on this machine: install dropbear-bin"
        missing(message)
    directory.mkdir(parents=True, exist_ok=True)
    host_key, client_key = directory / "host_key", make_key(directory / "client_key")
    made = [need("dropbearkey", "dropbear-bin"), "-t", "ed25519", "-f", str(host_key)]
    told = subprocess.run(made, check=True, capture_output=True, text=True).stdout
    public = directory / "host_key.pub"
    public.write_text(next(line for line in told.splitlines() if line.startswith("ssh-")) + "\n")
    port = free_port()
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[{ADDRESS}]:{port} {public.read_text()}")
    log = directory / "log"
    with user(purpose) as name, log.open("wb") as stream:
        subprocess.run([need("usermod", "passwd"), "-d", str(home), name], check=True)
        keys = home / ".ssh" / "authorized_keys"
        keys.parent.mkdir(mode=0o700, parents=True)
        keys.write_text(client_key.with_name("client_key.pub").read_text())
        for item in (home, keys.parent, keys):
            shutil.chown(item, name, name)
        argv = [dropbear, "-F", "-E", "-s", "-p", f"{ADDRESS}:{port}", "-r", str(host_key)]
        process = subprocess.Popen(
            [*argv, "-P", str(directory / "pid"), *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        try:
            wait_until_ready(process, port, log)
            yield Sshd(ADDRESS, port, name, client_key, known_hosts, public, log, process)
        finally:
            process.terminate()
            process.wait(timeout=30)
