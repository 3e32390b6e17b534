"""One OpenSSH server for all tests of the transport that need no settings of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd

KINDS = ("ed25519", "ecdsa", "rsa")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a key of each kind, all of which ``sshd`` takes; ``locked`` has a passphrase."""
    directory = tmp_path_factory.mktemp("keys")
    made = {kind: make_key(directory / kind, kind=kind) for kind in KINDS}
    made["locked"] = make_key(directory / "locked", passphrase="open sesame")
    return made


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Iterator[Sshd]:
    """Run a server that takes every one of ``keys``, and has a host key of each kind."""
    directory = tmp_path_factory.mktemp("sshd")
    extra = [make_key(directory / f"host_{kind}", kind=kind) for kind in ("ecdsa", "rsa")]
    with running_sshd(
        directory / "server",
        authorized=[key.with_suffix(".pub") for key in keys.values()],
        settings=[f"HostKey {key}" for key in extra],
    ) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home directory."""
    (tmp_path / "home" / ".ssh").mkdir(mode=0o700, parents=True)
    return tmp_path / "home"
