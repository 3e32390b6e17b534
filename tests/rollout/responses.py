"""Responses of Aegis and of a provider, a host that gives them in turn, and a clock."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.secret import Secret
from aegis_provision.rollout.aegis_client import AegisClient
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.rollout.aegis_client import SendRequest

TOKEN = Secret("token-of-this-test", "${TOKEN}")
LONG = 3600.0
SHORT = 0.02
AT_ONCE = 0.0


@dataclass
class Host:
    """Answers questions in turn, the last answer for ever; takes note of what it was asked."""

    answers: Sequence[HttpResponse | HttpFailure]
    asked: list[HttpRequest] = field(default_factory=list)
    longest: float = 0.0
    timeouts: list[float] = field(default_factory=list)

    def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        self.timeouts.append(timeout)
        self.asked.append(request)
        self.longest = max(self.longest, timeout)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    @property
    def paths(self) -> list[str]:
        return [request.url.partition("9100")[2] for request in self.asked]


@dataclass
class Clock:
    """Does not wait, but for a moment where the gate's own time has to pass."""

    pauses: list[float] = field(default_factory=list)
    stops_after: int = 10**9

    def __call__(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        if seconds <= SHORT:
            time.sleep(seconds)
        return len(self.pauses) < self.stops_after


@dataclass
class Timer:
    """A clock that goes on by its pauses alone."""

    pauses: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        return self.began + sum(self.pauses)

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return True


def health(status: str = "ok", **more: object) -> HttpResponse:
    return HttpResponse(200, json.dumps({"status": status, **more}).encode(), 0.01)


def whole(active: int = 0, uptime: float = 0.5, status: str = "ok") -> HttpResponse:
    return health(status, uptime=uptime, sessions={"active": active, "total": 9})


def listing(count: int) -> HttpResponse:
    return HttpResponse(
        200, json.dumps([{"id": str(number)} for number in range(count)]).encode(), 0.01
    )


LOCKED_OUT = HttpResponse(401, b"{}", 0.01)
TOO_OFTEN = HttpResponse(429, b"", 0.01)
NOT_AEGIS = HttpResponse(200, b"<html>", 0.01)
NOBODY = HttpFailure(ConnectFailure.NOT_LISTENING, "nothing listens there")
SILENT = HttpFailure(ConnectFailure.TIMED_OUT, "no answer in time")
UNASKED = HttpFailure(None, "the host's sshd does not forward connections")


def client(
    host: SendRequest, *tokens: Secret, locked: bool = True, address_is_known: bool = True
) -> AegisClient:
    address = "127.0.0.1:9100"
    return AegisClient(address, tokens, locked, host, address_is_known=address_is_known)
