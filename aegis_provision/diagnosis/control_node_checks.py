"""The control node as checks: what this machine needs before a host can be worked on.

Each function takes what was found here and returns one check; none rests on another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_provision.diagnosis.checks import (
    Check,
    CheckResult,
    ControlNodeCheck,
    fail,
    not_checked,
    ok,
    warn,
)
from aegis_provision.humanize import counted, escape_control, listed
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*([^;]*?)\s*(?:;\s*(.*))?")
_BOUND = re.compile(r"\s*(>=|<=|<|>|==)\s*([0-9][0-9.]*)\s*")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_MOST_LINES = 5


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that is needed: ``bounds`` as written (``>=5.0,<6``), ``extra`` if that is why."""

    name: str
    bounds: str
    extra: str | None

    def __str__(self) -> str:
        """Return it as an installer takes it."""
        return f"{self.name}{self.bounds}"

    def takes(self, version: str) -> bool:
        """Tell whether ``version`` is within the bounds, those that can be understood."""
        have = _release(version)
        for bound in self.bounds.split(","):
            found = _BOUND.fullmatch(bound)
            if found is not None and not _holds(have, found[1], _release(found[2])):
                return False
        return True


def parse_requirement(text: str) -> Requirement | None:
    """Return the requirement that a package's metadata states as ``text`` (PEP 508)."""
    found = _REQUIREMENT.fullmatch(text.strip())
    if found is None:
        return None
    extra = _EXTRA.search(found[3] or "")
    return Requirement(found[1], found[2].strip("() "), extra[1] if extra else None)


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that ``version`` begins with, without zeros at the end."""
    digits = re.split(r"[^0-9.]", version, maxsplit=1)[0]
    numbers = [int(part) for part in digits.split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _holds(have: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    return {
        ">=": have >= bound,
        "<=": have <= bound,
        ">": have > bound,
        "<": have < bound,
        "==": have == bound,
    }[sign]


def check_python(version: str, bounds: str) -> Check:
    """Return whether Python's ``version`` is one that the tool is made for."""
    if Requirement("python", bounds, None).takes(version):
        return ok(ControlNodeCheck.PYTHON, version)
    message = f"this is Python {version}, and {bounds} is needed"
    return fail(ControlNodeCheck.PYTHON, message, "install the tool with another Python")


def check_packages(
    requirements: Sequence[Requirement] | None, installed: Mapping[str, str | None]
) -> Check:
    """Return whether the packages are there in versions that the tool works with.

    ``installed`` maps names to versions, ``None`` for what is not there. ``requirements`` is
    ``None`` where the tool was not installed as a package. An extra's package may be absent.
    """
    if requirements is None:
        message = "the tool runs from a directory, not from an installed package"
        return not_checked(ControlNodeCheck.PACKAGES, message)
    wrong: list[Requirement] = []
    told: list[str] = []
    for item in requirements:
        version = installed.get(item.name)
        extra = f" (for {item.extra})" if item.extra else ""
        if version is None and item.extra is not None:
            continue
        if version is None:
            told.append(f"{item.name} is not installed")
        elif not item.takes(version):
            told.append(f"{item.name} {version}{extra} is none of {item.bounds}")
        else:
            continue
        wrong.append(item)
    if wrong:
        needed = any(item.extra is None for item in wrong)
        result = CheckResult.FAIL if needed else CheckResult.WARN
        remedy = "pip install " + " ".join(f"'{item}'" for item in wrong)
        return Check(ControlNodeCheck.PACKAGES, result, "; ".join(told), remedy)
    there = [f"{item.name} {installed[item.name]}" for item in requirements if installed[item.name]]
    absent = [
        f"{item.name} (for {item.extra})" for item in requirements if not installed[item.name]
    ]
    without = f"; without {listed(absent)}" if absent else ""
    return ok(ControlNodeCheck.PACKAGES, f"{', '.join(there)}{without}")


def check_ssh_config(paths: Sequence[str], problem: str, ignored: Sequence[str]) -> Check:
    """Return whether the ssh config at ``paths`` can be used, and what in it is not done.

    ``problem`` says why it can't; ``ignored`` has a text for each keyword that is not honoured.
    """
    if problem:
        remedy = "correct it, or name another file with --ssh-config"
        return fail(ControlNodeCheck.SSH_CONFIG, problem, remedy)
    if ignored:
        message = "; ".join(ignored)
        remedy = "take it out where hosts need it, or say what is meant in the inventory"
        return warn(ControlNodeCheck.SSH_CONFIG, message, remedy)
    return ok(ControlNodeCheck.SSH_CONFIG, ", ".join(paths) or "none")


def check_agent(socket: str | None, problem: str, keys: int) -> Check:
    """Return whether the ssh agent at ``socket`` answers; it has ``keys`` keys."""
    if socket is None:
        return ok(ControlNodeCheck.AGENT, "none: SSH_AUTH_SOCK is not set")
    if problem:
        remedy = "start one and add your keys with ssh-add, or unset SSH_AUTH_SOCK"
        return warn(ControlNodeCheck.AGENT, f"{problem}: {escape_control(socket)}", remedy)
    return ok(ControlNodeCheck.AGENT, counted(keys, "key"))


