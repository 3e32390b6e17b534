"""``plan``: what a run would do on each host, read from the hosts; nothing is written."""

from __future__ import annotations

import secrets
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, has_errors, note, warning
from aegis_provision.errors import InvalidInputError
from aegis_provision.history.run_header import RunKind
from aegis_provision.humanize import counted
from aegis_provision.inputs.playbook_and_policy_files import read_playbook
from aegis_provision.inventory.pins import pin_diagnostics
from aegis_provision.operations.connection import (
    connection_settings,
    connection_warnings,
    operator_name,
)
from aegis_provision.operations.executors import SALT_BYTES, open_executor
from aegis_provision.operations.load import (
    Fleet,
    absent_inventories,
    load_fleet,
    read_pattern_file,
    require_providers,
    select_hosts,
)
from aegis_provision.operations.policy import Policies, load_policies
from aegis_provision.operations.resolve_secrets import resolve_sessions
from aegis_provision.planning.plan import Action
from aegis_provision.playbook.budget import predict_stop
from aegis_provision.playbook.plays import Restart
from aegis_provision.playbook.schedule import (
    large_batches,
    make_schedule,
    single_play,
    with_overrides,
)
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.rollout.capacity import MOST_KEPT
from aegis_provision.rollout.host_job import HostJob, HostTask
from aegis_provision.rollout.planner import PlanReader, RollbackReader, plan_fleet
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.rollback import RollbackTarget
    from aegis_provision.playbook.host_counts import HostCount
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.playbook.schedule import LargeBatch
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_work import Executor, HostReader


@dataclass(frozen=True, slots=True)
class RunSelection:
    """Which hosts a run is about, in which order, and how many of them may fail.

    ``playbook`` is ``None`` for a run without one. ``retry`` is the earlier run whose hosts are
    taken up again as far as they did not end well. ``secrets`` is false where hosts are only looked
    at, and no token is read. ``recreate`` writes files anew that this tool wrote and that are gone.
    ``policies`` are those that the fleet is held to, empty for the ones beside the inventory;
    without ``is_held`` it is held to none.
    """

    limit: str | None = None
    playbook: Path | None = None
    serial: tuple[HostCount, ...] | None = None
    max_fail: HostCount | None = None
    retry: PastRun | None = None
    secrets: bool = True
    recreate: bool = False
    policies: tuple[Path, ...] = ()
    is_held: bool = True


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A run as far as it can be told without SSH and without secrets.

    ``diagnostics`` are warnings and notes; ``playbook`` is the playbook's file.
    """

    fleet: Fleet
    selection: RunSelection
    schedule: Schedule
    playbook: SourceFile | None
    diagnostics: tuple[Diagnostic, ...]
    policies: Policies = field(default_factory=Policies)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run's record says of it beside its hosts.

    ``undoes`` names the run that a rollback rolls back, ``retries`` the one whose hosts an apply
    takes up again.
    """

    kind: RunKind
    operator: str
    inventories: tuple[SourceFile, ...]
    playbook: SourceFile | None = None
    limit: str = ""
    undoes: str | None = None
    retries: str | None = None
    saved_plan: SourceFile | None = None

    def titled(self) -> Mapping[str, str]:
        """Return what a page says of the run in its head, by title."""
        return {
            "Operator": self.operator,
            "Inventory": ", ".join(source.path for source in self.inventories),
            **({"Playbook": self.playbook.path} if self.playbook else {}),
            **({"Saved plan": self.saved_plan.path} if self.saved_plan else {}),
            **({"Limit": self.limit} if self.limit else {}),
            **({"Undoes": self.undoes} if self.undoes else {}),
            **({"Takes up again": self.retries} if self.retries else {}),
        }


