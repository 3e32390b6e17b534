"""Fixtures of several packages' tests: a ``conftest.py`` imports those that it wants."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fleet.jobs import hosts_at
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fleet.jobs import Hosts
    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Yield a server that the tests of a module share."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def hosts_of(sshd: Sshd, tmp_path: Path) -> Callable[..., Hosts]:
    """Return a maker of hosts by name; a name with a dash in front is nowhere to be reached."""
    return partial(hosts_at, tmp_path, sshd)
