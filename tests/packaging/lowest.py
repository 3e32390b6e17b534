"""Prints the dependencies in pyproject.toml at the lowest versions that it allows, for pip."""

from __future__ import annotations

import tomllib
from pathlib import Path


def lowest(project: Path) -> list[str]:
    """Return ``name==version`` for each dependency of ``project``, its pyproject.toml."""
    named = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [requirement.replace(">=", "==") for requirement in named]


if __name__ == "__main__":
    print(" ".join(lowest(Path("pyproject.toml"))))  # noqa: T201
