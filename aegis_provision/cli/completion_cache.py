"""The names that shells complete, kept for large inventories: to read one takes seconds.

A file of the user's cache directory (``XDG_CACHE_HOME``, XDG Base Directory Specification 0.8)
holds names and what the inventory's files looked like, and no value of any setting. It counts as
long as those files look the same; without it completion is only slower, so nothing is raised.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_provision.values import dataclass
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SMALLEST = 1000
"""How many hosts an inventory has at least whose names are kept: a smaller one is read at once."""

_MOST_FILES = 20_000
_LARGEST = 64 << 20
# A file that is changed twice within a clock's tick looks the same after both.
_SETTLED = 2.0
_KEPT_FOR = 30 * 86_400.0
_VARIABLES = ("group_vars", "host_vars")


@dataclass(frozen=True, slots=True)
class Names:
    """What of an inventory is completed: names alone.

    ``providers`` are the inventory's own recipes, ``used`` the providers that hosts have. ``env``
    maps hosts to the names of their further session variables, where they have any.
    """

    hosts: Sequence[str]
    groups: Sequence[str]
    providers: Sequence[str]
    used: Sequence[str]
    env: Mapping[str, Sequence[str]]


def names_of(
    inventories: Sequence[Path],
    environ: Mapping[str, str],
    load: Callable[[], Names | None],
    clock: Callable[[], float] = time.time,
) -> Names | None:
    """Return the names of ``inventories``: those that are kept, else what ``load`` returns.

    ``load`` reads the inventories, and returns ``None`` where they can't be used. ``environ`` says
    where the cache directory is.
    """
    before = _signature(inventories, clock())
    file = _cache_file(inventories, environ)
    if before is None or file is None:
        return load()
    kept = _read(file, before)
    if kept is not None:
        return kept
    names = load()
    # Kept only if nothing changed meanwhile: else the names may be those of either time.
    if (
        names is not None
        and len(names.hosts) >= SMALLEST
        and _signature(inventories, clock()) == before
    ):
        _keep(file, before, names, clock())
    return names


_Signature = list[list[Any]]


def _signature(inventories: Sequence[Path], now: float) -> _Signature | None:
    """Return what every file and directory looks like that may be a part of ``inventories``.

    ``None`` where that can't be told: there are too many, or one was changed just now.
    """
    found: _Signature = []
    newest = 0.0
    for path, facts in _walk(inventories):
        if len(found) >= _MOST_FILES:
            return None
        newest = max(newest, facts.st_mtime, facts.st_ctime)
        found.append([path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns])
    return found if found and newest < now - _SETTLED else None


def _walk(inventories: Sequence[Path]) -> Iterator[tuple[str, os.stat_result]]:
    for path in inventories:
        if path.is_dir():
            yield from _below(path, set())
            continue
        with suppress(OSError):
            yield str(path), path.stat()
        for name in _VARIABLES:
            yield from _below(path.parent / name, set())


def _below(directory: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield ``directory`` and all in it; links are followed, each directory once."""
    try:
        facts = directory.stat()
        if not stat.S_ISDIR(facts.st_mode) or (facts.st_dev, facts.st_ino) in seen:
            return
        seen.add((facts.st_dev, facts.st_ino))
        entries = sorted(directory.iterdir())
    except OSError:
        return
    yield str(directory), facts
    for entry in entries:
        with suppress(OSError):
            found = entry.stat()
            if stat.S_ISDIR(found.st_mode):
                yield from _below(entry, seen)
            else:
                yield str(entry), found


def _cache_file(inventories: Sequence[Path], environ: Mapping[str, str]) -> Path | None:
    home, named = environ.get("HOME", ""), environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        base = Path(named)
    elif Path(home).is_absolute():
        base = Path(home) / ".cache"
    else:
        return None
    paths = "\0".join(str(path.absolute()) for path in inventories)
    digest = hashlib.sha256(os.fsencode(paths)).hexdigest()
    return base / "aegis-provision" / f"completion-{digest[:32]}.json"


def _read(file: Path, signature: _Signature) -> Names | None:
    """Return what is kept in ``file``, ``None`` if that is not of these files, or not ours."""
    try:
        with file.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            if facts.st_uid != os.geteuid() or not stat.S_ISREG(facts.st_mode):
                return None
            content = json.loads(stream.read(_LARGEST))
        if [content["version"], content["signature"]] != [__version__, signature]:
            return None
        return Names(**content["names"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, signature: _Signature, names: Names, now: float) -> None:
    from aegis_provision.files.atomic import write_new

    content = {"version": __version__, "signature": signature, "names": asdict(names)}
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(file, json.dumps(content).encode(), 0o600)
        _remove_old(file.parent, now - _KEPT_FOR)


def _remove_old(directory: Path, oldest: float) -> None:
    for path in directory.glob("completion-*.json"):
        with suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
