"""How many hosts are worked on at once, and how many connections are kept, within our files."""

from __future__ import annotations

from aegis_provision.transport.open_files import can_open
from aegis_provision.values import dataclass

FILES_A_HOST = 5
"""What the work on a host takes at most: its connection, and either the agent and a key's file, or
a request's three ends. A host behind a bastion, and this machine itself, take fewer."""

_RESERVE = 20  # the record, a page, what is loaded late, the resolver, a bastion or two

MOST_KEPT = 5_000
"""How many connections a plan keeps open for the write at most: each takes memory too."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this process's files are enough for.

    ``forks`` hosts are worked on at once. ``kept`` files are for the connections that stay open
    between a plan and the write that follows.
    """

    forks: int
    kept: int


def capacity_of(wanted: int, files: int) -> Capacity:
    """Return what ``files`` that may still be opened are enough for, if ``wanted`` forks are asked.

    The work goes first. A connection that can't be kept is made anew for the write.
    """
    usable = max(FILES_A_HOST, files - _RESERVE)
    forks = max(1, min(wanted, usable // FILES_A_HOST))
    return Capacity(forks, max(0, usable - forks * FILES_A_HOST))


def has_room_for_a_host() -> bool:
    """Tell whether the files can be opened that the work on one more host takes."""
    return can_open(FILES_A_HOST)
