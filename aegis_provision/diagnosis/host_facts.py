"""What is seen of one host: the facts that its checks are made of."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import ConfigFile, RejectedConfig, parse_config, syntax_of
from aegis_provision.aegis.file_in_use import FoundFiles
from aegis_provision.aegis.identify_server import AegisServer, UnknownServer
from aegis_provision.planning.host_plan import expected_reading
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.aegis.file_in_use import Reading
    from aegis_provision.aegis.remote_state import RemoteFile, RemoteState
    from aegis_provision.diagnosis.checks import Check
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.receipts import Receipt, RejectedReceipt
    from aegis_provision.providers.session_variables import Session


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
    ``attributes`` are those of lsattr(1), by path, where the host tells them.
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
    attributes: Mapping[str, str] = field(default_factory=dict)
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

    @property
    def aegis_is_silent(self) -> bool:
        """Tell whether nothing listens where Aegis should."""
        health = self.api.health if self.api is not None else None
        return isinstance(health, ApiFailure) and health.cause is ConnectFailure.NOT_LISTENING
