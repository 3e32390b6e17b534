"""What a test needs of this machine: without it the test is skipped, in CI it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(message: str) -> NoReturn:
    """End the test because of what this machine lacks: a skip, in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
