"""Whether a host's Aegis waits for a restart: ``plan``, ``status`` and ``doctor`` agree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import start_is_older

if TYPE_CHECKING:
    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.aegis.identify_server import AegisServer


def is_restart_pending(
    health: Health | None, process: AegisServer | None, mtime: float, *, recorded: bool
) -> bool | None:
    """Tell whether Aegis runs since before its file came, ``None`` where nothing tells.

    ``mtime`` is the file's time by the host's clock. What the API says of its start goes before all
    else. Where it does not say, or both are too near each other to be told apart, its ``process``
    may surely be older; else what the records of runs say counts (``recorded``).
    """
    older = start_is_older(health, mtime) if health is not None else None
    if older is not None:
        return older
    if recorded or (process is not None and process.is_older_than(mtime)):
        return True
    started = [source.started for source in (health, process) if source is not None]
    return False if any(start is not None for start in started) else None
