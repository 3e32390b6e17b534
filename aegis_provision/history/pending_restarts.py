"""Which hosts have a file that Aegis has not been restarted for, as far as our runs know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import HostIdentity


def find_pending_restarts(runs: Iterable[PastRun]) -> Mapping[HostIdentity, str]:
    """Return the hosts where a restart is owed, each with the name of the run that owes it.

    Whichever run touched a host last decides: what it wrote, put back, or may have written before
    it died is owed until a restart. Runs may come in any order and may have overlapped.
    """
    last: dict[HostIdentity, tuple[float, str, bool]] = {}
    for past in runs:
        for name, host in past.hosts.items():
            known = past.header.hosts.get(name)
            if known is None or host.file.touched is None:
                continue
            touch = host.file.touched, past.header.run, host.file.restart_owed
            last[known.identity] = max(last.get(known.identity, touch), touch)
    return {identity: run for identity, (_, run, owed) in last.items() if owed}


def restart_pending(runs: Iterable[PastRun], identity: HostIdentity) -> str | None:
    """Return the run that owes the host ``identity`` a restart, ``None`` where none does."""
    return find_pending_restarts(runs).get(identity)
