"""What the operator hands in: the inventory, read and checked, its hosts, and the environment."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import UNUSABLE_DEFAULT, check_spec
from aegis_provision.documents.diagnostic import (
    Diagnostic,
    drop_followups,
    has_errors,
)
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.files.reading import read_file
from aegis_provision.humanize import listed
from aegis_provision.inputs.inventory_files import read_inventory_files
from aegis_provision.inputs.inventory_names import DEFAULT_INVENTORY
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.providers.recipes import resolve_providers
from aegis_provision.providers.session_variables import session_specs
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date, datetime

    from aegis_provision.documents.yaml_reader import Read
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Host, Inventory
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import SessionSpec

_NO_PROVIDER = "no-provider"


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

    @property
    def today(self) -> date:
        """Return the day it is, in UTC: pins end by it."""
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A valid inventory with its recipes and each host's session variables.

    ``diagnostics`` holds warnings and notes only; ``unset`` warns of defaults that could never
    work, which matters only where the environment is not looked at. ``named`` are the inventories
    as the operator named them. ``lacking`` are the errors about hosts without a provider, which
    matter only where such a host is chosen.
    """

    inventory: Inventory
    recipes: Mapping[str, Recipe]
    specs: Mapping[str, SessionSpec]
    diagnostics: tuple[Diagnostic, ...]
    unset: tuple[Diagnostic, ...]
    files: tuple[InputFile, ...] = ()
    named: tuple[Path, ...] = ()
    lacking: tuple[Diagnostic, ...] = ()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Return the hosts by name, in inventory order."""
        return self.inventory.hosts

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """Return the files that the fleet was read from, as a run's record names them."""
        from aegis_provision.history.run_header import source_file

        return tuple(source_file(file.name, file.data) for file in self.files)


def inventory_paths(named: Sequence[Path]) -> tuple[Path, ...]:
    """Return the inventories to read: those named, else ``./inventory.yml``.

    Raises :class:`Error` where there is neither.
    """
    if named:
        return tuple(named)
    if DEFAULT_INVENTORY.exists():
        return (DEFAULT_INVENTORY,)
    raise InputError(
        "no inventory: there is no ./inventory.yml, and none was named",
        "name one with -i PATH or AEGIS_PROVISION_INVENTORY, "
        "or write a starter with 'aegis-provision init'",
    )


def inventory_is_absent(named: Sequence[Path]) -> bool:
    """Tell whether no inventory is named, and none is here."""
    return not named and not DEFAULT_INVENTORY.exists()


def load_fleet(named: Sequence[Path], environ: Mapping[str, str], *, of_all: bool = True) -> Fleet:
    """Read and check everything that needs neither SSH nor secrets; scripts get ``environ``.

    Each host needs a provider; without ``of_all`` only those that are chosen later
    (:func:`require_providers`).
    Raises :class:`InvalidInputError` with all diagnostics of all files where any is an error, and
    :class:`Error` where there is no inventory.
    """
    paths = inventory_paths(named)
    files, diagnostics = read_inventory_files(paths, environ)
    absent = absent_inventories(diagnostics)
    if absent:
        raise InvalidInputError(absent)
    fleet, diagnostics = resolve_fleet(files, diagnostics)
    lacking = () if of_all else tuple(item for item in diagnostics if item.code == _NO_PROVIDER)
    if fleet is None or has_errors(item for item in diagnostics if item not in lacking):
        raise InvalidInputError(drop_followups(diagnostics))
    rest = tuple(item for item in fleet.diagnostics if item not in lacking)
    return replace(fleet, named=paths, diagnostics=rest, lacking=lacking)


