"""Asks the operator before anything is written."""

from __future__ import annotations

import sys
from enum import Enum

from aegis_provision.cli.output import echo


class Confirmation(Enum):
    """What the operator said, or that there was no terminal to ask on."""

    YES = "yes"
    NO = "no"
    NO_TERMINAL = "no terminal"


def confirm(question: str) -> Confirmation:
    """Ask ``question`` on stderr and read the answer from the terminal.

    Only ``yes`` or ``y`` is a yes; the end of input is a no. Without a terminal to ask and to
    answer on, no question is asked.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Confirmation.NO_TERMINAL
    said = ""
    try:
        # Within, as Ctrl-C may come as soon as the question can be read.
        echo(f"{question} [y/N] ", err=True, end="")
        said = sys.stdin.readline()
    except (UnicodeDecodeError, OSError):  # the terminal may be gone
        return Confirmation.NO
    finally:
        if not said.endswith("\n"):
            echo(err=True)
    return Confirmation.YES if said.strip().lower() in {"y", "yes"} else Confirmation.NO
