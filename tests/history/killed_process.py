"""A process that works on hosts and keeps a record of it, made to be killed.

Hosts are directories below ``sys.argv[1]``; the work is real: ``config`` is replaced by a rename,
and ``running`` is what a restarted server has read. It tells each thing it is about to do on
stdout, and ends its run only at a line on stdin.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aegis_provision.history.run_record import RunRecord, open_record
from aegis_provision.rollout.events import (
    FileChange,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    RunFinished,
    Step,
    StepStarted,
)
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import header, state_dir_in, write_of

HOSTS = tuple(f"h{number:02}" for number in range(30))
ROLLED_BACK = frozenset(HOSTS[2::3])
SAID_OF_A_HOST = 3
LINES = SAID_OF_A_HOST * (len(HOSTS) + len(ROLLED_BACK)) + 1


def _put(host: Path, content: bytes) -> None:
    (host / "config.new").write_bytes(content)
    (host / "config.new").rename(host / "config")


def _restart(host: Path) -> None:
    (host / "running.new").write_bytes((host / "config").read_bytes())
    (host / "running.new").rename(host / "running")


def _work_on(name: str, host: Path, record: RunRecord) -> HostResult:
    write = write_of(name)
    record(StepStarted(name, Step.WRITE))
    record.before_write(name, FileChange.of(write, record.digest))
    _say()
    assert write.content is not None
    _put(host, write.content)
    _say()
    record(HostWritten(name))
    record(StepStarted(name, Step.RESTART))
    _restart(host)
    _say()
    record(HostRestarted(name))
    if name not in ROLLED_BACK:
        return HostResult(name, Status.APPLIED)
    record(StepStarted(name, Step.ROLL_BACK))
    _say()
    assert write.base is not None
    _put(host, write.base.content)
    _say()
    record(HostRolledBack(name))
    _restart(host)
    _say()
    record(HostRestarted(name))
    return HostResult(name, Status.ROLLED_BACK, "health: no answer")


def _say() -> None:
    print(flush=True)  # noqa: T201 - the test counts these lines


def main() -> None:
    root = Path(sys.argv[1])
    results = []
    with open_record(state_dir_in(root), header(hosts=HOSTS)) as record:
        for name in HOSTS:
            host = root / name
            results.append(_work_on(name, host, record))
            record(HostFinished(0, results[-1]))
        sys.stdin.readline()
        record(RunFinished(tuple(results), 4))
        _say()
        sys.stdin.read()


if __name__ == "__main__":
    main()
