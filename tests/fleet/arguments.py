"""The arguments of every process on this machine, as anybody on it can see them."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def arguments_watched() -> Iterator[set[bytes]]:
    """Collect the arguments of all processes that are seen while the block runs."""
    if not Path("/proc/self/cmdline").exists():
        missing("there is no /proc on this machine")
    seen: set[bytes] = set()
    over, watching = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:
                        continue
            watching.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert watching.wait(30)
        yield seen
    finally:
        over.set()
        watcher.join()
