"""Hosts behind one real sshd: jobs for a part of the program, fleets for whole commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.fixtures import hosts_of, sshd
from tests.fleet.hosts import running_hosts
from tests.rollout.fleet_reset import reset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.hosts import Fleet

__all__ = ["fleet", "hosts_of", "running", "sshd"]


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Yield hosts that the tests of a module share: ``NAMES`` there says how they are called."""
    with running_hosts(tmp_path_factory.mktemp("fleet"), request.module.NAMES) as fleet:
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """Return the module's hosts as they were at its beginning."""
    reset(running)
    return running
