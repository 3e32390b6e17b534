"""The question before a write, on a real terminal."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.run_pipeline import confirm
from tests.fleet.program import PROGRAM
from tests.fleet.terminal import Terminal, running_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.operator import Operator

TEN = tuple(f"h{number}" for number in range(10))
QUESTION = "Write to 3 hosts? [y/N] "


@contextmanager
def on_terminal(
    operator: Operator, *args: str, columns: int = 80, rows: int = 50, stderr: int | None = None
) -> Iterator[Terminal]:
    with running_on_terminal(
        [*PROGRAM, *args],
        operator.work,
        {**operator.environ, "TERM": "xterm-256color"},
        columns=columns,
        rows=rows,
        stderr=stderr,
    ) as terminal:
        yield terminal


def written(operator: Operator) -> list[bool]:
    return ["defaultSessionEnv" in operator.file_of(host).read_text() for host in "abc"]


@pytest.mark.parametrize("answer", [b"y\n", b"yes\n", b" YES \n"])
def test_a_yes_writes(operator: Operator, answer: bytes) -> None:
    with on_terminal(operator, "apply") as terminal:
        terminal.read_until(QUESTION)
        assert written(operator) == [False] * 3
        terminal.type(answer)
        assert terminal.end() == 0
    assert "3 written, restart pending" in terminal.seen
    assert written(operator) == [True] * 3


@pytest.mark.parametrize(
    "answer", [b"n\n", b"\n", b"yess\n", b"ja\n", b"\x04", b"\xff\xfe\n"], ids=repr
)
def test_anything_else_writes_nothing(operator: Operator, answer: bytes) -> None:
    with on_terminal(operator, "apply") as terminal:
        terminal.read_until(QUESTION)
        terminal.type(answer)
        assert terminal.end() == 6
    assert "\nerror: not confirmed; nothing was written\n" in terminal.seen
    assert written(operator) == [False] * 3


@pytest.mark.parametrize(
    ("verify", "session"),
    [
        ("{session: true}", ", and start a session on 3"),
        ("{session: true, prompt: Say ok}", ", and start a session with a prompt on 3"),
        ("{health: true}", ""),
    ],
)
def test_sessions_that_will_be_started_are_asked_about(
    operator: Operator, verify: str, session: str
) -> None:
    operator.inventory("a", "b", "c", more="restart_command: 'true'")
    book = operator.work / "rollout.yml"
    book.write_text(f"- {{hosts: all, restart: changed, verify: {verify}}}\n")
    with on_terminal(operator, "apply", str(book)) as terminal:
        terminal.read_until(f"Write to 3 hosts and restart Aegis on 3{session}? [y/N] ")
        terminal.type(b"n\n")
        assert terminal.end() == 6
    assert written(operator) == [False] * 3


def test_ctrl_c_at_the_question_writes_nothing(operator: Operator) -> None:
    with on_terminal(operator, "apply") as terminal:
        terminal.read_until(QUESTION)
        terminal.type(b"\x03")
        assert terminal.end() == 130
    assert terminal.seen.endswith("\ninterrupted; nothing was written\n")
    assert written(operator) == [False] * 3


class _InterruptedTerminal(io.StringIO):
    """A terminal whose operator presses Ctrl-C as soon as anything can be read on it."""

    interrupts = 1

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        if self.interrupts and self.getvalue():
            self.interrupts -= 1
            raise KeyboardInterrupt


def test_ctrl_c_while_the_question_is_put_ends_its_line_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _InterruptedTerminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyboardInterrupt):
        confirm("Write?")
    assert terminal.getvalue() == "Write? [y/N] \n"


def test_ctrl_c_that_another_thread_takes_ends_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one does that comes just before the read: Python's main thread is told of neither."""
    ours, theirs = pty.openpty()

    def press() -> None:
        asked = b""
        while b"[y/N] " not in asked:
            asked += os.read(ours, 100)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    interrupter = threading.Thread(target=press)
    with (
        os.fdopen(theirs, "r+b", buffering=0) as raw,
        io.TextIOWrapper(raw, write_through=True) as end,
    ):
        monkeypatch.setattr(sys, "stdin", end)
        monkeypatch.setattr(sys, "stderr", end)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            confirm("Write?")
        interrupter.join()
    os.close(ours)


@pytest.mark.parametrize("args", [["--yes"], ["--check"], ["--limit", "a:!a"]], ids=" ".join)
def test_where_nothing_hangs_on_it_nobody_is_asked(operator: Operator, args: list[str]) -> None:
    with on_terminal(operator, "apply", *args) as terminal:
        assert terminal.end() == 0
    assert "[y/N]" not in terminal.seen


