"""An imported fleet, as values."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.inventory.host import Host


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """A host and the session variables that its file holds. They hold secrets.

    ``managed`` names those that this tool wrote there, by its receipt: a plan removes them if the
    inventory does not have them.
    """

    host: Host
    values: Mapping[str, str] = field(repr=False)
    managed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ImportedSettings:
    """What an inventory has to say for one host, or for all: templates, never a secret.

    ``provider`` is empty where nothing is said of it; ``overrides`` is keyed by our five keys,
    ``env`` by variable.
    """

    provider: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportedRecipe:
    """A provider that no recipe knew: ``values`` are templates by key (``extends`` among them)."""

    name: str
    values: Mapping[str, str]
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class RequiredVariable:
    """A variable that the operator's environment must hold when the inventory is used.

    ``value`` is what it must be (a secret); ``is_set`` tells whether it is that already.
    ``holds`` is the session variable that it fills, on ``hosts``.
    """

    name: str
    value: str = field(repr=False)
    is_set: bool
    holds: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedFleet:
    """Everything that a new inventory says of providers.

    ``common`` is for all hosts, ``own`` what each imported host has besides (nothing, for most).
    ``providers`` names the provider of each of them, ``pinned`` those that name their own.
    ``refused`` says of other hosts why they are left out; ``unmanaged`` names, per host, variables
    that can't stand in an inventory and stay as they are.
    """

    recipes: tuple[ImportedRecipe, ...]
    common: ImportedSettings
    own: Mapping[str, ImportedSettings]
    providers: Mapping[str, str]
    needed: tuple[RequiredVariable, ...]
    refused: Mapping[str, str]
    unmanaged: Mapping[str, tuple[str, ...]]

    @property
    def pinned(self) -> frozenset[str]:
        """Return the hosts that name a provider of their own."""
        return frozenset(name for name, settings in self.own.items() if settings.provider)


class ImportStatus(StrEnum):
    """What happened to a host; the values are those of the JSON document."""

    IMPORTED = "imported"
    LEFT_OUT = "left_out"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How the import of a host ended.

    ``message`` says why it was left out; ``warnings`` may come with any status.
    """

    host: str
    status: ImportStatus
    provider: str = ""
    pinned: bool = False
    unmanaged: tuple[str, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()
