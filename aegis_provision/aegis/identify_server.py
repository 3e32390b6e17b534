"""Which Aegis runs on a host, and where it looks for its file: out of what the host tells.

Who starts Aegis decides its working directory, its home and ``--config``. The process knows them
best; a systemd unit that does not run, or whose process may not be looked into, tells where its
next process will look.
"""

from __future__ import annotations

import ipaddress
import posixpath
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import quote
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.aegis.find_server_output import (
        Directory,
        Listener,
        Look,
        ReportedProcess,
        ReportedUnit,
        ServerReport,
    )

NO_COMMANDS = "the host runs no commands for this login"
_UNTOLD = "the programs that tell which Aegis runs there are not found on the host"

_START_SLACK = 1
"""Seconds by which a process may be younger than it tells."""

_DELETED = " (deleted)"
_NODE = ("node", "nodejs")
_STARTS_NODE = frozenset({*_NODE, "env", "ag", "aegis"})
"""Programs that a unit names and that change neither the directory nor the arguments."""

_OFF = frozenset({"", "no", "0", "false", "off"})
# What makes a unit's process see other files at the same path, see systemd.exec(5).
_OTHER_FILES = (
    "RootDirectory",
    "RootImage",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
    "InaccessiblePaths",
    "MountImages",
    "ExtensionImages",
    "ExtensionDirectories",
)
# What gives it a mount namespace of its own, in which the same files lie at the same paths.
_SAME_FILES = (
    "PrivateTmp",
    "PrivateDevices",
    "PrivateMounts",
    "ProtectSystem",
    "ProtectHome",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectControlGroups",
    "ReadOnlyPaths",
    "ReadWritePaths",
)
_PRIVATE = ("/tmp/", "/var/tmp/")  # noqa: S108
_TOKENS = ("AEGIS_AUTH_TOKEN", "MANUS_AUTH_TOKEN")
_PORTS = ("AEGIS_PORT", "MANUS_PORT")
_HOSTS = ("AEGIS_HOST", "MANUS_HOST")


class EnvironmentToken(Enum):
    """Whether the environment of a server names the token of its API.

    It wins over the file's ``authToken`` even if it is ``EMPTY``: then the API has none.
    """

    SET = "set"
    EMPTY = "empty"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """As whom a server reads files."""

    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class AegisServer:
    """An Aegis on a host: what decides which file it reads, and where its API is.

    ``directory`` is its working directory. ``home`` may be relative to that, ``None`` where it is
    unknown. ``config`` is the word after ``--config``, ``None`` where there is none. ``user`` is
    ``None`` where it is unknown. ``running`` is false for a unit that is stopped. ``port`` and
    ``host`` are those of its environment or of ``--port``, ``None`` where they name none. ``looks``
    says of paths that it looks at what is there, as far as the command that found it could tell,
    and ``target`` is the file that is written with links resolved. ``directories`` are those on the
    way to these files, as far as they were told. ``started`` is when its process was started, in
    seconds since the epoch by the host's clock.
    """

    directory: str
    home: str | None
    config: str | None
    user: ServerUser | None
    running: bool
    port: str | None = None
    host: str | None = None
    token: EnvironmentToken = EnvironmentToken.UNKNOWN
    looks: Mapping[str, Look] = field(default_factory=dict, compare=False)
    target: str | None = field(default=None, compare=False)
    directories: Mapping[str, Directory] = field(default_factory=dict, compare=False)
    started: int | None = field(default=None, compare=False)

    def is_older_than(self, mtime: float) -> bool:
        """Tell whether its process surely was started before a file of this mtime came."""
        return self.started is not None and self.started + _START_SLACK <= mtime


@dataclass(frozen=True, slots=True)
class UnknownServer:
    """Why it is not known where the Aegis of a host looks."""

    reason: str


def identify_server(
    report: ServerReport | None, unit: str | None, api: str, *, api_is_set: bool
) -> AegisServer | UnknownServer:
    """Return the Aegis that ``report`` tells of, ``None`` where the host's shell told nothing.

    ``unit`` is the host's systemd unit; else the server is what listens at ``api``. If both are
    named (``api_is_set``), they have to agree.
    """
    if report is None:
        return UnknownServer(_UNTOLD)
    if unit is not None and report.unit is not None and report.unit.exists:
        return _of_unit(report, unit, report.unit, api, api_is_set=api_is_set)
    if not report.has_proc:
        return UnknownServer("the host does not list its processes as Linux does")
    process = _listening(report, api)
    if isinstance(process, UnknownServer):
        return process
    return _of_process(process, report, None)


