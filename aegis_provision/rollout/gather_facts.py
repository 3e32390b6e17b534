"""Gathers the facts of many hosts at once, for doctor. Nothing is written, on no host and not here.

What was seen becomes checks in :mod:`aegis_provision.diagnosis.host_checks`.
"""

from __future__ import annotations

import posixpath
import re
import time
from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_address import api_address
from aegis_provision.aegis.config_file import ConfigFile
from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.aegis.remote_state import ReadProblem
from aegis_provision.diagnosis.checks import HostCheck
from aegis_provision.diagnosis.host_checks import checks_of, refused_input
from aegis_provision.diagnosis.host_facts import (
    ApiFacts,
    ApiFailure,
    ClockFacts,
    Fault,
    HostFacts,
    LockFacts,
    LoginFacts,
    SpaceFacts,
)
from aegis_provision.errors import Stage, Unreachable
from aegis_provision.humanize import escape_control
from aegis_provision.inventory.host import AUTO_PATH
from aegis_provision.planning.receipts import validate
from aegis_provision.rollout.aegis_client import AegisClient, AskedTooOften
from aegis_provision.rollout.events import HostDiagnosed
from aegis_provision.rollout.find_server import ask_server, find_server, read_host
from aegis_provision.rollout.host_work import HostReader
from aegis_provision.rollout.planner import read_fleet
from aegis_provision.rollout.provider_checks import provider_checks
from aegis_provision.transport.data_dir import data_dir
from aegis_provision.transport.deadline import Deadline, deadline_expired
from aegis_provision.transport.file_attributes import attributes_command, parse_attributes
from aegis_provision.transport.http_messages import HttpFailure
from aegis_provision.transport.remote_read import READ_STEP
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.aegis.file_in_use import FoundFiles
    from aegis_provision.aegis.identify_server import AegisServer, UnknownServer
    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.diagnosis.input_checks import InputFindings
    from aegis_provision.planning.receipts import Receipt, RejectedReceipt
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_work import Executor
    from aegis_provision.transport.host_session import HostSession

_REQUEST_TIMEOUT = 5.0
_COMMAND_TIMEOUT = 10.0
_PROVIDER_TIMEOUT = 15.0
_MOST_PROVIDER_QUESTIONS = 6
"""The list with the token, its two forms in the time of one, and without it; what Claude Code calls
twice with the token, and once without it; the chat."""
_CLOCK = "date +%s"
_SECONDS = re.compile(rb"^([0-9]{9,11})\r?$", re.MULTILINE)
_ROOT = 0


@dataclass(frozen=True, slots=True)
class HostDiagnosis:
    """What was found on a host; ``secrets`` are those in its file, which must be masked in it."""

    found: HostChecks
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def host(self) -> str:
        """Return the host's name."""
        return self.found.host


@dataclass(frozen=True, slots=True)
class FactsReader(HostReader[HostDiagnosis]):
    """Looks at a host for doctor; ``findings`` are what is wrong in what the operator gives for it.

    With ``probe`` the provider is asked, with its token.
    """

    findings: InputFindings
    probe: bool

    def read(self, job: HostJob, session: HostSession, deadline: Deadline) -> HostDiagnosis:
        """Return what is found on the host. Raises :class:`Unreachable`."""
        return _FactGatherer(job, self.findings, session, deadline, probe=self.probe).diagnosis()

    def unreachable(self, job: HostJob, problem: Unreachable) -> HostDiagnosis:
        """Return what is known of a host that could not be reached."""
        stage = problem.stage or Stage.PORT
        at_bastion = problem.step.startswith("bastion ")
        reason = str(problem) if at_bastion else problem.reason
        facts = HostFacts(job.host, job.session, fault=Fault(stage, reason, problem.hint))
        return HostDiagnosis(_shown(checks_of(facts)))


