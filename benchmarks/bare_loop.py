"""The least that paramiko can do: connect, read a file over SFTP, perhaps replace it, close.

Run as a program of its own. It checks the host key and logs in with a key, as anybody would; it
does nothing else that takes time.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import paramiko


@dataclass(frozen=True, slots=True)
class Job:
    """What to do on every host; they differ in the path alone."""

    address: str
    port: int
    user: str
    key: paramiko.PKey
    known_hosts: str
    content: bytes | None


def visit(path: str, job: Job) -> int:
    """Read ``path``, replace it where the job brings content, return how many bytes were there."""
    client = paramiko.SSHClient()
    client.load_host_keys(job.known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        job.address,
        port=job.port,
        username=job.user,
        pkey=job.key,
        allow_agent=False,
        look_for_keys=False,
    )
    with client, client.open_sftp() as sftp:
        with sftp.open(path, "rb") as file:
            found = file.read()
        if job.content is not None:
            staging = f"{path}.new"
            with sftp.open(staging, "wb") as file:
                file.write(job.content)
            sftp.posix_rename(staging, path)
    return len(found)


def main() -> None:
    """Visit every path that the file ``--paths`` lists; print how many bytes were read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--known-hosts", required=True)
    parser.add_argument("--paths", type=Path, required=True)
    parser.add_argument("--content", type=Path)
    parser.add_argument("--forks", type=int, default=32)
    said = parser.parse_args()
    key = paramiko.Ed25519Key.from_private_key_file(said.key)
    content = said.content.read_bytes() if said.content else None
    job = Job(said.address, said.port, said.user, key, said.known_hosts, content)
    paths = said.paths.read_text(encoding="utf-8").split()
    with ThreadPoolExecutor(said.forks) as pool:
        print(sum(pool.map(lambda path: visit(path, job), paths)))


if __name__ == "__main__":
    main()
