"""Starts a session on a host and ends it again, as proof that sessions start there at all.

It works in a directory of its own. The gate ends the session and removes the directory, however it
went; a warning names what it could not end or remove.
"""

from __future__ import annotations

import posixpath
import time
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_verdict import (
    NO_CLAUDE,
    SESSION_GONE,
    TRY_CLAUDE,
    RequestContext,
    aegis_words,
)
from aegis_provision.aegis.config_file import failing_variables, session_env_in, syntax_of
from aegis_provision.aegis.session_api import (
    QUOTA_EXCEEDED,
    CreatedSession,
    RefusedRequest,
    ReusedSession,
)
from aegis_provision.aegis.work_directories import first_allowed, session_parents, session_user
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import TransportError
from aegis_provision.rollout.aegis_client import TOO_MANY_REQUESTS
from aegis_provision.rollout.aegis_session_client import (
    LIST_TIMEOUT,
    NOT_FOUND,
    end_session,
    read_sessions,
    seconds_to_wait,
    start_session,
    why_refused,
)
from aegis_provision.rollout.session_steps import (
    READY_TIMEOUT,
    ClaudeState,
    Sent,
    await_claude,
    deliver_prompt,
)
from aegis_provision.rollout.session_work_directory import SessionDirectories
from aegis_provision.rollout.verdicts import REQUEST_TIMEOUT, Blocked, Ok, Unknown
from aegis_provision.transport.http_messages import HttpFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.aegis.identify_server import AegisServer
    from aegis_provision.rollout.aegis_client import AegisClient
    from aegis_provision.rollout.host_connection import HostConnection
    from aegis_provision.rollout.host_job import HostTask
    from aegis_provision.transport.temporary_directory import TemporaryDirectory

_NOT_CHECKED = "whether sessions start was not checked"
_SHORTEST_TIMEOUT = 0.5
_SHORTEST_START = 20.0
"""Seconds that Aegis gets at least to answer: a session of which no answer tells is hard to end."""

_TRIES, _BETWEEN = 3, 2.0
"""How often a session is ended, or looked for, and the seconds between two tries."""

_CLEAN_UP = 45.0
"""Seconds for all of them together: the host holds its batch meanwhile."""

_NO_WORK_DIR = frozenset({"INVALID_WORKDIR", "TENANT_WORKDIR_DENIED"})
"""Codes of a directory in which Aegis takes no session, at least none of the token's tenant."""


def session_gate(
    task: HostTask,
    client: AegisClient,
    connection: HostConnection,
    server: AegisServer | None,
    prompt: str,
) -> SessionGate:
    """Return the gate of the Aegis that reads the file of ``task``; ``server`` if that is known.

    ``prompt`` is what the session is sent, empty for nothing.
    """
    first = first_allowed(task.plan.path, task.file)
    return SessionGate(
        client,
        connection,
        SessionDirectories(connection, session_user(task.file, server)),
        session_parents(first, server.directory if server is not None else None),
        partial(_failing_variables, task, connection),
        prompt,
    )


def _failing_variables(task: HostTask, connection: HostConnection) -> tuple[str, ...]:
    """Return what in the file that is there now makes every session fail."""
    path = task.plan.path
    actual = connection.open().read(connection.deadline, path)
    if actual.file is None:
        return ()
    return failing_variables(session_env_in(actual.file.content, syntax=syntax_of(path)))


