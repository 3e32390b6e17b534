"""A fleet's files to a new inventory that has been proved to leave them as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import ConfigFile, parse_config, syntax_of
from aegis_provision.documents.diagnostic import (
    Diagnostic,
    drop_followups,
    error,
    has_errors,
    note,
)
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.files.atomic import Replacement, replace_files, write_new
from aegis_provision.files.reading import read_file
from aegis_provision.importing.build_inventory import build_inventory
from aegis_provision.importing.inventory_text import inventory_text
from aegis_provision.importing.result import ImportResult, ImportStatus, InspectedFile
from aegis_provision.inputs.inventory_files import read_inventory_files, variables_beside
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.operations.connection import connection_settings, connection_warnings
from aegis_provision.operations.load import inventory_paths, resolve_fleet, select_hosts
from aegis_provision.operations.resolve_secrets import resolve_logins, resolve_sessions
from aegis_provision.planning.host_plan import plan_host
from aegis_provision.planning.plan import Action, changes_sessions
from aegis_provision.planning.receipts import Receipt
from aegis_provision.providers.recipes import recipe_secrets, resolve_providers
from aegis_provision.rollout.inspection import inspect_fleet
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aegis_provision.importing.result import ImportedFleet
    from aegis_provision.inventory.host import Host, Inventory
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session_variables import Session
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.inspected_host import InspectedHost

_MODE = 0o644


@dataclass(frozen=True, slots=True)
class ImportSource:
    """The ``hosts`` to take over, of an inventory whose hosts need no provider, and its recipes."""

    inventory: Inventory
    hosts: tuple[str, ...]
    recipes: Mapping[str, Recipe]
    diagnostics: tuple[Diagnostic, ...]


def load_import_source(
    named: Sequence[Path], limit: str | None, environ: Mapping[str, str]
) -> ImportSource:
    """Read the inventory that says where the hosts are; ``limit`` is a pattern.

    Raises :class:`InvalidInputError` and :class:`Error`.
    """
    files, diagnostics = read_inventory_files(inventory_paths(named), environ, every_host=True)
    inventory, found = load_inventory(files, with_providers=False) if files else (None, ())
    diagnostics += found
    if inventory is None:
        raise InvalidInputError(drop_followups(diagnostics))
    recipes, found = resolve_providers(inventory)
    diagnostics += found
    if has_errors(diagnostics):
        raise InvalidInputError(drop_followups(diagnostics))
    diagnostics += tuple(_replaced(inventory))
    return ImportSource(inventory, select_hosts(inventory, "--limit", limit), recipes, diagnostics)


def inspect_hosts(
    source: ImportSource, environment: Environment, options: ConnectionOptions, emit: Emit
) -> tuple[InspectedHost, ...]:
    """Read the hosts of ``source``. Raises :class:`Error` where none can be connected to."""
    settings = _connection(source, environment, options)
    return inspect_fleet([source.inventory.hosts[name] for name in source.hosts], settings, emit)


def ignored_on_the_way(
    source: ImportSource, environment: Environment, options: ConnectionOptions
) -> tuple[Diagnostic, ...]:
    """Return what the ssh config says of the hosts and is not honoured. Raises :class:`Error`."""
    settings = _connection(source, environment, options)
    targets = (source.inventory.hosts[name].target for name in source.hosts)
    return connection_warnings(settings, targets)


def _connection(
    source: ImportSource, environment: Environment, options: ConnectionOptions
) -> ConnectionSettings:
    tokens = recipe_secrets(source.recipes, environment.variables)
    logins = resolve_logins(source.inventory, source.hosts, environment.variables)
    return connection_settings(options, environment.environ, tokens, logins)


def _replaced(inventory: Inventory) -> Iterator[Diagnostic]:
    named = [host for host in inventory.hosts.values() if host.provider is not None]
    if named and named[0].provider is not None:
        yield note(
            "replaced-provider",
            "what is said of providers here is replaced by what the hosts have",
            named[0].provider.span,
            hosts=tuple(host.name for host in named),
        )


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """The new inventory's ``text``, what it says, and what became of each host.

    ``text`` is ``None`` where no host could be taken over.
    """

    text: str | None
    fleet: ImportedFleet
    results: tuple[ImportResult, ...]


def import_fleet(
    source: ImportSource, inspected: Sequence[InspectedHost], environ: Mapping[str, str], out: Path
) -> ImportOutcome:
    """Return the inventory that leaves the hosts as they are, for a file at ``out``.

    It is read and planned with before it is returned: in an environment that holds the tokens the
    plan changes nothing. Raises :class:`InvalidInputError` where files beside ``out`` stand in the
    way.
    """
    found, left_out = _files(inspected)
    imported = build_inventory(found, source.inventory, source.recipes, environ)
    left_out |= imported.refused
    results = tuple(_result(item, imported, left_out) for item in inspected)
    if not imported.own:
        return ImportOutcome(None, imported, results)
    beside, diagnostics = variables_beside(out)
    names = {file.name for file in beside}
    text = inventory_text(source.inventory, imported, left_out, names)
    file = InputFile("inventory", "", str(out), text.encode(), 0)
    fleet, diagnostics = resolve_fleet((file, *beside), diagnostics)
    if fleet is None or has_errors(diagnostics):
        raise InvalidInputError(drop_followups(diagnostics))
    exported = {**environ, **{item.name: item.value for item in imported.needed}}
    filled, _ = resolve_sessions(fleet, tuple(imported.own), exported)
    differing = [
        item.host.name
        for item in inspected
        if item.host.name in imported.own
        and not _leaves_unchanged(item, fleet.inventory.hosts[item.host.name], filled.sessions)
    ]
    if differing:
        raise _in_the_way(out, beside, differing)
    return ImportOutcome(text, imported, results)


def _files(inspected: Sequence[InspectedHost]) -> tuple[list[InspectedFile], dict[str, str]]:
    """Return the hosts with session variables, and why the others are left out."""
    found: list[InspectedFile] = []
    left_out: dict[str, str] = {}
    for item in inspected:
        plan, actual = item.plan, item.actual
        if plan.action is not Action.UNCHANGED or actual is None:
            left_out[item.host.name] = _message(plan)
            continue
        if actual.file is None:
            left_out[item.host.name] = f"there is no file {plan.path} yet"
            continue
        config = parse_config(actual.file.content, syntax=syntax_of(actual.path))
        if not isinstance(config, ConfigFile) or not config.session_env:
            left_out[item.host.name] = "its file has no session variables yet"
            continue
        found.append(InspectedFile(item.host, config.session_env, _managed(item, config)))
    return found, left_out


def _managed(item: InspectedHost, config: ConfigFile) -> frozenset[str]:
    """Return the variables that are as the receipt says that this tool wrote them."""
    receipt = item.receipt
    if not isinstance(receipt, Receipt):
        return frozenset()
    return frozenset(
        name
        for name, value in config.session_env.items()
        if name in receipt.digests and receipt.is_as_written(name, value)
    )


def _message(plan: HostPlan) -> str:
    """Return why a host is left out; what to do about a file is in the reason itself."""
    unreachable = plan.action is Action.UNREACHABLE
    return f"{plan.message}; try: {plan.hint}" if plan.hint and unreachable else plan.message


def _result(
    item: InspectedHost, imported: ImportedFleet, left_out: Mapping[str, str]
) -> ImportResult:
    name = item.host.name
    reason = left_out.get(name)
    if reason is not None:
        unreachable = item.plan.action is Action.UNREACHABLE
        return ImportResult(
            name, ImportStatus.UNREACHABLE if unreachable else ImportStatus.LEFT_OUT, message=reason
        )
    modes = [
        f"its file has mode {change.before}; the next write makes it {change.after}"
        for change in item.plan.changes
    ]
    return ImportResult(
        name,
        ImportStatus.IMPORTED,
        imported.providers[name],
        name in imported.pinned,
        imported.unmanaged.get(name, ()),
        warnings=tuple(modes),
    )


def _leaves_unchanged(item: InspectedHost, host: Host, sessions: Mapping[str, Session]) -> bool:
    if item.actual is None or host.target != item.host.target:
        return False
    plan = plan_host(host, sessions[host.name], item.actual, item.receipt)
    return plan.action is not Action.ERROR and not changes_sessions(plan)


def _in_the_way(
    out: Path, beside: Sequence[InputFile], differing: Sequence[str]
) -> InvalidInputError:
    if not beside:
        raise ValueError("an inventory that was made of what hosts have says something else")
    files = ", ".join(file.name for file in beside[:3])
    return InvalidInputError(
        [
            error(
                "in-the-way",
                f"{files} would count for {out} too, and say something else of its hosts",
                hint="take provider, its overrides and env out of these files, "
                "or name another directory with --out",
                hosts=tuple(differing),
            )
        ]
    )


def check_out(out: Path, *, force: bool) -> None:
    """Raise :class:`Error` where the new inventory can't or must not be written to ``out``."""
    if out.is_dir():
        raise _refused(f"{out} is a directory", "name the file to write")
    if not force and (out.exists() or out.is_symlink()):
        raise _refused(f"{out} is there already", "name another file, or say --force to replace it")
    if not out.parent.is_dir():
        raise _refused(f"there is no directory {out.parent}", "make it first")


def write_inventory(out: Path, text: str, *, force: bool, on_write: Callable[[], None]) -> None:
    """Write the new inventory as a whole or not at all. Raises :class:`Error`.

    One that is replaced, with ``force``, keeps its owner and mode. ``on_write`` is called just
    before the file goes to its place.
    """

    if force and out.exists():
        _replace(out, text, on_write)
        return
    try:
        write_new(out, text.encode(), _MODE, lambda: check_out(out, force=force), on_write)
    except OSError as problem:
        raise _refused(f"{out} can't be written: {problem.strerror}", "") from None


def _replace(out: Path, text: str, on_write: Callable[[], None]) -> None:

    try:
        before = read_file(out)
    except OSError as problem:
        raise _refused(f"{out} can't be read: {problem.strerror or problem}", "") from None
    replace_files([Replacement(out, before, text.encode())], on_write)


def _refused(message: str, hint: str) -> InputError:
    return InputError(f"--out: {message}", hint)
