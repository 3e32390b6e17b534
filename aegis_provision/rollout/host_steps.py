"""The steps of one host's work: write, wait for sessions, restart, check health, probe."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.humanize import counted
from aegis_provision.planning.receipts import WriteInfo, with_receipt
from aegis_provision.rollout.events import HostRestarted, Step, StepStarted
from aegis_provision.rollout.restart_command import complaint, restart_command, sudo_refusal
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.verdict import Blocked, Ok
from aegis_provision.transport.atomic_write import atomic_write
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.playbook.plays import Verify
    from aegis_provision.rollout.aegis_client import AegisApi
    from aegis_provision.rollout.host_connection import HostConnection
    from aegis_provision.rollout.task import HostTask, RunContext
    from aegis_provision.transport.lock import WriteLock

_OLD_FILE = "the file from before is in place"
_NEW_FILE = "the new file is in place"


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed after the write; ``restarted`` says that Aegis may have been restarted."""

    message: str
    hint: str = ""
    restarted: bool = False


@dataclass(slots=True)
class HostSteps:
    """What is done on one host, step by step. ``warnings`` collects what the steps warn of.

    Every step raises :class:`TransportError` if the host can't be worked on.
    """

    task: HostTask
    context: RunContext
    connection: HostConnection
    warnings: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Return the host's name."""
        return self.task.plan.host

    @property
    def in_place(self) -> str:
        """Say which file is there after the write."""
        return _OLD_FILE if self.task.rollback else _NEW_FILE

    def start(self, step: Step, detail: str = "") -> None:
        """Tell that ``step`` begins, or what it has found."""
        self.context.emit(StepStarted(self.host, step, detail))

    def result(self, status: Status, message: str = "", hint: str = "") -> HostResult:
        """Return a result of this host."""
        return HostResult(self.host, status, message, hint)

    def write(self, lock: WriteLock, write: Write) -> None:
        """Write under ``lock``, with a receipt that names this run."""
        info = WriteInfo(self.context.run, datetime.now(UTC), __version__)
        write = with_receipt(write, info, secrets.token_bytes(16))
        self.warnings.extend(atomic_write(lock, write, self.connection.deadline).warnings)

    def wait_for_idle(self) -> Blocked | None:
        """Wait until no session runs; the time does not count against the host's deadline."""
        from aegis_provision.rollout.session_wait import wait_for_idle

        gates, began = self.task.gates, time.monotonic()
        self.start(Step.WAIT_FOR_SESSIONS)

        def tell(running: int) -> None:
            self.start(Step.WAIT_FOR_SESSIONS, f"{counted(running, 'session')} running")

        verdict = wait_for_idle(
            self._api(),
            self.connection.request,
            gates.sessions,
            gates.sessions_wait,
            pause=self.context.cancel.pause,
            tell=tell,
        )
        self.connection.extend_deadline(began)
        return self._unless_ok(verdict)

    def restart(self) -> Failure | None:
        """Restart Aegis by the host's unit or command."""
        job = self.task.job
        command = restart_command(job.host.service, job.host.target)
        session = self.connection.open()
        try:
            end = session.run(command, self.connection.deadline)
        except Unreachable as error:
            raise Unreachable("restart", error.reason, error.hint) from None
        if end.status == 0:
            self.context.emit(HostRestarted(self.host))
            return None
        if end.status is None:
            return Failure(
                "restart: the command did not end in time", "raise --deadline", restarted=True
            )
        refused = sudo_refusal(job.host.service, job.host.target, session.login_name, end.output)
        if refused is not None:
            return Failure(
                f"restart: {refused.message}", refused.hint, restarted=not refused.nothing_ran
            )
        how = "was killed" if end.status < 0 else f"ended with status {end.status}"
        return Failure(
            f"restart: the command {how} ({complaint(end.output)})",
            "run it by hand on the host",
            restarted=True,
        )

    def check_health(self, verify: Verify, restarted: float | None) -> Blocked | None:
        """Wait until Aegis is healthy. ``restarted`` is when its restart began, if it did."""
        from aegis_provision.rollout.health_check import wait_for_health

        began = time.monotonic()
        verdict = wait_for_health(
            self._api(),
            self.connection.request,
            verify.timeout,
            restarted=restarted,
            pause=_pause,
        )
        self.connection.extend_deadline(began)
        return self._unless_ok(verdict)

    def probe(self, step: Step, timeout: float) -> Blocked | None:
        """Ask the provider whether it would serve this host."""
        from aegis_provision.rollout.provider_probe import probe_provider

        verdict = probe_provider(
            self.task.job.session, self.connection.request, timeout, pause=_pause
        )
        if isinstance(verdict, Ok) and verdict.checked:
            self.start(step, verdict.checked)
        return self._unless_ok(verdict)

    def _api(self) -> AegisApi:
        return self.task.job.api(self.task.plan)

    def _unless_ok(self, verdict: Ok | Blocked) -> Blocked | None:
        if isinstance(verdict, Blocked):
            return verdict
        self.warnings.extend(verdict.warnings)
        return None


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return True