def absent_inventories(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return what is told of inventories that are not there; next to that nothing else counts.

    ``diagnostics`` are those of reading files. Empty where each inventory is there.
    """
    if not any(item.code == "no-inventory" for item in diagnostics):
        return ()
    return tuple(item for item in diagnostics if item.code in {"no-inventory", "passed-over"})


def require_providers(fleet: Fleet, hosts: Collection[str]) -> None:
    """Raise :class:`InvalidInputError` where one of ``hosts`` has no provider."""
    for item in fleet.lacking:
        names = tuple(name for name in item.hosts if name in hosts)
        if names:
            span = fleet.inventory.hosts[names[0]].span
            raise InvalidInputError((replace(item, hosts=names, span=span),))


def resolve_fleet(
    files: Sequence[InputFile], diagnostics: tuple[Diagnostic, ...] = (), read: Read = read_yaml
) -> tuple[Fleet | None, tuple[Diagnostic, ...]]:
    """Return the fleet that ``files`` make up, and all that is wrong with it after ``diagnostics``.

    ``read`` reads their text. With errors among the diagnostics the fleet may be incomplete; there
    is none where the files hold nothing to resolve.
    """
    inventory, found = load_inventory(files, read=read) if files else (None, ())
    diagnostics += found
    if inventory is None:
        return None, diagnostics
    fleet, found = complete_fleet(inventory, files)
    diagnostics += found
    return replace(fleet, diagnostics=diagnostics), diagnostics


def complete_fleet(
    inventory: Inventory, files: Sequence[InputFile], hosts: Sequence[str] | None = None
) -> tuple[Fleet, tuple[Diagnostic, ...]]:
    """Return the fleet of an ``inventory`` of ``files``, and what is wrong beyond the inventory.

    Session variables are made for ``hosts``, for all without them.
    """
    recipes, diagnostics = resolve_providers(inventory)
    wanted = inventory
    if hosts is not None:
        wanted = replace(inventory, hosts={name: inventory.hosts[name] for name in hosts})
    specs, found = session_specs(wanted, recipes)
    diagnostics += found
    distinct = {id(spec): spec for spec in specs.values()}
    checked = [item for spec in distinct.values() for item in check_spec(spec)]
    diagnostics += tuple(item for item in checked if item.code != UNUSABLE_DEFAULT)
    unset = tuple(item for item in checked if item.code == UNUSABLE_DEFAULT)
    subjects = {"group_vars": inventory.groups, "host_vars": inventory.hosts}
    used = tuple(
        file for file in files if file.certain or file.subject in subjects.get(file.kind, ())
    )
    return Fleet(inventory, recipes, specs, diagnostics, unset, used), diagnostics


def select_hosts(inventory: Inventory, flag: str, pattern: str | None) -> tuple[str, ...]:
    """Return the names that ``pattern`` selects, all for ``None``, in inventory order.

    ``flag`` is where the operator wrote it. Raises :class:`Error` for a pattern
    that is wrong or matches nothing.
    """
    if pattern is None:
        return tuple(inventory.hosts)
    try:
        return match_hosts(pattern, inventory, read_pattern_file)
    except PatternError as problem:
        raise InputError(f"{flag}: {problem}") from None


def find_host(fleet: Fleet, name: str) -> Host:
    """Return the host called ``name``. Raises :class:`Error` where there is none."""
    host = fleet.inventory.hosts.get(name)
    if host is None:
        raise InputError(
            f"the inventory has no host {quote(name)}",
            did_you_mean(name, fleet.inventory.hosts) or "list them with 'aegis-provision hosts'",
        )
    return host


def read_pattern_file(path: str) -> str:
    """Return the text of an ``@file`` in a pattern. Raises :class:`PatternError`."""
    try:
        return read_file(Path(path)).decode("utf-8")
    except OSError as problem:
        raise PatternError(f"@{path} can't be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise PatternError(f"@{path} is not UTF-8 text") from None


def fleet_if_any(inventory: Sequence[Path], environ: Mapping[str, str]) -> Fleet | None:
    """Return the fleet of the inventory at hand, ``None`` where none is named and none is here."""
    if inventory_is_absent(inventory):
        return None
    return load_fleet(inventory, environ)


def find_recipe(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Return the recipe called ``name``. Raises :class:`Error` for an unknown one."""
    recipe = recipes.get(name)
    if recipe is None:
        raise InputError(
            f"no provider is called {quote(name)}",
            did_you_mean(name, recipes) or f"known: {listed(recipes)}",
        )
    return recipe
