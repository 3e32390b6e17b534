"""``--env-file``: variables that lie beneath the operator's real environment."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.failure import CommandFailedError
from aegis_provision.documents.listing import listed

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(
    r"""
    (?:export\s+)?
    (?P<name>[A-Za-z_][A-Za-z0-9_]*)=
    (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^"'\s][^\s]*)? )
    (?:\s+\#.*)?
    """,
    re.VERBOSE,
)
_LARGEST = 1024 * 1024


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of ``path``.

    Lines are ``NAME=value``, with ``export`` before it, quotes around the value and ``#``
    comments allowed; nothing is expanded. A file that others can read is refused, as is one with
    a line of another form (named by its number alone: it may hold a secret), or a huge one.
    Raises :class:`CommandFailedError`.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            mode = stat.S_IMODE(_regular(path, stream.fileno()))
            if mode & 0o077:
                raise _refuse(
                    f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}"
                )
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise _refuse(f"{path} is larger than {_LARGEST} bytes: it is no file of variables")
        text = data.decode("utf-8")
    except OSError as error:
        raise _refuse(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refuse(f"{path} is not UTF-8 text") from None
    return _parse(path, text)


def _regular(path: Path, descriptor: int) -> int:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise _refuse(f"{path} is not a regular file")
    return mode


def _parse(path: Path, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    wrong: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            wrong.append(number)
            continue
        value = next((match[kind] for kind in ("double", "single", "bare") if match[kind]), "")
        found[match["name"]] = value
    if wrong:
        lines = listed(str(number) for number in wrong)
        raise _refuse(
            f"{path}: not NAME=value in line {lines}",
            "write NAME=value, with quotes around a value that holds white space or quotes",
        )
    return found


def _refuse(message: str, hint: str = "") -> CommandFailedError:
    return CommandFailedError(ExitCode.INVALID_INPUT, message, hint)
