"""``--env-file``: variables that lie beneath the operator's real environment."""

from __future__ import annotations

import os
import re
import select
import stat
import time
from typing import TYPE_CHECKING

from aegis_provision.errors import InputError
from aegis_provision.files.reading import check_regular, is_null
from aegis_provision.humanize import listed, size_text

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
_LONGEST = 60.0
_STDIN = re.compile(r"-|/dev/stdin")
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(?P<number>[0-9]{1,9})")


def read_env_file(path: Path, longest: float = _LONGEST) -> dict[str, str]:
    """Return the variables of ``path``.

    Lines are ``NAME=value``, with ``export`` before it, quotes around the value and ``#``
    comments allowed; nothing is expanded. A file that others can read is refused, as is one with
    a line of another form (named by its number alone: it may hold a secret), or a huge one. ``-``
    is standard input; a pipe is read to its end, for ``longest`` seconds at most. Raises
    :class:`Error`.
    """
    try:
        text = _content(path, longest).decode("utf-8-sig")
    except TimeoutError:
        raise InputError(
            f"{path} does not come to its end: after {longest:g} seconds it is still open",
            "let what writes into it end, or write it to a file that only you can read",
        ) from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    return _parse(path, text)


def _content(path: Path, longest: float) -> bytes:
    """Return what ``path`` holds, or is. Raises ``OSError``, ``TimeoutError`` among them."""
    with os.fdopen(_opened(path), "rb", buffering=0) as stream:
        facts = os.fstat(stream.fileno())
        if is_null(facts):
            return b""
        mode = stat.S_IMODE(facts.st_mode)
        kind = stat.S_IFMT(facts.st_mode)
        if kind not in {stat.S_IFIFO, stat.S_IFSOCK}:
            if stream.isatty():
                raise InputError(
                    f"{path} is a terminal, which would show the secrets",
                    "pipe the variables in, or name a file that only you can read",
                )
            check_regular(path, facts)
        if mode & 0o077 and kind != stat.S_IFSOCK:  # these bits let no one open a socket
            raise InputError(f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}")
        data = read_waiting(stream.fileno(), _LARGEST, time.monotonic() + longest)
    if len(data) > _LARGEST:
        raise InputError(f"{path} is larger than {size_text(_LARGEST)}: it is no file of variables")
    return data


def _opened(path: Path) -> int:
    """Return a new descriptor for ``path``: its own where it is one of this process's."""
    named = str(path)
    if _STDIN.fullmatch(named):
        return os.dup(0)
    if found := _DESCRIPTOR.fullmatch(named):
        return os.dup(int(found["number"]))
    facts = path.stat()
    if not stat.S_ISFIFO(facts.st_mode):
        check_regular(path, facts, null=True)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def read_waiting(descriptor: int, limit: int, until: float) -> bytes:
    """Return what comes out of ``descriptor`` up to its end, a byte more than ``limit`` at most.

    Waits ``until`` then, on the monotonic clock. Raises ``TimeoutError``.
    """
    found = bytearray()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while len(found) <= limit:
        left = until - time.monotonic()
        if left <= 0 or not waiting.poll(left * 1000):
            raise TimeoutError
        try:
            data = os.read(descriptor, limit + 1 - len(found))
        except BlockingIOError:  # another process has read it
            continue
        if not data:
            break
        found += data
    return bytes(found)


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
        raise InputError(
            f"{path}: not NAME=value in line {lines}",
            "write NAME=value, with quotes around a value that holds white space or quotes",
        )
    return found
