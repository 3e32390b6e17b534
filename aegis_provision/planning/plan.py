"""A plan as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.providers.secret import Secret


class Action(StrEnum):
    """What a plan holds for a host (the words of the JSON contract)."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    ERROR = "error"
    UNREACHABLE = "unreachable"


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
    """What of a file is ours: the names of session variables, and the provider they are of."""

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

    ``path`` is absolute. ``content`` is ``None`` for "take the file away". ``base`` is the file
    the plan saw there, ``None`` for none: the write is refused if it has changed since. ``mode`` is
    what the file gets, ``uid`` and ``gid`` whose it will be.

    ``ours`` is what in the file is ours once it is written, and ``ours_before`` what was until
    then; ``None`` where no receipt says so. ``receipt`` is the receipt to leave, made of them when
    the write is about to begin; ``None`` leaves none.
    """

    path: str
    content: bytes | None = field(repr=False)
    mode: int
    uid: int
    gid: int
    base: RemoteFile | None
    ours: ManagedKeys | None = None
    ours_before: ManagedKeys | None = None
    receipt: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What would happen to one host.

    ``changes`` is empty and ``write`` is ``None`` unless ``action`` is create or update.
    ``same`` names session variables that stay as they are, and ``unknown`` those on the host that
    could not be compared, as the secrets were withheld: nothing can be written then, and ``write``
    is ``None`` too. ``message`` says why for an error or an unreachable host, with what to do next
    in ``hint``; ``warnings`` hold for any action.
    ``restart_owed`` says that what the file holds for sessions is right and Aegis has not been
    restarted since it came; ``auth_token`` is the token of Aegis' API in the host's own file, where
    there is one. ``seen`` is the file that the plan saw, and ``pin`` why the host has a provider
    of its own. ``secrets`` are those that the plan's files hold: nobody may see them in any text
    about the host.
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
    restart_owed: bool = False
    auth_token: Secret | None = field(default=None, repr=False, compare=False)
    seen: RemoteFile | None = field(default=None, repr=False, compare=False)
    pin: Pin | None = field(default=None, compare=False)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def changes_sessions(self) -> bool:
        """Tell whether what is written takes effect at a restart only: a mode alone does not."""
        return self.write is not None and any(
            not change.key.startswith("file.") for change in self.changes
        )
