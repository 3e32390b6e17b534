"""The Python API: what the commands do, for scripts.

``aegis_provision`` itself exports all of it; ``docs/python.md`` shows how it is used. Input is
checked as on the command line: what is wrong raises an :class:`Error` before anything connects. A
host's failure is a value in a plan, a run or a status.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aegis_provision.errors import InputError
from aegis_provision.operations import apply as apply_operation
from aegis_provision.operations import doctor as doctor_operation
from aegis_provision.operations import plan as plan_operation
from aegis_provision.operations import rollback as rollback_operation
from aegis_provision.operations import session as session_operation
from aegis_provision.operations import status as status_operation
from aegis_provision.operations.connection import ConnectionOptions, usable_cores
from aegis_provision.operations.history import (
    finished_run,
    list_runs,
    run_to_roll_back,
)
from aegis_provision.operations.history import past_run as find_past_run
from aegis_provision.operations.load import Environment, load_fleet
from aegis_provision.operations.plan import RunPlan, RunSelection
from aegis_provision.playbook.host_counts import parse_max_fail, parse_serial
from aegis_provision.rollout.thread_pool import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal, TypedDict, Unpack

    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.history.past_run import DamagedRun, PastRun
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.operations.apply import Run
    from aegis_provision.operations.load import Fleet
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.events import Emit, Event
    from aegis_provision.rollout.session_results import SessionListing, SessionResult

    AnyPath = str | os.PathLike[str]
    OnEvent = Callable[[Event], object]

    class Connection(TypedDict, total=False):
        """How hosts are reached; each parameter means what the flag of its name means."""

        known_hosts: Sequence[AnyPath]
        ssh_config: AnyPath | None
        host_key: Literal["strict", "accept-new"]
        forks: int
        workers: int | Literal["auto"]
        scheduler: str | None
        timeout: float
        deadline: float


T = TypeVar("T")

_INVENTORY = "AEGIS_PROVISION_INVENTORY"
_MOST_FORKS = 1000
_MOST_WORKERS = 256
_LONGEST = 86_400.0


def load(*inventories: AnyPath, environ: Mapping[str, str] | None = None) -> Fleet:
    """Read ``inventories`` and check everything that needs neither SSH nor secrets.

    Without one it is what the command line reads: ``AEGIS_PROVISION_INVENTORY``, else
    ``./inventory.yml``. ``environ`` is what scripts among them get, by default the process's.
    Raises :class:`InvalidInputError` with everything that is wrong, and :class:`InputError`.
    """
    environ = _environ(environ)
    named: Sequence[AnyPath] = inventories
    if not named and environ.get(_INVENTORY):
        named = (environ[_INVENTORY],)
    return load_fleet([Path(item) for item in named], environ)


def plan(
    fleet: Fleet,
    *,
    playbook: AnyPath | None = None,
    limit: str | None = None,
    serial: str | int | None = None,
    max_fail: str | int | None = None,
    retry: str | None = None,
    recreate: bool = False,
    policies: Sequence[AnyPath] = (),
    secrets: bool = True,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> RunPlan:
    """Read the hosts and return what a run would change there; nothing is written.

    Each parameter means what the flag of its name means; ``policies`` are paths, as ``--policy``
    names them. ``environ`` holds the tokens, and
    ``HOME``, ``XDG_STATE_HOME`` and ``SSH_AUTH_SOCK`` too; by default it is the process's.
    Without ``secrets`` no token is needed or read, and the plan can't be applied. ``on_event`` is
    called with each event, one at a time, from the threads in which they happen.

    Hosts are reached by ``known_hosts`` (paths), ``ssh_config`` (a path, or ``"none"`` to read no
    file), ``host_key`` (``"strict"`` or ``"accept-new"``), ``forks``, ``workers`` (processes that
    share the hosts, or ``"auto"``), ``scheduler`` (the address of a Dask cluster's, whose workers
    share them), and ``timeout`` and ``deadline`` in seconds.

    Raises :class:`Error` for wrong input, before anything connects; a host's failure is its
    plan's ``action``.
    """
    environment = _environment(environ)
    selection = RunSelection(
        _pattern(limit),
        Path(playbook) if playbook is not None else None,
        _parsed("serial", serial, parse_serial),
        _parsed("max_fail", max_fail, parse_max_fail),
        secrets=secrets,
        recreate=recreate,
        policies=tuple(map(Path, policies)),
    )
    if retry is not None:
        past = finished_run(environment.environ, retry)
        selection = plan_operation.retry_selection(selection, past)
    options = _connection_options(**connection)
    scheduled = plan_operation.schedule_run(fleet, selection, environment)
    job = plan_operation.prepare_job(scheduled, environment, options)
    return _planned(job, on_event)


def plan_rollback(
    fleet: Fleet,
    run: str | None = None,
    *,
    limit: str | None = None,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> RunPlan:
    """Read the hosts and return what would bring back the files from before ``run``.

    ``run`` is a run's name, the beginning of one, or ``"last"``; by default it is the last run that
    wrote something which is not rolled back yet. The other parameters are those of :func:`plan`,
    and :func:`apply` applies the result. Raises :class:`Error` before anything connects.
    """
    environment = _environment(environ)
    options = _connection_options(**connection)
    past = run_to_roll_back(environment.environ, run)
    job = rollback_operation.prepare_rollback(fleet, past, _pattern(limit), environment, options)
    return _planned(job, on_event)


def apply(
    plan: RunPlan, *, on_event: OnEvent | None = None, cancel: CancelToken | None = None
) -> Run:
    """Carry ``plan`` out, ask nothing, and return how every host ended.

    A host whose file is not what the plan saw is refused, and nothing is written there. The run is
    recorded in the state directory, as one of the command line is. ``on_event`` is called with each
    event once it is recorded; what it raises stops no host and is raised in the end. Calling
    ``cancel.cancel()`` from another thread begins no further host and lets those under way finish.

    Raises :class:`RefusedError` where the run can't be recorded, and :class:`InputError` for a plan
    that was made without the secrets.
    """
    if any(job.session.withheld for job in plan.job.host_jobs):
        raise InputError("a plan without secrets can't be applied", "plan again, with secrets=True")
    now = datetime.now(UTC)
    observers: tuple[Emit, ...] = () if on_event is None else (_observer(on_event),)
    bugs: list[Exception] = []
    with plan.job.executor() as executor:
        run = apply_operation.apply(
            plan,
            apply_operation.run_name(now),
            now,
            executor=executor,
            cancel=cancel or CancelToken(),
            observers=observers,
            bugs=bugs,
        )
    if bugs:
        raise bugs[0]
    return run


def status(
    fleet: Fleet,
    *,
    limit: str | None = None,
    secrets: bool = True,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> tuple[HostStatus, ...]:
    """Read the hosts and return how each stands: drifted, pending, in sync; nothing is written.

    The parameters are those of :func:`plan`. Raises :class:`Error` before anything connects.
    """
    environment = _environment(environ)
    options = _connection_options(**connection)
    selection = RunSelection(_pattern(limit), secrets=secrets, is_held=False)
    scheduled = plan_operation.schedule_run(fleet, selection, environment)
    job = status_operation.prepare_status(scheduled, environment, options)
    return status_operation.status(job, _observer(on_event))


def doctor(
    fleet: Fleet,
    *,
    limit: str | None = None,
    probe: bool = False,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> tuple[HostChecks, ...]:
    """Look at the hosts and return the checks of each: what is wrong there, and what to do.

    Nothing is written anywhere. With ``probe`` the provider is asked, with the host's token. The
    other parameters are those of :func:`plan`; a variable that is unset is a check of the hosts
    that need it. Raises :class:`Error` before anything connects.
    """
    environment = _environment(environ)
    options = _connection_options(**connection)
    patterns = {"limit": _pattern(limit)}
    job = doctor_operation.prepare_doctor(fleet, patterns, environment, options, probe=probe)
    return doctor_operation.doctor(job, _observer(on_event))


def start_session(
    fleet: Fleet,
    hosts: str,
    work_dir: str,
    *,
    provider: str | None = None,
    name: str | None = None,
    prompt: str | None = None,
    env: Mapping[str, str] | None = None,
    serial: str | int | None = None,
    max_fail: str | int | None = None,
    wait: float = 60.0,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    cancel: CancelToken | None = None,
    **connection: Unpack[Connection],
) -> tuple[SessionResult, ...]:
    """Start one session on each of ``hosts``, a pattern, and return how it ended on each.

    ``env`` maps names of session variables to templates; each other parameter means what the flag
    of ``session start`` of its name means, or what it means to :func:`plan`. A host's failure is
    its result. Raises :class:`Error` for wrong input, before anything connects.
    """
    if not 0 < wait <= _LONGEST:
        raise InputError(f"wait: {wait} is not above 0 and at most {_LONGEST:.0f} seconds")
    for flag, problem in (
        ("work_dir", session_operation.work_dir_problem(work_dir)),
        ("name", "" if name is None else session_operation.name_problem(name)),
    ):
        if problem:
            raise InputError(f"{flag}: it {problem}")
    environment = _environment(environ)
    selection = session_operation.SessionSelection(
        hosts,
        work_dir,
        provider,
        name or "",
        tuple(f"{variable}={template}" for variable, template in (env or {}).items()),
        session_operation.checked_prompt(prompt, "prompt: it") if prompt is not None else "",
        _parsed("serial", serial, parse_serial),
        _parsed("max_fail", max_fail, parse_max_fail),
        wait,
        session_operation.ParameterNames("work_dir", "name", "env"),
    )
    options = _connection_options(**connection)
    job = session_operation.prepare_start(fleet, selection, environment, options)
    run = session_operation.start(job, _observer(on_event), cancel or CancelToken())
    return run.results


def list_sessions(
    fleet: Fleet,
    hosts: str = "all",
    *,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> tuple[SessionListing, ...]:
    """Return the sessions of each of ``hosts``, a pattern. Raises :class:`Error` for wrong input.

    The parameters are those of :func:`plan`; a host's failure is its listing.
    """
    options = _connection_options(**connection)
    return session_operation.list_on_hosts(
        fleet, hosts, _environment(environ), options, _observer(on_event)
    )


def stop_session(
    fleet: Fleet,
    host: str,
    session: str,
    *,
    environ: Mapping[str, str] | None = None,
    on_event: OnEvent | None = None,
    **connection: Unpack[Connection],
) -> SessionResult:
    """Stop the session of ``host`` whose id is ``session``, or the beginning of its id.

    The parameters are those of :func:`plan`. Raises :class:`Error` for wrong input.
    """
    options = _connection_options(**connection)
    run = session_operation.stop(
        fleet, host, session, _environment(environ), options, _observer(on_event), CancelToken()
    )
    return run.results[0]


def runs(
    *, most: int | None = None, environ: Mapping[str, str] | None = None
) -> tuple[RunSummary | DamagedRun, ...]:
    """Return the recorded runs, newest first, ``most`` of them or all.

    Raises :class:`StateDirError`.
    """
    if most is not None and most < 0:
        raise InputError(f"most: {most} is below 0")
    return list_runs(_environ(environ), most)[0]


def past_run(name: str, *, environ: Mapping[str, str] | None = None) -> PastRun:
    """Return all that is recorded of the run that ``name`` means.

    ``name`` is a run's name, the beginning of one, or ``"last"``. Raises :class:`NoSuchRunError`
    and :class:`StateDirError`, and :class:`InputError` for a record that is damaged.
    """
    return find_past_run(_environ(environ), name)


def _environ(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return dict(os.environ if environ is None else environ)


def _environment(environ: Mapping[str, str] | None) -> Environment:
    variables = _environ(environ)
    return Environment(variables, variables, datetime.now(UTC))


def _planned(job: plan_operation.Job, on_event: OnEvent | None) -> RunPlan:
    with job.executor(keeps_connections=False) as executor:
        return plan_operation.plan(job, executor, _observer(on_event))


def _observer(on_event: OnEvent | None) -> Emit:
    def emit(event: Event) -> None:
        if on_event is not None:
            on_event(event)

    return emit


def _pattern(limit: object) -> str | None:
    if limit is None or isinstance(limit, str):
        return limit
    raise InputError("limit: a host pattern is wanted", 'join names with commas: ",".join(names)')


def _connection_options(
    known_hosts: Sequence[AnyPath] = (),
    ssh_config: AnyPath | None = None,
    host_key: str = "strict",
    forks: int = 32,
    workers: int | str = 1,
    scheduler: str | None = None,
    timeout: float = 15.0,
    deadline: float = 120.0,
) -> ConnectionOptions:
    if isinstance(known_hosts, str):
        raise InputError("known_hosts: a sequence of paths is wanted", "write [path]")
    if host_key not in {"strict", "accept-new"}:
        raise InputError(f"host_key: {host_key!r} is neither 'strict' nor 'accept-new'")
    if not 1 <= forks <= _MOST_FORKS:
        raise InputError(f"forks: {forks} is not between 1 and {_MOST_FORKS}")
    count = min(_MOST_WORKERS, usable_cores()) if workers == "auto" else workers
    if not isinstance(count, int) or not 1 <= count <= _MOST_WORKERS:
        raise InputError(
            f"workers: {workers!r} is neither 'auto' nor between 1 and {_MOST_WORKERS}"
        )
    for name, seconds in (("timeout", timeout), ("deadline", deadline)):
        if not 0 < seconds <= _LONGEST:
            raise InputError(f"{name}: {seconds} is not above 0 and at most {_LONGEST:.0f} seconds")
    options = ConnectionOptions(
        forks,
        timeout,
        deadline,
        known_hosts=tuple(Path(item) for item in known_hosts),
        accept_new=host_key == "accept-new",
        workers=count,
        scheduler=scheduler,
    )
    return options if ssh_config is None else replace(options, ssh_config=Path(ssh_config))


def _parsed(name: str, value: str | int | None, parse: Callable[[str], T]) -> T | None:
    if value is None:
        return None
    try:
        return parse(str(value))
    except ValueError as problem:
        raise InputError(f"{name}: {problem}") from None
