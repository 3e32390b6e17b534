"""The checks of a host's file: its directory, its mode, what it holds, who else writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import ConfigFile, parse_config, syntax_of
from aegis_provision.aegis.file_in_use import FoundFiles, ReadsNone, ReadsOther, describe
from aegis_provision.aegis.remote_state import ReadProblem
from aegis_provision.diagnosis.checks import (
    Check,
    HostCheck,
    fail,
    not_checked,
    ok,
    rests_on,
    warn,
)
from aegis_provision.diagnosis.host_facts import HostFacts, SpaceFacts
from aegis_provision.diagnosis.write_obstacles import (
    READ_ONLY,
    attribute_obstacle,
    room_obstacle,
)
from aegis_provision.humanize import listed, size_text, span_text
from aegis_provision.planning.diff import session_changes
from aegis_provision.planning.drift import removed_keys
from aegis_provision.planning.hand_edits import overriding_variables
from aegis_provision.planning.host_plan import AS_OWNER, describe_gone, refusals
from aegis_provision.planning.ownership import (
    attainable_ownership,
    desired_ownership,
    may_search,
    permission_problem,
)
from aegis_provision.planning.receipts import Receipt

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState

_BLOCKS_OF_A_WRITE = 3  # the staging file, the one that is kept, the receipt
_SPARE = 64 * 1024
_TIGHT = 100 * 1024 * 1024
_FILES_OF_A_WRITE = 6  # our directory, the lock, the staging file, two that are kept, two receipts
_FEW_FILES = 100
_OTHERS_READ, _OTHERS, _GROUP_WRITES = 0o004, 0o007, 0o020


def check_directory(facts: HostFacts) -> Check:
    """Check that the file's directory is there and may be looked into."""
    actual = facts.actual
    if actual is None:
        return not_checked(HostCheck.DIRECTORY, "it was not looked at")
    if actual.problem is ReadProblem.NO_PATH and facts.aegis_is_silent:
        return rests_on(
            HostCheck.DIRECTORY, HostCheck.AEGIS
        )  # config_path: auto is what it would tell
    if actual.problem is not None and _is_of_directory(actual):
        reason, hint = refusals(actual)[0]
        if actual.problem is ReadProblem.PERMISSION_DENIED:
            of = f" ({_owned(actual.directory)})" if actual.directory is not None else ""
            reason = f"no permission to look into it{of}"
        return fail(HostCheck.DIRECTORY, reason, hint)
    if actual.directory is None:
        return not_checked(HostCheck.DIRECTORY, "it was not looked at")
    return ok(HostCheck.DIRECTORY, _owned(actual.directory))


def _owned(item: RemoteDirectory | RemoteFile) -> str:
    return f"{item.mode:04o}, uid {item.uid}, gid {item.gid}"


def _is_of_directory(actual: RemoteState) -> bool:
    """Tell whether what keeps the target from being read lies in its directory."""
    if actual.problem is ReadProblem.PERMISSION_DENIED:
        directory, login = actual.directory, actual.login
        return directory is None or (login is not None and not may_search(directory, login))
    return actual.problem in {
        ReadProblem.NO_DIRECTORY,
        ReadProblem.UNSAFE_DIRECTORY,
        ReadProblem.NO_PATH,
    }


def check_file(facts: HostFacts) -> Check:
    """Check that the file is there and can be read."""
    actual = facts.actual
    if actual is None:
        return not_checked(HostCheck.FILE, "it was not looked at")
    if actual.problem is not None:
        reason, hint = refusals(actual)[0]
        return fail(HostCheck.FILE, reason, hint)
    if actual.file is not None:
        return ok(HostCheck.FILE, actual.path)
    if isinstance(facts.receipt, Receipt):
        return fail(HostCheck.FILE, *describe_gone(facts.receipt))
    return warn(HostCheck.FILE, f"there is none yet: {actual.path}", "'apply' writes it")


def check_permissions(facts: HostFacts) -> Check:
    """Check who may read and write the file: the login, Aegis, and no one else."""
    actual, reading = facts.actual, facts.reading
    if actual is None or actual.directory is None:
        return not_checked(HostCheck.PERMISSIONS, "they were not looked at")
    if isinstance(reading, ReadsOther | ReadsNone) and reading.denied:
        return fail(HostCheck.PERMISSIONS, *described(facts))
    obstacle = attribute_obstacle(facts.attributes)
    if obstacle is not None:
        words = f"it can't be written: {obstacle.reason}"
        return fail(HostCheck.PERMISSIONS, words, obstacle.hint)
    desired = attainable_ownership(desired_ownership(actual.file, actual.directory), actual.login)
    problem = permission_problem(actual, desired)
    if problem is not None:
        return fail(HostCheck.PERMISSIONS, f"it can't be written: {problem}", AS_OWNER)
    if actual.file is None:
        return ok(HostCheck.PERMISSIONS, f"a new file will be {desired.mode:04o}, {desired.owner}")
    mode = actual.file.mode
    if loose := _loose(mode):
        return fail(
            HostCheck.PERMISSIONS,
            f"its mode is {mode:04o}: {loose}",
            f"'apply' makes it {desired.mode:04o}; so does 'chmod {desired.mode:04o}' on the host",
        )
    return ok(HostCheck.PERMISSIONS, _owned(actual.file))


