"""What an operation knows of the world outside: the operator's variables, and what time it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


@dataclass(frozen=True, slots=True)
class Environment:
    """The operator's side of an operation.

    ``environ`` holds the operator's own variables (``HOME``, ``XDG_*``, ``SSH_AUTH_SOCK``).
    ``variables`` are those that templates may use: the same, with an env file's beneath them.
    ``now`` is when the operation began, in UTC. Both hold secrets, and never show in ``repr``.
    """

    environ: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    now: datetime

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Return the environment of an operation that begins now, with ``environ`` alone."""
        return cls(environ, environ, datetime.now(UTC))

    @property
    def today(self) -> date:
        """Return the day it is, in UTC: pins end by it."""
        return self.now.date()
