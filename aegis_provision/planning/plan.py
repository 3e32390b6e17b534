"""A host's plan as values: the action, the changes, and the exact write."""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.api_address import ApiAddress
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.providers.secret import Secret


class Action(StrEnum):
    """What a plan does on a host; the values are those of the JSON documents."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    ERROR = "error"
    UNREACHABLE = "unreachable"

    @property
    def is_failure(self) -> bool:
        """Tell whether nothing can be done on the host."""
        return self in {Action.ERROR, Action.UNREACHABLE}


class ChangeKind(StrEnum):
    """What happens to one key."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One key's change.

    ``key`` is a variable's name, ``file.mode`` or ``file.owner``. A sensitive change carries
    neither side's value: ``before`` and ``after`` are then ``None``.
    """

    key: str
    kind: ChangeKind
    before: str | None
    after: str | None
    sensitive: bool


@dataclass(frozen=True, slots=True)
class ManagedKeys:
    """The session variables that this tool manages in a file, and the provider they are of."""

    provider: str
    names: tuple[str, ...]


def change_content(change: Change) -> dict[str, str | bool | None]:
    """Return a change as it stands in every document; a sensitive one has no values."""
    return {
        "key": change.key,
        "change": change.kind.value,
        "before": change.before,
        "after": change.after,
        "sensitive": change.sensitive,
    }


@dataclass(frozen=True, slots=True)
class Write:
    """Exactly what to write on one host. ``content`` holds secrets and never shows.

    ``path`` is absolute. ``content`` is ``None`` if the file is to be removed. ``base`` is the file
    that the plan saw, ``None`` for none: the write is refused if it has changed since. ``mode``,
    ``uid`` and ``gid`` are the new file's mode and owner.

    ``managed`` names the keys that this tool manages in the file after the write, and
    ``managed_before`` those until then; ``None`` where no receipt names any. ``receipt`` is the
    receipt to leave, made from them just before the write begins; ``None`` leaves none.
    """

    path: str
    content: bytes | None = field(repr=False)
    mode: int
    uid: int
    gid: int
    base: RemoteFile | None
    managed: ManagedKeys | None = None
    managed_before: ManagedKeys | None = None
    receipt: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PlanDigests:
    """What a masked plan has in place of files: keyed digests of them.

    ``seen`` is of the file that the plan saw, ``write`` of all that is to be written; ``None`` for
    none. Two plans of a host with the same digests do the same.
    """

    seen: str | None = None
    write: str | None = None


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What would happen to one host.

    A whole plan never leaves the worker that connects to the host. What does is a masked one, which
    has ``digests`` in place of all that is secret (:func:`without_contents`).

    ``changes`` is empty and ``write`` is ``None`` unless ``action`` is create or update. ``same``
    names session variables that stay as they are. ``unknown`` names those on the host that could
    not be compared, because the secrets were withheld: then nothing can be written, and ``write``
    is ``None`` too. ``message`` says why for an error or an unreachable host, and ``hint`` what to
    do next; ``warnings`` may come with any action. ``restart_pending`` means that the file holds
    the right session variables and Aegis has not been restarted since it was written.
    ``auth_token`` and ``client_auth_token`` are the tokens of Aegis' API in the host's own file, if
    it has any, and ``api`` is where that API listens. ``seen`` is the file that the plan saw, and
    ``pin`` the host's pin. ``secrets`` are those in the files that the plan knows: they must be
    masked in any text about the host.
    """

    host: str
    provider: str
    path: str
    action: Action
    changes: tuple[Change, ...] = ()
    same: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    write: Write | None = field(default=None, repr=False)
    restart_pending: bool = False
    auth_token: Secret | None = field(default=None, repr=False, compare=False)
    client_auth_token: Secret | None = field(default=None, repr=False, compare=False)
    api: ApiAddress | None = field(default=None, compare=False)
    seen: RemoteFile | None = field(default=None, repr=False, compare=False)
    pin: Pin | None = field(default=None, compare=False)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)
    digests: PlanDigests | None = field(default=None, repr=False, compare=False)

    @property
    def writes(self) -> bool:
        """Tell whether something is to be written: of a whole plan, and of a masked one."""
        masked = self.digests is not None and self.digests.write is not None
        return masked or self.write is not None


def changes_sessions(plan: HostPlan) -> bool:
    """Tell whether what is written takes effect at a restart only: a mode alone does not."""
    return plan.writes and any(not change.key.startswith("file.") for change in plan.changes)


def without_contents(plan: HostPlan, digests: PlanDigests | None = None) -> HostPlan:
    """Return ``plan`` as it may be handed out: masked, with nothing in it that is secret.

    ``digests`` are those that stand for its files; by default those of a plan that is masked.
    """
    return replace(
        plan,
        write=None,
        seen=None,
        auth_token=None,
        client_auth_token=None,
        secrets=(),
        digests=digests or plan.digests,
    )


def restoring_write(write: Write) -> Write:
    """Return the write that restores the file that ``write`` replaced, or removes a new file.

    It is valid only while the target is still the file that ``write`` left. The mode stays that of
    the new file: a restore must not loosen it. The managed keys become those from before again.
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
    if not plan.writes:
        return plan
    digests = plan.digests and replace(plan.digests, write=None)
    return replace(plan, action=Action.UNCHANGED, changes=(), write=None, digests=digests)
