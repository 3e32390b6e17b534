"""A route for another machine: the operator's files go along, keys are the worker's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.resolve_jump_hosts import Hop
from aegis_provision.workers.portable_route import (
    OWN_AGENT,
    OperatorsFiles,
    portable,
    route_here,
)
from aegis_provision.workers.remote_host_worker import Route
from aegis_provision.workers.sealing import KeyPair, seal

if TYPE_CHECKING:
    import pytest

HOME = Path("/home/anna")


def _hop(agent: str | None, known_hosts: Path) -> Hop:
    return Hop(
        "a.example.net", 22, "deploy", ("a.example.net",),
        ("/home/anna/.ssh/id_ed25519", "/etc/keys/fleet"), files_named=True, use_agent=True,
        revoked_keys=("/etc/ssh/revoked",), known_hosts=(known_hosts, Path("/nowhere/else")),
        new_keys_file=known_hosts, identity_agent=agent,
        certificate_files=("/home/anna/.ssh/fleet-cert.pub",),
    )  # fmt: skip


def test_files_of_the_operator_are_copied_once_and_keys_are_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    asked: list[str] = []

    def fetch(path: str) -> bytes | None:
        asked.append(path)
        return b"a key" if path.endswith("known_hosts") else None

    files = OperatorsFiles(tmp_path, fetch)
    home = Path("/var/lib/dask")
    sent = portable(Route((_hop(OWN_AGENT, Path("home/anna/.ssh/known_hosts")),)), HOME)
    route_here(sent, home, "/run/agent", files)
    route = route_here(sent, home, "/run/agent", files)
    assert asked == ["/home/anna/.ssh/known_hosts", "/nowhere/else", "/etc/ssh/revoked"]
    assert route.hops is not None
    [hop] = route.hops
    assert hop.identity_files == ("/var/lib/dask/.ssh/id_ed25519", "/etc/keys/fleet")
    assert hop.certificate_files == ("/var/lib/dask/.ssh/fleet-cert.pub",)
    assert hop.identity_agent == "/run/agent"
    assert hop.known_hosts[0].read_bytes() == b"a key"
    assert hop.new_keys_file == hop.known_hosts[0]
    assert not hop.known_hosts[1].exists()
    assert not Path(hop.revoked_keys[0]).exists()
    assert files.original_of(hop.known_hosts[0]) == Path("/home/anna/.ssh/known_hosts")
    assert files.told(f"no key in {hop.known_hosts[1]}") == "no key in /nowhere/else"


def test_no_path_of_the_operators_leads_out_of_the_workers_directory(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "copies"
    files = OperatorsFiles(directory, lambda path: path.encode())
    for text in ("/home/anna/../../../../known_hosts", "/known_hosts", "/__/known_hosts"):
        place = files.copy_of(Path(text))
        assert place.resolve().is_relative_to(directory.resolve())
        assert place.read_bytes() == text.encode()
        assert files.original_of(place) == Path(text)


def test_an_agent_is_the_named_one_or_none(tmp_path: Path) -> None:
    files = OperatorsFiles(tmp_path, lambda _: b"")
    named = {"/home/anna/agent": "/root/agent", "/run/agent": "/run/agent", None: None}
    for agent, expected in named.items():
        sent = portable(Route((_hop(agent, Path("/k")),)), HOME)
        hops = route_here(sent, Path("/root"), "/run/own", files).hops
        assert hops is not None
        assert hops[0].identity_agent == expected


def test_this_machine_is_not_the_workers_and_a_problem_stays_one() -> None:
    local = portable(Route(), HOME).problem
    assert isinstance(local, Unreachable)
    assert "a Dask worker is another" in local.reason
    problem = Unreachable("ssh config", "it is broken")
    assert portable(Route(problem=problem), HOME).problem is problem


def test_what_is_sealed_is_for_one_pair_alone() -> None:
    pair = KeyPair()
    sealed = seal(pair.public, b"a token")
    assert b"a token" not in sealed
    assert pair.open(sealed) == b"a token"
