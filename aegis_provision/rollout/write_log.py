"""Records a write before it begins, so that it is known even if this process dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.rollout.events import WriteBegun


class WriteLogError(Exception):
    """The run's record can't be written; the text says why. Nothing may be written on a host.

    ``hint`` says what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both parts."""
        super().__init__(message)
        self.hint = hint


class WriteLog(Protocol):
    """Records a write before it begins."""

    def before_write(self, host: str, write: Write) -> WriteBegun:
        """Record that ``write`` is about to begin on ``host``, and return the event that says so.

        Raises :class:`WriteLogError`. Called from the thread that writes.
        """
        ...
