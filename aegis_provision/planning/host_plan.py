"""One host's plan out of what it should have and what it has. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.actual import Actual, ReadProblem
from aegis_provision.aegis.config_file import ConfigFile, Ignored, merge, parse_config
from aegis_provision.aegis.search_order import findable
from aegis_provision.planning.diff import session_changes
from aegis_provision.planning.model import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.planning.ownership import Ownership, permission_problem, wanted_ownership

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_provision.inventory.model import Host
    from aegis_provision.providers.session import Session

_PROBLEMS = {
    ReadProblem.NO_DIRECTORY: (
        "its directory does not exist",
        "create the directory as the user that runs Aegis, or correct config_path",
    ),
    ReadProblem.PERMISSION_DENIED: (
        "no permission to read it",
        "log in as the file's owner, or set become_user to it",
    ),
    ReadProblem.SYMLINK: (
        "it is a symbolic link",
        "set config_path to the file it leads to: a write by rename would replace the link",
    ),
    ReadProblem.NOT_A_FILE: ("it is not a regular file", "move it away or correct config_path"),
    ReadProblem.TOO_LARGE: ("it is too large to be Aegis' configuration", "correct config_path"),
}

_MOST_REASONS = 20

_OPEN_API = "the file has no authToken: Aegis' API on this host answers without a token"
_ROOT_OWNED = (
    "the new file will be root's, like its directory: Aegis must run as root to read it, "
    "or give the directory to its service user first"
)
_NOT_SEARCHED = (
    "Aegis does not look for a file of this name by itself: it must be started with "
    "--config (then set read_via: explicit)"
)


def plan_host(host: Host, session: Session, actual: Actual) -> HostPlan:
    """Return what would happen to ``host``, or why nothing may.

    ``session`` has no missing variables. All reasons against a host are given at once. The rules
    are those of Aegis' configuration loading (it drops a bad file silently, so such a host is
    refused here).
    """
    config = (
        parse_config(actual.file.content, replaced=session.values.keys()) if actual.file else None
    )
    refusals = _refusals(actual, config)
    if refusals or isinstance(config, Ignored):
        return _refused(host, session, actual, refusals)
    if actual.directory is None:
        raise ValueError("a target that was read has a directory")
    ownership = wanted_ownership(actual.file, actual.directory)
    changes, same = _session_changes(config, session)
    changes += _file_changes(actual, ownership)
    warnings = _warnings(host, actual, config, ownership)
    if not changes:
        return HostPlan(
            host.name,
            session.spec.provider,
            actual.path,
            Action.UNCHANGED,
            same=same,
            warnings=warnings,
            auth_token=config.auth_token if config else None,
        )
    content = merge(config, session.values)
    problem = _dropped(content)
    if problem:
        return _refused(host, session, actual, [(problem, "look at the file on the host")])
    return HostPlan(
        host.name,
        session.spec.provider,
        actual.path,
        Action.CREATE if actual.file is None else Action.UPDATE,
        changes=changes,
        same=same,
        warnings=warnings,
        write=Write(
            actual.path, content, ownership.mode, ownership.uid, ownership.gid, actual.file
        ),
        auth_token=config.auth_token if config else None,
    )


def _session_changes(
    config: ConfigFile | None, session: Session
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    if config is None:
        return session_changes({}, session)
    return session_changes(config.session_env, session, config.secrets())


def needs_login(plan: HostPlan) -> bool:
    """Tell whether the plan rests on who the login is: only a write does."""
    return plan.write is not None


def as_login(plan: HostPlan, actual: Actual) -> HostPlan:
    """Return ``plan``, or why the login can't carry it out. ``actual`` knows who it is."""
    write = plan.write
    if write is None:
        return plan
    problem = permission_problem(actual, Ownership(write.mode, write.uid, write.gid))
    if problem is None:
        return plan
    hint = "log in as the file's owner, or set become_user to it"
    return HostPlan(plan.host, plan.provider, plan.path, Action.ERROR, message=problem, hint=hint)


def unreachable(host: Host, session: Session, reason: str, hint: str) -> HostPlan:
    """Return the plan of a host that nobody could talk to."""
    return HostPlan(
        host.name,
        session.spec.provider,
        host.target.config_path,
        Action.UNREACHABLE,
        message=reason,
        hint=hint,
    )


def refusals_of(actual: Actual) -> list[tuple[str, str]]:
    """Return why nothing may be written at a target, whatever its file holds, with hints."""
    found: list[tuple[str, str]] = []
    if actual.problem is not None:
        reason, hint = _PROBLEMS[actual.problem]
        found.append((f"{reason} ({actual.detail})" if actual.detail else reason, hint))
    found.extend(
        (
            f"Aegis reads {shadow} instead of it",
            f"move {shadow} away, or set read_via: explicit where Aegis is started with --config",
        )
        for shadow in actual.shadows
    )
    return found


def _refusals(actual: Actual, config: ConfigFile | Ignored | None) -> list[tuple[str, str]]:
    found = refusals_of(actual)
    if isinstance(config, Ignored):
        hint = "correct the file on the host, then plan again"
        found.extend((reason, hint) for reason in config.reasons)
    return found


def _refused(
    host: Host, session: Session, actual: Actual, refusals: list[tuple[str, str]]
) -> HostPlan:
    return HostPlan(
        host.name,
        session.spec.provider,
        actual.path,
        Action.ERROR,
        message="; ".join(_first(reason for reason, _ in refusals)),
        hint="; ".join(dict.fromkeys(hint for _, hint in refusals)),
    )


def _first(reasons: Iterable[str]) -> list[str]:
    """Return as many reasons as a person reads: a host's file may hold any number of errors."""
    every = list(reasons)
    if len(every) <= _MOST_REASONS:
        return every
    return [*every[:_MOST_REASONS], f"and {len(every) - _MOST_REASONS} more"]


def _file_changes(actual: Actual, wanted: Ownership) -> tuple[Change, ...]:
    if actual.file is None:
        return (
            Change("file.mode", ChangeKind.ADDED, None, f"{wanted.mode:04o}", sensitive=False),
            Change("file.owner", ChangeKind.ADDED, None, wanted.owner, sensitive=False),
        )
    if actual.file.mode == wanted.mode:
        return ()
    before, after = f"{actual.file.mode:04o}", f"{wanted.mode:04o}"
    return (Change("file.mode", ChangeKind.CHANGED, before, after, sensitive=False),)


def _warnings(
    host: Host, actual: Actual, config: ConfigFile | None, wanted: Ownership
) -> tuple[str, ...]:
    found = []
    if config is None or not config.has_auth_token:
        found.append(_OPEN_API)
    if actual.file is None and wanted.uid == 0:
        found.append(_ROOT_OWNED)
    if host.target.read_via == "search" and not findable(host.target.config_path):
        found.append(_NOT_SEARCHED)
    found.extend(
        f"{item.key} from {item.holder} ({item.span}) is ignored: "
        f"{host.provider.value} was chosen nearer to the host and brings its own values"
        for item in host.ignored
        if host.provider is not None
    )
    return tuple(found)


def _dropped(content: bytes) -> str | None:
    result = parse_config(content)
    if isinstance(result, Ignored):
        return "the merged file would be dropped by Aegis: " + "; ".join(result.reasons)
    return None
