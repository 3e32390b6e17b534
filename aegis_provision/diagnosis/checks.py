"""A check: one thing that has to hold for Aegis on a host to work with its provider.

``doctor`` shows them, ``verify`` and ``preflight`` use the words of some.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckResult(StrEnum):
    """What came of a check.

    NOT_CHECKED: it rests on a check that failed, nothing here can tell, or nobody asked for it.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what came of it.

    ``check`` is its name, for programs: ``host_key``. ``message`` says what was found, ``remedy``
    what to do; neither holds a secret or a character that drives a terminal.
    """

    check: str
    result: CheckResult
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HostChecks:
    """A host's checks, in the order in which things break."""

    host: str
    checks: tuple[Check, ...]