def diagnose_fleet(
    jobs: Sequence[HostJob],
    findings: Mapping[str, InputFindings],
    executor: Executor,
    emit: Emit,
    *,
    probe: bool,
) -> tuple[HostChecks, ...]:
    """Look at every host and return its checks, in the order of ``jobs``.

    ``findings`` maps hosts to what is wrong in what the operator gives for them. A host's failure
    is one of its checks, never an exception. With ``probe`` the provider is asked, with its token.
    """
    found = read_fleet(
        jobs,
        executor,
        emit,
        lambda host: FactsReader(findings[host], probe),
        event=lambda diagnosis: HostDiagnosed(diagnosis.found),
    )
    return tuple(diagnosis.found for diagnosis in found)


def _shown(checks: HostChecks) -> HostChecks:
    """Return checks whose text drives no terminal: some of it comes from the host."""
    return replace(
        checks,
        checks=tuple(
            replace(item, message=escape_control(item.message), remedy=escape_control(item.remedy))
            for item in checks.checks
        ),
    )


def _written_at(actual: RemoteState | None) -> tuple[str, ...]:
    """Return the paths that a write changes, the file first; its directory counts, too."""
    if actual is None or actual.directory is None:
        return ()
    around = posixpath.dirname(actual.path), data_dir(actual.path)
    return around if actual.file is None else (actual.path, *around)