@dataclass(slots=True)
class SessionGate:
    """The gate of one host, of which ``client`` has asked the health before.

    ``parents`` are paths in which a directory for the session may be made, best one first;
    ``failing`` returns what in the file there makes every session fail. ``warnings`` collects what
    could not be ended or removed. ``pause`` waits, by the clock ``now``.
    """

    client: AegisClient
    connection: HostConnection
    directories: SessionDirectories
    parents: tuple[str, ...]
    failing: Callable[[], tuple[str, ...]]
    prompt: str = ""
    pause: Callable[[float], object] = time.sleep
    now: Callable[[], float] = time.monotonic
    warnings: list[str] = field(default_factory=list)
    _since: float = 0.0

    def run(self, timeout: float) -> Ok | Unknown | Blocked:
        """Return whether sessions start there; ``timeout`` is in seconds.

        The time does not count against the host's deadline. Raises :class:`TransportError`.
        """
        self._since = time.monotonic()
        until, refused = self.now() + timeout, []
        try:
            for parent in self.parents:
                try:
                    verdict = self._start_in(parent, until)
                except OSError as problem:
                    refused.append(f"{quote(parent)}: {problem.strerror or 'it is refused'}")
                    continue
                if not isinstance(verdict, RefusedRequest):
                    return verdict
                refused.append(f"{quote(parent)}: {aegis_words(verdict.message or verdict.code)}")
        finally:
            self._extend_deadline()
            self.directories.close()
        return Unknown(f"{_NOT_CHECKED}: there is no directory for one ({'; '.join(refused)})")

    def _start_in(self, parent: str, until: float) -> Ok | Unknown | Blocked | RefusedRequest:
        """Start a session in a new directory in ``parent``.

        Returns the refusal where the directory is why there is none; raises ``OSError`` where that
        can't be made.
        """
        directory = self.directories.make(parent)
        try:
            return self._start(directory, until)
        finally:
            self._extend_deadline()
            if not self.directories.remove(directory.path):
                self.warnings.append(
                    f"{directory.path} was made for a session and could not be removed: remove it "
                    "by hand"
                )

    def _start(
        self, directory: TemporaryDirectory, until: float
    ) -> Ok | Unknown | Blocked | RefusedRequest:
        began, name = self.now(), posixpath.basename(directory.path)
        try:
            found = self._ask_for_session(directory.path, name, until)
        except TransportError as problem:
            self._end_lost(name, str(problem))
            raise
        match found:
            case CreatedSession():
                verdict = self._look_at(found.id, name, began, until)
                if isinstance(verdict, Blocked) and not directory.is_theirs:
                    return Unknown(
                        f"{_NOT_CHECKED}: {verdict.message}, and its directory was another user's "
                        "than Aegis'"
                    )
                return verdict
            case ReusedSession():
                return Unknown(
                    f"{_NOT_CHECKED}: Aegis gave a session that was there before "
                    f"({quote(found.name or found.id)})"
                )
            case HttpFailure():
                self._end_lost(name, found.reason)
                if found.cause is None:
                    return Unknown(f"{_NOT_CHECKED}: {found.reason}")
                return Blocked(f"no session starts: {found.reason}", "look at its log on the host")
        return found if found.code in _NO_WORK_DIR else self._refused(found)

    def _refused(self, found: RefusedRequest) -> Unknown | Blocked:
        """Return the verdict where Aegis started none.

        What is wrong with our request, or with our token, says nothing about sessions.
        """
        failed = found.status >= 500
        context = RequestContext(failing=self.failing() if failed else ())
        words = why_refused(found, self.client, context)
        token_refused = found.status == 401 and self.client.token is not None
        if failed or found.status == 422 or token_refused:
            return words
        hint = f" ({words.hint})" if words.hint else ""
        return Unknown(f"{_NOT_CHECKED}: {words.message}{hint}")

    def _ask_for_session(
        self, path: str, name: str, until: float
    ) -> CreatedSession | ReusedSession | RefusedRequest | HttpFailure:
        """Ask for a session; where Aegis was asked too often, again when it says."""
        while True:
            left = max(until - self.now(), _SHORTEST_START)
            found = start_session(self.client, path, name=name, timeout=left)
            again = _retry_after(found)
            if again is None or self.now() + again > until:
                return found
            self.pause(again)

    def _look_at(
        self, session: str, name: str, began: float, until: float
    ) -> Ok | Unknown | Blocked:
        """Return whether Claude runs in ``session``, and takes the prompt; end the session."""
        took, ended = 0.0, False
        try:
            verdict = self._wait_for_claude(session, began, until)
            took = self.now() - began
            if isinstance(verdict, Ok) and self.prompt:
                verdict = self._send_prompt(session, until)
        finally:
            ended = self._end(session, name)
        if not isinstance(verdict, Ok):
            return verdict
        words = f"a session started in {took:.1f} s"
        words += ", took its prompt" if self.prompt else ""
        return Ok(checked=f"{words}, and was ended" if ended else words)

    def _wait_for_claude(self, session: str, began: float, until: float) -> Ok | Unknown | Blocked:
        health = self.client.health(REQUEST_TIMEOUT)
        claude = None if isinstance(health, HttpFailure) else health.claude
        found = await_claude(
            self.client,
            session,
            max(until - self.now(), _SHORTEST_TIMEOUT),
            installed=None if claude is None else claude.available,
            pause=self.pause,
            now=self.now,
        )
        started = "a session was started, and"
        match found.state:
            case ClaudeState.RUNS:
                return Ok()
            case ClaudeState.NOT_FOUND:
                return Unknown(f"{_NOT_CHECKED}: {NO_CLAUDE}")
            case ClaudeState.UNKNOWN:
                return Unknown(
                    f"{started} whether Claude runs in it was not checked: {found.reason}"
                )
            case ClaudeState.DID_NOT_START:
                # Aegis itself has waited, too, before it said that it has started one.
                within = f"within {self.now() - began:.0f} s"
                return Blocked(f"{started} Claude did not start in it {within}", TRY_CLAUDE)
            case ClaudeState.ENDED | ClaudeState.GONE:
                return Blocked(f"{started} Claude ended in it at once", SESSION_GONE.hint)

    def _send_prompt(self, session: str, until: float) -> Ok | Unknown | Blocked:
        timeout = min(max(until - self.now(), _SHORTEST_TIMEOUT), READY_TIMEOUT)
        found = deliver_prompt(
            self.client, session, self.prompt, timeout=timeout, pause=self.pause, now=self.now
        )
        started = "a session started, and"
        not_sent = f"{started} its prompt was not sent:"
        match found.sent:
            case Sent.DELIVERED:
                return Ok()
            case Sent.NOT_DELIVERED:
                return Blocked(
                    f"{started} its prompt did not reach Claude", "look at a session on the host"
                )
            case Sent.NOT_SAID:
                return Unknown(
                    f"{started} whether its prompt reached Claude can't be told: Aegis does not say"
                )
            case Sent.UNKNOWN:
                words = f"whether its prompt reached Claude can't be told: {found.reason}"
                return Unknown(f"{started} {words}")
            case Sent.QUESTION:
                return Unknown(f"{not_sent} it would answer what the session asks ({found.reason})")
            case Sent.NOT_TOLD:
                return Unknown(
                    f"{not_sent} whether the session asks something can't be told: {found.reason}"
                )
            case Sent.NOT_SENT:
                words = f"{not_sent} {found.reason}"
                return Unknown(words) if found.cause is None else Blocked(words)
            case Sent.GONE:
                return Blocked(f"{started} Claude ended in it at once", SESSION_GONE.hint)
            case Sent.REFUSED:
                return _prompt_refused(found.refused)

    def _end(self, identity: str, name: str, until: float | None = None) -> bool:
        """End a session; return whether it was, and warn if not. Raises nothing."""
        until = self.now() + _CLEAN_UP if until is None else until
        reason = ""
        try:
            self._reopen()
            for _ in range(_TRIES):
                left = end_session(self.client, identity, self._step(until, REQUEST_TIMEOUT))
                if left is None or (isinstance(left, RefusedRequest) and left.status == NOT_FOUND):
                    return True
                if isinstance(left, HttpFailure):
                    reason = left.reason
                else:
                    reason = f"Aegis answers with status {left.status}"
                if self.now() + _BETWEEN >= until:
                    break
                self.pause(_BETWEEN)
        except TransportError as problem:
            reason = str(problem)
        self.warnings.append(
            f"the session {identity} ({name}) was started and could not be ended "
            f"({reason}): end it by hand"
        )
        return False

    def _end_lost(self, name: str, reason: str) -> None:
        """End the session called ``name``, of which no response told: it may run all the same."""
        until = self.now() + _CLEAN_UP
        found = self._find(name, until)
        if found is not None:
            self._end(found, name, until)
        else:
            self.warnings.append(
                f"whether a session {name} was started is not known ({reason}): if it is "
                "there, end it by hand"
            )

    def _find(self, name: str, until: float) -> str | None:
        """Return the id of the session called ``name``, ``None`` if it is not found."""
        try:
            self._reopen()
            for _ in range(_TRIES):
                listed = read_sessions(self.client, self._step(until, LIST_TIMEOUT), self.now)
                for session in listed if isinstance(listed, tuple) else ():
                    if session.name == name:
                        return session.id
                if self.now() + _BETWEEN >= until:
                    break
                self.pause(_BETWEEN)
        except TransportError:
            pass
        return None

    def _step(self, until: float, longest: float) -> float:
        """Return how many seconds a step of the clean-up may take; what is begun has a moment."""
        return min(longest, max(until - self.now(), _SHORTEST_TIMEOUT))

    def _reopen(self) -> None:
        """Make sure that there is a connection that answers. Raises :class:`TransportError`."""
        self._extend_deadline()
        self.connection.reopen()

    def _extend_deadline(self) -> None:
        """Let the time since the last call not count against the host's deadline."""
        self.connection.extend_deadline(self._since)
        self._since = time.monotonic()


def _prompt_refused(refused: RefusedRequest | None) -> Unknown | Blocked:
    status, message = (refused.status, refused.message) if refused is not None else (0, "")
    own = f": {aegis_words(message)}" if message else ""
    words = f"a session started, and Aegis did not take its prompt ({status}){own}"
    is_ours = status in {401, 403, TOO_MANY_REQUESTS}
    return Unknown(words) if is_ours else Blocked(words)


def _retry_after(found: object) -> float | None:
    """Return after how many seconds Aegis wants to be asked again, ``None`` if it does not."""
    if not isinstance(found, RefusedRequest) or found.status != TOO_MANY_REQUESTS:
        return None
    return None if found.code == QUOTA_EXCEEDED else seconds_to_wait(found)
