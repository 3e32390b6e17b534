"""What a host must pass on its way: no running session, a healthy server, a willing provider.

Rules of Aegis' API are those of the contract, section 6.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.aegis.api import (
    HEALTH_PATH,
    SESSIONS_PATH,
    active_sessions,
    dropped_config,
    parse_health,
)
from aegis_provision.humanize import counted
from aegis_provision.playbook.plays import Sessions
from aegis_provision.providers.probe_verdict import (
    ConnectFailure,
    Reply,
    TokenSource,
    Wanted,
    connect_failure_verdict,
    models_url,
    native_models_url,
    overriding_variable,
    probe_verdict,
    settles,
)
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session import VARIABLE_OF
from aegis_provision.providers.templates import references
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from aegis_provision.aegis.api import Health
    from aegis_provision.providers.probe_verdict import Verdict
    from aegis_provision.providers.session import Session
    from aegis_provision.transport.http_messages import HttpResponse

    class Ask(Protocol):
        """Asks one HTTP question from the host's point of view."""

        def __call__(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
            """Return the answer within ``timeout`` seconds. Raises ``Unreachable``."""
            ...

    class Pause(Protocol):
        """Waits, and is cut short when the operator wants to stop."""

        def __call__(self, seconds: float) -> bool:
            """Wait for ``seconds``; tell whether to go on."""
            ...


_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
_ONE_QUESTION = 10.0
_SHORTEST_QUESTION = 1.0
_SESSIONS_EVERY = 3.0
_UNKNOWN_WAIT = 10.0
_ROUNDING = 1.5
_TOO_OFTEN = 429  # it answers one address 60 times a minute
_LOCKED_OUT = frozenset({401, 403})
_ASKED_WITH = ("base_url", "auth_token", "model", "fast_model")
_NAMES_DEPLOYMENTS = "azure-openai"


@dataclass(frozen=True, slots=True)
class Ok:
    """The gate is open; ``warnings`` are worth showing, ``checked`` says what was found."""

    warnings: tuple[str, ...] = ()
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The gate is closed: why, and what to do next."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AegisApi:
    """Aegis' API on one host.

    ``address`` is ``HOST:PORT`` as the host sees it. ``token`` opens it; ``locked`` says that the
    file holds an ``authToken``, so that a server which read it answers nobody without.
    """

    address: str
    token: Secret | None = field(repr=False)
    locked: bool

    def question(self, path: str, *, with_token: bool = True) -> HttpRequest:
        """Return the question for ``path``."""
        return HttpRequest(f"http://{self.address}{path}", self.token if with_token else None)


def get_health(api: AegisApi, ask: Ask, timeout: float) -> Health | HttpFailure:
    """Ask for ``/v1/health``."""
    answer = ask(api.question(HEALTH_PATH), timeout)
    if isinstance(answer, HttpFailure):
        return answer
    if answer.status == _TOO_OFTEN:
        return HttpFailure(ConnectFailure.TIMED_OUT, "Aegis was asked for its health too often")
    health = parse_health(answer.status, answer.body)
    return health or HttpFailure(ConnectFailure.NOT_HTTP, "what answers there is not Aegis")


def wait_for_idle(
    api: AegisApi,
    ask: Ask,
    policy: Sessions,
    limit: float,
    *,
    pause: Pause,
    tell: Callable[[int], None],
) -> Ok | Blocked:
    """Return once no session is running, or why a restart must not be done.

    ``limit`` is how many seconds to wait at most; ``tell`` hears how many sessions are running
    whenever that changes. Where nothing listens there is no session to lose; where it can't be
    told how many there are, nothing is restarted, and a token that the API does not take is not
    waited for.
    """
    if policy is Sessions.IGNORE:
        return Ok()
    began, known = time.monotonic(), 0
    while True:
        running = _running_sessions(api, ask)
        if running == 0:
            return Ok()
        # Waiting ends sessions, and hardly ever an ignorance.
        longest = limit if isinstance(running, int) else min(limit, _UNKNOWN_WAIT)
        left = began + longest - time.monotonic()
        if isinstance(running, int):
            if policy is Sessions.REFUSE:
                return Blocked(
                    f"{_sessions(running)} running there",
                    "apply again when they are done, or restart it by hand",
                )
            if running != known:
                tell(running)
                known = running
        hopeless = isinstance(running, _Unknown) and not running.passing
        if policy is Sessions.REFUSE or left <= 0 or hopeless:
            return _still(running, limit)
        if not pause(min(_SESSIONS_EVERY, left)):
            return Blocked(
                "the run was stopped while it waited for sessions to end",
                "apply again when they are done, or restart it by hand",
            )


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Why it can't be told how many sessions are running, and whether waiting may help."""

    words: str
    passing: bool = True


def _running_sessions(api: AegisApi, ask: Ask) -> int | _Unknown:
    """Return how many sessions are running, or why that can't be told."""
    health = get_health(api, ask, _ONE_QUESTION)
    if isinstance(health, HttpFailure):
        if health.why is ConnectFailure.NOT_LISTENING:
            return 0
        return _Unknown(health.words, passing=health.why is not None)
    if health.active is not None:
        return health.active
    answer = ask(api.question(SESSIONS_PATH), _ONE_QUESTION)
    if isinstance(answer, HttpFailure):
        return _Unknown(answer.words)
    listed = active_sessions(answer.status, answer.body)
    if listed is not None:
        return listed
    if answer.status in _LOCKED_OUT:
        return _Unknown("the API does not take the token", passing=False)
    return _Unknown("the API does not list them")


def _still(running: int | _Unknown, limit: float) -> Blocked:
    if isinstance(running, int):
        return Blocked(
            f"{_sessions(running)} still running after {limit:g} s of waiting",
            "apply again when they are done, or restart it by hand",
        )
    return Blocked(
        f"whether sessions are running can't be told: {running.words}",
        "set api and api_token, or say 'sessions: ignore'",
    )


def _sessions(count: int) -> str:
    return f"{counted(count, 'session')} {'is' if count == 1 else 'are'}"


def wait_for_health(
    api: AegisApi, ask: Ask, timeout: float, *, restarted: float | None, pause: Pause
) -> Ok | Blocked:
    """Return once the server is healthy and runs on its file, or what is wrong with it.

    ``restarted`` is when its restart began (``time.monotonic``), ``None`` where there was none.
    A server that answers without a token although its file holds one has dropped the file: no
    waiting brings it back.
    """
    until, wait = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        left = until - time.monotonic()
        verdict = _look(api, ask, max(0.5, min(_ONE_QUESTION, left)), restarted)
        if not isinstance(verdict, str):
            return verdict
        left = until - time.monotonic()
        if left <= 0:
            return Blocked(
                f"Aegis is not healthy {timeout:g} s after its restart: {verdict}"
                if restarted is not None
                else f"Aegis is not healthy: {verdict}",
                "look at its log on the host",
            )
        pause(min(wait, left))
        wait = min(wait * 1.6, _LONGEST_WAIT)


def _look(api: AegisApi, ask: Ask, timeout: float, restarted: float | None) -> Ok | Blocked | str:
    """Look once: a verdict, or what to wait for."""
    health = get_health(api, ask, timeout)
    if isinstance(health, HttpFailure):
        if health.why is None:
            return Ok((f"its health was not checked: {health.words}",))
        return f"{health.words} ({api.address})"
    if restarted is not None and _is_older(health, restarted):
        return "the server that answers is the one from before the restart"
    if api.locked:
        answer = ask(api.question(SESSIONS_PATH, with_token=False), timeout)
        if isinstance(answer, HttpFailure):
            return answer.words
        if dropped_config(answer.status):
            return Blocked(
                "Aegis dropped its file: its API answers without a token",
                "look at its log for why, and whether it can read the file",
            )
    if health.status != "ok":
        return f"it says it is {health.status}"
    if api.token is not None and health.uptime is None:
        return "its API does not take the token"
    if restarted is not None and health.uptime is None:
        return Ok(("that it was restarted was not checked: its API's token is not known",))
    return Ok()


def _is_older(health: Health, restarted: float) -> bool:
    return health.uptime is not None and health.uptime > (time.monotonic() - restarted + _ROUNDING)


def probe_provider(session: Session, ask: Ask, timeout: float, *, pause: Pause) -> Ok | Blocked:
    """Ask the provider for its models, with the host's token, from where the host is.

    They are asked for in OpenAI's form, and where that does not settle it in Anthropic's. What may
    pass by itself is asked again until ``timeout`` seconds are over.
    """
    if not {VARIABLE_OF[key] for key in _ASKED_WITH} <= session.values.keys():
        return Ok(("the provider was not asked: the file does not name one in full",))
    until, wait = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        left = until - time.monotonic()
        verdict = _probe(session, ask, max(_SHORTEST_QUESTION, min(_ONE_QUESTION, left)))
        if isinstance(verdict, Ok):
            return verdict
        left = until - time.monotonic()
        if verdict.ok:
            return Ok(verdict.warnings, verdict.checked)
        if not verdict.passing or left <= 0:
            return Blocked(verdict.message, verdict.hint)
        pause(min(wait, left))
        wait = min(wait * 1.6, _LONGEST_WAIT)


def _probe(session: Session, ask: Ask, timeout: float) -> Ok | Verdict:
    wanted = _wanted(session)
    value = session.values[VARIABLE_OF["auth_token"]]
    token = value if isinstance(value, Secret) else None
    answer = ask(HttpRequest(models_url(wanted.base_url), token), timeout)
    if isinstance(answer, HttpFailure):
        if answer.why is None:
            return Ok((f"the provider was not asked: {answer.words}",))
        return connect_failure_verdict(
            answer.why,
            base_url=wanted.base_url,
            base_url_variable=wanted.base_url_variable,
            seconds=timeout,
        )
    first, second = _reply(answer), None
    if not settles(first, wanted):
        left = max(_SHORTEST_QUESTION, timeout - answer.seconds)
        native = HttpRequest(native_models_url(wanted.base_url), token, native=True)
        other = ask(native, left)
        second = None if isinstance(other, HttpFailure) else _reply(other)
    return probe_verdict(first, second, wanted)


def _reply(answer: HttpResponse) -> Reply:
    return Reply(answer.status, answer.body, answer.seconds, answer.location)


def _wanted(session: Session) -> Wanted:
    return Wanted(
        base_url=_text(session, "base_url"),
        model=_text(session, "model"),
        fast_model=_text(session, "fast_model"),
        base_url_variable=overriding_variable(_template(session, "base_url")),
        checks_models=_NAMES_DEPLOYMENTS not in session.spec.lineage,
        token=_token_source(session),
    )


def _token_source(session: Session) -> TokenSource:
    name = VARIABLE_OF["auth_token"]
    variable = next((item for item in session.spec.variables if item.name == name), None)
    if variable is None:
        return TokenSource()
    return TokenSource(
        tuple(dict.fromkeys(item.name for item in references(variable.template))),
        "" if variable.from_recipe else str(variable.span),
        stand_in=name in session.by_default,
    )


def _text(session: Session, key: str) -> str:
    value = session.values[VARIABLE_OF[key]]
    if isinstance(value, Secret):
        raise TypeError(f"{key} is no secret")
    return value


def _template(session: Session, key: str) -> str:
    templates = {item.name: item.template for item in session.spec.variables}
    return templates.get(VARIABLE_OF[key], "")
