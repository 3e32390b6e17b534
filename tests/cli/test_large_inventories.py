"""What large inventories cost: twice the hosts are twice the work, in lines and not in seconds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

GROUPS = 12
"""How many groups there are for each hundred hosts: what looks at all hosts for each is seen."""


def inventory(hosts: int) -> str:
    """Return hosts in ranges, by name and pinned, in groups that lie in groups."""
    lines = ["all:", "  vars: {provider: glm}", "  children:"]
    for group in range(hosts * GROUPS // 100):
        name, many = f"g{group:04}", 100 // GROUPS
        lines += [
            f"    {name}:",
            "      children:",
            f"        {name}-below:",
            "          vars: {port: 2222, model: m}",
            "          hosts:",
            f"            {name}-[1:{many - 1}]:",
            f"            {name}-1: {{provider: ollama, model: m}}",
            f"            {name}-{many}: {{address: 10.0.{group // 250}.{group % 250}, user: u}}",
        ]
    return "\n".join(lines) + "\n"


COMMANDS = [
    ["validate"],
    ["hosts", "--graph"],
    ["hosts", "g*:!*-2:&~g"],
    ["explain", "g0001-2"],
    ["pin", "g000*-3", "ollama", "--model", "x", "--dry-run"],
    ["unpin", "g000*-1", "--dry-run"],
]


def lines_of(argv: Sequence[str], environ: dict[str, str]) -> int:
    """Return how many lines, and turns of loops, of the program a command takes."""
    count = 0

    def in_frame(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return in_frame

    before = sys.gettrace()
    sys.settrace(in_frame)
    try:
        code = run(argv, environ)
    finally:
        sys.settrace(before)
    assert code == 0
    return count


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_twice_the_hosts_are_twice_the_work(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for hosts in (20, 50, 100, 200):
        path = tmp_path / f"{hosts}.yml"
        path.write_text(inventory(hosts), encoding="utf-8")
        lines.append(lines_of([*command, "-i", str(path)], {}))
        capsys.readouterr()
    _, once, twice, four_times = lines  # what is loaded but once is in the first
    further = (four_times - twice) / (twice - once)
    assert further < 2.02, lines
