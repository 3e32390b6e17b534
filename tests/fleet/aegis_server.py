"""A stand-in for Aegis 0.6.6: a process that reads its file, answers its API, and can misbehave.

It does what the real one was seen to do where a rollout can tell: which file it takes, that it
drops a wrong one with one line on the console and goes on, what its API says with and without a
token, that a changed file counts at the next start only. Nothing here is shared with the product,
so that the two can disagree.

A host is a directory:

===================  ==============================================================
``work/``            the working directory, with ``aegis.config.json``
``home/``            the service user's home
``misbehaviour/``    one file for each misbehaviour, see :data:`MISBEHAVIOURS`
``settings.json``    ``{"port": 1234, "stop_timeout": 5.0, "config": null, "aged": 0,
                     "owner": 1}``: ``config`` is what ``--config`` says; ``aged`` how many
                     seconds more than it has a process says that it has been running;
                     without a process ``owner`` it ends by itself
``log.jsonl``        what happened, one JSON object in a line
``console``          what it printed
``running``          its pid; locked as long as it runs
``restarts``         a pipe that takes requests for a restart
===================  ==============================================================

``python aegis_server.py restart DIRECTORY [--config PATH]`` does what ``systemctl restart`` does:
it stops the old process (by SIGKILL, where it has not gone ``stop_timeout`` seconds after
SIGTERM), starts a new one and returns as soon as that has been started; whether it comes up is
another matter.

``python aegis_server.py keep DIRECTORY`` starts it and stays: to begin a Python for each restart
takes much longer than to fork one. It takes requests from ``restarts``, a line each: the pid of
who asks, and the pipe in the host's directory that takes the answer, which is what a restart
says, and ``exit CODE``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import select
import signal
import sys
import threading
import time
import traceback
import uuid
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Misbehaviour = Literal[
    "late",
    "lost_file",
    "open_sessions",
    "dies",
    "silent",
    "degraded",
    "slow_stop",
    "ignores_term",
    "keeps_running",
    "restart_fails",
    "restart_hangs",
    "hangs_up",
    "sessions",
    "idle_sessions",
    "no_claude",
    "old_claude",
    "claude_fails",
    "claude_asks",
    "quota",
    "too_often",
    "send_fails",
    "no_tmux",
]
"""What a host can be told to do.

``late`` N
    listens N seconds after its start
``lost_file``
    comes up as if its file were not there
``open_sessions``
    answers ``/v1/sessions`` without a token although it has read its file
``dies``
    ends right after its start
``silent``
    takes requests for ``/v1/health`` and never answers
``degraded`` N
    says so for N seconds after its start, for ever where N is 0
``slow_stop`` N
    takes N seconds to stop, and says ``draining`` meanwhile
``ignores_term``
    has to be killed
``keeps_running``
    a restart says that all is well and restarts nothing
``restart_fails``
    a restart says why and exits with 1; the old process goes on
``restart_hangs`` N
    a restart takes N seconds before it does anything
``hangs_up``
    the SSH connection is cut in the middle of a restart: the old process has ended, no new one is
    there
``sessions`` [N, S]
    N sessions are running and end after S seconds, with the file where S is 0
``idle_sessions`` [N, S]
    N sessions have been idle for S seconds
``no_claude``
    finds no Claude Code on the host; a session is started all the same, and nothing runs in it
``old_claude``
    finds a Claude Code that is too old, and starts no session
``claude_fails``
    starts sessions in which Claude ends at once
``claude_asks``
    starts sessions in which Claude waits for a person's answer
``quota``
    starts no session: the key has as many as it may have
``too_often`` N
    starts no session: it was asked too often, and says to come again in N seconds
``send_fails``
    says that a prompt was not delivered
``no_tmux``
    can't start a session, even if its file is right

