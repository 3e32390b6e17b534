"""Which tests can run on this machine, the state they begin in, and an operator for any of them."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fleet.needs import missing
from tests.fleet.openssh import running_sshd
from tests.fleet.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.openssh import Sshd


# No law promises a speed, and a busy machine is no fault of what is tested.
settings.register_profile("all", deadline=None)
settings.register_profile("unit", deadline=None, max_examples=20)
settings.load_profile("all")


def pytest_configure() -> None:
    """Take keys' signals even in a shell's background job: what tests start would be deaf, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need root where there is none, but let them fail in CI."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    missing("needs root, for other users and other owners of files")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run one OpenSSH server for all tests that want nothing special of it."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def operator(sshd: Sshd, tmp_path: Path) -> Operator:
    """Return an operator with a home and hosts ``a``, ``b`` and ``c``, none of them provisioned."""
    person = Operator(tmp_path / "operator", sshd)
    person.furnish("a", "b", "c")
    person.inventory("a", "b", "c")
    return person


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Yield a directory that everybody may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
