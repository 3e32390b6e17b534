"""Saved plans: ``plan --out`` keeps one, and ``apply PLANFILE`` does exactly that or nothing."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import warning
from aegis_provision.errors import InputError, RefusedError
from aegis_provision.files.atomic import check_writable, write_new
from aegis_provision.files.reading import read_beginning, read_file
from aegis_provision.history.run_header import SourceFile, source_file
from aegis_provision.history.saved_plan_file import SavedPlanError, dump, is_saved_plan, parse
from aegis_provision.humanize import group_pairs
from aegis_provision.inputs.inventory_files import belongs_to
from aegis_provision.inputs.inventory_names import absolute_path, ansible_source
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
from aegis_provision.values import dataclass
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.operations.load import Fleet
    from aegis_provision.operations.plan import Job, RunPlan, Scheduled
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.saved_plan import Batches, Sources, StaleReasons
    from aegis_provision.playbook.plays import Schedule

_OWNER_ONLY = 0o600
_BEGINNING = 4096
_LARGEST = 256 * 1024 * 1024
_WORDS = {Action.ERROR: "could not be written", Action.UNREACHABLE: "was unreachable"}
_AGAIN = "plan again, look at what changed, and apply that plan"


@dataclass(frozen=True, slots=True)
class SavedPlanFile:
    """A saved plan, and the file that keeps it as a run's record names it."""

    plan: SavedPlan
    source: SourceFile

    @property
    def inventories(self) -> tuple[Path, ...]:
        """Return the inventories that the plan was made of."""
        return tuple(_existing(place) for place in self.plan.options.inventories)

    @property
    def selection(self) -> RunSelection:
        """Return which hosts the plan was asked for, and the playbook."""
        options = self.plan.options
        playbook = None if options.playbook is None else _existing(options.playbook)
        return RunSelection(options.limit or None, playbook)

    def bind(self, job: Job) -> Job:
        """Return ``job`` without the hosts that are no part of the plan, which warnings name.

        Raises :class:`Error` where what the plan rests on is not what it was.
        """
        inputs = _plan_inputs(job)
        inputs = replace(inputs, sources=self._as_named(inputs.sources))
        if reasons := stale_inputs(self.plan, inputs):
            raise self.stale(reasons)
        return replace(
            job,
            schedule=job.schedule.narrowed_to(self._hosts),
            host_jobs=tuple(item for item in job.host_jobs if item.host.name in self._hosts),
            info=replace(job.info, saved_plan=self.source),
            diagnostics=(*job.diagnostics, *self._skipped_hosts()),
            salt=self.plan.salt,
        )

    def bind_schedule(self, scheduled: Scheduled) -> Scheduled:
        """Return what :meth:`bind` does, of what is known without secrets. Raises alike."""
        sources = self._as_named(_sources(scheduled.fleet, scheduled.playbook))
        batches = _batches(scheduled.schedule)
        if reasons := stale_schedule(self.plan, sources, batches):
            raise self.stale(reasons)
        diagnostics = (*scheduled.diagnostics, *self._skipped_hosts())
        schedule = scheduled.schedule.narrowed_to(self._hosts)
        return replace(scheduled, schedule=schedule, diagnostics=diagnostics)

    def stale_hosts(self, plans: Sequence[HostPlan]) -> StaleReasons:
        """Return why the hosts, as they are now, are not what the plan saw."""
        return stale_hosts(self.plan, plans)

    def stale(self, reasons: StaleReasons) -> RefusedError:
        """Return what to raise where the plan does not hold any more: all reasons at once."""
        words = f"the saved plan {self.source.path} does not hold any more; nothing was written"
        lines = [*reasons.whole, *_per_host(reasons)]
        return RefusedError(words, _AGAIN, lines)

    @property
    def _hosts(self) -> frozenset[str]:
        return frozenset(host.host for host in self.plan.hosts)

    def _as_named(self, sources: Sources) -> Sources:
        """Return ``sources``, with the plan's words for those found where it was made."""
        options = self.plan.options
        places = options.inventories + (() if options.playbook is None else (options.playbook,))
        return tuple((_as_typed(Path(path), places), sha256) for path, sha256 in sources)

    def _skipped_hosts(self) -> Iterator[Diagnostic]:
        for skipped in self.plan.skipped:
            what = _WORDS[skipped.action]
            yield warning(
                "left-out",
                f"{skipped.host} is no part of the saved plan: it {what} when that was made "
                f"({skipped.reason})",
            )


