"""A process that listens like Aegis does, with the directory, home and words that a test wants.

It is a shell under the name ``node``, which every user may run. It listens on a socket that the
test opens, and never answers.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SCRIPT = "echo ready; read -r line\n"


@contextmanager
def server_process(
    programs: Path,
    directory: Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    listener: socket.socket | None = None,
    name: str = "node",
    user: int | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``NAME cli.js ARGS`` in ``directory`` until the block ends, with just ``env``.

    It holds ``listener``, which is closed here. The program lies in ``programs``; ``wrapper`` is a
    command that starts it, ``user`` the uid and gid that it runs as.
    """
    program, script = programs / name, programs / "cli.js"
    if not program.exists():
        program.symlink_to("/bin/sh")
    script.write_text(_SCRIPT)
    script.chmod(0o644)
    held = [listener.fileno()] if listener is not None else []
    process = subprocess.Popen(
        [*wrapper, str(program), str(script), *args],
        cwd=directory,
        env=dict(env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=held,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if listener is not None:
                listener.close()
            yield process
        finally:
            process.kill()


@contextmanager
def listening(*addresses: tuple[str, int]) -> Iterator[tuple[socket.socket, ...]]:
    """Listen at ``addresses``; port 0 is one that is free, the same one for all of them."""
    port = 0
    with ExitStack() as stack:
        found = []
        for host, wanted in addresses:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if family is socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, wanted or port))
            listener.listen()
            port = listener.getsockname()[1]
            found.append(listener)
        yield tuple(found)
