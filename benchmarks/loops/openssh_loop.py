"""The loop with OpenSSH's own sftp, a process (and its ssh) for each host."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.loops.arguments import parse_loop

if TYPE_CHECKING:
    from benchmarks.loops.arguments import Loop


def main() -> None:
    """Visit every host; print how many there were."""
    loop = parse_loop()
    with ThreadPoolExecutor(loop.forks) as pool:
        print(sum(pool.map(lambda host: _visit(loop, *host), loop.hosts)))


def _visit(loop: Loop, address: str, path: str) -> int:
    batch = f"get {path} /dev/null\n"
    if loop.content is not None:
        batch += f"put {loop.content} {path}.new\nrename {path}.new {path}\n"
    options = (
        *("-F", "none", "-i", str(loop.key), "-P", str(loop.port)),
        *("-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
        *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={loop.known_hosts}"),
    )
    argv = ("sftp", "-q", *options, "-b", "-", f"{loop.user}@{address}")
    subprocess.run(argv, input=batch, text=True, check=True, stdout=subprocess.DEVNULL)
    return 1


if __name__ == "__main__":
    main()
