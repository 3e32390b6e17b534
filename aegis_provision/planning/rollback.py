"""What it takes to undo on one host what a past run did there. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import RejectedConfig, parse_config, session_env_in
from aegis_provision.humanize import listed
from aegis_provision.planning.diff import environment_changes
from aegis_provision.planning.host_plan import refusals
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session import VARIABLE_OF, Session, SessionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.aegis.remote_state import RemoteFile, RemoteState
    from aegis_provision.planning.receipts import Receipt

_MOVED_ON = "the file is no longer the one that the run wrote"
_LOOK = "look at what changed since, and change it by hand or with 'apply'"


@dataclass(frozen=True, slots=True)
class RollbackTarget:
    """What a past run did to a host's file: digests of before and after, ``None`` for no file.

    ``run`` is its name; ``digest`` makes such a digest of a content.
    """

    run: str
    host: str
    provider: str
    before: str | None
    after: str | None
    digest: Callable[[bytes], str]


def plan_rollback(undoing: RollbackTarget, actual: RemoteState, previous: bytes | None) -> HostPlan:
    """Return how the file from before the run comes back, or why it must not.

    ``previous`` is the file that is kept beside the target. Nothing is undone unless the target is
    still the one that the run wrote, and the one that is kept the one from before it: whatever
    came since is somebody's work.
    """
    found = refusals(actual)
    if found:
        return _refused(
            undoing, actual, listed((reason for reason, _ in found), between="; "), found[0][1]
        )
    here = undoing.digest(actual.file.content) if actual.file else None
    if here != undoing.after:
        if here == undoing.before:
            return _plan(undoing, actual, Action.UNCHANGED)
        return _refused(undoing, actual, _MOVED_ON, _LOOK)
    if undoing.before is not None and (
        previous is None or undoing.digest(previous) != undoing.before
    ):
        return _refused(
            undoing, actual, "the file that is kept there is not the one from before the run", _LOOK
        )
    return _restored(undoing, actual, previous if undoing.before is not None else None)


def restore_managed_keys(
    plan: HostPlan, undoing: RollbackTarget, receipt: Receipt | None
) -> HostPlan:
    """Return ``plan`` so that what is ours is again what was before the run.

    ``receipt`` is the one beside the file. Another run's speaks of this file where a later write
    was taken back: then nobody knows any more what was ours before, and nothing will be. Or else
    the run broke off before it left its own: then it is the one from before.
    """
    if plan.write is None or plan.write.base is None or receipt is None:
        return plan
    if receipt.stamp.run == undoing.run:
        before = receipt.before
    else:
        there = session_env_in(plan.write.base.content)
        is_of_this = all(receipt.is_as_written(name, there.get(name)) for name in receipt.digests)
        before = None if is_of_this else receipt.ours
    return replace(plan, write=replace(plan.write, ours=before, ours_before=receipt.ours))


def needs_previous(undoing: RollbackTarget, actual: RemoteState) -> bool:
    """Tell whether the decision rests on the file that is kept beside the target."""
    return undoing.before is not None and actual.file is not None


def session_from_config(content: bytes | None) -> Session:
    """Return the session variables that a file holds; a provider's token is a secret in it.

    What the file does not hold is absent, and so is all of it where there is no file.
    """
    config = parse_config(content) if content is not None else None
    if config is None or isinstance(config, RejectedConfig):
        return Session(SessionSpec("", (), allow_http=True), {}, ())
    token = VARIABLE_OF["auth_token"]
    values: dict[str, str | Secret] = dict(config.session_env)
    if token in values:
        values[token] = Secret(config.session_env[token], "the file on the host")
    return Session(SessionSpec("", (), allow_http=True), values, ())


def _restored(undoing: RollbackTarget, actual: RemoteState, content: bytes | None) -> HostPlan:
    file = actual.file
    if file is None:
        return _refused(undoing, actual, "there is no file to go back from", _LOOK)
    now, then = _config(file.content), _config(content)
    secrets = (*(now.secrets() if now else ()), *(then.secrets() if then else ()))
    changes = environment_changes(
        now.session_env if now else {}, then.session_env if then else {}, secrets
    )
    if content is None:
        changes += _gone(file)
    return HostPlan(
        undoing.host,
        undoing.provider,
        actual.path,
        Action.UPDATE,
        changes=changes,
        warnings=_warnings(changes, then),
        write=Write(actual.path, content, file.mode, file.uid, file.gid, file),
        auth_token=now.auth_token if now else None,
        secrets=secrets,
    )


def _config(content: bytes | None) -> ConfigFile | None:
    found = parse_config(content) if content is not None else None
    return None if isinstance(found, RejectedConfig) else found


def _gone(file: RemoteFile) -> tuple[Change, ...]:
    return (
        Change("file.mode", ChangeKind.REMOVED, f"{file.mode:04o}", None, sensitive=False),
        Change("file.owner", ChangeKind.REMOVED, f"{file.uid}:{file.gid}", None, sensitive=False),
    )


def _warnings(changes: tuple[Change, ...], then: ConfigFile | None) -> tuple[str, ...]:
    found = [
        f"{change.key} becomes the one from before: if it was revoked since, sessions will fail"
        for change in changes
        if change.sensitive and change.kind is not ChangeKind.REMOVED
    ]
    if then is not None and not then.has_auth_token:
        found.append("the file from before has no authToken: Aegis' API answers without a token")
    return tuple(found)


def _plan(undoing: RollbackTarget, actual: RemoteState, action: Action) -> HostPlan:
    return HostPlan(undoing.host, undoing.provider, actual.path, action)


def _refused(undoing: RollbackTarget, actual: RemoteState, reason: str, hint: str) -> HostPlan:
    return HostPlan(
        undoing.host, undoing.provider, actual.path, Action.ERROR, message=reason, hint=hint
    )
