"""The attributes of files on a host, as lsattr(1) tells them: SFTP has no word for them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ReadAttributes: TypeAlias = "Callable[[Sequence[str]], Mapping[str, str]]"
"""Asks for the attributes of files: path to letters, without those that can't be told."""

_LINE = re.compile(rb"^([A-Za-z-]{8,40}) (/.*)$", re.MULTILINE)


def attributes_command(paths: Sequence[str]) -> str:
    """Return the shell command that lists the attributes of ``paths``, which are absolute.

    Errors are not shown: not each file system has attributes, and not each host has the program.
    """
    return f"lsattr -d {shlex.join(paths)} 2>/dev/null" if paths else ":"


def parse_attributes(output: bytes, paths: Sequence[str]) -> dict[str, str]:
    """Return the letters of each of ``paths`` of which ``output`` tells any, in their order."""
    told = {path: letters for letters, path in _LINE.findall(output)}
    found = {path: told.get(path.encode(), b"").decode().replace("-", "") for path in paths}
    return {path: letters for path, letters in found.items() if letters}


def untold_attributes(_: Sequence[str]) -> Mapping[str, str]:
    """Tell nothing of any file."""
    return {}