@dataclass(frozen=True, slots=True)
class Job:
    """A run before any host was asked: what each host gets, in which order, how it is reached.

    ``info`` is what the run's record says of it beside the hosts. ``targets`` maps hosts to what a
    past run did there, where this run rolls that one back; it is ``None`` for any other run.
    ``environ`` holds the operator's own variables, which say where the run is recorded. Digests in
    masked plans are made with ``salt``.
    """

    fleet: Fleet
    schedule: Schedule
    host_jobs: tuple[HostJob, ...]
    connection: ConnectionSettings
    info: RunInfo
    environ: Mapping[str, str] = field(repr=False)
    diagnostics: tuple[Diagnostic, ...]
    targets: Mapping[str, RollbackTarget] | None = None
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(SALT_BYTES), repr=False)

    def reader_of(self, host: str) -> HostReader[HostPlan]:
        """Return what makes the plan of ``host``."""
        return PlanReader() if self.targets is None else RollbackReader(self.targets[host])

    def executor(self, *, keeps_connections: bool = True) -> Executor:
        """Return what does the work on the hosts: a context manager.

        With ``keeps_connections`` those to hosts that would change stay open for the write.
        """
        keep = MOST_KEPT if keeps_connections else 0
        return open_executor(self.host_jobs, self.connection, keep=keep, salt=self.salt)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do: ``hosts`` holds the plan of each host, in the schedule's order.

    They are masked: they may be copied, pickled and sent.
    """

    job: Job = field(repr=False)
    hosts: tuple[HostPlan, ...]

    def __iter__(self) -> Iterator[HostPlan]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return what the files warn of, as the command line prints it."""
        return self.job.diagnostics

    @property
    def is_rollback(self) -> bool:
        """Tell whether the run rolls a past one back."""
        return self.job.targets is not None

    @property
    def changing(self) -> tuple[str, ...]:
        """Return the hosts that would be written."""
        return tuple(plan.host for plan in self.hosts if plan.writes)

    @property
    def restarting(self) -> tuple[str, ...]:
        """Return the hosts on which a play would restart Aegis, if all goes well."""
        return tuple(dict.fromkeys(task.plan.host for task in self._tasks() if task.restarts))

    @property
    def starting_sessions(self) -> Mapping[str, bool]:
        """Return the hosts on which a play would start a session, and whether with a prompt."""
        found: dict[str, bool] = {}
        for task in self._tasks():
            verify = task.gates.verify
            if task.has_work and verify is not None and verify.session:
                found[task.plan.host] = found.get(task.plan.host, False) or bool(verify.prompt)
        return found

    def _tasks(self) -> Iterator[HostTask]:
        """Yield each host's part in each play, as far as it is known before the run."""
        plans = {plan.host: plan for plan in self.hosts}
        jobs = {job.host.name: job for job in self.job.host_jobs}
        for play in self.job.schedule.plays:
            for host in play.hosts:
                plan = plans[host]
                yield HostTask(jobs[host], plan, play.play.gates, plan.restart_pending)

    def predicted_stop(self) -> str:
        """Return where hosts that can't be worked on will stop the run, empty where they won't."""
        schedule = self.job.schedule
        bad = {
            plan.host
            for plan in self.hosts
            if plan.action.is_failure
            and not (self.is_rollback and plan.action is not Action.UNREACHABLE)
        }
        stop = predict_stop(schedule, bad)
        if stop is None:
            return ""
        name = schedule.plays[stop.play].play.name
        where = f' of "{name}"' if name else ""
        hosts = counted(len(stop.failed), "host")
        return (
            f"the run will stop before batch {stop.batch + 1}{where}: "
            f"{hosts} can't be worked on, and max_fail allows {stop.budget.words}"
        )

    def largest_batch(self) -> LargeBatch | None:
        """Return the batch that changes most of the fleet at once, ``None`` where none does."""
        fleet_size = len(self.job.fleet.inventory.hosts)
        large = large_batches(self.job.schedule, self.changing, fleet_size)
        return max(large, key=lambda batch: batch.changes, default=None)


def schedule_run(
    inventory: Sequence[Path] | Fleet, selection: RunSelection, environment: Environment
) -> Scheduled:
    """Read inventory and playbook, and return what a run of ``selection`` does.

    Raises :class:`InvalidInputError` with what is wrong with either, and :class:`Error`.
    """
    playbook, source, found = (
        (single_play(), None, ())
        if selection.playbook is None
        else read_playbook(selection.playbook)
    )
    try:
        fleet = (
            inventory
            if isinstance(inventory, Fleet)
            else load_fleet(inventory, environment.environ, of_all=False)
        )
    except InvalidInputError as problem:
        if absent_inventories(problem.diagnostics):
            raise
        raise InvalidInputError((*problem.diagnostics, *found)) from None
    diagnostics = (*fleet.diagnostics, *found)
    if playbook is None:
        raise InvalidInputError(diagnostics)
    playbook = with_overrides(playbook, selection.serial, selection.max_fail)
    selected = set(select_hosts(fleet.inventory, "--limit", selection.limit))
    require_providers(fleet, selected)
    if selection.retry is not None:
        selected &= set(selection.retry.hosts_to_retry)
        diagnostics += tuple(_retry_diagnostics(selection.retry, source, selected))
    pinned = [host for name, host in fleet.inventory.hosts.items() if name in selected]
    diagnostics += pin_diagnostics(pinned, environment.today)
    policies = Policies()
    if selection.is_held:
        policies, found = load_policies(fleet, selection.policies)
        diagnostics += found
        diagnostics += policies.check(fleet, environment.today, only=selected)
    schedule, found = make_schedule(
        playbook, fleet.inventory, chosen=selected, read_file=read_pattern_file
    )
    diagnostics += found
    if has_errors(diagnostics):
        raise InvalidInputError(diagnostics)
    return Scheduled(fleet, selection, schedule, source, diagnostics, policies)


