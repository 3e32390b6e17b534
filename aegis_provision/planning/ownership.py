"""The owner and the mode that a written file gets, and whether the login may set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import (
        RemoteDirectory,
        RemoteFile,
        RemoteState,
        RemoteUser,
    )

NEW_FILE_MODE = 0o600
_NEVER = 0o027  # nothing for others, no writing for the group: the file holds a token
_GROUP = 0o070
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Ownership:
    """Mode (``0o7777`` bits), user and group of the file that a write leaves behind."""

    mode: int
    uid: int
    gid: int

    @property
    def owner(self) -> str:
        """Return ``uid:gid`` as a plan shows it."""
        return f"{self.uid}:{self.gid}"


def desired_ownership(file: RemoteFile | None, directory: RemoteDirectory) -> Ownership:
    """Return the owner and mode that the target should have after a write.

    An existing file keeps its owner and mode, less all bits for others and the group's write bit. A
    new file belongs to the owner of its directory and only that owner may read it, because Aegis
    reads it as its service user.
    """
    if file is None:
        return Ownership(NEW_FILE_MODE, directory.uid, directory.gid)
    return Ownership(file.mode & 0o777 & ~_NEVER, file.uid, file.gid)


def attainable_ownership(desired: Ownership, login: RemoteUser | None) -> Ownership:
    """Return ``desired``, with the login's own group where it can't keep the desired one.

    Only where no one loses by it: where the mode gives the group nothing, or where it is the
    superuser's, who needs no group to read a file; then the mode gives the new group nothing.
    Directories are often given to a user and left to that group (``chown aegis /opt/aegis``).
    """
    if login is None or login.gid is None or login.uid == _ROOT or desired.gid in login.gids:
        return desired
    if desired.mode & _GROUP and desired.gid != _ROOT:
        return desired
    return Ownership(desired.mode & ~_GROUP, desired.uid, login.gid)


def permission_problem(actual: RemoteState, desired: Ownership) -> str | None:
    """Return why the login can't write the file as ``desired``, or ``None`` if it can.

    The result is also ``None`` if that is not known: the write finds out before it changes
    anything.
    """
    login, directory = actual.login, actual.directory
    if login is None or directory is None or login.uid == _ROOT:
        return None
    if not _may_write(directory, login):
        return "no permission to write in its directory"
    if login.uid != desired.uid:
        return f"the login (uid {login.uid}) can't keep its owner (uid {desired.uid})"
    if desired.gid not in login.gids:
        return f"the login is not in its group (gid {desired.gid}) and can't keep it"
    return None


def may_search(directory: RemoteDirectory, login: RemoteUser) -> bool:
    """Tell whether ``login`` may open files in ``directory``, as far as its mode tells."""
    if login.uid in {_ROOT, directory.uid}:
        return login.uid == _ROOT or bool(directory.mode & 0o100)
    # The group's bits are also the mask of an access control list: another entry may be at work.
    return bool(directory.mode & 0o011)


def _may_write(directory: RemoteDirectory, login: RemoteUser) -> bool:
    if login.uid == directory.uid:
        return bool(directory.mode & 0o200)
    # With an access control list the group bits are its mask: where they allow writing, another
    # entry may let the login in, and only trying can tell.
    return bool(directory.mode & 0o022)