def test_nothing_to_do_is_done_without_a_question(operator: Operator) -> None:
    operator.call("apply", "--yes")
    with on_terminal(operator, "apply") as terminal:
        assert terminal.end() == 0
    assert "Nothing to do: no host was written." in terminal.seen
    assert "[y/N]" not in terminal.seen


def test_nobody_is_asked_a_question_that_is_not_seen(operator: Operator) -> None:
    with on_terminal(operator, "apply", stderr=subprocess.DEVNULL) as terminal:
        assert terminal.end() == 6
    assert written(operator) == [False] * 3


def test_without_a_terminal_it_refuses(operator: Operator) -> None:
    result = operator.run("apply", stdin="yes\n")
    assert result.code == 6
    assert result.err.endswith(
        "error: nothing was written: there is no terminal to ask on; say --yes to go ahead\n"
    )
    assert written(operator) == [False] * 3


def test_the_bar_is_gone_when_the_plan_is_shown(operator: Operator) -> None:
    with on_terminal(operator, "plan") as terminal:
        assert terminal.end() == 0
    before, _, after = terminal.seen.partition("~ update")
    assert "Reading 3 hosts" in before
    assert "Reading" not in after
    assert before.rstrip("\x1b[0123456789;m").endswith("\x1b[2K")


@pytest.mark.parametrize(("columns", "rows"), [(80, 50)])
@pytest.mark.parametrize("command", [["hosts", "--graph"], ["plan"], ["apply", "--yes", "-q"]])
def test_two_hundred_hosts_fit_one_screen(
    operator: Operator, command: list[str], columns: int, rows: int
) -> None:
    groups = {"builders": 120, "gpu": 50, "eu": 30}
    pins = {"builders": (5, 17, 33, 60), "gpu": (1, 5, 20), "eu": (1, 2, 10, 30)}
    lines = (operator.work / "inventory.yml").read_text().partition("  hosts:")[0] + "  children:\n"
    for group, count in groups.items():
        lines += f"    {group}:\n"
        if group == "gpu":
            lines += '      vars: {provider: ollama, model: "qwen2.5-coder:32b"}\n'
        lines += "      hosts:\n"
        for number in range(1, count + 1):
            host = f"{group}-{number:03}.example.com"
            operator.furnish(host)
            result = f", provider: glm, pin_until: 2099-12-31, pin_reason: trial {number}"
            pin = result if number in pins[group] else ""
            lines += f"        {host}: {{config_path: {operator.file_of(host)}{pin}}}\n"
    (operator.work / "inventory.yml").write_text(lines)
    operator.environ["GLM_API_KEY"] = "x"
    with on_terminal(operator, *command, columns=columns, rows=rows) as terminal:
        assert terminal.end() == 0
    assert terminal.seen.count("\n") < rows


@pytest.fixture
def ten(operator: Operator) -> Operator:
    """An operator of ten hosts, of which half at once are more than a few."""
    operator.furnish(*TEN)
    operator.inventory(*TEN)
    return operator


def number_written(operator: Operator) -> int:
    return sum("defaultSessionEnv" in operator.file_of(host).read_text() for host in TEN)


@pytest.mark.parametrize(("second", "code", "expected"), [(b"y\n", 0, 10), (b"n\n", 6, 0)])
def test_more_than_half_of_a_fleet_at_once_is_asked_a_second_time(
    ten: Operator, second: bytes, code: int, expected: int
) -> None:
    with on_terminal(ten, "apply", columns=120) as terminal:
        terminal.read_until("Write to 10 hosts? [y/N] ")
        terminal.type(b"y\n")
        terminal.read_until("One batch changes 10 of the inventory's 10 hosts at once")
        terminal.read_until("Are you sure? [y/N] ")
        assert number_written(ten) == 0
        terminal.type(second)
        assert terminal.end() == code
    assert number_written(ten) == expected


def test_half_of_a_fleet_at_once_is_asked_once(ten: Operator) -> None:
    with on_terminal(ten, "apply", "--serial", "5") as terminal:
        terminal.read_until("Write to 10 hosts? [y/N] ")
        terminal.type(b"y\n")
        assert terminal.end() == 0
    assert "Are you sure?" not in terminal.seen
    assert number_written(ten) == 10


def test_with_yes_more_than_half_of_a_fleet_is_a_warning(ten: Operator) -> None:
    result = ten.run("apply", "--yes")
    assert result.code == 0
    assert "warning: one batch changes 10 of the inventory's 10 hosts at once" in result.err
    assert number_written(ten) == 10
