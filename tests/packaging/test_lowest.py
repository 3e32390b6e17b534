"""What 'make lowest' installs: every dependency, at the lowest version that a user may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.lowest import lowest

ROOT = Path(__file__).resolve().parents[2]


def test_each_dependency_has_one_lowest_version() -> None:
    assert lowest(ROOT / "pyproject.toml") == [
        "click==8.1.7",
        "jsonschema==4.21",
        "paramiko==5.0",
        "pyyaml==6.0.1",
        "rich==13.7",
        "distributed==2025.9",
        "pynacl==1.5",
        "asyncssh==2.17",
    ]


@pytest.mark.parametrize("requirement", ["click", "click==8", "click>8", "click<9"])
def test_a_dependency_without_a_lowest_version_is_an_error(
    requirement: str, tmp_path: Path
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        f"[project]\ndependencies = ['{requirement}']\n"
        "optional-dependencies.dask = []\noptional-dependencies.demo = []\n",
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="no lowest version"):
        lowest(project)
