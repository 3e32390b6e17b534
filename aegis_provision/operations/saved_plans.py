"""``plan --out`` and ``apply PLANFILE``: a plan is kept, and nothing but that plan carried out."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from aegis_provision import __version__
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.suggested_commands import command_line, operand
from aegis_provision.documents.diagnostic import warning
from aegis_provision.errors import InputError, RefusedError
from aegis_provision.files.atomic import check_writable, write_new
from aegis_provision.files.reading import read_beginning, read_file
from aegis_provision.history.run_header import SourceFile, source_file
from aegis_provision.history.saved_plan_file import SavedPlanError, dump, is_saved_plan, parse
from aegis_provision.inputs.inventory_files import belongs_to
from aegis_provision.operations.load import inventory_paths
from aegis_provision.operations.plan import RunSelection
from aegis_provision.planning.plan import Action
from aegis_provision.planning.saved_plan import (
    PathRef,
    PlanInputs,
    PlanOptions,
    SavedPlan,
    save,
    stale_hosts,
    stale_inputs,
    stale_schedule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.operations.load import Fleet
    from aegis_provision.operations.plan import Job, Scheduled
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.saved_plan import Batches, Sources, StaleReasons
    from aegis_provision.playbook.plays import Schedule

_OWNER_ONLY = 0o600
_BEGINNING = 4096
_LARGEST = 256 * 1024 * 1024
_DECIDED_BY_THE_PLAN = ("inventory", "limit", "serial", "max_fail", "retry")
_WORDS = {Action.ERROR: "could not be written", Action.UNREACHABLE: "was unreachable"}
_AGAIN = "plan again, look at what changed, and apply that plan"


@dataclass(frozen=True, slots=True)
class SavedPlanFile:
    """A saved plan, and the file that keeps it as a run's record names it."""

    plan: SavedPlan
    source: SourceFile

    @property
    def scope(self) -> RunSelection:
        """Return what the operator asked of the plan when it was made."""
        chosen = self.plan.chosen
        return RunSelection(
            tuple(_found(place) for place in chosen.inventories),
            chosen.limit or None,
            None if chosen.playbook is None else _found(chosen.playbook),
        )

    def bind(self, job: Job) -> Job:
        """Return ``job`` without the hosts that are no part of the plan, which warnings name.

        Raises :class:`Error` where what the plan rests on is not what it was.
        """
        basis = _basis(job)
        basis = replace(basis, sources=self._as_said(basis.sources))
        if objections := stale_inputs(self.plan, basis):
            raise self.stale(objections)
        hosts = self._hosts
        schedule = job.schedule.narrowed_to(hosts)
        jobs = tuple(work for work in job.jobs if work.host.name in hosts)
        findings = (*job.findings, *self._left_out())
        return replace(job, schedule=schedule, jobs=jobs, findings=findings)

    def bind_schedule(self, scheduled: Scheduled) -> Scheduled:
        """Return what :meth:`bind` does, of what is known without secrets. Raises alike."""
        sources = self._as_said(_sources(scheduled.fleet, scheduled.source))
        batches = _batches(scheduled.schedule)
        if objections := stale_schedule(self.plan, sources, batches):
            raise self.stale(objections)
        findings = (*scheduled.findings, *self._left_out())
        schedule = scheduled.schedule.narrowed_to(self._hosts)
        return replace(scheduled, schedule=schedule, findings=findings)

    def objections_to(self, plans: Sequence[HostPlan]) -> StaleReasons:
        """Return why the hosts, as they are now, are not what the plan saw."""
        return stale_hosts(self.plan, plans)

    def stale(self, objections: StaleReasons) -> RefusedError:
        """Return what to raise where the plan does not hold any more: all reasons at once."""
        words = f"the saved plan {self.source.path} does not hold any more; nothing was written"
        reasons = [*objections.whole, *_per_host(objections)]
        return RefusedError(words, _AGAIN, reasons)

    @property
    def _hosts(self) -> frozenset[str]:
        return frozenset(host.host for host in self.plan.hosts)

    def _as_said(self, sources: Sources) -> Sources:
        """Return ``sources``, with the plan's words for those found where it was made."""
        chosen = self.plan.chosen
        places = chosen.inventories + (() if chosen.playbook is None else (chosen.playbook,))
        return tuple((_said(Path(path), places), sha256) for path, sha256 in sources)

    def _left_out(self) -> Iterator[Diagnostic]:
        for left in self.plan.left_out:
            what = _WORDS[left.action]
            yield warning(
                "left-out",
                f"{left.host} is no part of the saved plan: it {what} when that was made "
                f"({left.reason})",
            )


def check_output_path(path: Path, inventories: Sequence[Path]) -> None:
    """Check that a plan of ``inventories`` can be kept at ``path``.

    What is there already must be a saved plan: nobody means to write one over an inventory, nor
    into one. Whether a file can be made there is tried, for nobody wants to hear of it only when
    all hosts are read. Raises :class:`Error`.
    """
    try:
        _check_file(path)
        check_writable(path.resolve(), _OWNER_ONLY)
    except OSError as problem:
        raise _not_written(path, problem) from None
    for inventory in inventories:
        if belongs_to(path, inventory):
            words = f"{path} would be read as a part of the inventory {inventory}"
            raise _no_place(words, "name a file in another directory")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise _no_place(f"{path} is a directory", "name the file to write")
    if path.is_symlink() or path.exists():
        if not _is_one(path):
            hint = "name another file: only an earlier saved plan is replaced"
            raise _no_place(f"{path} is there already, and it is no saved plan", hint)
    elif not path.parent.is_dir():
        raise _no_place(f"there is no directory {path.parent}", "make it first")


