"""Directories that other users can get to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Yield a directory that everybody may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def home(public_path: Path) -> Path:
    """Return a private directory of nobody's, which they can get to."""
    directory = public_path / "home"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    return directory
