"""Where the console script and ``python -m`` begin: signals are taken before all other imports.

Importing this module is meant for these two alone: it changes what Ctrl-C and a polite kill do.
Until the program is loaded they end it at once, and in order: nothing has been opened yet, and an
exception in the middle of an import would be printed, or lost.
"""

from __future__ import annotations

# What lies beneath ``signal``, whose own import takes milliseconds that are to be covered too.
import _signal  # type: ignore[import-not-found]
import os

_INTERRUPTED = 130
_TOLD = b"interrupted; nothing was written\n"


def _end_at_once(_number: int, _frame: object) -> None:
    try:
        os.write(2, _TOLD)
    finally:
        os._exit(_INTERRUPTED)


for _number in (_signal.SIGINT, _signal.SIGTERM):
    if _signal.getsignal(_number) != _signal.SIG_IGN:
        _signal.signal(_number, _end_at_once)


def main() -> None:
    """Load the program and run the command line of this process; does not return."""
    from aegis_provision.cli.main import main as run_process

    run_process()


if __name__ == "__main__":
    main()