def check_output_path(path: Path, inventories: Sequence[Path]) -> None:
    """Check that a plan of ``inventories`` can be kept at ``path``.

    What is there already must be a saved plan: one is never written over an inventory, nor into
    one. Whether a file can be made there is tried now: it would be late to hear of it when
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
            raise _unusable(words, "name a file in another directory")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise _unusable(f"{path} is a directory", "name the file to write")
    if path.is_symlink() or path.exists():
        if not _is_saved_plan(path):
            hint = "name another file: only an earlier saved plan is replaced"
            raise _unusable(f"{path} is there already, and it is no saved plan", hint)
    elif not path.parent.is_dir():
        raise _unusable(f"there is no directory {path.parent}", "make it first")


def write_saved_plan(
    path: Path,
    inventory: Sequence[Path],
    selection: RunSelection,
    plan: RunPlan,
    now: datetime,
    on_write: Callable[[], None] = lambda: None,
) -> None:
    """Write the plan to ``path``, as a whole or not at all, for its owner alone.

    Raises :class:`Error`.
    """
    inventories = tuple(_path_ref(item) for item in inventory_paths(inventory))
    playbook = None if selection.playbook is None else _path_ref(selection.playbook)
    options = PlanOptions(
        inventories, selection.limit or "", playbook, no_secrets=not selection.secrets
    )
    saved = save(now, __version__, options, _plan_inputs(plan.job), plan.hosts, plan.job.salt)
    try:
        # To where a symbolic link leads: it stays one.
        write_new(path.resolve(), dump(saved), _OWNER_ONLY, lambda: _check_file(path), on_write)
    except OSError as problem:
        raise _not_written(path, problem) from None


def _not_written(path: Path, problem: OSError) -> InputError:
    return _unusable(f"{path} can't be written: {problem.strerror}", "name another file")


def saved_plan_at(path: Path) -> SavedPlanFile | None:
    """Return the saved plan at ``path``, ``None`` where the file does not mean to be one.

    Raises :class:`Error` for one that can't be carried out.
    """
    if not _is_saved_plan(path):
        return None
    try:
        data = read_file(path, _LARGEST)
        return SavedPlanFile(parse(data), source_file(str(path), data))
    except OSError as problem:
        words = problem.strerror or str(problem)
    except SavedPlanError as problem:
        words = str(problem)
    raise InputError(
        f"the saved plan {path} can't be used: {words}",
        "make it anew with",
        command=("plan", "--out", str(path)),
    )


def _per_host(reasons: StaleReasons) -> Iterator[str]:
    from aegis_provision.inventory.ranges import compress

    pairs = ((reason, host) for host, found in reasons.hosts.items() for reason in found)
    for reason, hosts in group_pairs(pairs).items():
        yield f"{', '.join(compress(hosts))}: {reason}"


def _plan_inputs(job: Job) -> PlanInputs:
    return PlanInputs(
        _sources(job.fleet, job.info.playbook),
        _batches(job.schedule),
        {item.host.name: item.host for item in job.host_jobs},
        {item.host.name: item.session for item in job.host_jobs},
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


def _path_ref(path: Path) -> PathRef:
    return PathRef(str(path), absolute_path(path, Path.cwd()))


def _existing(place: PathRef) -> Path:
    """Return the path as it was typed where that exists from here, else the absolute one."""
    path = Path(place.path)
    there = Path(ansible_source(path) or path)
    return path if there.exists() else Path(place.absolute)


def _as_typed(path: Path, places: Sequence[PathRef]) -> str:
    """Return ``path`` in the words of the plan, where it lies beside or below one of ``places``."""
    for place in places:
        typed, absolute = Path(place.path), Path(place.absolute)
        for parent, typed_parent in ((absolute, typed), (absolute.parent, typed.parent)):
            if path.is_relative_to(parent):
                return str(typed_parent / path.relative_to(parent))
    return str(path)


def _is_saved_plan(path: Path) -> bool:
    try:
        return is_saved_plan(read_beginning(path, _BEGINNING))
    except OSError:
        return False


def _unusable(message: str, hint: str) -> InputError:
    return InputError(f"--out: {message}", hint)
