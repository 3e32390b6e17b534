"""One host's plan, from what it should have and what it has. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_address import api_address
from aegis_provision.aegis.config_file import (
    ConfigFile,
    RejectedConfig,
    merge,
    parse_config,
    syntax_of,
)
from aegis_provision.aegis.edit_errors import CannotEditError
from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    ReadsTarget,
    TargetFile,
    describe,
    reading_of,
)
from aegis_provision.aegis.remote_state import ReadProblem, RemoteState
from aegis_provision.aegis.search_order import findable
from aegis_provision.humanize import listed, utc_text
from aegis_provision.planning.diff import removals, session_changes
from aegis_provision.planning.drift import removed_keys
from aegis_provision.planning.hand_edits import overriding_variables
from aegis_provision.planning.ownership import (
    Ownership,
    attainable_ownership,
    desired_ownership,
    permission_problem,
)
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, ManagedKeys, Write
from aegis_provision.planning.receipts import Receipt, RejectedReceipt
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.aegis.config_file import Syntax
    from aegis_provision.aegis.file_in_use import Reading
    from aegis_provision.aegis.identify_server import AegisServer, UnknownServer
    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.drift import RemovedKeys
    from aegis_provision.providers.session_variables import Session

AS_OWNER = "log in as the file's owner, or set become_user to it"
"""What to do where the login may not read or write the file."""

_AS_DIRECTORYS_OWNER = (
    "root works there as the directory's owner: give the file to that user, set become_user to a "
    "user who may write it, or let root itself do it with 'trust_directory: true'"
)
_NO_ROOT = (
    "set become_user to the user that Aegis runs as, or log in as that user; "
    "where those users may do all that root may, set 'trust_directory: true'"
)
UNSAFE_DIRECTORY = ("root must not read or write by path there", _NO_ROOT)
"""The reason and the hint for root where other users can replace a directory above a file."""

RENAME_EXTENSION = "posix-rename@openssh.com"
_NO_RENAME = f"the host's SFTP server can't rename over a file ({RENAME_EXTENSION})"
NO_RENAME = (
    f"{_NO_RENAME}: nothing can be written there safely",
    "let the login use OpenSSH's SFTP server; look at -P and -p in its Subsystem line",
)
"""The reason and the hint where a file can't be replaced as a whole or not at all."""

_PROBLEMS = {
    ReadProblem.NO_DIRECTORY: (
        "its directory does not exist",
        "create the directory as the user that runs Aegis, or correct config_path",
    ),
    ReadProblem.PERMISSION_DENIED: (
        "no permission to read it",
        AS_OWNER,
    ),
    ReadProblem.SYMLINK: (
        "it is a symbolic link",
        "set config_path to the file it leads to: a write by rename would replace the link",
    ),
    ReadProblem.NOT_A_FILE: ("it is not a regular file", "move it away or correct config_path"),
    ReadProblem.UNSAFE_DIRECTORY: UNSAFE_DIRECTORY,
    ReadProblem.NO_PATH: (
        "the file that Aegis reads can't be told",
        "set config_path to that file; or say what runs Aegis there, with service or api",
    ),
    ReadProblem.TOO_LARGE: ("it is too large to be Aegis' configuration", "correct config_path"),
}

_RESTART_BY_HAND = (
    "let the login run commands (its shell, ForceCommand in sshd_config), or let the play write "
    "alone, with 'restart: never'"
)
_BY_HAND = "change defaultSessionEnv in the file by hand, then plan again"
_STAND_IN = "a value that was withheld"
_MODE, _OWNER = "file.mode", "file.owner"

_OPEN_API = (
    "the file has no authToken: unless Aegis gets a token another way (AEGIS_AUTH_TOKEN, a key), "
    "its API answers without one"
)
_NOT_UTF8 = (
    "the file holds bytes that are not UTF-8: Aegis reads each as U+FFFD, and so will a write "
    "leave them"
)
_ROOT_OWNED = (
    "the new file will be root's, like its directory: Aegis must run as root to read it, "
    "or give the directory to its service user first"
)
_NOT_SEARCHED = (
    "Aegis does not look for a file of this name by itself: it must be started with "
    "--config (then set read_via: explicit)"
)


