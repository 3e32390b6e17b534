"""Rollback: the plan that brings back a host's file from before a past run. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_address import api_address
from aegis_provision.aegis.config_file import (
    RejectedConfig,
    parse_config,
    session_env_in,
    syntax_of,
)
from aegis_provision.humanize import listed
from aegis_provision.planning.diff import environment_changes
from aegis_provision.planning.host_plan import refusals
from aegis_provision.planning.ownership import Ownership, desired_ownership
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import Session, SessionSpec
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.aegis.remote_state import RemoteFile, RemoteState
    from aegis_provision.planning.receipts import Receipt

_CHANGED_SINCE = "the file is no longer the one that the run wrote"
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


def plan_rollback(target: RollbackTarget, actual: RemoteState, previous: bytes | None) -> HostPlan:
    """Return the plan that brings back the file from before the run, or says why it must not.

    ``previous`` is the file that is kept beside the target. The target must still be the file that
    the run wrote, or be gone, and ``previous`` the one from before the run: later changes are never
    overwritten.
    """
    found = refusals(actual)
    if found:
        return _refused(
            target, actual, listed((reason for reason, _ in found), between="; "), found[0][1]
        )
    current = target.digest(actual.file.content) if actual.file else None
    if current != target.after:
        if current == target.before:
            return HostPlan(target.host, target.provider, actual.path, Action.UNCHANGED)
        if actual.file is not None:
            return _refused(target, actual, _CHANGED_SINCE, _LOOK)
    if target.after is None and actual.file is None:
        return _refused(target, actual, "there is no file to go back from", _LOOK)
    if target.before is not None and (previous is None or target.digest(previous) != target.before):
        return _refused(
            target, actual, "the file that is kept there is not the one from before the run", _LOOK
        )
    return _rolled_back(target, actual, previous if target.before is not None else None)


def with_managed_keys(plan: HostPlan, target: RollbackTarget, receipt: Receipt | None) -> HostPlan:
    """Return ``plan`` with the managed keys from before the run.

    ``receipt`` is the one beside the file. If another run wrote it, there are two cases. It may
    describe this file, because a later write was rolled back: then the keys from before are
    unknown, and none are managed. Or the run broke off before it left its own receipt: then it is
    the receipt from before the run.
    """
    if plan.write is None or receipt is None:
        return plan
    if receipt.info.run == target.run:
        before = receipt.before
    elif plan.write.base is None:
        return plan
    else:
        current = session_env_in(plan.write.base.content, syntax=syntax_of(plan.path))
        describes_file = all(
            receipt.is_as_written(name, current.get(name)) for name in receipt.digests
        )
        before = None if describes_file else receipt.managed
    return replace(plan, write=replace(plan.write, managed=before, managed_before=receipt.managed))


def needs_previous(target: RollbackTarget, actual: RemoteState) -> bool:
    """Tell whether the decision rests on the file that is kept beside the target."""
    return target.before is not None and not refusals(actual)


def session_from_config(content: bytes | None, path: str) -> Session:
    """Return the session variables that a file of the name ``path`` holds.

    The provider's token is a secret. Without a file, or with one that Aegis would not take, there
    are none.
    """
    config = parse_config(content, syntax=syntax_of(path)) if content is not None else None
    if config is None or isinstance(config, RejectedConfig):
        return Session(SessionSpec("", (), allow_http=True), {}, ())
    token = VARIABLE_OF["auth_token"]
    values: dict[str, str | Secret] = dict(config.session_env)
    if token in values:
        values[token] = Secret(config.session_env[token], "the file on the host")
    return Session(SessionSpec("", (), allow_http=True), values, ())


def _rolled_back(target: RollbackTarget, actual: RemoteState, content: bytes | None) -> HostPlan:
    file = actual.file
    if actual.directory is None:
        raise ValueError("a target that was read has a directory")
    ownership = desired_ownership(file, actual.directory)
    if file is not None:
        ownership = Ownership(file.mode, file.uid, file.gid)
    current = _config(file.content if file else None, actual.path)
    before = _config(content, actual.path)
    secrets = (*(current.secrets() if current else ()), *(before.secrets() if before else ()))
    locks = current or before
    changes = environment_changes(
        current.session_env if current else {}, before.session_env if before else {}, secrets
    )
    if content is None and file is not None:
        changes += _removal(file)
    warnings = _warnings(changes, before)
    if file is None:
        warnings = (
            f"the file is gone: the one that returns is from before {target.run}",
            *warnings,
        )
    return HostPlan(
        target.host,
        target.provider,
        actual.path,
        Action.UPDATE if file is not None else Action.CREATE,
        changes=changes,
        warnings=warnings,
        write=Write(actual.path, content, ownership.mode, ownership.uid, ownership.gid, file),
        auth_token=locks.auth_token if locks else None,
        client_auth_token=locks.client_auth_token if locks else None,
        api=api_address(None, None, locks),
        secrets=secrets,
    )


def _config(content: bytes | None, path: str) -> ConfigFile | None:
    """Return what Aegis reads of a file: also where a variable in it fails every session."""
    if content is None:
        return None
    syntax = syntax_of(path)
    replaced = session_env_in(content, syntax=syntax)
    found = parse_config(content, replaced=replaced, syntax=syntax)
    return None if isinstance(found, RejectedConfig) else found


def _removal(file: RemoteFile) -> tuple[Change, ...]:
    return (
        Change("file.mode", ChangeKind.REMOVED, f"{file.mode:04o}", None, sensitive=False),
        Change("file.owner", ChangeKind.REMOVED, f"{file.uid}:{file.gid}", None, sensitive=False),
    )


def _warnings(changes: tuple[Change, ...], before: ConfigFile | None) -> tuple[str, ...]:
    found = [
        f"{change.key} becomes the one from before: if it was revoked since, sessions will fail"
        for change in changes
        if change.sensitive and change.kind is not ChangeKind.REMOVED
    ]
    if before is not None and not before.has_auth_token:
        found.append(
            "the file from before has no authToken: unless Aegis gets a token another way "
            "(AEGIS_AUTH_TOKEN, a key), its API answers without one"
        )
    return tuple(found)


def _refused(target: RollbackTarget, actual: RemoteState, reason: str, hint: str) -> HostPlan:
    return HostPlan(
        target.host, target.provider, actual.path, Action.ERROR, message=reason, hint=hint
    )
