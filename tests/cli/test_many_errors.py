"""The work for very many errors grows with their number, not with its square."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

HEAD = "all:\n  vars: {provider: ollama}\n"
SHAPES: dict[str, Callable[[int], str]] = {
    "unknown keys in one line": lambda count: (
        "all: {hosts: {h: {provider: glm, "
        + ", ".join(f"k{at}: 1" for at in range(count))
        + "}}}\n"
    ),
    "unknown keys of many hosts": lambda count: (
        HEAD + "  hosts:\n" + "".join(f"    h{at}: {{colour{at}: 1}}\n" for at in range(count))
    ),
    "hosts without a provider": lambda count: (
        "all:\n  hosts:\n" + "".join(f"    h{at}:\n" for at in range(count))
    ),
    "hosts of unknown providers": lambda count: (
        "all:\n  hosts:\n" + "".join(f"    h{at}: {{provider: p{at}}}\n" for at in range(count))
    ),
    "duplicate keys": lambda count: HEAD + "  hosts:\n" + "    h: {port: 1}\n" * count,
    "groups that differ": lambda count: (
        HEAD
        + "  children:\n"
        + "".join(f"    g{at}: {{hosts: {{h: }}, vars: {{model: m{at}}}}}\n" for at in range(count))
    ),
    "a circle of groups": lambda count: (
        HEAD
        + "  hosts: {h: }\n"
        + "".join(f"g{at}: {{children: {{g{(at + 1) % count}: }}}}\n" for at in range(count))
    ),
}


def calls(work: Callable[[], int]) -> Counter[str]:
    """Return how often each function was called, by its name."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found[frame.f_code.co_name] += 1
        elif event == "c_call":
            found[argument.__name__] += 1

    sys.setprofile(count)
    try:
        assert work() == 3
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_errors_are_twice_the_work(tmp_path: Path, shape: str, form: str) -> None:
    inventory = tmp_path / "inventory.yml"

    def work(count: int) -> int:
        inventory.write_text(SHAPES[shape](count), encoding="utf-8")
        return run(["validate", "-i", str(inventory), "--format", form], {})

    work(10)
    few = calls(lambda: work(400)).total()
    many = calls(lambda: work(800)).total()
    assert many < 2.3 * few


def test_a_line_is_judged_once_however_many_errors_are_on_it(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    empty = ", ".join(f"K{at}: " for at in range(60))
    inventory.write_text(f"all: {{hosts: {{h: {{provider: glm, env: {{{empty}}}}}}}}}\n", "utf-8")
    found = calls(lambda: run(["validate", "-i", str(inventory)], {}))
    assert found["_window"] == 50
    assert found["_may_be_quoted"] == 1