def _of_unit(
    report: ServerReport, name: str, unit: ReportedUnit, api: str, *, api_is_set: bool
) -> AegisServer | UnknownServer:
    served = _listeners_at(report.listeners, api) if api_is_set else ()
    if unit.main_pid is None:
        if served:
            return UnknownServer(f"{name} does not run, and something else listens at {api}")
        return _of_stopped_unit(name, unit)
    main = report.process(unit.main_pid)
    if main is None:
        return UnknownServer(f"the main process of {name} may not be looked into")
    process = main if _is_node(main) else _in_same_unit(report, main, served or report.listeners)
    if process is None:
        return UnknownServer(f"the main process of {name} is not Node.js")
    pids = {pid for listener in served for pid in listener.pids}
    if pids and process.pid not in pids and not _shares_unit(report, process, pids):
        return UnknownServer(f"what listens at {api} does not belong to {name}")
    changed = _changed_since_start(name, process, unit)
    return changed or _of_process(process, report, unit)


def _in_same_unit(
    report: ServerReport, main: ReportedProcess, listeners: Iterable[Listener]
) -> ReportedProcess | None:
    """Return the one Node.js that listens and that was started by the process ``main``."""
    pids = {pid for listener in listeners for pid in listener.pids}
    found = [item for item in report.processes if item.pid in pids and item.cgroup == main.cgroup]
    found = [item for item in found if _is_node(item)]
    return found[0] if len(found) == 1 else None


def _shares_unit(report: ServerReport, process: ReportedProcess, pids: set[int]) -> bool:
    others = [item for item in report.processes if item.pid in pids]
    return bool(others) and all(item.cgroup == process.cgroup for item in others)


def _changed_since_start(
    name: str, process: ReportedProcess, unit: ReportedUnit
) -> UnknownServer | None:
    """Return the reason where a unit would start its next process in another way than this one."""
    if posixpath.basename(unit.program or "") not in _STARTS_NODE:
        return None
    differs = UnknownServer(f"{name} was changed since its process was started")
    if process.directory is not None and unit.directory not in {None, process.directory}:
        return differs
    if process.program is None:
        return None
    config = _config_of(unit)
    known = not isinstance(config, UnknownServer)
    return differs if known and config != process.config else None


def _of_process(
    process: ReportedProcess, report: ServerReport, unit: ReportedUnit | None
) -> AegisServer | UnknownServer:
    """Return the server that a process is; ``unit`` fills in what may not be read of it."""
    place = f"process {process.pid}"
    if process.program is not None and not _is_node(process):
        return UnknownServer(f"what listens there is not Node.js ({place})")
    if process.program is None or process.arguments < 2:
        return UnknownServer(f"the command line of {place} can't be told")
    directory = process.directory or (_directory_of(unit) if unit is not None else None)
    if directory is None:
        user = f" by {report.user}" if report.user else ""
        return UnknownServer(f"{place} may not be looked into{user}")
    home, known = _home_of(process, unit)
    if process.environment is None:
        environment: Mapping[str, str] = unit.environment if unit else {}
    else:
        environment = process.environment
    server = AegisServer(
        directory,
        home,
        process.config,
        _user_of(process),
        running=True,
        port=process.port or _first(environment, _PORTS),
        host=_first(environment, _HOSTS),
        token=_token(environment, whole=known),
        looks=process.looks,
        target=report.target,
        directories=process.directories,
        started=process.started,
    )
    return _other_files(process, report, unit, server) or _checked(server)


def _of_stopped_unit(name: str, unit: ReportedUnit) -> AegisServer | UnknownServer:
    program = posixpath.basename(unit.program or "")
    if program not in _STARTS_NODE:
        return UnknownServer(f"{name} does not run, and its command is not Node.js itself")
    config = _config_of(unit)
    if isinstance(config, UnknownServer):
        return config
    if any(unit.get(key) for key in _OTHER_FILES):
        return UnknownServer(f"{name} sees other files than the login")
    server = AegisServer(
        _directory_of(unit) or "/",
        _unit_home(unit),
        config,
        None,
        running=False,
        port=_first(unit.environment, _PORTS),
        host=_first(unit.environment, _HOSTS),
        token=_token(unit.environment, whole=not unit.get("EnvironmentFiles")),
    )
    return _private_files(unit, server) or _checked(server)


def _config_of(unit: ReportedUnit) -> str | UnknownServer | None:
    """Return the word after ``--config`` in a unit's command, which systemd tells without quotes.

    So where words follow that are no options, it can't be told where the path ends.
    """
    if unit.config is None:
        return None
    path, _, rest = unit.config.partition(" ")
    if (rest and not rest.startswith("-")) or "$" in path or not path:
        return UnknownServer("the path after --config in the unit's command can't be told")
    return path


def _directory_of(unit: ReportedUnit) -> str | None:
    text = unit.get("WorkingDirectory").removeprefix("!")
    if text == "~":
        return unit.account_home
    return unit.directory or text or None


