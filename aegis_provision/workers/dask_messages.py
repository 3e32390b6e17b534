"""What a Dask worker and the operator's process say to each other about a run.

A worker speaks by events of a topic of the run, which reach the operator's client over the
scheduler; the operator's process answers by a call on the worker (:mod:`~.dask_worker`). None of
it holds a secret but what is sealed to the worker.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from importlib.metadata import version
from typing import TypeAlias

from aegis_provision.version import __version__

Versions: TypeAlias = tuple[tuple[str, str], ...]
"""What must be the same on both sides: names and versions."""

Message: TypeAlias = tuple[int, int, int, bytes]
"""What a worker says: a :class:`Said`, the number of the host's work, that of a question, a body.

A number of 0 is for what belongs to no host's work alone.
"""

TaskOutcome: TypeAlias = tuple[int, int, bytes]
"""What a task returns: an :class:`Ended`, how many events it told, and a body."""


class Said(IntEnum):
    """What a worker says; all but ``EVENT`` are questions."""

    BEGIN = 1
    EVENT = 2
    BEFORE_WRITE = 3
    SAVE_KEY = 4
    FILE = 5
    OVER = 6


class Ended(IntEnum):
    """How a task ended: ``LEFT`` is for one that was not to begin, or whose end is not awaited."""

    DONE = 1
    BUG = 2
    LEFT = 3
    OTHER_VERSIONS = 4


def topic_of(run: str) -> str:
    """Return the topic of the events of ``run``."""
    return f"aegis-provision-{run}"


def resource_of(site: str) -> str:
    """Return the name of the resource that workers at ``site`` have."""
    return f"site-{site}"


def own_versions() -> Versions:
    """Return the versions of this process."""
    return (
        ("aegis-provision", __version__),
        ("Python", f"{sys.version_info.major}.{sys.version_info.minor}"),
        ("distributed", version("distributed")),
    )


def difference(here: Versions, there: Versions) -> str:
    """Return in words what is other ``there`` than ``here``, empty for nothing."""
    theirs = dict(there)
    found = [
        f"{name} {theirs.get(name, 'none')} there, {version} here"
        for name, version in here
        if theirs.get(name) != version
    ]
    return "; ".join(found)