def _loose(mode: int) -> str:
    """Say what a mode lets other users do with the tokens in the file, empty for nothing."""
    if mode & _OTHERS:
        does = "read" if mode & _OTHERS_READ else "change or run"
        return f"every user of the host may {does} it, and it holds tokens"
    return "its group may change it" if mode & _GROUP_WRITES else ""


def check_config(facts: HostFacts) -> Check:
    """Check that Aegis takes the file as it is."""
    config = facts.config
    if config is None or facts.actual is None or facts.actual.file is None:
        return rests_on(HostCheck.CONFIG, HostCheck.FILE)
    if isinstance(config, ConfigFile):
        return ok(HostCheck.CONFIG, "Aegis takes it")
    syntax = syntax_of(facts.actual.path)
    names = facts.session.names
    merged = parse_config(facts.actual.file.content, replaced=names, syntax=syntax)
    remedy = "correct the file on the host"
    if isinstance(merged, ConfigFile):
        remedy = "'apply' writes the inventory's values in their place"
    return fail(HostCheck.CONFIG, "; ".join(config.reasons), remedy)


def check_variables(facts: HostFacts) -> Check:
    """Check that the session variables are the inventory's, and that they decide."""
    name, config, session = HostCheck.VARIABLES, facts.config, facts.session
    if not isinstance(config, ConfigFile):
        return rests_on(name, HostCheck.FILE)
    environment = config.session_env
    receipt = facts.receipt if isinstance(facts.receipt, Receipt) else None
    dropped = removed_keys(environment, session, receipt).unchanged
    overriding = overriding_variables(environment, {*session.names, *dropped})
    if overriding:
        remedy = ", ".join(f"{item}: null" for item in overriding)
        return warn(
            name,
            f"sessions follow {listed(overriding)} and not the provider",
            f"'env: {{{remedy}}}' in the inventory, which removes it from the host",
        )
    diff = session_changes(environment, session, config.secrets())
    pending = tuple(dict.fromkeys((*(change.key for change in diff.changes), *dropped)))
    if pending:
        return warn(
            name,
            f"not as the inventory says: {listed(pending)}",
            "'plan' shows it, and 'apply' writes it",
        )
    if diff.unknown:
        return ok(name, f"as the inventory says; {listed(diff.unknown)} could not be compared")
    return ok(name, "as the inventory says")


def check_free_space(facts: HostFacts) -> Check:
    """Check that a write has room."""
    name, space = HostCheck.FREE_SPACE, facts.space
    if not isinstance(space, SpaceFacts):
        return not_checked(name, space or "the host was not asked")
    if space.read_only:
        return fail(name, READ_ONLY.reason, READ_ONLY.hint)
    size = len(facts.file.content) if facts.file is not None else 0
    free = size_text(space.available)
    needed = _BLOCKS_OF_A_WRITE * size + _SPARE
    obstacle = room_obstacle(space.available, space.files, needed, _FILES_OF_A_WRITE)
    if obstacle is not None:
        return fail(name, obstacle.reason, obstacle.hint)
    if space.available < _TIGHT:
        return warn(name, f"{free} are free there, and sessions write too", "make room there")
    if space.files is not None and space.files < _FEW_FILES:
        return warn(name, f"{space.files} files can still be made there", "remove files there")
    return ok(name, f"{free} are free")


def check_lock(facts: HostFacts) -> Check:
    """Check that no other run writes there, or left its lock."""
    name, lock = HostCheck.LOCK, facts.lock
    if isinstance(lock, str):
        return not_checked(name, lock)
    if lock is None:
        return ok(name, "nobody holds it")
    holder = f"{lock.holder} since {lock.since}" if lock.holder else "a run that left no name"
    if lock.left > 0:
        return warn(
            name,
            f"another run is writing there ({holder})",
            f"wait until it is done; a dead run's lock is broken in {span_text(lock.left)}",
        )
    return warn(
        name,
        f"a run that did not end left its lock ({holder}); it expired {span_text(-lock.left)} ago",
        "none needed: the next run breaks it; see with 'history' how that one ended",
    )


def described(facts: HostFacts) -> tuple[str, str]:
    """Return what is wrong with the file that Aegis reads, and what to do; empty for nothing."""
    found = facts.server if isinstance(facts.server, FoundFiles) else None
    return describe(facts.reading, found) or ("", "")
