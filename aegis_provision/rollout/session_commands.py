"""One host's sessions: one is started or stopped there, or all are listed, through its Aegis' API.

The host's own file is read first: it may hold the API's token and its port, it says what a session
gets beside its own ``env``, and why Aegis fails where it does.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Generic, TypeAlias

from aegis_provision.aegis.api_address import api_address
from aegis_provision.aegis.api_verdict import (
    DROPPED_FILE,
    NO_CLAUDE,
    SESSION_GONE,
    TRY_CLAUDE,
    RequestContext,
    explain_reuse,
    locked_api,
)
from aegis_provision.aegis.config_file import failing_variables, read_unchecked, syntax_of
from aegis_provision.aegis.file_in_use import FoundFiles
from aegis_provision.aegis.session_api import (
    CreatedSession,
    RefusedRequest,
    ReusedSession,
    is_session_id,
)
from aegis_provision.errors import Unreachable
from aegis_provision.humanize import counted, listed
from aegis_provision.planning.hand_edits import overriding_variables
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.templates import references
from aegis_provision.rollout.aegis_client import AegisClient
from aegis_provision.rollout.aegis_session_client import (
    end_session,
    read_sessions,
    start_session,
    why_failed,
    why_refused,
)
from aegis_provision.rollout.find_server import read_host
from aegis_provision.rollout.session_results import (
    Outcome,
    SessionListing,
    SessionResult,
    SessionStatus,
)
from aegis_provision.rollout.session_steps import (
    ClaudeState,
    Delivery,
    Sent,
    await_claude,
    deliver_prompt,
)
from aegis_provision.rollout.verdicts import REQUEST_TIMEOUT, Blocked, blocked
from aegis_provision.transport.http_messages import HttpFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.aegis.sessions import RunningSession
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_NO_PLACES: Mapping[str, str] = {}
_NOT_KNOWN = frozenset({400, 404})
_MOST_NAMED = 5
_LOOK_AGAIN = "look at the session before you send again"


@dataclass(frozen=True, slots=True)
class WantedSession:
    """The session to start on each host: where, under which name, and with which first prompt.

    ``name`` is empty for Aegis' own choice, ``prompt`` for none. ``claude_timeout`` is how many
    seconds Claude may take to come up. ``places`` says for each host where each field of the
    request came from (:class:`RequestContext`).
    """

    work_dir: str
    name: str = ""
    prompt: str = ""
    claude_timeout: float = 60.0
    places: Mapping[str, Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class ActionResult(Generic[Outcome]):
    """How the action on a host ended; ``secrets`` are those of its file, to be masked in it."""

    outcome: Outcome
    secrets: tuple[str, ...] = field(default=(), repr=False)


SessionAction: TypeAlias = "Callable[[HostJob, HostSession, Deadline], ActionResult[Outcome]]"
"""Does one host's work over an open session. Raises :class:`Unreachable`."""


