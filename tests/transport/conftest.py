"""Directories that other users can get to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65534


@pytest.fixture
def home(public_path: Path) -> Path:
    """Return a private directory of the user nobody, who can get to it."""
    directory = public_path / "home"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    return directory
