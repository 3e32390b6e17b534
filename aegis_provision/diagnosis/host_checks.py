"""What was seen of one host becomes its checks: each fault is one ``fail``, told where it breaks.

:data:`RESTS_ON` says which checks a check rests on. Where one of them failed, the check is not
made: what could be seen there follows from that fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_verdict import (
    CLAUDE_TOO_OLD,
    DROPPED_FILE,
    HOW_TO_OPEN,
    LOCKED,
    NO_CLAUDE,
    NONE_TAKEN,
    TOO_OFTEN,
)
from aegis_provision.aegis.config_file import ConfigFile, RejectedConfig, parse_config, syntax_of
from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    ReadsNone,
    ReadsOther,
    ReadsTarget,
    describe,
)
from aegis_provision.aegis.identify_server import AegisServer, EnvironmentToken, UnknownServer
from aegis_provision.aegis.remote_state import ReadProblem
from aegis_provision.diagnosis.checks import Check, CheckResult, HostChecks, rests_on
from aegis_provision.humanize import counted, listed, utc_time_text
from aegis_provision.planning.diff import session_changes
from aegis_provision.planning.drift import removed_keys
from aegis_provision.planning.hand_edits import overriding_variables
from aegis_provision.planning.host_plan import (
    AS_OWNER,
    describe_gone,
    expected_reading,
    refusals,
)
from aegis_provision.planning.ownership import (
    attainable_ownership,
    desired_ownership,
    may_search,
    permission_problem,
)
from aegis_provision.planning.pending_restart import is_restart_pending
from aegis_provision.planning.receipts import Receipt
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.providers.retry_after import waiting_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.aegis.file_in_use import Reading
    from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.receipts import RejectedReceipt
    from aegis_provision.providers.session_variables import Session

CONNECTION = ("name", "port", "host_key", "auth", "become", "sftp")
"""The checks of the way to the host, in the order in which a connection comes to them."""

RESTS_ON: Mapping[str, tuple[str, ...]] = {
    "name": (),
    "port": ("name",),
    "host_key": ("port",),
    "auth": ("host_key",),
    "become": ("auth",),
    "sftp": ("become",),
    "directory": ("sftp",),
    "file": ("directory",),
    "permissions": ("file",),
    "config": ("file",),
    "file_in_use": ("file",),
    "variables": ("config",),
    "free_space": ("directory",),
    "clock": ("sftp",),
    "lock": ("directory",),
    "aegis": ("sftp",),
    "api": ("aegis", "config", "permissions", "file_in_use"),
    "claude": ("api",),
    "restart": ("api",),
    "provider": ("sftp",),
    "token": ("provider",),
    "model": ("token",),
}
"""The checks of a host, in the order in which things break, each with those that it rests on.

``permissions`` are the login's and Aegis' own. Where Aegis may not read its file, it does not know
the file's token: so ``api`` rests on them, too.
"""

_SENT_TO_PROVIDER = ("variables", "provider", "token")
"""The checks of what a question to the provider is made of."""

TOLD_NOTHING = "the inventory says nothing of the Aegis there"
SAY_MORE = "set service or api"

NEEDED_EXTENSION = "posix-rename@openssh.com"
_USEFUL_EXTENSIONS = {
    "fsync@openssh.com": "a write may be lost if the host loses power right after it",
    "lsetstat@openssh.com": "the mode of our own directory there can't be put right",
}

LARGE_SKEW = 30
"""Seconds by which a host's clock may differ.

