"""What became of one host in a run, as far as its record tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.rollout.results import HostResult, Status, later_result

if TYPE_CHECKING:
    from datetime import datetime

    from aegis_provision.history.json_fields import JsonFields

_NOTHING_WRITTEN = frozenset(
    {Status.UNCHANGED, Status.REFUSED, Status.UNREACHABLE, Status.NOT_ATTEMPTED}
)
"""How a host ends whose write was begun and changed nothing (see ``transport.protocol``)."""


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file as a record keeps it: its content's digest, ``mode`` as ``"0600"``, its owner."""

    digest: str
    mode: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PastWrite:
    """What a run replaced and with what, ``None`` for no file.

    ``secrets`` names the sensitive variables that differ between the two.
    """

    before: PastFile | None
    after: PastFile | None
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PastHost:
    """What became of a host.

    ``status`` is ``None`` where the run left it without one. ``write`` is what the run did or may
    have done to its file as a whole, ``None`` where nothing was written. ``written``: its file was
    the new one, checked; ``rolled_back``: it is the one from before again; ``write_unknown``: a
    write or a way back was begun whose end nobody saw, so that either file may be there;
    ``restarted``: Aegis was restarted since the file last changed. ``restart_owed`` says what that
    means for what is in effect there, as of ``touched``, the time of the last write or restart:
    ``None`` where there was neither. ``seconds`` counts from its first step to its end.
    """

    host: str
    status: Status | None = None
    message: str = ""
    hint: str = ""
    write: PastWrite | None = None
    written: bool = False
    restarted: bool = False
    rolled_back: bool = False
    write_unknown: bool = False
    restart_owed: bool = False
    touched: datetime | None = None
    finished: datetime | None = None
    seconds: float | None = None

    @property
    def can_be_undone(self) -> bool:
        """Tell whether the file there may be one that this run wrote, other than it found it.

        Where only a mode was put right, there is no content to bring back.
        """
        return (
            self.write is not None
            and _content(self.write.before) != _content(self.write.after)
            and (not self.rolled_back or self.write_unknown)
        )


@dataclass(slots=True)
class HostReplay:
    """A host's lines of a record, taken one after the other."""

    host: str
    result: HostResult | None = None
    write: PastWrite | None = None
    pending: PastWrite | None = None
    pending_since: datetime | None = None
    going_back: bool = False
    wrote: bool = False
    restarts: bool = False
    back: bool = False
    unknown: bool = False
    owed: bool = False
    touched: datetime | None = None
    before_write: tuple[bool, datetime | None] | None = None
    ended: datetime | None = None
    seconds: float | None = None

    def begin_write(self, line: JsonFields) -> None:
        """A write is about to begin. Raises :class:`LineError`."""
        before = _file(line.part("before")) if line.has("before") else None
        after = _file(line.part("after")) if line.has("after") else None
        self.pending = PastWrite(before, after, line.texts("secrets"))
        self.pending_since = line.when("at")

    def written(self, at: datetime) -> None:
        """The file is the new one."""
        self._settle_write(at)
        self.wrote, self.unknown = True, False

    def restarted(self, at: datetime) -> None:
        """Aegis was restarted: whatever is there is in effect."""
        self.restarts, self.owed, self.touched = True, False, at
        self.before_write = None

    def rolled_back(self, at: datetime) -> None:
        """The file is the one from before."""
        self.going_back, self.unknown, self.back = False, False, True
        self._changed(at)

    def step(self, is_roll_back: bool, at: datetime) -> None:
        """A step was begun; going back is one that changes the file."""
        if is_roll_back:
            self.going_back = True
            self._changed(at)

    def finished(
        self, result: HostResult, at: datetime, seconds: float | None, *, final: bool
    ) -> None:
        """The host's work in a play is over; ``final`` results stand for the whole run's."""
        if self.pending is not None:
            if result.status in _NOTHING_WRITTEN:
                self.pending = None
            else:
                self._settle_write(at)
                self.unknown = True
        if self.going_back:
            self.going_back = False
            self.unknown = result.status is not Status.ROLLED_BACK
            self.back = result.status is Status.ROLLED_BACK
        if result.status is Status.APPLIED and self.before_write is not None:
            # Nothing that Aegis reads at its start was changed: what is owed is what was.
            self.owed, self.touched = self.before_write
        self.before_write = None
        self.result = result if final else later_result(self.result, result)
        self.ended = at
        if seconds is not None:
            self.seconds = round((self.seconds or 0.0) + seconds, 3)

    def told(self) -> PastHost:
        """Return all of it. What was begun and not ended stays unknown."""
        if self.pending is not None:
            self._settle_write(self.pending_since)
            self.unknown = True
        return PastHost(
            host=self.host,
            status=self.result.status if self.result else None,
            message=self.result.message if self.result else "",
            hint=self.result.hint if self.result else "",
            write=self.write,
            written=self.wrote,
            restarted=self.restarts,
            rolled_back=self.back,
            write_unknown=self.unknown or self.going_back,
            restart_owed=self.owed,
            touched=self.touched,
            finished=self.ended,
            seconds=self.seconds,
        )

    def _settle_write(self, at: datetime | None) -> None:
        """Take the write that was begun for one that did, or may have, come to pass."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        if self.write is not None and not self.back:
            names = dict.fromkeys((*self.write.secrets, *pending.secrets))
            self.write = PastWrite(self.write.before, pending.after, tuple(names))
        else:
            self.write = pending
        self.back = False
        if _content(pending.before) != _content(pending.after):
            self.before_write = self.owed, self.touched
            self._changed(at)

    def _changed(self, at: datetime | None) -> None:
        self.restarts, self.owed, self.touched = False, True, at


def _file(fields: JsonFields) -> PastFile:
    return PastFile(
        fields.text("digest"), fields.text("mode"), fields.whole("uid"), fields.whole("gid")
    )


def _content(file: PastFile | None) -> str | None:
    return file.digest if file is not None else None
