"""A host's plan after its write: the write that restores the old file, and what is left to do."""

from __future__ import annotations

from dataclasses import replace

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.planning.plan import Action, HostPlan, Write


def restoring_write(write: Write) -> Write:
    """Return the write that restores the file that ``write`` replaced, or removes a new file.

    It is valid only while the target is still the file that ``write`` left. The mode stays that of
    the new file: a rollback must not loosen it. The managed keys become those from before again.
    """
    return Write(
        path=write.path,
        content=write.base.content if write.base is not None else None,
        mode=write.mode,
        uid=write.uid,
        gid=write.gid,
        base=resulting_file(write),
        managed=write.managed_before,
        managed_before=write.managed,
    )


def resulting_file(write: Write) -> RemoteFile | None:
    """Return the file that ``write`` leaves behind, ``None`` if it removes the file."""
    if write.content is None:
        return None
    return RemoteFile(write.content, write.mode, write.uid, write.gid)


def without_write(plan: HostPlan) -> HostPlan:
    """Return ``plan`` as it is once its write was done: nothing changes any more."""
    if plan.write is None:
        return plan
    return replace(plan, action=Action.UNCHANGED, changes=(), write=None)