def write_saved_plan(path: Path, scope: RunSelection, job: Job, plans: Sequence[HostPlan]) -> None:
    """Write the plan to ``path``, as a whole or not at all, for its owner alone.

    Raises :class:`Error`.
    """
    inventories = tuple(_place(item) for item in inventory_paths(scope.inventory))
    playbook = None if scope.playbook is None else _place(scope.playbook)
    chosen = PlanOptions(inventories, scope.limit or "", playbook, scope.no_secrets)
    saved = save(
        datetime.now(UTC), __version__, chosen, _basis(job), plans, secrets.token_bytes(16)
    )
    try:
        # To where a symbolic link leads: it stays one.
        write_new(path.resolve(), dump(saved), _OWNER_ONLY, lambda: _check_file(path))
    except OSError as problem:
        raise _not_written(path, problem) from None


def _not_written(path: Path, problem: OSError) -> InputError:
    return _no_place(f"{path} can't be written: {problem.strerror}", "name another file")


def saved_plan_at(path: Path) -> SavedPlanFile | None:
    """Return the saved plan at ``path``, ``None`` where the file does not mean to be one.

    Raises :class:`Error` for one that can't be carried out.
    """
    if not _is_one(path):
        return None
    try:
        data = read_file(path, _LARGEST)
        return SavedPlanFile(parse(data), source_file(str(path), data))
    except OSError as problem:
        words = problem.strerror or str(problem)
    except SavedPlanError as problem:
        words = str(problem)
    given = Invocation.current().given
    raise InputError(
        f"the saved plan {path} can't be used: {words}",
        f"make it anew with: {command_line(given, 'plan', '--out', str(path))}",
    )


def apply_line(path: Path, *flags: str) -> str:
    """Return the command line that carries out the saved plan at ``path``, with ``flags``.

    It has what this command line said of connections and of secrets, and not what the plan has
    decided.
    """
    given = Invocation.current().given
    words = (*flags, operand(str(path)))
    return command_line(given, "apply", *words, without=_DECIDED_BY_THE_PLAN)


def reject_conflicting_flags(context: click.Context) -> None:
    """Check that nobody says beside a saved plan what it has decided. Raises ``UsageError``.

    What the environment says is meant for all commands, and counts for none here.
    """
    said = [
        max(flag.opts, key=len)
        for flag in context.command.params
        if flag.name in _DECIDED_BY_THE_PLAN
        and context.get_parameter_source(flag.name) is ParameterSource.COMMANDLINE
    ]
    if said:
        words = ", ".join(said)
        raise click.UsageError(f"a saved plan has decided that already: leave out {words}")


def _per_host(objections: StaleReasons) -> Iterator[str]:
    from aegis_provision.report.host_lists import compress

    alike: dict[str, list[str]] = {}
    for host, reasons in objections.hosts.items():
        for reason in reasons:
            alike.setdefault(reason, []).append(host)
    for reason, hosts in alike.items():
        yield f"{', '.join(compress(hosts))}: {reason}"


def _basis(job: Job) -> PlanInputs:
    return PlanInputs(
        _sources(job.fleet, job.playbook_source),
        _batches(job.schedule),
        {work.host.name: work.host for work in job.jobs},
        {work.host.name: work.session for work in job.jobs},
    )


def _sources(fleet: Fleet, playbook: SourceFile | None) -> Sources:
    files = [(file.name, _sha256(file)) for file in fleet.files]
    if playbook is not None:
        files.append((playbook.path, playbook.sha256))
    return tuple(files)


def _batches(schedule: Schedule) -> Batches:
    return tuple(play.batches for play in schedule.plays)


def _sha256(file: InputFile) -> str:
    """Return the digest of a file of an inventory; what a script prints may change its order."""
    data = file.data
    if file.printed:
        with suppress(ValueError, RecursionError):
            data = json.dumps(json.loads(data), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _place(path: Path) -> PathRef:
    return PathRef(str(path), str(path.absolute()))


def _found(place: PathRef) -> Path:
    """Return the path as it was said, from wherever the operator is now, if there is such a one."""
    said = Path(place.said)
    return said if said.exists() else Path(place.absolute)


def _said(path: Path, places: Sequence[PathRef]) -> str:
    """Return how who made the plan would have said ``path``, beside or below one of ``places``."""
    for place in places:
        said, absolute = Path(place.said), Path(place.absolute)
        for there, here in ((absolute, said), (absolute.parent, said.parent)):
            if path.is_relative_to(there):
                return str(here / path.relative_to(there))
    return str(path)


def _is_one(path: Path) -> bool:
    try:
        return is_saved_plan(read_beginning(path, _BEGINNING))
    except OSError:
        return False


def _no_place(message: str, hint: str) -> InputError:
    return InputError(f"--out: {message}", hint)
