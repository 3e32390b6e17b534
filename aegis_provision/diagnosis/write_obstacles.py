"""What keeps a file from being written, in words: the room there, and the attributes of files.

For the check of a host that could be written and for the write that failed alike.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted, size_text
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_ATTRIBUTES = {"i": "immutable", "a": "open to appending alone"}  # chattr(1)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a file can't be written, and what to do."""

    reason: str
    hint: str


READ_ONLY = Obstacle("its file system is mounted read-only", "look at dmesg on the host")


def room_obstacle(available: int, files: int | None, size: int, more: int) -> Obstacle | None:
    """Return what is wrong where ``size`` bytes in ``more`` further files are to be written.

    ``files`` is how many can still be made, ``None`` where that is not counted.
    """
    if available < size:
        return Obstacle(
            f"no space left for a write there ({size_text(available)} free)",
            "make room there (df -h)",
        )
    if files is not None and files < more:
        return Obstacle(
            f"no space left for a write there ({counted(files, 'more file')} can be made)",
            "remove files there (df -i)",
        )
    return None


def attribute_obstacle(attributes: Mapping[str, str]) -> Obstacle | None:
    """Return what is wrong with files of which ``attributes`` holds what lsattr(1) says."""
    for path, letters in attributes.items():
        for letter, words in _ATTRIBUTES.items():
            if letter in letters:
                return Obstacle(
                    f"{path} is {words} (lsattr: {letter})",
                    f"find out why, or take it away: chattr -{letter} {shlex.quote(path)}",
                )
    return None
