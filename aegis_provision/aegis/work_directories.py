"""In which directories of a host Aegis takes sessions (docs/aegis.md, "Sessions")."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import read_unchecked, syntax_of

if TYPE_CHECKING:
    from aegis_provision.aegis.identify_server import AegisServer
    from aegis_provision.aegis.remote_state import RemoteFile

TEMPORARY_DIRECTORY = "/tmp"  # noqa: S108 - of the host; Aegis allows it by default
_ALLOWED = "allowedWorkDirs"
_OTHERS = 0o077


def first_allowed(path: str, file: RemoteFile | None) -> str | None:
    """Return the first of ``allowedWorkDirs`` in the file at ``path``, ``None`` for none.

    Where there is none Aegis allows a few directories, the temporary one among them.
    """
    if file is None:
        return None
    allowed = read_unchecked(file.content, syntax=syntax_of(path)).root.get(_ALLOWED)
    first = allowed[0] if isinstance(allowed, list) and allowed else None
    return first if isinstance(first, str) and "\0" not in first else None


def session_user(file: RemoteFile | None, server: AegisServer | None) -> int | None:
    """Return the uid of the user as whom sessions run, ``None`` if it is not known.

    It is that of ``server``. Where the owner alone may read ``file``, Aegis is the owner, or root.
    """
    if server is not None and server.user is not None:
        return server.user.uid
    return file.uid if file is not None and not file.mode & _OTHERS else None


def session_parents(first: str | None, working_directory: str | None) -> tuple[str, ...]:
    """Return the absolute paths in which a directory for a session may be made, best one first.

    ``first`` is what :func:`first_allowed` found. Aegis resolves a relative path from its own
    ``working_directory`` and knows no ``~``: without that directory such a path leads nowhere.
    """
    if first is None or (working_directory is None and not first.startswith("/")):
        return (TEMPORARY_DIRECTORY,)
    # Aegis takes away dots before it follows links, as normpath does. Two slashes are one to it.
    parent = posixpath.normpath(posixpath.join(working_directory or "/", first))
    parent = f"/{parent.lstrip('/')}"
    return tuple(dict.fromkeys((parent, TEMPORARY_DIRECTORY)))
