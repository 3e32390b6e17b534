"""What 'make lowest' installs: every dependency, at the lowest version that a user may have."""

from __future__ import annotations

from pathlib import Path

from tests.packaging.lowest import lowest

ROOT = Path(__file__).resolve().parents[2]


def test_each_dependency_has_one_lowest_version() -> None:
    assert lowest(ROOT / "pyproject.toml") == [
        "click==8.1.7",
        "jsonschema==4.21",
        "paramiko==5.0",
        "pyyaml==6.0.1",
        "rich==13.7",
    ]
