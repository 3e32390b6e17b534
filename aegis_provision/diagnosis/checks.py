"""A check: one thing that has to hold for Aegis on a host to work with its provider.

``doctor`` shows them, ``verify`` and ``preflight`` use the words of some.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    what to do; neither holds a secret or a character that drives a terminal. ``rests_on`` is the
    check whose finding kept this one from being made, empty for none: then ``message`` is empty.
    """

    check: str
    result: CheckResult
    message: str = ""
    remedy: str = ""
    rests_on: str = ""

    @property
    def text(self) -> str:
        """Return what was found, or why nothing was."""
        return f"rests on {self.rests_on}" if self.rests_on else self.message


@dataclass(frozen=True, slots=True)
class HostChecks:
    """A host's checks, in the order in which things break."""

    host: str
    checks: tuple[Check, ...]


def rests_on(check: str, below: str) -> Check:
    """Return the check that was not made because of what was found at ``below``."""
    return Check(check, CheckResult.NOT_CHECKED, rests_on=below)


def worst(checks: Iterable[Check]) -> CheckResult:
    """Return ``FAIL`` where one failed, else ``WARN`` where one warns, else ``OK``."""
    results = {check.result for check in checks}
    order = (CheckResult.FAIL, CheckResult.WARN)
    return next((result for result in order if result in results), CheckResult.OK)
