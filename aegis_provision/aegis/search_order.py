"""Aegis' search order: which files it reads before the target. The first valid one wins.

The order (docs/aegis.md, "Which file is read"): ``./.aegis/config.yaml``, ``./.aegis/config.yml``,
``./aegis.config.json``, the first two and ``config.json`` under ``~/.aegis``,
``./manus.config.json``, ``~/.manus/config.json``; ``--config`` before all of them.
"""

from __future__ import annotations

import posixpath

_IN_WORKING_DIRECTORY = (
    ".aegis/config.yaml",
    ".aegis/config.yml",
    "aegis.config.json",
    "manus.config.json",
)
_AT_HOME = (
    ".aegis/config.yaml",
    ".aegis/config.yml",
    ".aegis/config.json",
    ".manus/config.json",
)
_IN_DIRECTORY = (
    ".aegis/config.yaml",
    ".aegis/config.yml",
    "aegis.config.json",
    ".aegis/config.json",
    "manus.config.json",
    ".manus/config.json",
)
# In the working directory only the first of them are looked for; the rest are looked for at home.
# It is unknown whether one directory is both, so a file counts if it comes first in either case.
_BEFORE = {
    ".aegis/config.yaml": (),
    ".aegis/config.yml": _IN_DIRECTORY[:1],
    "aegis.config.json": _IN_DIRECTORY[:2],
    ".aegis/config.json": _IN_DIRECTORY[:2],
    "manus.config.json": _IN_DIRECTORY[:3],
    ".manus/config.json": (*_IN_DIRECTORY[:2], ".aegis/config.json"),
}


def shadowing(config_path: str, read_via: str) -> tuple[str, ...]:
    """Return the paths of files that Aegis would read instead of ``config_path``.

    They are absolute if it is. Where Aegis is started with ``--config`` on it (``read_via`` is
    ``explicit``), there are none.
    """
    name = _found_name(config_path)
    if read_via == "explicit" or name is None:
        return ()
    base = config_path[: -len(name)]
    return tuple(base + other for other in _BEFORE[name])


def findable(config_path: str) -> bool:
    """Tell whether Aegis looks for a file of this name by itself."""
    return _found_name(config_path) is not None


def _found_name(config_path: str) -> str | None:
    return next((name for name in _BEFORE if f"/{config_path}".endswith(f"/{name}")), None)


def search_paths(directory: str, home: str | None, config: str | None) -> tuple[str | None, ...]:
    """Return where a server looks for its file, in this order.

    ``directory`` is its working directory, ``home`` what Node.js takes for its home, ``config`` the
    word after ``--config``, ``None`` where there is none. A path in an unknown home is ``None``.
    Links are not followed: Node.js takes ``..`` away from the text of a path, too.
    """
    named = () if config is None else (_resolved(directory, config),)
    here = [_resolved(directory, name) for name in _IN_WORKING_DIRECTORY]
    if home is None:
        there: list[str | None] = [None] * len(_AT_HOME)
    else:
        there = [_resolved(directory, posixpath.join(home, name)) for name in _AT_HOME]
    return (*named, *here[:3], *there[:3], here[3], there[3])


def _resolved(directory: str, path: str) -> str:
    """Return ``path`` as an absolute one, as ``path.resolve`` of Node.js does."""
    return "/" + posixpath.normpath(posixpath.join(directory, path)).lstrip("/")