@dataclass(slots=True)
class _FactGatherer:
    """Gathers the facts of one host, over one connection, until something ends it."""

    job: HostJob
    findings: InputFindings
    session: HostSession
    deadline: Deadline
    probe: bool

    def diagnosis(self) -> HostDiagnosis:
        logged_in = self.session.logged_in
        login = LoginFacts(
            logged_in.user, logged_in.key, logged_in.through, self.session.extensions
        )
        facts = HostFacts(
            self.job.host, self.job.session, login=login, input_checks=self.findings.checks
        )
        # Each with the first of the checks that it is about.
        steps = {
            HostCheck.DIRECTORY: self._with_files,
            HostCheck.FREE_SPACE: self._with_space,
            HostCheck.CLOCK: self._with_clock,
            HostCheck.LOCK: self._with_lock,
            HostCheck.AEGIS: self._with_api,
            HostCheck.PROVIDER: self._with_provider,
        }
        for check, step in steps.items():
            try:
                if self.deadline.expired():
                    raise deadline_expired(check)
                facts = step(facts)
            except Unreachable as problem:
                # The connection holds where only the file can't be read.
                at = HostCheck.FILE if problem.step == READ_STEP else check
                facts = replace(facts, fault=Fault(at, problem.reason, problem.hint))
                break
        config = facts.config
        secrets = config.secrets() if config is not None else ()
        return HostDiagnosis(_shown(checks_of(facts)), secrets)

    def _with_files(self, facts: HostFacts) -> HostFacts:
        host, session, deadline = self.job.host, self.session, self.deadline
        actual, server = read_host(host, session, deadline, ask=False)
        actual = replace(actual, login=session.login(deadline))
        receipt: Receipt | RejectedReceipt | None = None
        found: FoundFiles | UnknownServer | AegisServer | None = server
        if actual.problem is None:
            receipt = validate(actual.receipt, actual)
            if server is None and host.tells_server:
                found = ask_server(host, session, deadline, actual.path, actual.file)
        elif server is None and host.tells_server and host.target.config_path != AUTO_PATH:
            found = find_server(host, session, deadline)
        recorded = actual.path in self.job.pending_restarts
        return replace(
            facts, actual=actual, server=found, receipt=receipt, restart_recorded=recorded
        )

    def _with_space(self, facts: HostFacts) -> HostFacts:
        actual = facts.actual
        if actual is None or actual.directory is None:
            return facts
        found = self.session.space(actual.path, self.deadline)
        if found is None:
            why = "the host's SFTP server does not tell (statvfs@openssh.com)"
            return replace(facts, space=why)
        available, files = found.available, found.files
        if actual.login is not None and actual.login.uid == _ROOT:
            available, files = found.free, found.free_files
        return replace(facts, space=SpaceFacts(available, files, found.read_only))

    def _with_clock(self, facts: HostFacts) -> HostFacts:
        """Ask for the time, and for the attributes of the file and of what is around it."""
        paths = _written_at(facts.actual)
        if facts.is_local:
            return replace(facts, attributes=self.session.attributes(paths, self.deadline))
        clock, attributes = self._clock(paths)
        return replace(facts, clock=clock, attributes=attributes)

    def _clock(self, paths: Sequence[str]) -> tuple[ClockFacts | str, Mapping[str, str]]:
        """Return how far apart the clocks are: the host's answer was true at some moment between.

        ``date`` cuts off what is less than a second. The attributes of ``paths`` come with it.
        """
        before, began = time.time(), time.monotonic()
        limit = Deadline.after(min(_COMMAND_TIMEOUT, self.deadline.remaining()))
        try:
            end = self.session.run(f"{_CLOCK} && {{ {attributes_command(paths)}; true; }}", limit)
        except Unreachable:
            if not self.session.alive(self.deadline):
                raise
            return NO_COMMANDS, {}
        after = before + time.monotonic() - began
        if end.status is None:
            return "the host did not tell in time", {}
        told = _SECONDS.search(end.output)
        if end.status != 0 or told is None:
            return NO_COMMANDS, {}
        seconds = int(told[1])
        attributes = parse_attributes(end.output, paths)
        return ClockFacts(seconds - after, seconds + 1 - before), attributes

    def _with_lock(self, facts: HostFacts) -> HostFacts:
        if facts.actual is None or facts.actual.directory is None:
            return facts
        found = self.session.found_lock(facts.actual.path, self.deadline)
        if found is None:
            return facts
        if isinstance(found, ReadProblem):
            return replace(facts, lock="our directory there may not be looked into")
        now = time.time()
        if isinstance(facts.clock, ClockFacts):
            now += facts.clock.skew
        lock = LockFacts(found.holder, found.since, found.seconds_left(now))
        return replace(facts, lock=lock)

    def _with_api(self, facts: HostFacts) -> HostFacts:
        facts = replace(facts, api=self._api(facts))
        actual, answers = facts.actual, facts.api is not None and facts.api.answers
        if facts.server is not None or actual is None or actual.problem is not None or not answers:
            return facts
        # The inventory says nothing of an Aegis there, and one answers: perhaps it is the host's.
        server = ask_server(self.job.host, self.session, self.deadline, actual.path, actual.file)
        return replace(facts, server=server)

    def _api(self, facts: HostFacts) -> ApiFacts:
        host = self.job.host
        config = facts.config if isinstance(facts.config, ConfigFile) else None
        set_api = host.service.api if host.names_api else None
        where = api_address(set_api, facts.process, config)
        own = (config.auth_token, config.client_auth_token) if config is not None else ()
        client = AegisClient.of(
            host,
            (self.job.api_token, *own),
            where,
            self.session.request,
            locked=config is not None and config.has_auth_token,
        )
        health = client.health(self._seconds())
        unset = self.findings.unset_api_token
        if isinstance(health, HttpFailure):
            too_often = isinstance(health, AskedTooOften)
            wait = health.wait if isinstance(health, AskedTooOften) else None
            answer = ApiFailure(health.cause, health.reason, too_often=too_often, wait=wait)
            return ApiFacts(where.address, answer, unset=unset, contradiction=where.warning)
        is_open = client.answers_without_token(self._seconds())
        named = self.job.api_token is not None and client.token is not self.job.api_token
        return ApiFacts(
            where.address,
            health,
            is_open,
            client.access.taken,
            client.refused,
            unset,
            self.findings.api_token if named else "",
            where.warning,
        )

    def _seconds(self) -> float:
        return min(_REQUEST_TIMEOUT, self.deadline.remaining())

    def _with_provider(self, facts: HostFacts) -> HostFacts:
        """Ask the provider; where what it would be asked with is refused, nothing goes to it."""
        if refused_input(facts.input_checks):
            return facts
        job, provider = self.job, self.job.host.provider
        questions = _MOST_PROVIDER_QUESTIONS if self.probe else 1
        seconds = min(_PROVIDER_TIMEOUT, self.deadline.remaining() / questions)
        checks = provider_checks(
            job.session,
            self.session,
            seconds,
            probe=self.probe,
            chosen_at=str(provider.span) if provider is not None else "",
        )
        return replace(facts, provider=checks)
