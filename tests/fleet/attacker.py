"""Another user of the host who exchanges two names in a directory of theirs, again and again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_AT_MOST = 120
_LOOP = f"""
import ctypes, os, sys, time

libc = ctypes.CDLL(None)
one, two, uid = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
print("ready", flush=True)
until = time.monotonic() + {_AT_MOST}
while time.monotonic() < until:
    for _ in range(1000):
        libc.renameat2(-100, one, -100, two, 2)  # AT_FDCWD twice, and RENAME_EXCHANGE
"""


@contextmanager
def exchanging(directory: Path, one: str, two: str, *, uid: int) -> Iterator[None]:
    """Exchange the entries ``one`` and ``two`` of ``directory`` as ``uid``, until the block ends.

    Where one of them is not there nothing happens, and it is tried again.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LOOP, one, two, str(uid)],
        cwd=directory,
        stdout=subprocess.PIPE,
    )
    try:
        assert cast("IO[bytes]", process.stdout).readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()
