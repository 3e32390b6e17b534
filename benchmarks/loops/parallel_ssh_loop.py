"""The loop with parallel-ssh, which is libssh2 under gevent.

It does not check host keys: it has no way to. It has no rename either, so a file is written over.
"""

from __future__ import annotations

from typing import Any

from gevent import joinall  # type: ignore[import-untyped]
from pssh.clients import ParallelSSHClient  # type: ignore[import-not-found]
from pssh.config import HostConfig  # type: ignore[import-not-found]

from benchmarks.loops.arguments import parse_loop


def main() -> None:
    """Visit every host; print how many there were."""
    loop = parse_loop()
    addresses = [address for address, _ in loop.hosts]
    config = [
        HostConfig(user=loop.user, port=loop.port, private_key=str(loop.key)) for _ in addresses
    ]
    client: Any = ParallelSSHClient(
        addresses,
        host_config=config,
        pool_size=loop.forks,
        allow_agent=False,
        identity_auth=False,
    )
    paths = [{"remote_file": path, "local_file": f"{path}.read"} for _, path in loop.hosts]
    joinall(client.copy_remote_file("%(remote_file)s", "%(local_file)s", copy_args=paths),
            raise_error=True)  # fmt: skip
    if loop.content is not None:
        written = [{"local_file": str(loop.content), "remote_file": path} for _, path in loop.hosts]
        joinall(client.copy_file("%(local_file)s", "%(remote_file)s", copy_args=written),
                raise_error=True)  # fmt: skip
    print(len(addresses))


if __name__ == "__main__":
    main()
