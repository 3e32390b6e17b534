"""Looks names up for CanonicalizeHostname: whether they are there, and what they are aliases of."""

from __future__ import annotations

import socket
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.inventory.addresses import is_name
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.tcp import look_up
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.transport.tcp import AddressFamily


class NoSuchNameError(Exception):
    """There is no such name, or the name server did not say."""


@dataclass(frozen=True, slots=True)
class CanonicalNames:
    """The names that were looked up so far, each once. ``timeout`` bounds each (seconds)."""

    timeout: float
    _aliases: dict[tuple[str, AddressFamily], str | None] = field(default_factory=dict)

    def alias(self, name: str, family: AddressFamily) -> str:
        """Return the name that ``name`` is an alias of in DNS, ``""`` if it is none.

        What is no name of a host is none: it would end up in commands of the ssh config. Raises
        :class:`NoSuchNameError`.
        """
        key = name, family
        if key not in self._aliases:
            self._aliases[key] = self._look_up(name, family)
        alias = self._aliases[key]
        if alias is None:
            raise NoSuchNameError(name)
        return alias

    def _look_up(self, name: str, family: AddressFamily) -> str | None:
        try:
            found = look_up(name, None, self.timeout, family=family, flags=socket.AI_CANONNAME)
        except OSError as problem:
            raise_shortage(problem)
            return None
        return next((alias for _, _, _, alias, _ in found if alias and is_name(alias)), "")
