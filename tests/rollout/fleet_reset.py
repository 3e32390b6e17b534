"""A fleet that several tests use, one after the other, each as if it were new."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.fleet.aegis_server import MISBEHAVIOURS
from tests.fleet.hosts import OLD_ENV

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fleet.hosts import Fleet, FleetHost

_HOUR = 3600.0


def old_config(host: FleetHost) -> dict[str, object]:
    """Return what a host's file held before the first apply."""
    return {
        "authToken": host.api_token,
        "allowedWorkDirs": ["/srv/work"],
        "defaultSessionEnv": dict(OLD_ENV),
    }


def reset(fleet: Fleet) -> None:
    """Put old files back, end all misbehaviour, forget all runs; a restart only where needed."""
    for host in fleet:
        host.behave(*MISBEHAVIOURS)
        host.write_config(old_config(host))
        shutil.rmtree(host.config_path.parent / ".aegis-provision", ignore_errors=True)
        if host.pid() is None or host.loaded_env() != OLD_ENV:
            host.restart()
    shutil.rmtree(fleet.state, ignore_errors=True)


@contextmanager
def as_new(fleet: Fleet) -> Iterator[Fleet]:
    """Give ``fleet`` as if it were new, and put its inventory back at the end."""
    reset(fleet)
    inventory = fleet.inventory.read_bytes()
    yield fleet
    fleet.inventory.write_bytes(inventory)


def age(fleet: Fleet) -> None:
    """Let every Aegis have been running for an hour by its API, its file older still."""
    for host in fleet:
        settings = host.place.settings
        host.place.settle({**settings, "aged": _HOUR})
        written = time.time() - 2 * _HOUR
        os.utime(host.config_path, (written, written))
        host.restart()
        host.place.settle({**settings, "aged": 0})


def with_settings(fleet: Fleet, changed: Mapping[str, Mapping[str, object]]) -> tuple[str, str]:
    """Return ``-i FILE`` with an inventory that has ``changed`` settings of hosts.

    ``None`` removes one; the host ``all`` stands for the vars of all.
    """
    document: dict[str, Any] = json.loads(fleet.inventory.read_text())
    everywhere = document["all"]
    for name, settings in changed.items():
        entry = everywhere["vars"] if name == "all" else everywhere["hosts"][name]
        entry.update(settings)
        for key in [key for key, value in entry.items() if value is None]:
            del entry[key]
    path = fleet.directory / "changed-inventory.yml"
    path.write_text(json.dumps(document))
    return "-i", str(path)
