"""What a host tells of the Aegis that runs there: the output of one command, as values.

The command is ``rollout/find_server.sh``. It prints a line for each thing that it found,
``aegis-provision:KEY VALUE``, among lines that the host may print by itself. A host sent all of it:
nothing in it is trusted to have a certain shape.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MARK = "aegis-provision:"
_BEGIN, _END = "begin", "end"
_LINE_FEED = "\x01"
_BETWEEN = "\x02"
_MOST_LINES = 2000
_DIRECTORY = re.compile(r"([0-7]{1,5}) ([0-9]{1,10}) ([0-9]{1,10}) (/.*)")
_LARGEST_ID = 2**32


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes connections on the port that was asked for.

    ``address`` is its IP address in hexadecimal digits, as Linux writes it in ``/proc/net/tcp``;
    ``uid`` is the user who opened it, ``pids`` the processes known to hold it.
    """

    address: str
    uid: int
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Whether something is at a path, and the path with links resolved, ``None`` if unknown."""

    exists: bool
    real_path: str | None


@dataclass(frozen=True, slots=True)
class Directory:
    """Who may go through a directory: its owner, its group and its mode."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class ReportedProcess:
    """A process, as far as the user who ran the command may look into it.

    ``None`` says that something could not be read. ``program`` is the first word of its command
    line, ``arguments`` how many words that has; ``config`` and ``port`` are the words after
    ``--config`` and ``--port``, ``None`` also where there are none. ``environment`` holds only
    variables that tell where Aegis looks or listens; a token's value is only whether there is one.
    ``account_home`` is the home of its user by passwd(5). ``looks`` says of paths that it looks at
    what is there, as far as the user can tell; ``directories`` are those on the way to that and to
    the file that is written, by their paths.
    ``started`` is when it was started, in seconds since the epoch by the host's clock.
    """

    pid: int
    started: int | None = None
    directory: str | None = None
    root: str | None = None
    namespace: str | None = None
    cgroup: str = ""
    uid: int | None = None
    gids: frozenset[int] | None = None
    program: str | None = None
    arguments: int = 0
    config: str | None = None
    port: str | None = None
    environment: Mapping[str, str] | None = None
    account_home: str | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    directories: Mapping[str, Directory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportedUnit:
    """A systemd unit as ``systemctl show`` tells of it.

    ``properties`` are its words by their names, ``program`` the path of its command, ``config`` the
    text of its command line from behind ``--config`` on. ``environment`` is as that of a process;
    ``unclear`` names variables whose values can't be told. ``directory`` is its working directory
    with links resolved, ``account_home`` the home of its user by passwd(5); ``None`` where the host
    does not tell.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    program: str | None = None
    config: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    unclear: frozenset[str] = frozenset()
    directory: str | None = None
    account_home: str | None = None

    def get(self, name: str) -> str:
        """Return a property, empty where it is not set."""
        return self.properties.get(name, "")

    @property
    def exists(self) -> bool:
        """Tell whether the host has such a unit."""
        return self.get("LoadState") == "loaded"

    @property
    def main_pid(self) -> int | None:
        """Return its main process, ``None`` if it does not run."""
        return _number(self.get("MainPID")) or None


@dataclass(frozen=True, slots=True)
class ServerReport:
    """All that the command told. ``user`` ran it; ``namespace`` is this user's mount namespace.

    ``has_proc`` says that the host lists its sockets as Linux does. ``unit`` is ``None`` where none
    was asked for or the host has no systemd. ``target`` is the file that is written, with links
    resolved, ``None`` if that is unknown.
    """

    user: str = ""
    namespace: str | None = None
    has_proc: bool = False
    unit: ReportedUnit | None = None
    listeners: tuple[Listener, ...] = ()
    processes: tuple[ReportedProcess, ...] = ()
    target: str | None = None

    def process(self, pid: int | None) -> ReportedProcess | None:
        """Return what was told of a process."""
        return next((item for item in self.processes if item.pid == pid), None)


def parse_report(output: bytes) -> ServerReport | None:
    """Return what the command told, ``None`` if it did not run to its end."""
    lines = _lines(output)
    ends = [index for index, (key, _) in enumerate(lines) if key == _END]
    if not ends:
        return None
    begins = [index for index, (key, _) in enumerate(lines[: ends[-1]]) if key == _BEGIN]
    if not begins:
        return None
    return _report(lines[begins[-1] + 1 : ends[-1]])


def _lines(output: bytes) -> list[tuple[str, str]]:
    """Return the command's own lines as keys and values.

    A value that is not UTF-8 keeps its bytes in a form that no path of ours equals.
    """
    found = []
    for line in output.decode("utf-8", "surrogateescape").split("\n")[-_MOST_LINES:]:
        _, mark, rest = line.partition(_MARK)
        key, _, value = rest.rstrip("\r").partition(" ")
        if mark:
            found.append((key, value.replace(_LINE_FEED, "\n")))
    return found


def _report(lines: Sequence[tuple[str, str]]) -> ServerReport:
    starts = [index for index, (key, _) in enumerate(lines) if key == "process"]
    host = lines[: starts[0]] if starts else lines
    fields = _fields(host)
    ends = [*starts, len(lines)][1:]
    processes = (_process(lines[start:end]) for start, end in zip(starts, ends, strict=True))
    return ServerReport(
        user=fields.get("user", ""),
        namespace=fields.get("namespace"),
        has_proc="sockets" in fields,
        unit=_unit(host) if "unit" in fields else None,
        listeners=_listeners(host),
        processes=tuple(process for process in processes if process is not None),
        target=fields.get("target") or None,
    )


def _listeners(lines: Sequence[tuple[str, str]]) -> tuple[Listener, ...]:
    holders = [value.split(" ") for key, value in lines if key == "holder"]
    found = []
    for local, uid, inode in (
        words for key, value in lines if key == "listener" and len(words := value.split(" ")) == 3
    ):
        pids = (_number(words[0]) for words in holders if words[1:] == [inode])
        address, user = local.partition(":")[0], _number(uid)
        if user is not None:
            found.append(Listener(address, user, tuple(pid for pid in pids if pid)))
    return tuple(found)


def _process(lines: Sequence[tuple[str, str]]) -> ReportedProcess | None:
    fields = _fields(lines)
    pid = _number(fields["process"])
    if not pid:
        return None
    return ReportedProcess(
        pid,
        started=_number(fields.get("started", "")),
        directory=fields.get("directory"),
        root=fields.get("root"),
        namespace=fields.get("namespace"),
        cgroup=fields.get("cgroup", ""),
        uid=_effective(fields.get("Uid", "")),
        gids=_groups(fields),
        program=fields.get("program"),
        arguments=_number(fields.get("arguments", "")) or 0,
        config=fields.get("config"),
        port=fields.get("port"),
        environment=_variables(lines, "variable") if "environment" in fields else None,
        account_home=fields.get("account-home") or None,
        looks=_looks(lines),
        directories=_directories(lines),
    )


def _looks(lines: Sequence[tuple[str, str]]) -> Mapping[str, Look]:
    found = {}
    for key, value in lines:
        state, *paths = value.split(_BETWEEN)
        if key == "look" and len(paths) == 2 and state in {"there", "missing"}:
            path, real_path = paths
            found[path] = Look(state == "there", real_path or None)
    return found


def _directories(lines: Sequence[tuple[str, str]]) -> Mapping[str, Directory]:
    found = {}
    for key, value in lines:
        match = _DIRECTORY.fullmatch(value) if key == "way" else None
        if match is not None:
            mode, uid, gid, path = match.groups()
            found[path] = Directory(int(uid), int(gid), int(mode, 8))
    return found


def _groups(fields: Mapping[str, str]) -> frozenset[int] | None:
    own = _effective(fields.get("Gid", ""))
    if own is None or "Groups" not in fields:
        return None
    groups = (_number(word) for word in fields["Groups"].split())
    return frozenset({own, *(group for group in groups if group is not None)})


def _unit(lines: Sequence[tuple[str, str]]) -> ReportedUnit:
    fields = _fields(lines)
    return ReportedUnit(
        properties=_variables(lines, "unit"),
        program=fields.get("unit-program"),
        config=fields.get("unit-config"),
        environment=_variables(lines, "unit-variable"),
        unclear=frozenset(value for key, value in lines if key == "unit-variable-unclear"),
        directory=fields.get("unit-directory") or None,
        account_home=fields.get("unit-home") or None,
    )


def _fields(lines: Sequence[tuple[str, str]]) -> dict[str, str]:
    return dict(reversed(lines))


def _variables(lines: Sequence[tuple[str, str]], wanted: str) -> Mapping[str, str]:
    """Return ``NAME=value`` of the lines with the key ``wanted``; getenv(3) sees the first."""
    pairs = (value.partition("=") for key, value in reversed(lines) if key == wanted)
    return {name: text for name, _, text in pairs}


def _effective(value: str) -> int | None:
    """Return the second of the four numbers in a line of ``/proc/PID/status``."""
    words = value.split()
    return _number(words[1]) if len(words) > 1 else None


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID))):
        return None
    return int(text)
