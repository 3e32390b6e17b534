"""Which tests can run on this machine."""

from __future__ import annotations

import os

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need root where there is none, but let them fail in CI."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    message = "needs root, for other users and other owners of files"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