_UNSHADOW = (
    "set config_path: auto; or carry the other settings of {shadow} over and move it away; "
    "or set read_via: explicit where Aegis is started with --config"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a host should have and what it has, compared before any receipt is read.

    ``config`` is the file as Aegis takes it, ``None`` for no file. ``changes`` are those of the
    desired variables, ``file_changes`` those of mode and owner. ``same`` names the variables that
    are right, ``unknown`` those that can't be compared because the secrets were withheld. All are
    empty if there are ``refusals``, which say why nothing may be written. ``secrets`` are those in
    the file. ``reading`` is which file the Aegis there reads, ``None`` if it was not asked;
    ``not_read`` says that the only refusal is that it does not read this one. ``server`` is that
    Aegis, ``None`` where it is not known.
    """

    host: Host
    session: Session
    actual: RemoteState
    config: ConfigFile | None
    refusals: tuple[tuple[str, str], ...] = ()
    ownership: Ownership | None = None
    changes: tuple[Change, ...] = ()
    file_changes: tuple[Change, ...] = ()
    same: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    reading: Reading | None = None
    not_read: bool = False
    server: AegisServer | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the session variables that the file holds."""
        return self.config.session_env if self.config else {}

    @property
    def needs_receipt(self) -> bool:
        """Tell whether the plan depends on which keys of the file this tool manages.

        It does if names in the file are no longer wanted, and if the file is about to be replaced:
        what brings it back brings the managed keys back too. Where there is no file, a receipt
        tells that there was one.
        """
        if self.refusals:
            return False
        if self.config is None:
            return True
        return bool(self.changes or self.file_changes or self.has_others)

    @property
    def has_others(self) -> bool:
        """Tell whether the file holds session variables that are not wanted there."""
        return not self.session.names.issuperset(self.environment)


@dataclass(frozen=True, slots=True)
class Recreation:
    """The operator wants a file anew that is gone; ``previous`` is the one kept there, if any."""

    previous: bytes | None = field(repr=False)


def compare(
    host: Host,
    session: Session,
    actual: RemoteState,
    server: FoundFiles | UnknownServer | None = None,
) -> Comparison:
    """Compare what ``host`` should have with what was found there.

    ``session`` has no missing variables. ``server`` is what is known of the Aegis that runs there,
    ``None`` where the host was not asked. All reasons against a host are found at once. The rules
    are those of Aegis' configuration loading (it drops a bad file silently, so such a host is
    refused here).
    """
    config = None
    if actual.file is not None:
        syntax = syntax_of(actual.path)
        config = parse_config(actual.file.content, replaced=session.names, syntax=syntax)
    reading = expected_reading(actual, server)
    unread = describe(reading, server)
    found = refusals(actual, reading)
    if unread is not None:
        found.append(unread)
    secrets = config.secrets() if config else ()
    if isinstance(config, RejectedConfig):
        hint = "correct the file on the host, then plan again"
        found += [(reason, hint) for reason in config.reasons]
    if found or isinstance(config, RejectedConfig):
        return Comparison(
            host, session, actual, None, tuple(found), secrets=secrets, not_read=found == [unread]
        )
    if actual.directory is None:
        raise ValueError("a target that was read has a directory")
    ownership = desired_ownership(actual.file, actual.directory)
    current = config.session_env if config else {}
    diff = session_changes(current, session, secrets)
    return Comparison(
        host,
        session,
        actual,
        config,
        secrets=secrets,
        ownership=ownership,
        changes=diff.changes,
        file_changes=_file_changes(actual.file, ownership),
        same=diff.same,
        unknown=diff.unknown,
        reading=reading,
        server=server.server if isinstance(server, FoundFiles) else None,
    )


def expected_reading(
    actual: RemoteState, server: FoundFiles | UnknownServer | None
) -> Reading | None:
    """Return which file Aegis reads once the target is written; ``None`` if it was not asked."""
    if server is None or actual.problem is not None or actual.directory is None:
        return None
    ownership = desired_ownership(actual.file, actual.directory)
    target = TargetFile(
        server.real_path(actual.path) if isinstance(server, FoundFiles) else actual.path,
        ownership.uid,
        ownership.gid,
        ownership.mode,
        exists=actual.file is not None,
    )
    return reading_of(server, target)


def plan_host(
    host: Host,
    session: Session,
    actual: RemoteState,
    receipt: Receipt | RejectedReceipt | None = None,
) -> HostPlan:
    """Return what would happen to ``host``, or why nothing may (see :func:`compare`)."""
    return plan_compared(compare(host, session, actual), receipt)


def plan_compared(
    comparison: Comparison,
    receipt: Receipt | RejectedReceipt | None = None,
    recreation: Recreation | None = None,
) -> HostPlan:
    """Return the plan for a comparison, with the receipt if it needs one.

    Variables that this tool wrote and that are no longer wanted are removed, and those that the
    inventory removes; no others. A file that this tool wrote and that is gone (:func:`is_gone`) is
    an error, because its other keys went with it, the API's lock among them: unless there is a
    ``recreation``, which takes them from the file that is kept beside it.
    """
    host, session, actual = comparison.host, comparison.session, comparison.actual
    config, ownership = comparison.config, comparison.ownership
    if comparison.refusals or ownership is None:
        return _refused(comparison, comparison.refusals)
    trusted = receipt if isinstance(receipt, Receipt) else None
    warnings: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    if trusted is not None and is_gone(comparison, trusted):
        if recreation is None:
            return _refused(comparison, [describe_gone(trusted)])
        config, warnings = _recreated(recreation, trusted, syntax_of(actual.path))
        comparison = replace(comparison, config=config)
        earlier = trusted.before.names if trusted.before is not None else ()
    dropped = removed_keys(comparison.environment, session, trusted)
    set_api = host.service.api if host.names_api else None
    api = api_address(set_api, comparison.server, config)
    removed = removals(comparison.environment, dropped.unchanged, comparison.secrets)
    changes = (*comparison.changes, *removed, *comparison.file_changes)
    plan = HostPlan(
        host.name,
        session.spec.provider,
        actual.path,
        Action.UNCHANGED,
        same=comparison.same,
        unknown=comparison.unknown,
        warnings=(
            *warnings,
            *_warnings(comparison, config, ownership),
            *((api.warning,) if api.warning else ()),
            *_receipt_warnings(comparison, receipt, dropped),
        ),
        auth_token=config.auth_token if config else None,
        client_auth_token=config.client_auth_token if config else None,
        api=api,
        seen=actual.file,
        secrets=comparison.secrets,
    )
    if not changes:
        return plan
    withheld = dict.fromkeys(session.withheld, _STAND_IN)
    gone = (*session.spec.removed, *dropped.unchanged, *earlier)
    syntax = syntax_of(actual.path)
    try:
        content = merge(config, {**session.values, **withheld}, removed=gone, syntax=syntax)
    except CannotEditError as error:
        return _refused(comparison, [(f"the file can't be edited in place: {error}", _BY_HAND)])
    merged = parse_config(content, syntax=syntax)
    if isinstance(merged, RejectedConfig):
        problem = (
            f"the merged file would be dropped by Aegis: {listed(merged.reasons, between='; ')}"
        )
        return _refused(comparison, [(problem, "look at the file on the host")])
    return replace(
        plan,
        action=Action.CREATE if actual.file is None else Action.UPDATE,
        changes=changes,
        write=Write(
            actual.path,
            content,
            ownership.mode,
            ownership.uid,
            ownership.gid,
            actual.file,
            managed=ManagedKeys(session.spec.provider, session.in_order),
            managed_before=trusted.managed if trusted else None,
        ),
    )


def is_gone(comparison: Comparison, receipt: Receipt | RejectedReceipt | None) -> bool:
    """Tell whether this tool wrote the file and it is not there any more."""
    return (
        isinstance(receipt, Receipt) and not comparison.refusals and comparison.actual.file is None
    )


def describe_gone(receipt: Receipt) -> tuple[str, str]:
    """Return that the file which ``receipt`` tells of is not there any more, and the ways out."""
    info = receipt.info
    reason = (
        f"the file is gone: {info.run} wrote it at {utc_text(info.written)}, and all its other "
        "keys went with it, the API's authToken too if it had one"
    )
    hint = (
        f"'rollback {info.run}' brings back the file from before that run, if there was one; "
        "'apply --recreate' writes a new one, with the other keys of the file that is kept there"
    )
    return reason, hint


def _recreated(
    recreation: Recreation, receipt: Receipt, syntax: Syntax
) -> tuple[ConfigFile | None, tuple[str, ...]]:
    """Return the file whose other keys a new one takes over, and what is to be said of it."""
    kept = recreation.previous
    config = parse_config(kept, syntax=syntax) if kept is not None else None
    if not isinstance(config, ConfigFile):
        why = "no earlier file is kept there" if config is None else "Aegis would drop the kept one"
        return None, (f"the file is written with the session variables alone: {why}",)
    names = receipt.before.names if receipt.before is not None else ()
    env = {name: value for name, value in config.session_env.items() if name not in names}
    when = utc_text(receipt.info.written)
    return replace(config, session_env=env), (
        f"the file is written anew: its other keys are those from before {when}",
    )


def read_only(plan: HostPlan) -> HostPlan:
    """Return ``plan`` without its write: its secrets were withheld, so it can't be carried out."""
    return replace(plan, write=None)


def check_permissions(plan: HostPlan, actual: RemoteState) -> HostPlan:
    """Return ``plan``, or the error why it can't be carried out with what ``actual`` tells.

    That is the login's permissions, and what the SFTP server offers.

    The file gets a group that the login can give it (:func:`attainable_ownership`).
    """
    write = plan.write
    if write is None:
        return plan
    if not actual.can_rename:
        reason, hint = NO_RENAME
        return HostPlan(
            plan.host, plan.provider, plan.path, Action.ERROR, message=reason, hint=hint
        )
    planned = Ownership(write.mode, write.uid, write.gid)
    desired = attainable_ownership(planned, actual.login)
    problem = permission_problem(actual, desired)
    if problem is None:
        return plan if desired == planned else _with_ownership(plan, write, desired)
    hint = _AS_DIRECTORYS_OWNER if actual.for_root else AS_OWNER
    return HostPlan(plan.host, plan.provider, plan.path, Action.ERROR, message=problem, hint=hint)


def refuse_restart(plan: HostPlan, reason: str) -> HostPlan:
    """Return ``plan``, or an error if it would write: Aegis could not be restarted, for ``reason``.

    The run restarts Aegis where something changes; a file that waits for a restart no one can do
    would be taken for a rollout.
    """
    if plan.write is None:
        return plan
    message = f"Aegis can't be restarted there: {reason}"
    return HostPlan(
        plan.host, plan.provider, plan.path, Action.ERROR, message=message, hint=_RESTART_BY_HAND
    )


def _with_ownership(plan: HostPlan, write: Write, desired: Ownership) -> HostPlan:
    """Return ``plan`` with ``desired`` for what is written, and that among its changes."""
    write = replace(write, mode=desired.mode, uid=desired.uid, gid=desired.gid)
    if write.content is None:
        return replace(plan, write=write)
    variables = (change for change in plan.changes if change.key not in {_MODE, _OWNER})
    return replace(plan, write=write, changes=(*variables, *_file_changes(write.base, desired)))


def unreachable(host: Host, session: Session, reason: str, hint: str) -> HostPlan:
    """Return the plan of a host that could not be reached."""
    return HostPlan(
        host.name,
        session.spec.provider,
        host.target.config_path,
        Action.UNREACHABLE,
        message=reason,
        hint=hint,
    )


def refusals(actual: RemoteState, reading: Reading | None = None) -> list[tuple[str, str]]:
    """Return why nothing may be written at a target, with hints, before its content is parsed.

    ``reading`` is what the server itself was found to read, which goes before what its file names
    alone may shadow.
    """
    found: list[tuple[str, str]] = []
    if actual.problem is not None:
        reason, hint = _PROBLEMS[actual.problem]
        if actual.for_root and actual.problem is ReadProblem.PERMISSION_DENIED:
            hint = _AS_DIRECTORYS_OWNER
        found.append((f"{reason} ({actual.detail})" if actual.detail else reason, hint))
    if reading is not None and not isinstance(reading, NotChecked):
        return found
    found.extend(
        (
            f"Aegis reads {shadow} instead of it",
            _UNSHADOW.format(shadow=shadow),
        )
        for shadow in actual.shadows
    )
    return found


def _refused(comparison: Comparison, refusals: Sequence[tuple[str, str]]) -> HostPlan:
    return HostPlan(
        comparison.host.name,
        comparison.session.spec.provider,
        comparison.actual.path,
        Action.ERROR,
        message=listed((reason for reason, _ in refusals), between="; "),
        hint="; ".join(dict.fromkeys(hint for _, hint in refusals)),
        secrets=comparison.secrets,
    )


def _file_changes(file: RemoteFile | None, desired: Ownership) -> tuple[Change, ...]:
    mode, owner = f"{desired.mode:04o}", desired.owner
    if file is None:
        return (
            Change(_MODE, ChangeKind.ADDED, None, mode, sensitive=False),
            Change(_OWNER, ChangeKind.ADDED, None, owner, sensitive=False),
        )
    before = Ownership(file.mode, file.uid, file.gid)
    changes = ((_MODE, f"{before.mode:04o}", mode), (_OWNER, before.owner, owner))
    return tuple(
        Change(key, ChangeKind.CHANGED, old, new, sensitive=False)
        for key, old, new in changes
        if old != new
    )


def _warnings(
    comparison: Comparison, config: ConfigFile | None, desired: Ownership
) -> tuple[str, ...]:
    host, actual, reading = comparison.host, comparison.actual, comparison.reading
    found = []
    locked = config is not None and config.has_auth_token
    if not locked and host.service.api_token is None:
        found.append(_OPEN_API)
    if config is not None and not config.is_utf8:
        found.append(_NOT_UTF8)
    if actual.file is None and desired.uid == 0:
        found.append(_ROOT_OWNED)
    if isinstance(reading, NotChecked):
        found.append(reading.warning)
    searched = host.target.read_via == "search" and not isinstance(reading, ReadsTarget)
    if searched and not findable(host.target.config_path):
        found.append(_NOT_SEARCHED)
    found.extend(
        f"{item.key} from {item.holder} ({item.span}) is ignored: "
        f"{host.provider.value} was chosen nearer to the host and brings its own values"
        for item in host.ignored
        if host.provider is not None
    )
    return tuple(found)


def _receipt_warnings(
    comparison: Comparison, receipt: Receipt | RejectedReceipt | None, dropped: RemovedKeys
) -> Iterator[str]:
    if isinstance(receipt, RejectedReceipt) and comparison.has_others:
        yield (
            f"the receipt beside the file does not count ({receipt.reason}): variables that the "
            "inventory does not have are left alone"
        )
    names = comparison.session.names
    overriding = overriding_variables(comparison.environment, {*names, *dropped.unchanged})
    if overriding:
        remedy = ", ".join(f"{name}: null" for name in overriding)
        yield (
            f"sessions follow {listed(overriding)}, which the host has beside the provider's own "
            f"variables; to remove it there say 'env: {{{remedy}}}'"
        )
    if dropped.modified:
        yield (
            f"{listed(dropped.modified)}: no longer in the inventory, but changed on the host "
            "since it was written; left alone"
        )