@dataclass(frozen=True, slots=True)
class _Api:
    """A host's API, open: ``config`` is its file without checks, ``None`` where there is none."""

    client: AegisClient
    config: ConfigFile | None
    context: RequestContext
    secrets: tuple[str, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the session variables in the host's file."""
        return self.config.session_env if self.config is not None else {}


def start_on_host(wanted: WantedSession) -> SessionAction[SessionResult]:
    """Return what starts ``wanted`` on a host, with the job's session variables as its ``env``."""

    def action(
        job: HostJob, session: HostSession, deadline: Deadline
    ) -> ActionResult[SessionResult]:
        places = (wanted.places or {}).get(job.host.name, _NO_PLACES)
        api = _open_api(job, session, deadline, places)
        return ActionResult(_Start(job, wanted, api).result(), api.secrets)

    return action


def list_on_host(
    job: HostJob, session: HostSession, deadline: Deadline
) -> ActionResult[SessionListing]:
    """List the sessions of a host."""
    api = _open_api(job, session, deadline)
    return ActionResult(_listing(job.host.name, api), api.secrets)


def stop_on_host(wanted: str) -> SessionAction[SessionResult]:
    """Return what ends the session whose id is ``wanted``, or begins with it as no other's does."""

    def action(
        job: HostJob, session: HostSession, deadline: Deadline
    ) -> ActionResult[SessionResult]:
        api = _open_api(job, session, deadline)
        return ActionResult(_stop(job, wanted, api), api.secrets)

    return action


def _open_api(
    job: HostJob, session: HostSession, deadline: Deadline, places: Mapping[str, str] = _NO_PLACES
) -> _Api:
    """Read the host's file and return its API. A file that can't be read is no failure."""
    host = job.host
    actual, server = read_host(host, session, deadline)
    config = None
    if actual.file is not None:
        config = read_unchecked(actual.file.content, syntax=syntax_of(actual.path))
    found = server.server if isinstance(server, FoundFiles) else None
    address = api_address(host.service.api if host.names_api else None, found, config)
    own_tokens = (config.auth_token, config.client_auth_token) if config else ()
    client = AegisClient.of(
        host,
        (job.api_token, *own_tokens),
        address,
        session.request,
        locked=config is not None and config.auth_token is not None,
    )
    allowed = config.root.get("allowedWorkDirs") if config else None
    # A session's own values go before the file's, right or wrong.
    own = config.session_env if config else {}
    left = {name: value for name, value in own.items() if name not in job.session.values}
    context = RequestContext(
        places,
        failing=failing_variables(left),
        work_dirs=tuple(item for item in allowed if isinstance(item, str))
        if isinstance(allowed, list)
        else (),
        unread=actual.problem.value.replace("_", " ") if actual.problem is not None else "",
        sent=frozenset(job.session.values),
    )
    secrets = config.secrets() if config else ()
    return _Api(client, config, context, secrets)


def _check(api: _Api) -> Health | Blocked:
    """Return the health of the server, or why it can't be asked any further."""
    client = api.client
    health = client.health(REQUEST_TIMEOUT)
    if isinstance(health, HttpFailure):
        return why_failed(health, client)
    return blocked(locked_api(client.access, api.context)) if client.refused else health


def _token_warnings(job: HostJob, client: AegisClient) -> tuple[str, ...]:
    """Return that the inventory's token is wrong, where another one opens the API."""
    setting, taken = job.host.service.api_token, client.token
    if setting is None or taken is None or job.api_token in (None, taken):
        return ()
    names = (item.name for item in references(str(setting.value)))
    place = listed((*dict.fromkeys(names), str(setting.span)))
    return (f"api_token ({place}) is not taken by the API; the {taken.origin} is",)


def _dropped(client: AegisClient) -> bool:
    """Tell whether Aegis runs without its file: then no token is needed, although it has one."""
    return client.locked and client.answers_without_token(REQUEST_TIMEOUT) is True


@dataclass(frozen=True, slots=True)
class _Start:
    """A session that is being started on a host."""

    job: HostJob
    wanted: WantedSession
    api: _Api

    def result(self) -> SessionResult:
        """Start it and see that Claude runs in it; then give it its prompt."""
        health = _check(self.api)
        if isinstance(health, Blocked):
            return self._failed(health)
        refusal = self._foreign_variables()
        if _dropped(self.api.client):
            refusal = blocked(DROPPED_FILE)
        if refusal is not None:
            return self._failed(refusal)
        match self._create():
            case HttpFailure() as failure:
                return self._failed(self._lost(failure))
            case RefusedRequest() as refused:
                return self._failed(why_refused(refused, self.api.client, self.api.context))
            case ReusedSession(session):
                stop = _stop_command(self.job.host.name, session)
                return self._failed(blocked(explain_reuse(session, self.api.context, stop)))
            case CreatedSession() as created:
                return self._started(created, health)

    def _started(self, created: CreatedSession, health: Health) -> SessionResult:
        result = SessionResult(
            self.job.host.name,
            SessionStatus.STARTED,
            created.id,
            created.name,
            self.wanted.work_dir,
            warnings=self._warnings(),
        )
        try:
            return self._with_prompt(self._with_claude(result, health))
        except Unreachable as lost:
            words = f"the connection was lost once it was started: {lost}"
            return self._still_there(result, words, lost.hint or "look at the session there")

    def _create(self) -> CreatedSession | ReusedSession | RefusedRequest | HttpFailure:
        wanted = self.wanted
        try:
            return start_session(
                self.api.client, wanted.work_dir, name=wanted.name, env=self.job.session.values
            )
        except Unreachable as lost:
            reason = f"{lost.reason}; whether a session was started can't be told"
            hint = f"look for it with {_list_command(self.job.host.name)}"
            raise Unreachable(lost.step, reason, hint) from None

    def _with_claude(self, result: SessionResult, health: Health) -> SessionResult:
        installed = None if health.claude is None else health.claude.available
        timeout = self.wanted.claude_timeout
        found = await_claude(self.api.client, result.id, timeout, installed=installed)
        match found.state:
            case ClaudeState.RUNS:
                return result
            case ClaudeState.GONE:
                return self._gone(result)
            case ClaudeState.UNKNOWN:
                reason = f"whether Claude runs in it was not checked: {found.reason}"
                return self._unproved(result, reason)
            case ClaudeState.NOT_FOUND:
                reason = f"whether Claude runs in it can't be told: {NO_CLAUDE}"
                return self._unproved(result, reason)
            case ClaudeState.ENDED:
                return self._still_there(result, "Claude ended in it at once", TRY_CLAUDE)
            case ClaudeState.DID_NOT_START:
                words = f"Claude did not start in it within {timeout:g} s"
                return self._still_there(result, words, TRY_CLAUDE)

    def _unproved(self, result: SessionResult, reason: str) -> SessionResult:
        if self.wanted.prompt:
            # A shell may be what runs there, and it would run the prompt.
            words = f"the prompt was not sent, as {reason}"
            return self._still_there(result, words, "send it by hand once Claude runs there")
        return replace(result, warnings=(*result.warnings, reason))

    def _with_prompt(self, result: SessionResult) -> SessionResult:
        if not result.ok or not self.wanted.prompt:
            return result
        delivery = deliver_prompt(self.api.client, result.id, self.wanted.prompt)
        match delivery.sent:
            case Sent.DELIVERED:
                return result
            case Sent.GONE:
                return self._gone(result)
            case Sent.NOT_SAID:
                words = "whether the prompt arrived can't be told: Aegis does not say"
                return replace(result, warnings=(*result.warnings, words))
        return self._still_there(result, *self._not_delivered(delivery))

    def _not_delivered(self, delivery: Delivery) -> tuple[str, str]:
        """Return why the prompt is not with Claude, and what to do."""
        match delivery.sent:
            case Sent.QUESTION:
                words = f"it would answer what the session asks ({delivery.reason})"
                hint = "answer it on the host, and send it by hand"
            case Sent.NOT_TOLD:
                words = f"whether the session asks something can't be told: {delivery.reason}"
                hint = "look at the session on the host, and send it by hand"
            case Sent.NOT_DELIVERED:
                return "Aegis says that the prompt was not delivered", _LOOK_AGAIN
            case Sent.REFUSED if delivery.refused is not None:
                why = why_refused(delivery.refused, self.api.client, self.api.context)
                words, hint = why.message, why.hint
            case Sent.NOT_SENT:
                words, hint = delivery.reason, "send it by hand"
            case _:
                return f"whether the prompt arrived can't be told: {delivery.reason}", _LOOK_AGAIN
        return f"the prompt was not sent: {words}", hint

    def _gone(self, result: SessionResult) -> SessionResult:
        return replace(self._failed(blocked(SESSION_GONE)), name=result.name)

    def _failed(self, why: Blocked) -> SessionResult:
        return SessionResult(
            self.job.host.name,
            SessionStatus.FAILED,
            work_dir=self.wanted.work_dir,
            message=why.message,
            hint=why.hint,
            warnings=_token_warnings(self.job, self.api.client),
        )

    def _still_there(self, result: SessionResult, message: str, hint: str) -> SessionResult:
        """Return the failure of a session that was started and goes on."""
        return replace(
            result,
            status=SessionStatus.FAILED,
            message=f"{message}; the session is still there",
            hint=f"{hint}; end it with {_stop_command(self.job.host.name, result.id)}",
        )

    def _foreign_variables(self) -> Blocked | None:
        """Return why the session would follow the host's own variables rather than its provider."""
        names = overriding_variables(self.api.environment, self.job.session.values)
        if not names:
            return None
        given = " ".join(f"{self.api.context.env} {name}=..." for name in names)
        removed = ", ".join(f"{name}: null" for name in names)
        return Blocked(
            f"the session would follow {listed(names)} of the host's own file, and not its "
            "provider: Aegis merges the two",
            f"say {given}; or take it out of the host's file: 'env: {{{removed}}}' in the "
            "inventory, then apply and restart Aegis",
        )

    def _warnings(self) -> tuple[str, ...]:
        kept = [name for name in self.job.session.spec.removed if name in self.api.environment]
        words = (
            f"the session has {listed(kept)} of the host's own file: a variable can't be removed "
            "for one session"
        )
        warnings = _token_warnings(self.job, self.api.client)
        return (*warnings, words) if kept else warnings

    def _lost(self, failure: HttpFailure) -> Blocked:
        if failure.cause in {None, ConnectFailure.NOT_LISTENING}:
            return why_failed(failure, self.api.client)
        return Blocked(
            f"whether a session was started can't be told: {failure.reason}",
            f"look for it with {_list_command(self.job.host.name)}",
        )


def _listing(host: str, api: _Api) -> SessionListing:
    health = _check(api)
    if isinstance(health, Blocked):
        return SessionListing(host, SessionStatus.FAILED, message=health.message, hint=health.hint)
    sessions = _sessions(api)
    if isinstance(sessions, Blocked):
        return SessionListing(
            host, SessionStatus.FAILED, message=sessions.message, hint=sessions.hint
        )
    unlisted = None if health.active is None else max(0, health.active - len(sessions))
    return SessionListing(host, SessionStatus.LISTED, sessions, unlisted, health.now)


def _sessions(api: _Api) -> tuple[RunningSession, ...] | Blocked:
    found = read_sessions(api.client)
    if isinstance(found, HttpFailure):
        return why_failed(found, api.client)
    if isinstance(found, RefusedRequest):
        return why_refused(found, api.client, api.context)
    return found


def _stop(job: HostJob, wanted: str, api: _Api) -> SessionResult:
    """End the session that ``wanted`` means.

    One that the token does not show may be ended all the same, by its whole id: Aegis decides.
    """
    host = job.host.name
    failed = SessionResult(host, SessionStatus.FAILED)
    health = _check(api)
    if isinstance(health, Blocked):
        return replace(failed, message=health.message, hint=health.hint)
    sessions = _sessions(api)
    if isinstance(sessions, Blocked):
        return replace(failed, message=sessions.message, hint=sessions.hint)
    meant = _meant(sessions, wanted)
    if len(meant) > 1:
        names = listed((item.id for item in meant), most=_MOST_NAMED)
        return replace(
            failed,
            message=f"{counted(len(meant), 'session')} there begin with {wanted}: {names}",
            hint="say more of the id",
        )
    session, name, work_dir = wanted, "", ""
    if meant:
        session, name, work_dir = meant[0].id, meant[0].name, meant[0].work_dir
    end = end_session(api.client, session)
    if end is None:
        warnings = _token_warnings(job, api.client)
        return SessionResult(
            host, SessionStatus.STOPPED, session, name, work_dir, warnings=warnings
        )
    if isinstance(end, HttpFailure):
        words = f"whether the session was stopped can't be told: {end.reason}"
        return replace(failed, message=words, hint=f"see with {_list_command(host)}")
    if end.status in _NOT_KNOWN:
        return replace(
            failed,
            message=f"no session there is called {wanted}",
            hint=f"list them with {_list_command(host)}",
        )
    why = why_refused(end, api.client, api.context)
    return replace(failed, id=session, message=why.message, hint=why.hint)


def _meant(sessions: Sequence[RunningSession], wanted: str) -> list[RunningSession]:
    exact = [item for item in sessions if item.id == wanted]
    return exact or [
        item for item in sessions if item.id.startswith(wanted) and is_session_id(item.id)
    ]


def _stop_command(host: str, session: str) -> str:
    return f"'aegis-provision session stop {host} {session}'"


def _list_command(host: str) -> str:
    return f"'aegis-provision session list {host}'"
