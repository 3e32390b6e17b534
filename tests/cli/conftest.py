"""What the tests of commands share: one sshd, and an operator with hosts behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.openssh import running_sshd
from tests.fleet.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def operator(sshd: Sshd, tmp_path: Path) -> Operator:
    """Somebody with an own home and hosts ``a``, ``b`` and ``c``, none of them provisioned."""
    person = Operator(tmp_path / "operator", sshd)
    person.furnish("a", "b", "c")
    person.inventory("a", "b", "c")
    return person
