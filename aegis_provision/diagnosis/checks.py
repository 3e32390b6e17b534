"""A check: one thing that has to hold for Aegis on a host to work with its provider.

``doctor`` shows them, ``verify`` and ``preflight`` use the words of some.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


class CheckResult(StrEnum):
    """What came of a check.

    NOT_CHECKED: it rests on a check that failed, it can't be told, or it was not asked for.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not_checked"


class HostCheck(StrEnum):
    """The checks of a host, in the order in which things break."""

    NAME = "name"
    PORT = "port"
    HOST_KEY = "host_key"
    AUTH = "auth"
    BECOME = "become"
    SFTP = "sftp"
    DIRECTORY = "directory"
    FILE = "file"
    PERMISSIONS = "permissions"
    CONFIG = "config"
    FILE_IN_USE = "file_in_use"
    VARIABLES = "variables"
    FREE_SPACE = "free_space"
    CLOCK = "clock"
    LOCK = "lock"
    AEGIS = "aegis"
    API = "api"
    CLAUDE = "claude"
    RESTART = "restart"
    PROVIDER = "provider"
    TOKEN = "token"  # noqa: S105 - a name
    MODEL = "model"


class ControlNodeCheck(StrEnum):
    """The checks of the control node, in their order."""

    PYTHON = "python"
    PACKAGES = "packages"
    SSH_CONFIG = "ssh_config"
    AGENT = "agent"
    KEYS = "keys"
    KNOWN_HOSTS = "known_hosts"
    STATE_DIRECTORY = "state_directory"
    LOCALE = "locale"
    RECIPES = "recipes"


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


def ok(check: str, message: str = "") -> Check:
    """Return a check that holds; ``message`` says how."""
    return Check(check, CheckResult.OK, message)


def warn(check: str, message: str, remedy: str = "") -> Check:
    """Return a check that warns."""
    return Check(check, CheckResult.WARN, message, remedy)


def fail(check: str, message: str, remedy: str = "") -> Check:
    """Return a check that failed."""
    return Check(check, CheckResult.FAIL, message, remedy)


def not_checked(check: str, message: str, remedy: str = "") -> Check:
    """Return a check that was not made, for a reason of its own."""
    return Check(check, CheckResult.NOT_CHECKED, message, remedy)


def rests_on(check: str, below: str) -> Check:
    """Return the check that was not made because of what was found at ``below``."""
    return Check(check, CheckResult.NOT_CHECKED, rests_on=below)


def worst(checks: Iterable[Check]) -> CheckResult:
    """Return ``FAIL`` where one failed, else ``WARN`` where one warns, else ``OK``."""
    results = {check.result for check in checks}
    order = (CheckResult.FAIL, CheckResult.WARN)
    return next((result for result in order if result in results), CheckResult.OK)
