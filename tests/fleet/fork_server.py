"""The program, loaded once: a process that has imported it forks for each command line.

A command still is a process of its own, and what it does and says is what it always would. Only
what Python does before our first line is not done again, nor are imports. Where a test is about
those (encodings, the first moments, what a process's arguments show), it starts an own Python.

A request is one packet: arguments, working directory and environment as JSON, with four
descriptors; the last of them is told the pid, and in the end the exit status. The server ends with
the process that began it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGE = "aegis_provision"
_ROOT = Path(__file__).resolve().parents[2]
_LOCALE = "C.UTF-8"
_LARGEST_PACKET = 150_000
_LARGEST_STDIN = 60_000
_MOST_DESCRIPTORS = 1024
# The first changes what signals do; the other is one command's own, and takes long.
_NOT_LOADED = (f"{PACKAGE}.__main__", f"{PACKAGE}.demo", f"{PACKAGE}.workers.dask_")
# What commands import when they come to it, and what is imported then in turn.
_BESIDE = ("jsonschema", "paramiko", "rich.live", "rich.progress", "rich.table", "yaml")


# --- a test's side ------------------------------------------------------------------------------


class _Server:
    """The server of this process, which begins with the first command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None

    def send(self, request: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            if self._channel is None:
                self._channel = self._begin()
            socket.send_fds(self._channel, [request], descriptors)

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.fleet.fork_server"],
                cwd=_ROOT,
                env={"PATH": os.environ["PATH"], "LC_ALL": _LOCALE},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        atexit.register(_end, ours, process)
        return ours


_SERVER = _Server()


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def can_fork(environ: Mapping[str, str], stdin: str) -> bool:
    """Tell whether a command can be forked: where Python would begin as it did in the server."""
    return (
        environ.get("LC_ALL") == _LOCALE
        and all(name == "PYTHONPATH" for name in environ if name.startswith("PYTHON"))
        and len(stdin) < _LARGEST_STDIN
    )


def run_forked(
    args: Sequence[str], cwd: Path, environ: Mapping[str, str], stdin: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command line of the program to its end, as :func:`subprocess.run` does."""
    request = json.dumps({"args": list(args), "cwd": str(cwd), "environ": dict(environ)})
    given, fed = os.pipe()
    pairs = [os.pipe() for _ in ("stdout", "stderr", "status")]
    theirs = [given, *(writer for _, writer in pairs)]
    try:
        os.write(fed, stdin.encode())
        os.close(fed)
        _SERVER.send(request.encode(), theirs)
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    out, err, told = _read_all([reader for reader, _ in pairs], timeout)
    return subprocess.CompletedProcess(
        list(args), os.waitstatus_to_exitcode(int(told.split()[1])), _text(out), _text(err)
    )


def _read_all(readers: Sequence[int], timeout: float) -> list[bytes]:
    """Read what comes until all ``readers`` have ended, and close them; the last one is ``told``.

    Raises :class:`subprocess.TimeoutExpired`, the process being killed.
    """
    until = time.monotonic() + timeout
    found = {reader: bytearray() for reader in readers}
    told = readers[-1]
    with selectors.DefaultSelector() as selector, ExitStack() as undo:
        for reader in readers:
            undo.callback(os.close, reader)
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready and time.monotonic() > until:
                os.kill(int(found[told].split()[0]), signal.SIGKILL)
                while os.read(told, 64):
                    pass
                raise subprocess.TimeoutExpired(PACKAGE, timeout)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [bytes(found[reader]) for reader in readers]


def _text(data: bytes) -> str:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()


# --- the server ---------------------------------------------------------------------------------


def _serve(channel: socket.socket) -> None:
    """Fork for each request until the last sender is gone."""
    running: dict[int, int] = {}
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    while True:
        ready = select.select([channel.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
        while (ended := _ended(running)) is not None:
            pid, status = ended
            with suppress(BrokenPipeError), os.fdopen(running.pop(pid), "wb") as told:
                told.write(f"{status}\n".encode())
        if channel.fileno() not in ready:
            continue
        packet, descriptors, _, _ = socket.recv_fds(channel, _LARGEST_PACKET, 4)
        if not packet:
            return
        pid = os.fork()
        if pid == 0:
            _become(json.loads(packet), descriptors)
        *streams, status_told = descriptors
        for descriptor in streams:
            os.close(descriptor)
        os.write(status_told, f"{pid}\n".encode())
        running[pid] = status_told


def _ended(running: Mapping[int, int]) -> tuple[int, int] | None:
    if not running:
        return None
    pid, status = os.waitpid(-1, os.WNOHANG)
    return (pid, status) if pid else None


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the process of a command line. Python's streams stay: nothing has gone through them."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        os.closerange(3, _MOST_DESCRIPTORS)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        time.tzset()
        sys.argv = ["-m", *request["args"]]
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(1)


def _load() -> None:
    package = importlib.import_module(PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        if not module.name.startswith(_NOT_LOADED):
            importlib.import_module(module.name)
    for name in _BESIDE:
        importlib.import_module(name)
    # Collections leave alone what all commands share.
    gc.freeze()


if __name__ == "__main__":
    _load()
    with socket.socket(fileno=os.dup(0)) as requests:
        _serve(requests)
