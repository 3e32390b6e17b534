"""A command that runs in our place: it has the terminal and the signals, and its end is ours.

Signals are held back, and taken one by one, from before the command starts until all is tidied
up: none can end this process in between. What a terminal's keys send (SIGINT, SIGQUIT, SIGTSTP)
goes to the command anyway, which is of our process group; the rest is passed on.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import quote
from aegis_provision.errors import CommandNotFoundError, CommandNotStartedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

_PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
)
_FROM_KEYS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP})
_ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
_KILLED = 128  # POSIX shells, "Exit Status for Commands"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_AEGIS = frozenset({"ag", "aegis"})
_NAME_IT = "install it, or name what starts Aegis after '--': -- node dist/cli.js"


@contextmanager
def signals_held() -> Iterator[frozenset[signal.Signals]]:
    """Hold signals back while the block runs; give those that are. For the main thread only.

    One that was ignored before (``nohup``, a shell's background job) stays so, here and in what
    is started. Those that came and were not taken are dropped at the end.
    """
    before = {number: signal.getsignal(number) for number in (*_PASSED_ON, signal.SIGCHLD)}
    held = frozenset(
        number
        for number, handler in before.items()
        if handler is not signal.SIG_IGN or number is signal.SIGCHLD
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        # Some systems drop a signal without a handler, even a blocked one.
        for number in (signal.SIGCHLD, signal.SIGCONT):
            signal.signal(number, _nothing)
        yield held
    finally:
        while arrived := signal.sigpending() & held:
            signal.sigwait(arrived)
        for number in (signal.SIGCHLD, signal.SIGCONT):
            signal.signal(number, before[number])
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def run_command(
    words: Sequence[str], environ: Mapping[str, str], held: frozenset[signal.Signals]
) -> int:
    """Run ``words`` with ``environ`` alone, pass ``held`` signals on, and return its exit status.

    That is 128 and the signal's number where one killed it. On Linux it gets a SIGTERM where this
    process is killed. Raises :class:`KeyboardInterrupt` where a signal has come before it starts,
    :class:`CommandNotFoundError` and :class:`CommandNotStartedError`.
    """
    if signal.sigpending() & _ENDING & held:
        raise KeyboardInterrupt
    child = _start(words, environ, held)
    while (status := child.poll()) is None:
        number, from_keys = _next_signal(held)
        if number is signal.SIGCHLD:
            continue
        if not from_keys:
            child.send_signal(number)
        if number is signal.SIGTSTP:
            _stop()
    return _KILLED - status if status < 0 else status


def _start(
    words: Sequence[str], environ: Mapping[str, str], held: frozenset[signal.Signals]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            executable=_program(words[0], environ),
            env=environ,
            preexec_fn=_before_it_begins(held),  # noqa: PLW1509 - this process has one thread
        )
    except OSError as problem:
        raise _not_started(words[0], environ, problem) from None


def _not_started(word: str, environ: Mapping[str, str], problem: OSError) -> CommandNotStartedError:
    name = quote(word)
    if not isinstance(problem, FileNotFoundError):
        reason = problem.strerror or str(problem)
        return CommandNotStartedError(f"{name} can't be started: {reason}", _NAME_IT)
    if shutil.which(word, path=environ.get("PATH")) is not None:
        reason = "the interpreter that its first line names is not there"
        return CommandNotStartedError(f"{name} can't be started: {reason}", _NAME_IT)
    where = "" if "/" in word else " on PATH"
    return CommandNotFoundError(f"there is no program {name}{where}", _NAME_IT)


def _before_it_begins(held: Collection[signal.Signals]) -> Callable[[], None]:
    """Return what the new process does first: it takes signals as any other, and ends with us."""
    end_with_parent = None
    if sys.platform == "linux":
        end_with_parent = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def prepare() -> None:
        for number in held:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        if end_with_parent is not None:
            end_with_parent(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # which died just before, and sends nothing any more
                os._exit(_KILLED + signal.SIGTERM)

    return prepare


def _program(word: str, environ: Mapping[str, str]) -> str | None:
    """Return the program to run for ``word`` where that is not what the path leads to.

    npm installs ``ag`` as a symbolic link to a script, and Aegis (0.6.6) under the link's name does
    nothing and says nothing.
    """
    if Path(word).name not in _AEGIS:
        return None
    found = shutil.which(word, path=environ.get("PATH"))
    if found is None or not Path(found).is_symlink():
        return None
    real = Path(found).resolve()
    return str(real) if real.suffix == ".js" else None


def _next_signal(held: frozenset[signal.Signals]) -> tuple[signal.Signals, bool]:
    """Wait for one of ``held``; return it, and whether a terminal's keys sent it to all of us."""
    if sys.platform == "linux":
        found = signal.sigwaitinfo(held)
        number = signal.Signals(found.si_signo)
        from_kernel = found.si_code > 0  # sigaction(2)
    else:
        number = signal.Signals(signal.sigwait(held))
        from_kernel = _in_foreground()
    return number, from_kernel and number in _FROM_KEYS


def _in_foreground() -> bool:
    """Tell whether the keys of our terminal reach us."""
    for descriptor in range(3):
        with suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False


def _stop() -> None:
    """Stop, as any process does at this signal, until SIGCONT comes."""
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})


def _nothing(_number: int, _frame: object) -> None:
    return
