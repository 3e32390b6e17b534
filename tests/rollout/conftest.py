"""Hosts behind one real sshd: jobs for a part of the program, fleets for whole commands."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import running_hosts
from tests.fleet.jobs import hosts_at
from tests.fleet.openssh import running_sshd
from tests.rollout.fleet_reset import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fleet.hosts import Fleet
    from tests.fleet.jobs import Hosts
    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def hosts_of(sshd: Sshd, tmp_path: Path) -> Callable[..., Hosts]:
    """Return a maker of hosts by name; a name with a dash in front is nowhere to be reached."""
    return partial(hosts_at, tmp_path, sshd)


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
