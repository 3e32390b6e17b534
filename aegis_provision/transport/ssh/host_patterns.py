"""OpenSSH's lists of patterns: the same in ``ssh_config`` and in ``known_hosts``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def matches(subject: str, patterns: Iterable[str]) -> bool:
    """Tell whether ``subject`` matches one of ``patterns``, and none that is negated with ``!``.

    Only ``*`` and ``?`` are special (ssh_config(5), PATTERNS): brackets belong to ``[host]:port``.
    """
    found = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if fnmatchcase(subject, pattern[negated:].replace("[", "[[]")):
            if negated:
                return False
            found = True
    return found
