"""The Makefile's lists of tests name files and directories that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")


@pytest.mark.parametrize("name", ["UNIT", "VERSIONS"])
def test_a_list_names_what_exists(name: str) -> None:
    found = re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    paths = found[1].split()
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
