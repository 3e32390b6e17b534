"""What is left of a plan once its write was done, and the write that takes it back."""

from __future__ import annotations

from dataclasses import replace

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.planning.plan import Action, HostPlan, Write


def restoring_write(write: Write) -> Write:
    """Return what brings back the file that ``write`` replaced, or takes the new one away.

    It holds only as long as the target is still the file that ``write`` left. The mode stays the
    new file's: where it was tightened, going back must not loosen it. What is ours is again what
    was before.
    """
    return Write(
        path=write.path,
        content=write.base.content if write.base is not None else None,
        mode=write.mode,
        uid=write.uid,
        gid=write.gid,
        base=resulting_file(write),
        ours=write.ours_before,
        ours_before=write.ours,
    )


def resulting_file(write: Write) -> RemoteFile | None:
    """Return the file that ``write`` leaves behind, ``None`` where it takes one away."""
    if write.content is None:
        return None
    return RemoteFile(write.content, write.mode, write.uid, write.gid)


def without_write(plan: HostPlan) -> HostPlan:
    """Return ``plan`` for a host on which it was carried out already."""
    if plan.write is None:
        return plan
    return replace(plan, action=Action.UNCHANGED, changes=(), write=None)
