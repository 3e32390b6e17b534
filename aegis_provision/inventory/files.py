"""A file of an inventory: its bytes and its role. ``inputs/`` reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file: an inventory, or the settings of one group or host.

    ``subject`` is the group's or host's name, empty for an inventory. ``rank`` is the index of
    the ``-i`` that it belongs to: a later one wins. ``name`` is the path as the operator sees it.
    ``certain`` says that its name alone makes it one of ours: ``host_vars/eu-01.example.com`` is
    one if there is such a host, and ``host_vars/README.md`` hardly ever. ``printed`` says that
    ``name`` is a script, and ``data`` what it printed: an inventory for ``--list``, a host's
    variables for ``--host``.
    """

    kind: Literal["inventory", "group_vars", "host_vars"]
    subject: str
    name: str
    data: bytes = field(repr=False)
    rank: int
    certain: bool = True
    printed: bool = False

    @property
    def priority(self) -> int:
        """Return what wins among settings of one host or group: the higher number.

        As in Ansible, a variable file beside the inventory comes after the inventory itself; what a
        script says of a host is a part of the inventory, in however many pieces it is printed.
        """
        return 2 * self.rank + (0 if self.kind == "inventory" or self.printed else 1)
