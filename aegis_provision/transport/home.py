"""The operator's home directory: where their keys, their ssh config and their records lie."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class NoHomeError(Exception):
    """Neither the environment nor passwd(5) names the home directory; the text says so."""


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return ``HOME`` of ``environ``, else the home in this process's passwd entry.

    Raises :class:`NoHomeError` where there is neither, as for a container's arbitrary uid.
    """
    named = environ.get("HOME")
    if named:
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise NoHomeError(
            f"HOME is not set, and uid {os.getuid()} has no entry in passwd"
        ) from None
