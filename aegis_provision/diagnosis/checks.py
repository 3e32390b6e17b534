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


_RESTS = "rests on "


def rests_on(check: str, below: str) -> Check:
    """Return the check that was not made because of what was found at ``below``."""
    return Check(check, CheckResult.NOT_CHECKED, f"{_RESTS}{below}")


def below(check: Check) -> str | None:
    """Return the name of the check that kept ``check`` from being made.

    ``None`` where that was for a reason of its own, and for one that was made.
    """
    if check.result is not CheckResult.NOT_CHECKED or not check.message.startswith(_RESTS):
        return None
    return check.message.removeprefix(_RESTS)


def worst(checks: Iterable[Check]) -> CheckResult:
    """Return ``FAIL`` where one failed, else ``WARN`` where one warns, else ``OK``."""
    results = {check.result for check in checks}
    order = (CheckResult.FAIL, CheckResult.WARN)
    return next((result for result in order if result in results), CheckResult.OK)
