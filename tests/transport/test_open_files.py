"""The limit of open files: raised for us, not for what is run through us."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aegis_provision.transport import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_RAISES = """\
import os, resource, subprocess
from aegis_provision.transport.open_files import raise_limit, with_own_limit
print(subprocess.check_output(with_own_limit(["/bin/sh", "-c", "ulimit -S -n"]), text=True).strip())
raise_limit()
raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
for shell in ("/bin/sh", "/bin/bash"):
    argv = with_own_limit([shell, "-c", 'exec echo "$(ulimit -S -n) $(ulimit -H -n) $0" "a  b"'])
    print(subprocess.check_output(argv, text=True).strip())
print(with_own_limit(["/no/such/shell", "-c", "x"]))
"""


def test_the_limit_is_raised_for_us_and_not_for_what_we_run() -> None:
    limited = ["/bin/sh", "-c", 'ulimit -S -n 60; ulimit -H -n 90; exec "$@"', "sh"]
    done = subprocess.run(
        [*limited, sys.executable, "-c", _RAISES], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "60",
        "(90, 90)",
        "60 90 /bin/sh a  b",
        "60 90 /bin/bash a  b",
        "['/no/such/shell', '-c', 'x']",
    ]


@contextmanager
def limited_to(files: int) -> Iterator[None]:
    """Let this process open ``files`` more, and no further ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))  # noqa: PTH208 - numbers, no paths
    fillers = []
    while (filler := os.open("/dev/null", os.O_RDONLY)) <= highest:
        fillers.append(filler)
    resource.setrlimit(resource.RLIMIT_NOFILE, (filler + files, hard))
    os.close(filler)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


def test_whether_files_can_be_opened_is_known_to_the_last_one() -> None:
    with limited_to(4):
        left = open_files.files_left()
        answers = [open_files.can_open(count) for count in (0, 4, 5, 4)]
    assert answers == [True, True, False, True]
    assert 3 <= left <= 4  # counting takes one itself
    assert open_files.can_open(5)


def test_none_is_opened_where_there_is_room_for_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", _Never())
    assert open_files.can_open(5)


class _Never:
    def __call__(self, *_: object) -> int:
        raise AssertionError
