"""The loop with paramiko, in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import paramiko

from benchmarks.loops.arguments import parse_loop

if TYPE_CHECKING:
    from benchmarks.loops.arguments import Loop


def main() -> None:
    """Visit every host; print how many bytes were read."""
    loop = parse_loop()
    key = paramiko.Ed25519Key.from_private_key_file(str(loop.key))
    known = paramiko.HostKeys(str(loop.known_hosts))
    content = loop.content.read_bytes() if loop.content else None
    with ThreadPoolExecutor(loop.forks) as pool:
        print(sum(pool.map(lambda host: _visit(loop, host, key, known, content), loop.hosts)))


def _visit(
    loop: Loop,
    host: tuple[str, str],
    key: paramiko.PKey,
    known: paramiko.HostKeys,
    content: bytes | None,
) -> int:
    address, path = host
    client = paramiko.SSHClient()
    entry = f"[{address}]:{loop.port}"
    for kind, public in (known.lookup(entry) or {}).items():
        client.get_host_keys().add(entry, kind, public)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        address,
        port=loop.port,
        username=loop.user,
        pkey=key,
        allow_agent=False,
        look_for_keys=False,
    )
    with client, client.open_sftp() as sftp:
        with sftp.open(path, "rb") as file:
            found = file.read()
        if content is not None:
            staging = f"{path}.new"
            with sftp.open(staging, "wb") as file:
                file.write(content)
            sftp.posix_rename(staging, path)
    return len(found)


if __name__ == "__main__":
    main()