def check_keys(usable: Sequence[str], unusable: Mapping[str, str], agent_keys: int) -> Check:
    """Return whether there is a key to log in with.

    ``usable`` are the key files that ssh tries by itself, ``unusable`` maps others of them to why
    they are not; ``agent_keys`` is how many the agent has.
    """
    there = [*usable, *([f"{agent_keys} of the agent's"] if agent_keys else [])]
    told = [f"{path} {reason}" for path, reason in unusable.items()]
    message = "; ".join([*([", ".join(there)] if there else []), *told])
    if not there:
        remedy = "add one with ssh-add, make one with ssh-keygen, or set 'identity_file'"
        return warn(ControlNodeCheck.KEYS, message or "no key to log in with", remedy)
    return ok(ControlNodeCheck.KEYS, message)


@dataclass(frozen=True, slots=True)
class KnownHostsFile:
    """A known_hosts file: its keys' number, the lines that hold none, or why it can't be read."""

    path: str
    entries: int = 0
    broken: tuple[int, ...] = ()
    problem: str = ""


def check_known_hosts(files: Sequence[KnownHostsFile]) -> Check:
    """Return whether host keys can be compared with ``files``, those that are there."""
    unreadable = [f"{file.path} can't be read: {file.problem}" for file in files if file.problem]
    if unreadable:
        remedy = "make it a file that you can read, or name others with --known-hosts"
        return fail(ControlNodeCheck.KNOWN_HOSTS, "; ".join(unreadable), remedy)
    counts = [f"{file.path} ({counted(file.entries, 'key')})" for file in files]
    broken = [
        f"{file.path}:{listed(map(str, file.broken), most=_MOST_LINES)} is not understood"
        for file in files
        if file.broken
    ]
    if broken:
        remedy = "such lines are passed over, as ssh does: correct them or take them out"
        return warn(ControlNodeCheck.KNOWN_HOSTS, "; ".join([*counts, *broken]), remedy)
    if not any(file.entries for file in files):
        remedy = "collect keys with ssh-keyscan and compare them, or see --host-key accept-new"
        message = "no key of any host is known" + (f": {', '.join(counts)}" if counts else "")
        return warn(ControlNodeCheck.KNOWN_HOSTS, message, remedy)
    return ok(ControlNodeCheck.KNOWN_HOSTS, ", ".join(counts))


def check_state_directory(
    path: str, problem: str, remedy: str, *, there: bool, runs: int, damaged: Sequence[str]
) -> Check:
    """Return whether records of runs can be kept in the directory ``path``.

    ``problem`` says why not; ``runs`` is how many there are, ``damaged`` names those that were
    looked at and can't be understood.
    """
    if problem:
        return fail(ControlNodeCheck.STATE_DIRECTORY, problem, remedy)
    if damaged:
        verb = "is" if len(damaged) == 1 else "are"
        message = f"{path}: {counted(len(damaged), 'record')} {verb} damaged: {listed(damaged)}"
        remedy = "'history RUN' tells what is wrong; such a run can't be rolled back or retried"
        return warn(ControlNodeCheck.STATE_DIRECTORY, message, remedy)
    kept = counted(runs, "run") if there else "the first run makes it"
    return ok(ControlNodeCheck.STATE_DIRECTORY, f"{path}: {kept}")


def check_locale(encoding: str) -> Check:
    """Return whether names and messages can be printed as they are in ``encoding``."""
    if encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return ok(ControlNodeCheck.LOCALE, "UTF-8")
    message = f"{encoding}: what it lacks is printed as escapes"
    return warn(
        ControlNodeCheck.LOCALE,
        message,
        "set LC_ALL to a locale with UTF-8: C.UTF-8",
    )


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """A recipe here: which of its variables are set, which are missing, and what is refused."""

    name: str
    is_set: tuple[str, ...]
    missing: tuple[str, ...]
    refused: tuple[str, ...] = ()


def check_recipes(recipes: Sequence[RecipeFacts]) -> Check:
    """Return which of ``recipes`` can be used now. Only names are told, never a value."""
    refused = [f"{item.name}: {'; '.join(item.refused)}" for item in recipes if item.refused]
    if refused:
        remedy = "correct the variable, or unset it"
        return warn(ControlNodeCheck.RECIPES, "; ".join(refused), remedy)
    return ok(ControlNodeCheck.RECIPES, "; ".join(_recipes_told(recipes)))


def _recipes_told(recipes: Sequence[RecipeFacts]) -> Iterator[str]:
    usable = [_named(item.name, item.is_set) for item in recipes if not item.missing]
    lacking = [_named(item.name, item.missing) for item in recipes if item.missing]
    yield f"usable: {', '.join(usable) or 'none'}"
    if lacking:
        yield f"not set: {', '.join(lacking)}"


def _named(name: str, variables: Iterable[str]) -> str:
    found = ", ".join(variables)
    return f"{name} ({found})" if found else name
