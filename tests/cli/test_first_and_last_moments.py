"""Ctrl-C and a polite kill while the program is being loaded, and while it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from aegis_provision.cli.interrupts import PATIENCE, ProcessSignals
from aegis_provision.cli.invocation import Invocation, note_written
from aegis_provision.cli.main import _is_interrupt
from tests.fleet.operator import ROOT
from tests.fleet.program import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.operator import Operator

TRIES = 12
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def _catches(program: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Tell whether the process handles a signal by now (proc(5), SigCgt)."""
    try:
        status = Path(f"/proc/{program.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    mask = next((line.split()[1] for line in status.splitlines() if line[:7] == "SigCgt:"), None)
    return mask is None or bool(int(mask, 16) >> (number - 1) & 1)


@contextmanager
def begun(operator: Operator, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program and wait until it takes signals; before that Python alone decides."""
    with operator.start(*args) as program:
        try:
            while not _catches(program, signal.SIGTERM):
                time.sleep(0)  # lets the program run
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [["hosts"], ["plan"], ["apply", "--yes"]], ids=" ".join)
def test_a_signal_at_any_moment(
    operator: Operator, command: list[str], number: signal.Signals
) -> None:
    with begun(operator, *command) as program:
        began = time.monotonic()
        program.communicate(timeout=60)
    whole = time.monotonic() - began
    operator.furnish("a", "b", "c")
    interrupted = 0
    for step in range(TRIES):
        with begun(operator, *command) as program:
            try:
                program.wait(timeout=whole * 1.1 * step / TRIES)
            except subprocess.TimeoutExpired:
                program.send_signal(number)
            _, err = program.communicate(timeout=60)
        assert program.returncode in {0, 130}, err
        assert "Traceback" not in err
        assert "internal error" not in err
        interrupted += program.returncode == 130
        if program.returncode == 130 and "interrupted; nothing was written" in err:
            files = [operator.file_of(host).read_text() for host in "abc"]
            assert command[0] != "apply" or all("defaultSessionEnv" not in text for text in files)
        for host in "abc":
            json.loads(operator.file_of(host).read_text())
            operator.furnish(host)
    assert interrupted >= 1


LOADING = """
import os, signal, sys
if {ignored}:
    signal.signal(signal.{signal}, signal.SIG_IGN)
import aegis_provision.__main__
assert "click" not in sys.modules and "aegis_provision.cli" not in sys.modules
os.kill(os.getpid(), signal.{signal})
print("went on")
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_while_the_program_is_loaded(number: signal.Signals, *, ignored: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADING.format(signal=number.name, ignored=ignored)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if ignored:
        assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")
    else:
        assert (done.returncode, done.stdout) == (130, "")
        assert done.stderr == "interrupted; nothing was written\n"


def test_the_console_script_begins_with_the_same_module() -> None:
    script = 'aegis-provision = "aegis_provision.__main__:main"'
    assert script in (ROOT / "pyproject.toml").read_text()


def test_further_signals_are_passed_over_for_a_while_and_then_end_it() -> None:
    now = [100.0]
    ended: list[int] = []
    signals = ProcessSignals(lambda: now[0], ended.append)
    with pytest.raises(KeyboardInterrupt):
        signals.take(signal.SIGINT, None)
    now[0] += PATIENCE
    signals.take(signal.SIGTERM, None)
    assert ended == []
    now[0] += 0.01
    signals.take(signal.SIGTERM, None)
    assert ended == [130]


def test_nothing_is_taken_any_more_when_the_process_leaves() -> None:
    signals = ProcessSignals(lambda: 0.0, lambda _: None)
    signals.end()
    signals.take(signal.SIGINT, None)


LOST = """
import os, signal, sys
from aegis_provision.cli.interrupts import ProcessSignals
class Interrupted:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})
signals = ProcessSignals()
signals.begin()
Interrupted()
try:
    signal.sigtimedwait([], 30)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_that_a_destructor_swallows_is_taken_again(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(signal=number.name)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


def test_what_was_written_is_noted_for_the_command_alone() -> None:
    note_written()  # outside of any command it means nothing
    mine = Invocation({})
    with click.Context(click.Command("x"), obj=mine):
        assert not mine.wrote
        note_written()
    assert mine.wrote


@pytest.mark.parametrize("wrote", [False, True])
def test_an_interrupt_says_nothing_was_written_only_where_that_is_so(
    operator: Operator, *, wrote: bool
) -> None:
    breaking = (
        "import sys; from aegis_provision.cli import main, invocation;"
        "from aegis_provision.cli.commands import hosts;"
        f"wrote = {wrote};\n"
        "def stop(*_, **__):\n"
        "    if wrote: invocation.note_written()\n"
        "    raise KeyboardInterrupt\n"
        "hosts.command.callback = stop\n"
        "main.main()\n"
    )
    done = operator.execute(PROGRAM[0], "-c", breaking, "hosts")
    words = "interrupted\n" if wrote else "interrupted; nothing was written\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", words)


def test_an_interrupt_that_a_class_hides_is_one() -> None:
    interrupt = KeyboardInterrupt()
    hidden, bug = RuntimeError("Error calling __set_name__"), RuntimeError("a bug")
    hidden.__cause__ = interrupt
    bug.__cause__ = ValueError()
    outer = ValueError()
    outer.__cause__ = hidden
    assert _is_interrupt(hidden)
    assert _is_interrupt(outer)
    assert not _is_interrupt(bug)
    assert not _is_interrupt(RuntimeError())