Those of a server are read at its start, those of a restart when it happens, those of sessions and
of Claude Code always.
"""

MISBEHAVIOURS: tuple[Misbehaviour, ...] = get_args(Misbehaviour)

VERSION = "0.6.6-preview.1"
_ADDRESS = "127.0.0.1"
_POLL = 0.01
_OWNER_POLL = 1.0
_NEVER = 86400.0
_ASKER_WITHIN = 30
_PAGING = (("page", "1"), ("limit", "20"))
_HEALTH_PER_MINUTE = 60
_LARGEST_PORT = 65535
_LONGEST_PROMPT = 10_000
_LONGEST_NAME = 200
_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
}
_MOST_BYTES = 8192
_SEARCHED = (
    "work/.aegis/config.yaml",
    "work/.aegis/config.yml",
    "work/aegis.config.json",
    "home/.aegis/config.yaml",
    "home/.aegis/config.yml",
    "home/.aegis/config.json",
    "work/manus.config.json",
    "home/.manus/config.json",
)


class IgnoredFileError(Exception):
    """Why Aegis would ignore a file as a whole."""


class Crash(Exception):
    """Why Aegis would die at its start."""


# --- a host's directory -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A host's directory, and what may be done there from outside the server."""

    directory: Path

    @property
    def settings(self) -> dict[str, Any]:
        """How the host is set up."""
        found: dict[str, Any] = json.loads((self.directory / "settings.json").read_text())
        return found

    def settle(self, settings: Mapping[str, object]) -> None:
        """Set the host up; a process goes by what was there at its start."""
        write_whole(self.directory / "settings.json", json.dumps(settings))

    def note(self, event: str, **facts: object) -> None:
        """Write a line of the log."""
        line = json.dumps({"event": event, "at": time.time(), **facts}) + "\n"
        descriptor = os.open(
            self.directory / "log.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def told(self, name: Misbehaviour, *, use_up: bool = True) -> Any:
        """Return what the host was told about ``name``, ``None`` where it was told nothing.

        Where it was told to do so a number of times, this is one of them.
        """
        path = self.directory / "misbehaviour" / name
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        if use_up and found["times"] is not None:
            if found["times"] <= 1:
                path.unlink()
            else:
                write_whole(path, json.dumps({**found, "times": found["times"] - 1}))
        return found["value"]

    def running(self) -> int | None:
        """Return the pid of the process that runs."""
        try:
            descriptor = os.open(self.directory / "running", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            # Shared: those who look do not take one another for the process.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_pid(descriptor)
        finally:
            os.close(descriptor)
        return None

    @contextmanager
    def control(self) -> Iterator[None]:
        """Let one restart happen at a time."""
        descriptor = os.open(self.directory / "control", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @property
    def closed(self) -> bool:
        """Whether the host has been taken down for good."""
        return (self.directory / "closed").exists()

    def close(self) -> None:
        """Take the host down for good: what runs is killed, and nothing starts any more."""
        (self.directory / "closed").touch()
        with self.control():
            self.stop(0)
        try:
            descriptor = os.open(self.directory / "restarts", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        os.write(descriptor, b"\n")  # who keeps the host looks up, and finds it closed
        os.close(descriptor)

    def stop(self, patience: float) -> None:
        """Stop the process that runs: kill it, where it has not gone after ``patience`` seconds."""
        pid = self.running()
        if pid is None:
            return
        if patience:
            _signal(pid, signal.SIGTERM)
            if self._gone_within(patience):
                return
            self.note("killed", pid=pid)
        _signal(pid, signal.SIGKILL)
        if not self._gone_within(10):
            raise RuntimeError(f"process {pid} does not die")

    def start(self) -> None:
        """Start a process and return when it is there."""
        (self.directory / "running").write_text("")
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _run_detached(self, writer)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)

    def restart(self, asker: int) -> int:
        """Do what ``systemctl restart`` does for a process, and return its exit code."""
        self.note("restart")
        wait = self.told("restart_hangs")
        if wait is not None:
            self._wait(wait)
        if self.told("restart_fails") is not None:
            print("Job for aegis.service failed. See 'journalctl -xe'.", file=sys.stderr)  # noqa: T201
            return 1
        if self.told("keeps_running") is not None:
            return 0
        with self.control():
            self.stop(self.settings["stop_timeout"])
            if self.told("hangs_up") is not None:
                _signal(_sshd_above(asker), signal.SIGKILL)
                return 1
            if self.closed:
                return 1
            self.start()
        return 0

    def _gone_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.running() is not None:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL)
        return True

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.closed:
            time.sleep(_POLL)


def write_whole(path: Path, text: str) -> None:
    """Write ``path`` so that no reader sees a half of it."""
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    staging.write_text(text)
    staging.replace(path)


def _read_pid(descriptor: int) -> int | None:
    # A process that has just begun has the lock before it has written its pid.
    until = time.monotonic() + 1
    while time.monotonic() < until:
        written = os.pread(descriptor, 20, 0)
        if written.endswith(b"\n"):
            return int(written)
        time.sleep(_POLL)
    return None


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sshd_above(pid: int) -> int:
    """Return the process of sshd that a command's connection hangs on."""
    while pid > 1:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
        if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
            return pid
    raise RuntimeError("this restart was not asked for through sshd")


def _run_detached(place: Place, writer: int) -> NoReturn:
    """Become a daemon, tell the parent by closing ``writer``, and serve. Never returns."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        console = os.open(place.directory / "console", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(nothing, 0)
        os.dup2(console, 1)
        os.dup2(console, 2)
        running = os.open(place.directory / "running", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(running, fcntl.LOCK_EX)
        os.pwrite(running, f"{os.getpid()}\n".encode(), 0)
        # All else that the parent has open is its own, the lock on "control" above all.
        for descriptor in range(3, 64):
            if descriptor not in {running, writer}:
                _close(descriptor)
        server = Server.prepare(place)
        os.close(writer)
        code = server.run()
    except Crash as crash:
        place.note("crashed", reason=str(crash))
        print(f"Error: {crash}", file=sys.stderr)  # noqa: T201
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


def keep(place: Place) -> int:
    """Start the host's process, and restart it when asked, until the host is closed."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped without a wait
    requests = place.directory / "restarts"
    os.mkfifo(requests, 0o600)
    # Held for writing too, so that it never ends.
    reader = os.open(requests, os.O_RDWR | os.O_NONBLOCK)
    code = place.restart(os.getpid())
    try:
        while code == 0 and not place.closed and _alive(place.settings["owner"]):
            select.select([reader], [], [], _OWNER_POLL)
            for asker, pipe in _requests(reader):
                if os.fork() == 0:
                    _answer(place, asker, pipe)
    finally:
        requests.unlink()
        for _, pipe in _requests(reader):
            _answer_pipe(place, pipe)
    return code


def _requests(reader: int) -> list[list[str]]:
    """Return the requests that are there; each was written as a whole."""
    try:
        return [line.split() for line in os.read(reader, 65536).decode().split("\n") if line]
    except BlockingIOError:
        return []


def _answer(place: Place, asker: str, pipe: str) -> NoReturn:
    """Restart for who asks, and tell them. Never returns."""
    code = 1
    try:
        os.dup2(_answer_pipe(place, pipe), 2)
        code = place.restart(int(asker))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        try:
            os.write(2, f"exit {code}\n".encode())
        finally:
            os._exit(0)


def _answer_pipe(place: Place, name: str) -> int:
    """Open the pipe that waits for an answer, and remove its name."""
    path = place.directory / name
    signal.alarm(_ASKER_WITHIN)  # who asked may have been killed since
    descriptor = os.open(path, os.O_WRONLY)
    signal.alarm(0)
    path.unlink()
    return descriptor


# --- which file it takes ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """What it runs on. ``path`` is ``None`` where no file was valid."""

    path: str | None
    auth_token: str | None
    session_env: Mapping[str, str]
    work_dirs: tuple[str, ...] = ()


def load(place: Place) -> Loaded:
    """Return the first valid file's settings. Raises :class:`Crash` where Aegis would die."""
    named = place.settings.get("config")
    paths = [Path(named)] if named else []
    for path in [*paths, *(place.directory / name for name in _SEARCHED)]:
        try:
            config = parse(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, IgnoredFileError) as problem:
            place.note("warning", file=str(path), reason=str(problem))
            print(f"Warning: ignoring {path}: {problem}", file=sys.stderr)  # noqa: T201
            continue
        if config.get("port", 1) > _LARGEST_PORT:
            raise Crash("options.port should be >= 0 and < 65536")
        if "webhooks" not in config.get("alerting", {"webhooks": []}):
            raise Crash("Cannot read properties of undefined (reading 'length')")
        return Loaded(
            str(path),
            config.get("authToken") or None,
            config.get("defaultSessionEnv", {}),
            tuple(config.get("allowedWorkDirs", ())),
        )
    return Loaded(None, None, {})


def parse(data: bytes) -> dict[str, Any]:
    """Return what a file says, or raise :class:`IgnoredFileError`. YAML has to be JSON here."""
    try:
        root = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise IgnoredFileError("not valid JSON") from problem
    if not isinstance(root, dict):
        raise IgnoredFileError("expected an object")
    for name, right in _FIELDS.items():
        if name in root and not right(root[name]):
            raise IgnoredFileError(f"invalid value for {name}")
    return root


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _words(text: str) -> list[str]:
    return text.split()


def _string(value: object) -> bool:
    return isinstance(value, str)


def _url(value: object) -> bool:
    return isinstance(value, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:.", value) is not None


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )


def _positive(value: Any) -> bool:
    return _whole(value) and value > 0


def _not_negative(value: Any) -> bool:
    return _whole(value) and value >= 0


def _each(right: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(right(item) for item in value)


def _one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in words


def _mapping(right: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(right(item) for item in value.values())


def _fields(required: str = "", **fields: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, dict)
        and (not required or required in value)
        and all(right(value[name]) for name, right in fields.items() if name in value)
    )


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        _words(
            "host authToken clientAuthToken tmuxSession stateDir claudeProjectsDir tgBotToken "
            "tgGroupId defaultTenantId postgresUrl"
        ),
        _string,
    ),
    "baseUrl": _url,
    **dict.fromkeys(
        _words(
            "port maxSessionAgeMs reaperIntervalMs continuationPointerTtlMs tgTopicTtlMs "
            "stallThresholdMs sseMaxConnections sseMaxPerIp sseIdleMs sseClientTimeoutMs "
            "hookTimeoutMs shutdownGraceMs shutdownHardMs"
        ),
        _positive,
    ),
    "tgTopicTTLHours": _not_negative,
    **dict.fromkeys(
        _words("tgTopicAutoDelete hookSecretHeaderOnly worktreeAwareContinuation dashboardEnabled"),
        _boolean,
    ),
    **dict.fromkeys(_words("webhooks allowedWorkDirs worktreeSiblingDirs"), _each(_string)),
    "tgAllowedUsers": _each(_number),
    "defaultPermissionMode": _one_of(
        "default", "plan", "acceptEdits", "bypassPermissions", "dontAsk", "auto"
    ),
    "stateStore": _one_of("file", "redis", "postgres"),
    "memoryBridge": _fields(
        "enabled", enabled=_boolean, persistPath=_string, reaperIntervalMs=_positive
    ),
    "verificationProtocol": _fields(autoVerifyOnStop=_boolean, criticalOnly=_boolean),
    "alerting": _fields(webhooks=_each(_string), failureThreshold=_positive, cooldownMs=_positive),
    "tenantWorkdirs": _mapping(_fields("root", root=_string, allowedPaths=_each(_string))),
    "rateLimit": _fields(
        "enabled",
        enabled=_boolean,
        sessionsMax=_positive,
        generalMax=_positive,
        timeWindowSec=_positive,
    ),
    "defaultSessionEnv": _mapping(_string),
}

# --- which session variables it takes -----------------------------------------------------------

_DENIED = frozenset(
    _words(
        "PATH LD_PRELOAD LD_LIBRARY_PATH NODE_OPTIONS DYLD_INSERT_LIBRARIES IFS SHELL ENV "
        "BASH_ENV PYTHONPATH PERL5LIB RUBYLIB CLASSPATH NODE_PATH PYTHONHOME PYTHONSTARTUP "
        "PROMPT_COMMAND GIT_SSH_COMMAND EDITOR VISUAL SUDO_ASKPASS GIT_EXEC_PATH NODE_ENV "
        "GITHUB_TOKEN NPM_TOKEN GITLAB_TOKEN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY "
        "AWS_SESSION_TOKEN AZURE_CLIENT_SECRET GOOGLE_APPLICATION_CREDENTIALS DOCKER_TOKEN "
        "HEROKU_API_KEY ANTHROPIC_API_KEY OPENAI_API_KEY CLAUDE_API_KEY GOOGLE_AI_API_KEY "
        "MISTRAL_API_KEY DEEPSEEK_API_KEY AEGIS_SECRET DATABASE_URL SECRET_KEY JWT_SECRET "
        "SESSION_SECRET ENCRYPTION_KEY AEGIS_OIDC_CLIENT_SECRET HOME USER LOGNAME USERNAME "
        "COMSPEC WINDIR SYSTEMROOT SYSTEMDRIVE PROGRAMFILES PROGRAMFILES(X86) PROGRAMDATA APPDATA "
        "LOCALAPPDATA TEMP TMP HOMEDRIVE HOMEPATH USERPROFILE USERDOMAIN DYLD_LIBRARY_PATH "
        "DYLD_FRAMEWORK_PATH DYLD_ROOT_PATH DYLD_IMAGE_SUFFIX LD_AUDIT LD_DEBUG "
        "LD_TRACE_LOADED_OBJECTS LD_BIND_NOW LD_PROFILE LD_ORIGIN_PATH LD_USE_LOAD_BIAS "
        "LD_VERBOSE LD_PREFER_MAP_32BIT"
    )
)
_DENIED_PREFIXES = (
    "npm_config_",
    "bash_func_",
    "ssh_",
    "github_",
    "gitlab_",
    "aws_",
    "azure_",
    "tf_",
    "ci_",
    "docker_",
)


def breaks_sessions(name: str, value: str) -> bool:
    """Tell whether every session fails over an entry of ``defaultSessionEnv``."""
    return (
        re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) is None
        or name in _DENIED
        or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value) is not None
        or len(value.encode("utf-8", "surrogatepass")) > _MOST_BYTES
    )