def _home_of(process: ReportedProcess, unit: ReportedUnit | None) -> tuple[str | None, bool]:
    """Return a server's home, and whether the whole environment is known."""
    if process.environment is not None:
        return process.environment.get("HOME", process.account_home), True
    if unit is None:
        return None, False
    return _unit_home(unit), not unit.get("EnvironmentFiles")


def _unit_home(unit: ReportedUnit) -> str | None:
    if unit.get("EnvironmentFiles") or unit.get("PAMName") or "HOME" in unit.unclear:
        return None
    return unit.environment.get("HOME", unit.account_home)


def _user_of(process: ReportedProcess) -> ServerUser | None:
    if process.uid is None or process.gids is None:
        return None
    return ServerUser(process.uid, process.gids)


def _token(environment: Mapping[str, str], *, whole: bool) -> EnvironmentToken:
    """Tell whether a token is set: ``AEGIS_`` goes before ``MANUS_``, even if it is empty."""
    value = _first(environment, _TOKENS)
    if value is not None:
        return EnvironmentToken.SET if value else EnvironmentToken.EMPTY
    return EnvironmentToken.ABSENT if whole else EnvironmentToken.UNKNOWN


def _first(environment: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((environment[name] for name in names if name in environment), None)


def _other_files(
    process: ReportedProcess,
    report: ServerReport,
    unit: ReportedUnit | None,
    server: AegisServer,
) -> UnknownServer | None:
    """Return the reason where the process may see other files at the same paths."""
    other = UnknownServer(f"process {process.pid} runs in a container or sees other files")
    if process.root not in {None, "/"}:
        return other
    if process.namespace is not None and process.namespace == report.namespace:
        return None
    if unit is None or any(unit.get(key) for key in _OTHER_FILES):
        return other
    own = any(unit.get(key).lower() not in _OFF for key in _SAME_FILES)
    if process.namespace is not None and not own:
        return other
    return _private_files(unit, server)


def _private_files(unit: ReportedUnit, server: AegisServer) -> UnknownServer | None:
    """Return the reason where a unit hides directories that its server looks into."""
    paths = [server.directory, server.home or "", server.config or ""]
    paths = [posixpath.join(server.directory, path) + "/" for path in paths]
    private = unit.get("PrivateTmp").lower() not in _OFF
    if private and any(path.startswith(_PRIVATE) for path in paths):
        return UnknownServer("the unit has a temporary directory of its own (PrivateTmp)")
    if unit.get("ProtectHome").lower() in {"yes", "1", "true", "on", "tmpfs"}:
        return UnknownServer("the unit does not see the users' homes (ProtectHome)")
    return None


def _checked(server: AegisServer) -> AegisServer | UnknownServer:
    """Return ``server`` if its directory and home are paths that a file can be looked for in."""
    directory, home = server.directory, server.home
    if directory.endswith(_DELETED):
        return UnknownServer("its working directory does not exist any more")
    if not directory.startswith("/"):
        return UnknownServer(f"its working directory can't be told ({quote(directory)})")
    for path in (directory, home or "", server.config or ""):
        if not path.isprintable():
            return UnknownServer("a path that it looks at holds characters that can't be shown")
    return server


def _is_node(process: ReportedProcess) -> bool:
    return posixpath.basename(process.program or "") in _NODE


def _listening(report: ServerReport, api: str) -> ReportedProcess | UnknownServer:
    """Return the one process that listens at ``api``."""
    listeners = _listeners_at(report.listeners, api)
    if not listeners:
        return UnknownServer(f"nothing listens at {api}")
    pids = {pid for listener in listeners for pid in listener.pids}
    found = [item for item in report.processes if item.pid in pids]
    if not found:
        user = f" by {report.user}" if report.user else ""
        return UnknownServer(f"the process that listens at {api} may not be looked into{user}")
    node = [item for item in found if _is_node(item)]
    if len(node or found) > 1:
        return UnknownServer(f"several processes listen at {api}")
    return (node or found)[0]


def _listeners_at(listeners: Iterable[Listener], api: str) -> tuple[Listener, ...]:
    """Return the listeners that a connection to ``api`` can reach: the closest address wins.

    ``listeners`` are all on its port. A name may mean an address of either family.
    """
    host = api.rpartition(":")[0].strip("[]")
    found = tuple(listeners)
    try:
        wanted = ipaddress.ip_address(host)
    except ValueError:
        return found
    exact = tuple(item for item in found if _is_address(item.address, wanted))
    any_address = tuple(item for item in found if set(item.address) == {"0"})
    same_family = tuple(item for item in any_address if len(item.address) == 2 * len(wanted.packed))
    return exact or same_family or any_address


def _is_address(digits: str, wanted: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether ``/proc/net/tcp`` means ``wanted``; it writes four bytes as a number."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return False
    turned = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    forms = {wanted.packed}
    if isinstance(wanted, ipaddress.IPv4Address):
        forms.add(bytes(10) + b"\xff\xff" + wanted.packed)
    return raw in forms or turned in forms