Clocks that are set by NTP differ by milliseconds (RFC 5905, section 1), so half a minute says that
one of the two is not set at all. What goes wrong then: TLS with a certificate that is not valid yet
or any more by that clock, signed tokens (RFC 7519, section 4.1.4, allows "no more than a few
minutes"), and the times in locks, receipts and records.
"""

_BLOCKS_OF_A_WRITE = 3  # the staging file, the one that is kept, the receipt
_SPARE = 64 * 1024
_TIGHT = 100 * 1024 * 1024
_FILES_OF_A_WRITE = 6  # our directory, the lock, the staging file, two that are kept, two receipts
_FEW_FILES = 100
_OTHERS_READ, _OTHERS, _GROUP_WRITES = 0o004, 0o007, 0o020
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """The one check at which the work on a host came to its end, and why."""

    check: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """How the login went: as which user, with which key, through which bastions.

    ``extensions`` are those that the SFTP server announces, ``None`` without SFTP.
    """

    user: str
    key: str = ""
    through: tuple[str, ...] = ()
    extensions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """What the login may still write: bytes, and files (``None`` where those are not counted)."""

    available: int
    files: int | None
    read_only: bool


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """By how many seconds the host's clock is ahead, at least and at most; negative is behind."""

    least: float
    most: float

    @property
    def skew(self) -> float:
        """Return what is certain of the skew: 0 where none need be."""
        if self.least > 0:
            return self.least
        return min(self.most, 0.0)


@dataclass(frozen=True, slots=True)
class LockFacts:
    """A lock beside the file. ``left`` is after how many seconds it expires, negative if it has."""

    holder: str
    since: str
    left: float


@dataclass(frozen=True, slots=True)
class ApiFailure:
    """Why Aegis' API told no health; ``cause`` is ``None`` if it could not be asked.

    ``too_often``: it was asked so often that it tells nothing for ``wait`` seconds, or ``None``
    where it does not say for how long.
    """

    cause: ConnectFailure | None
    reason: str
    too_often: bool = False
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What Aegis' API at ``address`` answers.

    ``is_open`` says that it answers without a token, ``None`` if that is not known. ``token`` is
    where the token comes from that it took, empty for none; ``refused`` says that it took none of
    the known ones. ``unset`` names the operator's variables that hold the inventory's token and
    are unset, with their place. ``not_taken`` is how the inventory's token is called where the API
    does not take it, empty where it does or there is none. ``contradiction`` says what speaks
    against the address that the inventory names, empty for nothing.
    """

    address: str
    health: Health | ApiFailure
    is_open: bool | None = None
    token: str = ""
    refused: bool = False
    unset: str = ""
    not_taken: str = ""
    contradiction: str = ""

    @property
    def answers(self) -> bool:
        """Tell whether there was an answer."""
        return not isinstance(self.health, ApiFailure)


@dataclass(frozen=True)
class HostFacts:
    """All that was seen of one host, ``None`` for what was not asked.

    ``fault`` is where the way to the host, or the work on it, came to its end: what lies behind is
    not known. ``space``, ``clock`` and ``lock`` are a text where the host could not tell: why.
    ``restart_recorded`` says that the operator's records know of a pending restart.
    ``input_checks`` are those that the operator's input decides, by name: a variable is unset, or
    holds what Aegis would drop. ``provider`` are the checks of the provider.
    """

    host: Host
    session: Session
    fault: Fault | None = None
    login: LoginFacts | None = None
    actual: RemoteState | None = None
    server: FoundFiles | UnknownServer | AegisServer | None = None
    receipt: Receipt | RejectedReceipt | None = None
    space: SpaceFacts | str | None = None
    clock: ClockFacts | str | None = None
    lock: LockFacts | str | None = None
    api: ApiFacts | None = None
    restart_recorded: bool = False
    input_checks: Mapping[str, Check] = field(default_factory=dict)
    provider: tuple[Check, ...] = ()

    @property
    def is_local(self) -> bool:
        """Tell whether the host is this machine."""
        return self.host.target.connection == "local"

    @property
    def file(self) -> RemoteFile | None:
        """Return the host's file."""
        return self.actual.file if self.actual is not None else None

    @cached_property
    def config(self) -> ConfigFile | RejectedConfig | None:
        """Return the file as Aegis takes it as it is, ``None`` for no file."""
        if self.actual is None or self.actual.file is None:
            return None
        return parse_config(self.actual.file.content, syntax=syntax_of(self.actual.path))

    @cached_property
    def reading(self) -> Reading | None:
        """Return which file Aegis reads, ``None`` if it was not asked."""
        found = self.server if isinstance(self.server, FoundFiles) else None
        if found is None or self.actual is None:
            return None
        return expected_reading(self.actual, found)

    @property
    def process(self) -> AegisServer | None:
        """Return the server that was found."""
        if isinstance(self.server, FoundFiles):
            return self.server.server
        return self.server if isinstance(self.server, AegisServer) else None


def checks_of(facts: HostFacts) -> HostChecks:
    """Return the checks of a host in their order, each fault once."""
    found: list[Check] = []
    causes: dict[str, str] = {}
    warned: set[str] = set()
    order = tuple(RESTS_ON)
    end = order.index(facts.fault.check) if facts.fault is not None else len(order)
    for at, name in enumerate(order):
        below = (causes[item] for item in RESTS_ON[name] if item in causes)
        cause = next((item for item in below if item != name), None)
        if cause is None and facts.fault is not None and at > end:
            cause = facts.fault.check
        if cause is not None:
            causes[name] = cause
            found.append(rests_on(name, cause))
            continue
        check = _check(name, facts)
        if check.rests_on in causes:
            check = rests_on(name, causes[check.rests_on])
        cause = name if check.result is CheckResult.FAIL else check.rests_on
        if cause and cause not in warned:
            causes[name] = cause
        if check.result is CheckResult.WARN:
            warned.add(name)
        found.append(check)
    return HostChecks(facts.host.name, tuple(found))


def _check(name: str, facts: HostFacts) -> Check:
    if facts.fault is not None and facts.fault.check == name:
        return Check(name, CheckResult.FAIL, facts.fault.reason, facts.fault.hint)
    if name in facts.input_checks:
        return facts.input_checks[name]
    if name in {"provider", "token", "model"}:
        if refused := refused_input(facts.input_checks):
            return rests_on(name, refused)
        asked = {check.check: check for check in facts.provider}
        return asked.get(name) or _not_checked(name, "nothing was asked")
    return _CHECKS[name](facts)


def refused_input(input_checks: Mapping[str, Check]) -> str:
    """Return the check of the input for which the provider must not be asked, empty for none.

    It would be sent what is refused: a token in plain text, or what is none.
    """
    failed = (name for name in _SENT_TO_PROVIDER if name in input_checks)
    return next((name for name in failed if input_checks[name].result is CheckResult.FAIL), "")


def _ok(name: str, message: str = "") -> Check:
    return Check(name, CheckResult.OK, message)


def _warn(name: str, message: str, remedy: str = "") -> Check:
    return Check(name, CheckResult.WARN, message, remedy)


def _fail(name: str, message: str, remedy: str = "") -> Check:
    return Check(name, CheckResult.FAIL, message, remedy)


def _not_checked(name: str, message: str, remedy: str = "") -> Check:
    return Check(name, CheckResult.NOT_CHECKED, message, remedy)


# --- the way to the host ------------------------------------------------------------------------


def _name(facts: HostFacts) -> Check:
    through = facts.login.through if facts.login is not None else ()
    if through:
        return _ok("name", f"the bastion {through[-1]} resolves it")
    return _ok("name", _here(facts) or facts.host.target.address)


def _port(facts: HostFacts) -> Check:
    return _ok("port", _here(facts) or "an SSH server answers")


def _host_key(facts: HostFacts) -> Check:
    return _ok("host_key", _here(facts) or "it is known")


def _auth(facts: HostFacts) -> Check:
    login = facts.login
    if facts.is_local or login is None:
        return _ok("auth", _here(facts))
    return _ok("auth", f"as {login.user}, with {login.key}" if login.key else f"as {login.user}")


def _become(facts: HostFacts) -> Check:
    user = facts.host.target.become_user
    return _ok("become", f"as {user}" if user is not None else "not asked for")


def _sftp(facts: HostFacts) -> Check:
    extensions = facts.login.extensions if facts.login is not None else None
    if extensions is None:
        return _ok("sftp", _here(facts))
    if NEEDED_EXTENSION not in extensions:
        return _fail(
            "sftp",
            f"the host's SFTP server can't rename over a file ({NEEDED_EXTENSION}): nothing can be "
            "written there safely",
            "let the login use OpenSSH's SFTP server; look at -P and -p in its Subsystem line",
        )
    lacking = {name: words for name, words in _USEFUL_EXTENSIONS.items() if name not in extensions}
    if lacking:
        words = "; ".join(f"without {name} {why}" for name, why in lacking.items())
        return _warn("sftp", words, "use OpenSSH's SFTP server, 8.0 or newer")
    return _ok("sftp", "with the extensions that a write needs")


def _here(facts: HostFacts) -> str:
    return "this machine" if facts.is_local else ""


# --- the file -----------------------------------------------------------------------------------


def _directory(facts: HostFacts) -> Check:
    actual = facts.actual
    if actual is None:
        return _not_checked("directory", "it was not looked at")
    if actual.problem is ReadProblem.NO_PATH and _is_silent(facts):
        return rests_on("directory", "aegis")  # config_path: auto is what it would tell
    if actual.problem is not None and _is_of_directory(actual):
        reason, hint = refusals(actual)[0]
        if actual.problem is ReadProblem.PERMISSION_DENIED:
            of = f" ({_owned(actual.directory)})" if actual.directory is not None else ""
            reason = f"no permission to look into it{of}"
        return _fail("directory", reason, hint)
    if actual.directory is None:
        return _not_checked("directory", "it was not looked at")
    return _ok("directory", _owned(actual.directory))


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


def _file(facts: HostFacts) -> Check:
    actual = facts.actual
    if actual is None:
        return _not_checked("file", "it was not looked at")
    if actual.problem is not None:
        reason, hint = refusals(actual)[0]
        return _fail("file", reason, hint)
    if actual.file is not None:
        return _ok("file", actual.path)
    if isinstance(facts.receipt, Receipt):
        return _fail("file", *describe_gone(facts.receipt))
    return _warn("file", f"there is none yet: {actual.path}", "'apply' writes it")


def _permissions(facts: HostFacts) -> Check:
    actual, reading = facts.actual, facts.reading
    if actual is None or actual.directory is None:
        return _not_checked("permissions", "they were not looked at")
    if isinstance(reading, ReadsOther | ReadsNone) and reading.denied:
        return _fail("permissions", *_described(facts))
    desired = attainable_ownership(desired_ownership(actual.file, actual.directory), actual.login)
    problem = permission_problem(actual, desired)
    if problem is not None:
        return _fail("permissions", f"it can't be written: {problem}", AS_OWNER)
    if actual.file is None:
        return _ok("permissions", f"a new file will be {desired.mode:04o}, {desired.owner}")
    mode = actual.file.mode
    if loose := _loose(mode):
        return _fail(
            "permissions",
            f"its mode is {mode:04o}: {loose}",
            f"'apply' makes it {desired.mode:04o}; so does 'chmod {desired.mode:04o}' on the host",
        )
    return _ok("permissions", _owned(actual.file))


def _loose(mode: int) -> str:
    """Say what a mode lets other users do with the tokens in the file, empty for nothing."""
    if mode & _OTHERS:
        does = "read" if mode & _OTHERS_READ else "change or run"
        return f"every user of the host may {does} it, and it holds tokens"
    return "its group may change it" if mode & _GROUP_WRITES else ""


def _config(facts: HostFacts) -> Check:
    config = facts.config
    if config is None or facts.actual is None or facts.actual.file is None:
        return rests_on("config", "file")
    if isinstance(config, ConfigFile):
        return _ok("config", "Aegis takes it")
    syntax = syntax_of(facts.actual.path)
    names = facts.session.names
    merged = parse_config(facts.actual.file.content, replaced=names, syntax=syntax)
    remedy = "correct the file on the host"
    if isinstance(merged, ConfigFile):
        remedy = "'apply' writes the inventory's values in their place"
    return _fail("config", "; ".join(config.reasons), remedy)


def _file_in_use(facts: HostFacts) -> Check:
    name, actual, server = "file_in_use", facts.actual, facts.server
    tells = facts.host.tells_server
    if actual is None:
        return _not_checked(name, "it was not looked at")
    reading = facts.reading
    if isinstance(reading, ReadsTarget):
        return _ok(name, "Aegis reads this file")
    if isinstance(reading, ReadsOther | ReadsNone):
        if reading.denied:  # told with the permissions, or with what keeps it from being written
            return rests_on(name, "permissions")
        message, remedy = _described(facts)
        if tells:
            return _fail(name, message, remedy)
        return _not_checked(name, f"{TOLD_NOTHING}, and what answers is a guess", SAY_MORE)
    shadowed = refusals(actual)
    if shadowed:
        return _fail(name, "; ".join(reason for reason, _ in shadowed), shadowed[0][1])
    if not tells:
        return _not_checked(name, TOLD_NOTHING, SAY_MORE)
    if isinstance(reading, NotChecked):
        return _not_checked(name, reading.reason)
    if facts.process is None and _is_silent(facts):
        return rests_on(name, "aegis")
    reason = server.reason if isinstance(server, UnknownServer) else "the host was not asked"
    return _not_checked(name, reason)


def _is_silent(facts: HostFacts) -> bool:
    """Tell whether nothing listens where Aegis should."""
    health = facts.api.health if facts.api is not None else None
    return isinstance(health, ApiFailure) and health.cause is ConnectFailure.NOT_LISTENING


def _described(facts: HostFacts) -> tuple[str, str]:
    found = facts.server if isinstance(facts.server, FoundFiles) else None
    return describe(facts.reading, found) or ("", "")


def _variables(facts: HostFacts) -> Check:
    name, config, session = "variables", facts.config, facts.session
    if not isinstance(config, ConfigFile):
        return rests_on(name, "file")
    environment = config.session_env
    receipt = facts.receipt if isinstance(facts.receipt, Receipt) else None
    dropped = removed_keys(environment, session, receipt).unchanged
    overriding = overriding_variables(environment, {*session.names, *dropped})
    if overriding:
        remedy = ", ".join(f"{item}: null" for item in overriding)
        return _warn(
            name,
            f"sessions follow {listed(overriding)} and not the provider",
            f"'env: {{{remedy}}}' in the inventory, which removes it from the host",
        )
    diff = session_changes(environment, session, config.secrets())
    pending = tuple(dict.fromkeys((*(change.key for change in diff.changes), *dropped)))
    if pending:
        return _warn(
            name,
            f"not as the inventory says: {listed(pending)}",
            "'plan' shows it, and 'apply' writes it",
        )
    if diff.unknown:
        return _ok(name, f"as the inventory says; {listed(diff.unknown)} could not be compared")
    return _ok(name, "as the inventory says")


def _free_space(facts: HostFacts) -> Check:
    name, space = "free_space", facts.space
    if not isinstance(space, SpaceFacts):
        return _not_checked(name, space or "the host was not asked")
    if space.read_only:
        return _fail(name, "its file system is mounted read-only", "look at dmesg on the host")
    size = len(facts.file.content) if facts.file is not None else 0
    free = _bytes_text(space.available)
    if space.available < _BLOCKS_OF_A_WRITE * size + _SPARE:
        return _fail(name, f"{free} are free there: a write can't succeed", "make room there")
    if space.files is not None and space.files < _FILES_OF_A_WRITE:
        left = counted(space.files, "file")
        return _fail(name, f"{left} can still be made there (df -i)", "remove files there")
    if space.available < _TIGHT:
        return _warn(name, f"{free} are free there, and sessions write too", "make room there")
    if space.files is not None and space.files < _FEW_FILES:
        return _warn(name, f"{space.files} files can still be made there", "remove files there")
    return _ok(name, f"{free} are free")


def _clock(facts: HostFacts) -> Check:
    name, clock = "clock", facts.clock
    if facts.is_local:
        return _ok(name, _here(facts))
    if not isinstance(clock, ClockFacts):
        return _not_checked(name, clock or "the host was not asked")
    skew = clock.skew
    if abs(skew) <= LARGE_SKEW:
        return _ok(name, "as here")
    side = "ahead of" if skew > 0 else "behind"
    return _warn(
        name,
        f"the host's clock is {_span(abs(skew))} {side} the one here: TLS, signed tokens and the "
        "times in locks and receipts go by it",
        "set both by NTP (timedatectl)",
    )


def _lock(facts: HostFacts) -> Check:
    name, lock = "lock", facts.lock
    if isinstance(lock, str):
        return _not_checked(name, lock)
    if lock is None:
        return _ok(name, "nobody holds it")
    holder = f"{lock.holder} since {lock.since}" if lock.holder else "a run that left no name"
    if lock.left > 0:
        return _warn(
            name,
            f"another run is writing there ({holder})",
            f"wait until it is done; a dead run's lock is broken in {_span(lock.left)}",
        )
    return _warn(
        name,
        f"a run that did not end left its lock ({holder}); it expired {_span(-lock.left)} ago",
        "none needed: the next run breaks it; see with 'history' how that one ended",
    )


# --- Aegis --------------------------------------------------------------------------------------


def _aegis(facts: HostFacts) -> Check:
    name, api = "aegis", facts.api
    if api is None:
        return _not_checked(name, "it was not asked")
    health = api.health
    if isinstance(health, ApiFailure):
        return _no_health(facts, api, health)
    words = f"{health.version or 'it answers'} on {api.address}"
    if health.started is not None:
        words += f", up since {utc_time_text(health.started)}"
    if api.contradiction:
        return _warn(name, api.contradiction, _CORRECT_API)
    if health.status != "ok":
        return _warn(name, f"{words}; it says it is {health.status}", _look(facts))
    return _ok(name, words)


def _no_health(facts: HostFacts, api: ApiFacts, failure: ApiFailure) -> Check:
    name, process, unit = "aegis", facts.process, facts.host.service.unit
    if failure.too_often:
        wait = "a minute" if failure.wait is None else waiting_time(failure.wait)
        return _not_checked(name, TOO_OFTEN, f"wait {wait}")
    if failure.cause is None:
        return _not_checked(name, f"its API could not be asked: {failure.reason}")
    if not facts.host.tells_server:
        return _not_checked(name, TOLD_NOTHING, SAY_MORE)
    if _dies_of_its_file(facts):
        return rests_on(name, "config")
    if process is not None and not process.running:
        return _fail(name, f"{unit} does not run", f"look at it: systemctl status {unit}")
    said = f"it does not answer: {api.address}: {failure.reason}"
    if _is_silent(facts):
        said = f"it does not answer: nothing listens on {api.address}"
    if api.contradiction:
        return _fail(name, f"{said}; {api.contradiction}", _CORRECT_API)
    return _fail(name, said, _look(facts))


def _dies_of_its_file(facts: HostFacts) -> bool:
    """Tell whether Aegis can't be up, because of what its file holds."""
    config = facts.config
    return (
        isinstance(config, RejectedConfig)
        and _is_silent(facts)
        and any("at its start" in reason for reason in config.reasons)
    )


_CORRECT_API = "correct api in the inventory, or leave it out"


def _look(facts: HostFacts) -> str:
    unit = facts.host.service.unit
    if unit is not None:
        return f"look at its log: journalctl -u {unit}"
    if facts.host.names_api:
        return "look at its log on the host"
    return "look at its log on the host, or set api to where it listens"


def _api(facts: HostFacts) -> Check:
    name, api, config = "api", facts.api, facts.config
    if api is None or isinstance(api.health, ApiFailure):
        return rests_on(name, "aegis")
    unset = f"; {api.unset} is unset" if api.unset else ""
    has_token = isinstance(config, ConfigFile) and config.has_auth_token
    guess = not facts.host.tells_server
    in_environment = facts.process.token if facts.process is not None else None
    if facts.file is None and not api.token and not api.refused:
        return rests_on(name, "file")
    if api.is_open:
        if not has_token:
            return _warn(
                name,
                "it answers without a token: whoever reaches it runs sessions",
                "set authToken in the host's file, or AEGIS_AUTH_TOKEN",
            )
        if guess:
            return _not_checked(name, f"{TOLD_NOTHING}, and what answers is a guess", SAY_MORE)
        if in_environment is EnvironmentToken.EMPTY:
            return _fail(
                name,
                "it answers without a token: AEGIS_AUTH_TOKEN is empty in Aegis' environment, "
                "which goes before the file's authToken",
                "set it there to a token, or take it away",
            )
        return _fail(
            name,
            DROPPED_FILE.message,
            _restart_hint(facts, DROPPED_FILE.hint),
        )
    if api.refused:
        message = f"it {NONE_TAKEN}{unset}"
        if guess:
            return _not_checked(name, f"{message}; {TOLD_NOTHING}", SAY_MORE)
        named = facts.host.service.api_token is not None and not api.unset
        if in_environment is EnvironmentToken.SET and not named:
            message = (
                "AEGIS_AUTH_TOKEN of Aegis' environment goes before the file's authToken, and no "
                f"such token is known{unset}"
            )
            return _warn(name, message, HOW_TO_OPEN)
        return _fail(name, message, _restart_hint(facts, HOW_TO_OPEN))
    if api.token:
        return _taken_token(api, unset)
    if api.is_open is None:
        return _not_checked(name, "it was asked too often, or did not answer in time")
    return _warn(name, f"it {LOCKED}{unset}", HOW_TO_OPEN)


def _taken_token(api: ApiFacts, unset: str) -> Check:
    remedy = "or take api_token out of the inventory"
    if unset:
        message = f"it takes {api.token}, and the inventory's api_token is not known{unset}"
        return _warn("api", message, f"set it, {remedy}")
    if api.not_taken:
        message = f"it takes {api.token}, and not the inventory's {api.not_taken}"
        return _warn("api", message, f"correct it, {remedy}")
    return _ok("api", f"it takes {api.token}")


def _claude(facts: HostFacts) -> Check:
    name, health = "claude", facts.api.health if facts.api is not None else None
    if health is None or isinstance(health, ApiFailure):
        return rests_on(name, "aegis")
    if health.claude is None:
        return _not_checked(name, "Aegis tells of it only with a token that it takes")
    claude = health.claude
    if not claude.available:
        return _warn(
            name,
            f"{NO_CLAUDE}: sessions can't start",
            "install it for the user that Aegis runs as",
        )
    version = claude.version or "its version is not told"
    if claude.healthy:
        return _ok(name, version)
    oldest = f", and {claude.minimum} is the oldest that serves" if claude.minimum else ""
    return _fail(
        name,
        f"{CLAUDE_TOO_OLD} ({version}{oldest}): every session is refused",
        "update it on the host, for the user that Aegis runs as",
    )


def _restart(facts: HostFacts) -> Check:
    name = "restart"
    if facts.file is None:
        return rests_on(name, "file")
    pending = _is_restart_pending(facts)
    silent = facts.api is None or isinstance(facts.api.health, ApiFailure)
    if pending is None and silent:
        return rests_on(name, "aegis")
    if pending is None:
        return _not_checked(
            name, "since when Aegis runs is told by neither its API nor its process"
        )
    if not pending:
        return _ok(name, "none is pending")
    return _warn(
        name,
        "Aegis was not restarted since its file came: sessions start with what was there before",
        _how_to_restart(facts),
    )


def _how_to_restart(facts: HostFacts) -> str:
    unit = facts.host.service.unit
    by_hand = f", or 'systemctl restart {unit}' there" if unit is not None else ""
    return f"'apply' with a playbook that says 'restart: changed'{by_hand}"


def _restart_hint(facts: HostFacts, otherwise: str) -> str:
    """Return what to do about an API that does not go by its file."""
    if not _is_restart_pending(facts):
        return otherwise
    return f"restart Aegis, which runs since before its file came; else {otherwise}"


def _is_restart_pending(facts: HostFacts) -> bool | None:
    health = facts.api.health if facts.api is not None else None
    if facts.file is None:
        return None
    return is_restart_pending(
        None if isinstance(health, ApiFailure) else health,
        facts.process,
        facts.file.mtime,
        recorded=facts.restart_recorded,
    )


def _bytes_text(number: int) -> str:
    if number < _MIB:
        return f"{number // 1024} KiB"
    return f"{number // _MIB:,} MiB"


def _span(seconds: float) -> str:
    """Return a span of time in its two largest units: ``3 min 20 s``, ``2 d 4 h``."""
    whole = max(1, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


_CHECKS: Mapping[str, Callable[[HostFacts], Check]] = {
    "name": _name,
    "port": _port,
    "host_key": _host_key,
    "auth": _auth,
    "become": _become,
    "sftp": _sftp,
    "directory": _directory,
    "file": _file,
    "permissions": _permissions,
    "config": _config,
    "file_in_use": _file_in_use,
    "variables": _variables,
    "free_space": _free_space,
    "clock": _clock,
    "lock": _lock,
    "aegis": _aegis,
    "api": _api,
    "claude": _claude,
    "restart": _restart,
}
