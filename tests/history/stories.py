"""Lines of records, made by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aegis_provision.history.json_fields import encode, moment
from tests.history.fleet import STARTED

if TYPE_CHECKING:
    from collections.abc import Mapping

Line = dict[str, object]


def line(event: str, second: float = 1.0, **content: object) -> Line:
    """Return a line ``second`` seconds after the run's start."""
    return {"event": event, "at": moment(STARTED + timedelta(seconds=second)), **content}


def file(name: str) -> Mapping[str, object]:
    """Return a file whose digest says ``name``."""
    return {"digest": f"hmac-sha256:{name:0<64}", "mode": "0600", "uid": 1000, "gid": 1000}


def write(host: str, second: float = 1.0, *, before: str = "0", after: str = "1") -> Line:
    return line(
        "write",
        second,
        host=host,
        before=file(before),
        after=file(after),
        secrets=["ANTHROPIC_AUTH_TOKEN"],
    )


def finished(host: str, status: str, second: float = 1.0, message: str = "") -> Line:
    return line(
        "finished",
        second,
        play=0,
        host=host,
        status=status,
        message=message,
        hint="",
        seconds=2.5,
    )


def end(exit_code: int = 0, second: float = 9.0, **counts: int) -> Line:
    return line("end", second, exit_code=exit_code, counts=counts)


FINISHED_RUN = b"".join(
    encode(item)
    for item in (
        line("play", play=0),
        line("batch", play=0, batch=0, hosts=1),
        line("step", host="a", step="connect"),
        write("a", 1.5),
        line("written", 2.0, host="a"),
        line("restarted", 3.0, host="a"),
        finished("a", "applied", 3.5),
        line("play", 4.0, play=1),
        line("batch", 4.0, play=1, batch=0, hosts=2),
        write("b", 4.5),
        line("written", 5.0, host="b"),
        line("restarted", 5.1, host="b"),
        line("step", 5.2, host="b", step="roll back"),
        line("rolled_back", 5.5, host="b"),
        line("restarted", 5.6, host="b"),
        finished("b", "rolled_back", 6.0, "health: no answer"),
        line("budget", 6.0, play=1, words="1 of 4 hosts failed, 0 may", failed=["b"]),
        finished("c", "unreachable", 6.5, "connect: refused"),
        finished("d", "not_attempted", 7.0, "the budget was spent"),
        end(4, applied=1, rolled_back=1, unreachable=1, not_attempted=1),
    )
)
"""All but the header of a run that stopped in its second play."""
