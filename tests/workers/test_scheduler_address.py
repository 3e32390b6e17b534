"""Which schedulers may be used: what is not encrypted must stay on this machine."""

from __future__ import annotations

import pytest

from aegis_provision.errors import InputError
from aegis_provision.workers.scheduler_address import check_scheduler, is_protected


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("tls://dask.example.net:8786", "tls://dask.example.net:8786"),
        ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("localhost:8786", "tcp://localhost:8786"),
        ("127.3.2.1:1", "tcp://127.3.2.1:1"),
    ],
)
def test_encrypted_or_on_this_machine(given: str, address: str) -> None:
    assert check_scheduler(given) == address
    assert is_protected(address)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tcp://10.0.0.5:8786", "neither encrypted nor on this machine"),
        ("dask.example.net:8786", "neither encrypted nor on this machine"),
        ("localhost.example.net:8786", "neither encrypted nor on this machine"),
        ("tcp://127.0.0.1", "is no address of a scheduler"),
        ("ws://127.0.0.1:8786", "is no address of a scheduler"),
        ("inproc://127.0.0.1:8786", "is no address of a scheduler"),
        ("tcp://x@127.0.0.1:8786", "is no address of a scheduler"),
        ("tcp://127.0.0.1:99999999", "is no address"),
        ("tcp://[::1", "is no address"),
        ("", "is no address of a scheduler"),
    ],
)
def test_others_are_refused(given: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_scheduler(given)