def _refused(name: str, value: object) -> bool:
    """Tell whether an entry of one session's ``env`` is refused."""
    return (
        not isinstance(value, str)
        or not value
        or breaks_sessions(name, value)
        or name.lower().startswith(_DENIED_PREFIXES)
    )


# --- the server ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Server:
    """One process of Aegis, from its start to its end."""

    place: Place
    loaded: Loaded
    late: float
    dies: bool
    open_sessions: bool
    silent: bool
    degraded: float | None
    born: float
    aged: float
    draining: bool = False
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    total: int = 0
    asked: deque[float] = field(default_factory=deque)
    ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def prepare(cls, place: Place) -> Server:
        """Read the file, and what it was told about this start."""
        born = time.time()
        lost = place.told("lost_file") is not None
        loaded = Loaded(None, None, {}) if lost else load(place)
        place.note(
            "start",
            pid=os.getpid(),
            file=loaded.path,
            auth=loaded.auth_token is not None,
            env=dict(loaded.session_env),
        )
        server = cls(
            place,
            loaded,
            late=place.told("late") or 0,
            dies=place.told("dies") is not None,
            open_sessions=place.told("open_sessions") is not None,
            silent=place.told("silent") is not None,
            degraded=place.told("degraded"),
            born=born,
            aged=place.settings["aged"],
        )
        signal.signal(signal.SIGTERM, server.terminated)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        return server

    def run(self) -> int:
        """Serve until SIGTERM, and return the exit code."""
        if self.dies:
            self.place.note("died")
            return 1
        if self.ended.wait(self.late):
            return 0
        listener = _Listener((_ADDRESS, self.place.settings["port"]), _Handler)
        listener.aegis = self
        # Before anything is answered: who has an answer finds it in the log.
        self.place.note("listening")
        threading.Thread(target=listener.serve_forever, args=(_NEVER,), daemon=True).start()
        while not self.ended.wait(_OWNER_POLL):
            if not _alive(self.place.settings["owner"]):
                return 1
        self.draining = True
        time.sleep(self.place.told("slow_stop") or 0)
        self.place.note("stopped")
        return 0

    def terminated(self, *_: object) -> None:
        """Stop, unless told otherwise."""
        if self.place.told("ignores_term") is None:
            self.ended.set()

    def authorized(self, header: str | None) -> bool:
        """Tell whether a request may do all. Without a token of its own everybody may."""
        return self.loaded.auth_token is None or header == f"Bearer {self.loaded.auth_token}"

    def too_often(self) -> bool:
        """Count a request for the health, and tell whether it is one too many this minute."""
        now = time.monotonic()
        while self.asked and self.asked[0] < now - 60:
            self.asked.popleft()
        self.asked.append(now)
        return len(self.asked) > _HEALTH_PER_MINUTE

    def health(self, *, whole: bool) -> dict[str, object]:
        """Return the health, or the one word of it that everybody may know."""
        status = "draining" if self.draining else "degraded" if self._is_degraded() else "ok"
        if not whole:
            return {"status": status}
        now = time.time()
        return {
            "status": status,
            "timestamp": _iso(now),
            "version": VERSION,
            "platform": sys.platform,
            "uptime": now - self.born + self.aged,
            "sessions": {"active": len(self.active()), "total": self.total},
            "tmux": {"healthy": status != "degraded", "error": None},
            "claude": {
                "available": self._has_claude,
                "healthy": self._has_claude and not self._claude_is_old,
                "version": "2.0.1" if self._claude_is_old else "2.1.90",
                "minimumVersion": "2.1.80",
                "error": None,
            },
        }

    def active(self) -> dict[str, dict[str, Any]]:
        """Return the sessions that are running."""
        told = self.place.told("sessions", use_up=False)
        count, seconds, since = told or (0, 0, 0)
        if seconds and time.time() > since + seconds:
            count = 0
        busy = [_session(f"busy-{number}", "working", time.time()) for number in range(count)]
        count, seconds = self.place.told("idle_sessions", use_up=False) or (0, 0)
        since = time.time() - seconds
        idle = [_session(f"idle-{number}", "idle", since) for number in range(int(count))]
        for entry in (*busy, *idle):
            entry["workDir"] = str((self.place.directory / "work").resolve())
        return {**{str(entry["id"]): entry for entry in (*busy, *idle)}, **self.sessions}

    def listed(self, query: str) -> dict[str, object]:
        """Return a page of the sessions: 20, or up to 100 where the query says so."""
        words = parse_qs(query)
        page, limit = (int(words.get(name, [default])[0]) for name, default in _PAGING)
        every = list(self.active().values())
        pages = -(-len(every) // limit)
        return {
            "sessions": every[(page - 1) * limit : page * limit],
            "pagination": {"page": page, "limit": limit, "total": len(every), "totalPages": pages},
        }

    def create(self, wanted: Any) -> tuple[int, object, str]:
        """Create a session: the status, what is answered, and when to come again."""
        problems = list(_body_problems(wanted))
        if problems:
            return (*_error(400, "Invalid request body", details=problems), "")
        if self.place.told("quota") is not None:
            return (*_error(429, "QUOTA_EXCEEDED", message="Concurrent session quota: 1"), "")
        seconds = self.place.told("too_often")
        if seconds is not None:
            return (*_error(429, "Rate limit exceeded, retry in a minute"), str(seconds))
        if self._claude_is_old:
            words = "Claude Code version 2.0.1 is below minimum supported version 2.1.80."
            return (*_error(422, words, code="CC_VERSION_TOO_OLD"), "")
        work_dir = self._real_work_dir(wanted["workDir"])
        if isinstance(work_dir, str):
            return (*_error(400, work_dir, code="INVALID_WORKDIR"), "")
        for session in self.active().values():
            if (session["workDir"], session["status"]) == (str(work_dir), "idle"):
                return 200, {**session, "reused": True}, ""
        broken = any(breaks_sessions(*entry) for entry in self.loaded.session_env.items())
        if broken or self.place.told("no_tmux") is not None:
            self.place.note("session_broken")
            return (*_error(500, "Internal server error"), "")
        identity = str(uuid.uuid4())
        name = re.sub(r"[^A-Za-z0-9_-]", "", wanted.get("name", "")) or f"cc-{identity[:8]}"
        self.sessions[identity] = {
            **_session(identity, "unknown", time.time()),
            "windowName": name,
            "workDir": str(work_dir),
        }
        self.total += 1
        env = {**self.loaded.session_env, **wanted.get("env", {})}
        self.place.note("session_created", id=identity, env=env, work_dir=str(work_dir))
        return 201, self.sessions[identity], ""

    def session_health(self, identity: str) -> tuple[int, object]:
        """Return what is told of a session: one in which Claude is ready counts as idle then."""
        session = self.active().get(identity)
        if session is None:
            return _error(404, "Session not found")
        running = self._has_claude and self.place.told("claude_fails", use_up=False) is None
        if running and session["status"] == "unknown":
            asks = self.place.told("claude_asks", use_up=False) is not None
            session["status"] = "permission_prompt" if asks else "idle"
        pane = "claude" if running else "bash"
        known = {"windowExists": True, "paneCommand": pane, "hasTranscript": False}
        return 200, {
            "alive": True,
            **known,
            "claudeRunning": running,
            "status": session["status"],
            "lastActivity": session["lastActivity"],
        }

    def send(self, identity: str, wanted: Any) -> tuple[int, object]:
        """Give a session a prompt."""
        if identity not in self.active():
            return _error(404, "Session not found")
        text = wanted.get("text") if isinstance(wanted, dict) else None
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_PROMPT:
            problem = {"path": ["text"], "message": "Invalid input"}
            return _error(400, "Invalid request body", details=[problem])
        delivered = self.place.told("send_fails") is None
        self.place.note("sent", id=identity, text=text, delivered=delivered)
        return 200, {"ok": True, "delivered": delivered, "attempts": 1}

    @property
    def _has_claude(self) -> bool:
        return self.place.told("no_claude", use_up=False) is None

    @property
    def _claude_is_old(self) -> bool:
        return self.place.told("old_claude", use_up=False) is not None

    def _real_work_dir(self, wanted: str) -> Path | str:
        """Return the directory with its links resolved, or why no session may work there."""
        if ".." in re.split(r"[\\/]+", wanted):
            return "workDir must not contain path traversal components (..)"
        home, here = self.place.directory / "home", self.place.directory / "work"
        allowed = self.loaded.work_dirs or (str(home), "/tmp", "/var/tmp", str(here))
        roots = [real for name in allowed for real in (Path(name), Path(name).resolve())]
        path = here / wanted
        if not any(path.is_relative_to(root) for root in roots):
            return "workDir is not in the allowed directories list"
        if not path.exists():
            return f"workDir does not exist: {path}"
        if not any(path.resolve().is_relative_to(root) for root in roots):
            return "workDir is not in the allowed directories list"
        return path.resolve()

    def _is_degraded(self) -> bool:
        return self.degraded is not None and (
            self.degraded == 0 or time.time() < self.born + self.degraded
        )


def _session(identity: str, status: str, active: float) -> dict[str, Any]:
    times = {"createdAt": int(active * 1000), "lastActivity": int(active * 1000)}
    return {"id": identity, "windowName": identity, "workDir": "", "status": status, **times}


def _body_problems(wanted: Any) -> Iterator[dict[str, object]]:
    """Yield what is wrong with the body of a session to create, as Aegis lists it."""
    if not isinstance(wanted, dict):
        yield {"code": "invalid_type", "path": [], "message": "Invalid input: expected object"}
        return
    if not isinstance(wanted.get("workDir"), str) or not wanted["workDir"]:
        yield {"code": "invalid_type", "path": ["workDir"], "message": "Invalid input"}
    if not isinstance(wanted.get("name", ""), str) or len(wanted.get("name", "")) > _LONGEST_NAME:
        yield {"code": "too_big", "path": ["name"], "message": "Too big"}
    unknown = [name for name in wanted if name not in {"workDir", "name", "prompt", "env"}]
    if unknown:
        yield {"code": "unrecognized_keys", "keys": unknown, "path": [], "message": "Unrecognized"}
    env = wanted.get("env", {})
    if not isinstance(env, dict):
        yield {"code": "invalid_type", "path": ["env"], "message": "Invalid input"}
        return
    for name, value in env.items():
        if _refused(name, value):
            words = f'Forbidden env var: "{name}"'
            yield {"code": "custom", "path": ["env", name], "message": words}


def _error(
    status: int, error: str, *, code: str = "", message: str = "", details: object = None
) -> tuple[int, dict[str, object]]:
    """Return an error in Aegis' envelope, which has a code of its own where none is given."""
    envelope: dict[str, object] = {
        "code": code or _CODES.get(status, f"HTTP_{status}"),
        "message": message or error,
        "requestId": "req-1",
        "error": error,
    }
    return status, envelope if details is None else {**envelope, "details": details}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


_SESSION_PATH = re.compile(r"/v1/sessions/(?P<id>[^/]+)(?P<action>/[a-z]+)?")
_NONE: Mapping[str, str] = {}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    aegis: Server

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the machine's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _ADDRESS, int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Say nothing about a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: in two, the second would wait for the client's word.
    wbufsize = -1
    server: _Listener

    def do_GET(self) -> None:
        aegis = self.server.aegis
        allowed = aegis.authorized(self.headers["Authorization"])
        path, _, query = self.path.partition("?")
        match path:
            case "/v1/health" if aegis.silent:
                aegis.ended.wait()
                self.close_connection = True
            case "/v1/health" if aegis.too_often():
                self._answer(429, {"code": "RATE_LIMITED", "error": "Rate limit exceeded"})
            case "/v1/health":
                self._answer(200, aegis.health(whole=allowed))
            case "/v1/sessions" if allowed or aegis.open_sessions:
                self._answer(200, aegis.listed(query))
            case "/v1/sessions":
                self._unauthorized()
            case _ if (found := _SESSION_PATH.fullmatch(path)) is None:
                self._answer(404, {"code": "NOT_FOUND", "error": "Not found"})
            case _ if not (allowed or aegis.open_sessions):
                self._unauthorized()
            case _ if found["action"] == "/health":
                self._answer(*aegis.session_health(found["id"]))
            case _ if found["action"] is None and found["id"] in aegis.active():
                self._answer(200, aegis.active()[found["id"]])
            case _:
                self._answer(*_error(404, "Session not found"))

    def do_POST(self) -> None:
        aegis = self.server.aegis
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if not aegis.authorized(self.headers["Authorization"]):
            self._unauthorized()
        elif aegis.draining:
            self._answer(503, {"code": "DRAINING", "error": "Server is shutting down"})
        elif self.path == "/v1/sessions":
            status, what, again = aegis.create(_json(body))
            self._answer(status, what, {"Retry-After": again} if again else {})
        elif (found := _SESSION_PATH.fullmatch(self.path)) and found["action"] == "/send":
            self._answer(*aegis.send(found["id"], _json(body)))
        else:
            self._answer(404, {"code": "NOT_FOUND", "error": "Not found"})

    def do_DELETE(self) -> None:
        aegis = self.server.aegis
        if not aegis.authorized(self.headers["Authorization"]):
            self._unauthorized()
        elif aegis.sessions.pop(self.path.removeprefix("/v1/sessions/"), None) is None:
            self._answer(*_error(404, "Session not found"))
        else:
            self._answer(200, {"ok": True})

    def log_message(self, *_: object) -> None:
        """Leave the console to what matters."""

    def _unauthorized(self) -> None:
        self._answer(401, {"code": "UNAUTHORIZED", "error": "Unauthorized"})

    def _answer(self, status: int, what: object, headers: Mapping[str, str] = _NONE) -> None:
        aegis = self.server.aegis
        header = self.headers["Authorization"]
        token = "none" if header is None else "right" if aegis.authorized(header) else "wrong"
        aegis.place.note("request", method=self.command, path=self.path, token=token, status=status)
        body = json.dumps(what).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def main() -> int:
    """``restart DIRECTORY [--config PATH]``: exit with what a restart would. ``keep DIRECTORY``."""
    _, command, directory, *config = sys.argv
    place = Place(Path(directory))
    if config:
        place.settle({**place.settings, "config": config[1]})
    match command:
        case "restart":
            return place.restart(os.getpid())
        case "keep":
            return keep(place)
        case _:
            raise SystemExit(f"no such command: {command}")


if __name__ == "__main__":
    sys.exit(main())
