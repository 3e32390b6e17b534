"""RevokedHostKeys of the ssh config, as OpenSSH's client goes by it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fleet.clients import connection, need, options, refusal, target_at
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("revoked") / "server") as running:
        yield running


def openssh_connects(server: Sshd, config: Path) -> bool:
    ssh_options = [
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={server.known_hosts}",
        "BatchMode=yes",
    ]
    ssh_options += [
        "GlobalKnownHostsFile=none",
        "PreferredAuthentications=none",
        "UpdateHostKeys=no",
    ]
    command = [need("ssh", "openssh-client"), "-F", str(config), "-p", str(server.port)]
    completed = subprocess.run(
        [*command, *(word for option in ssh_options for word in ("-o", option)), server.address],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    trusted = "Permission denied" in completed.stderr
    assert trusted != ("verification failed" in completed.stderr), completed.stderr
    return trusted


def _write(kind: str, server: Sshd, directory: Path) -> Path:
    path = directory / "revoked"
    other = make_key(directory / "other").with_suffix(".pub")
    key = server.host_key.read_text()
    texts = {
        "empty": "",
        "the key": key,
        "another key": other.read_text(),
        "the key behind another": f"# old\n{other.read_text()}\n{key}",
        "nonsense": "nonsense\n",
        "nonsense behind another key": f"{other.read_text()}nonsense\n",
        "a known_hosts line": f"{server.entry} {key}",
        "CRLF": key.replace("\n", "\r\n"),
        "a cut key": key[:40],
        "no KRL": "SSHKRL\n",
    }
    if kind in texts:
        path.write_text(texts[kind], newline="")
    elif kind.startswith("KRL"):
        named = server.host_key if kind == "KRL" else other
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", path, named], check=True)
    elif kind == "a cut KRL":
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", path, other], check=True)
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "a directory":
        path.mkdir()
    return path


TAKEN = ["empty", "another key", "KRL of another"]
REFUSED = ["the key", "the key behind another", "CRLF", "KRL"]
UNCLEAR = ["nonsense", "nonsense behind another key", "a known_hosts line", "a cut key", "no KRL",
           "a cut KRL", "a directory", "missing"]  # fmt: skip


@pytest.mark.parametrize("kind", [*TAKEN, *REFUSED, *UNCLEAR])
def test_a_file_of_revoked_keys_means_what_the_real_client_takes_it_for(
    kind: str, server: Sshd, home: Path
) -> None:
    revoked, config = _write(kind, server, home), home / "config"
    config.write_text(f"Host *\n RevokedHostKeys {revoked}\n")
    assert openssh_connects(server, config) == (kind in TAKEN)
    conn_options = options(home, server.known_hosts, ssh_config=config)
    if kind in TAKEN:
        assert connection(target_at(server), conn_options) == ()
        return
    problem = refusal(target_at(server), conn_options)
    assert problem.step == "host key"
    if kind in REFUSED:
        assert problem.reason.startswith(f"the key of {server.entry} is revoked by {revoked} (SHA")
        assert problem.hint == "someone may be in between; ask who runs the host"
    else:
        assert problem.reason.startswith(
            f"whether the key of {server.entry} is revoked can't be told: "
            f"RevokedHostKeys {revoked} "
        )
        assert "correct the file or the ssh config" in problem.hint


def test_a_revoked_key_is_not_taken_on_trust(server: Sshd, home: Path) -> None:
    config, known_hosts = home / "config", home / "known_hosts"
    config.write_text(f"RevokedHostKeys {server.host_key}\n")
    trusting = options(home, known_hosts, ssh_config=config, accept_new=True)
    assert "is revoked by" in refusal(target_at(server), trusting).reason
    assert not known_hosts.exists()


def test_a_bastions_key_is_held_to_it_too(server: Sshd, sshd: Sshd, home: Path) -> None:
    config = home / "config"
    config.write_text(
        f"Host gate\n HostName 127.0.0.1\n Port {server.port}\n User {server.user}\n"
        f" IdentityFile {server.client_key}\n RevokedHostKeys {server.host_key}\n"
    )
    conn_options = options(home, server.known_hosts, sshd.known_hosts, ssh_config=config)
    problem = refusal(target_at(sshd, jump=("gate",)), conn_options)
    assert problem.step == f"bastion {server.entry}: host key"
    assert "is revoked by" in problem.reason
    assert connection(target_at(sshd), conn_options) == ()


@pytest.mark.parametrize("written", ["~/revoked", "%d/revoked", "${HOME}/revoked", "'~/revoked'"])
def test_the_path_may_hold_the_home(written: str, server: Sshd, home: Path) -> None:
    (home / "revoked").write_text(server.host_key.read_text())
    config = home / "config"
    config.write_text(f"RevokedHostKeys {written}\n")
    conn_options = options(home, server.known_hosts, ssh_config=config, environ={"HOME": str(home)})
    assert f"is revoked by {home}/revoked (" in refusal(target_at(server), conn_options).reason


def test_none_is_no_file(server: Sshd, home: Path) -> None:
    config = home / "config"
    config.write_text("RevokedHostKeys None\nRevokedHostKeys /missing\n")
    assert openssh_connects(server, config)
    assert connection(target_at(server), options(home, server.known_hosts, ssh_config=config)) == ()