def retry_selection(selection: RunSelection, past: PastRun) -> RunSelection:
    """Return ``selection`` for the hosts of ``past``, with its playbook if none is named."""
    playbook = selection.playbook
    if playbook is None and past.header.playbook is not None:
        playbook = Path(past.header.playbook.path)
    return replace(selection, playbook=playbook, retry=past)


def _retry_diagnostics(
    past: PastRun, source: SourceFile | None, hosts: Collection[str]
) -> Iterator[Diagnostic]:
    run, old = past.header.run, past.header.playbook
    if not hosts:
        yield note("nothing-to-retry", f"no host of {run} is left to be taken up again")
    if old is None or source is None or source.path != old.path:
        return
    if source.sha256 != old.sha256:
        yield warning("changed-playbook", f"{source.path} is not what it was in {run}")


def prepare_job(scheduled: Scheduled, environment: Environment, options: ConnectionOptions) -> Job:
    """Fill the secrets in and check all that Aegis would get, before any connection.

    Raises :class:`InvalidInputError` and :class:`Error`.
    """
    fleet, schedule = scheduled.fleet, scheduled.schedule
    resolved, warnings = resolve_sessions(
        fleet,
        schedule.hosts,
        environment.variables,
        with_api_token=hosts_with_api(schedule),
        with_secrets=scheduled.selection.secrets,
        connects=True,
    )
    found = scheduled.policies.check_resolved(resolved.sessions)
    if has_errors(found):
        raise InvalidInputError((*scheduled.diagnostics, *warnings, *found))
    restarting = {
        host
        for play in schedule.plays
        if play.play.gates.restart is Restart.CHANGED
        for host in play.hosts
    }
    pending = None
    if restarting:
        from aegis_provision.operations.history import pending_restarts

        pending = pending_restarts(environment.environ)
    host_jobs = tuple(
        HostJob(
            host=host,
            session=resolved.sessions[name],
            api_token=resolved.api_tokens.get(name),
            restarts=name in restarting,
            pending_restarts=pending.at(host.target) if pending else frozenset(),
            recreate=scheduled.selection.recreate,
        )
        for name, host in ((name, fleet.inventory.hosts[name]) for name in schedule.hosts)
    )
    tokens = recipe_secrets(fleet.recipes, environment.variables)
    connection = connection_settings(options, environment.environ, tokens, resolved.logins)
    retry = scheduled.selection.retry
    info = RunInfo(
        kind=RunKind.APPLY,
        operator=operator_name(connection.options.login_name),
        inventories=fleet.sources,
        playbook=scheduled.playbook,
        limit=scheduled.selection.limit or "",
        retries=retry.header.run if retry else None,
    )
    targets = (fleet.inventory.hosts[name].target for name in schedule.hosts)
    diagnostics = (*scheduled.diagnostics, *warnings, *connection_warnings(connection, targets))
    return Job(fleet, schedule, host_jobs, connection, info, environment.environ, diagnostics)


def hosts_with_api(schedule: Schedule) -> frozenset[str]:
    """Return the hosts whose API some play of ``schedule`` asks."""
    hosts: set[str] = set()
    for play in schedule.plays:
        gates = play.play.gates
        if gates.restart is not Restart.NEVER or (gates.verify and gates.verify.waits_for_health):
            hosts.update(play.hosts)
    return frozenset(hosts)


def plan(job: Job, executor: Executor, emit: Emit) -> RunPlan:
    """Read the hosts of ``job`` and return what would be done there.

    A host's failure is its plan's action, never an exception. The whole plans stay with
    ``executor``.
    """
    return RunPlan(job, plan_fleet(job.host_jobs, executor, emit, job.reader_of))
