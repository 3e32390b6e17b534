"""Which tests can run on this machine, and the state that all of them begin in."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.fleet.needs import missing

if TYPE_CHECKING:
    import pytest


def pytest_configure() -> None:
    """Take Ctrl-C even in a shell's background job: what tests start would inherit its deafness."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need root where there is none, but let them fail in CI."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    missing("needs root, for other users and other owners of files")
