"""Logging in: which keys are offered, and the error if none of them is taken."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.ssh.public_keys import read_public_key
from tests.fleet import sockets
from tests.fleet.agent import Agent, running_agent
from tests.fleet.clients import connection, login_of, options, refusal, target_at
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.connect_options import ConnectOptions
    from tests.fleet.openssh import Sshd

PASSPHRASE = "open sesame"


@pytest.fixture
def agent() -> Iterator[Agent]:
    # A socket's path may have some hundred characters, and pytest's directories have more.
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        running_agent(Path(directory)) as running,
    ):
        yield running


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return a key that no server takes."""
    return make_key(tmp_path / "stranger")


@pytest.fixture
def trusting(sshd: Sshd, home: Path) -> ConnectOptions:
    return options(home, sshd.known_hosts)


def with_agent(sshd: Sshd, home: Path, agent: Agent) -> ConnectOptions:
    return options(home, sshd.known_hosts, agent_socket=agent.socket)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_file_of_each_kind(
    kind: str, sshd: Sshd, keys: dict[str, Path], trusting: ConnectOptions
) -> None:
    connection(target_at(sshd, identity_file=str(keys[kind])), trusting)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_each_kind_in_the_agent(
    kind: str, sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent
) -> None:
    agent.add(keys[kind])
    connection(target_at(sshd, identity_file=None), with_agent(sshd, home, agent))


def test_a_key_in_the_older_pem_format(
    sshd: Sshd, keys: dict[str, Path], tmp_path: Path, trusting: ConnectOptions
) -> None:
    pem = tmp_path / "pem"
    shutil.copy(keys["rsa"], pem)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-P", "", "-f", pem],
        check=True,
        capture_output=True,
    )
    assert "BEGIN RSA" in pem.read_text()
    connection(target_at(sshd, identity_file=str(pem)), trusting)


@pytest.mark.parametrize("name", ["id_ed25519", "id_ecdsa", "id_rsa"])
def test_the_usual_keys_of_the_home_are_offered_where_none_is_named(
    name: str, sshd: Sshd, keys: dict[str, Path], home: Path, trusting: ConnectOptions
) -> None:
    shutil.copy(keys[name.removeprefix("id_")], home / ".ssh" / name)
    connection(target_at(sshd, identity_file=None), trusting)


def test_a_path_that_begins_at_home(
    sshd: Sshd, keys: dict[str, Path], home: Path, trusting: ConnectOptions
) -> None:
    shutil.copy(keys["ed25519"], home / "key")
    connection(target_at(sshd, identity_file="~/key"), trusting)


def test_user_and_key_out_of_ssh_config(sshd: Sshd, keys: dict[str, Path], home: Path) -> None:
    config = home / "config"
    config.write_text(
        f"Host build-*\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n"
        f" IdentityFile {keys['ecdsa'].parent}/%%x\n IdentityFile {keys['ecdsa'].parent}/e%n\n"
    )
    shutil.copy(keys["ecdsa"], keys["ecdsa"].parent / "ebuild-1")
    host = target_at(sshd, address="build-1", port=None, user=None, identity_file=None)
    connection(host, options(home, sshd.known_hosts, ssh_config=config))


def test_a_key_with_a_passphrase_that_no_agent_holds(
    sshd: Sshd, keys: dict[str, Path], trusting: ConnectOptions
) -> None:
    problem = refusal(target_at(sshd, identity_file=str(keys["locked"])), trusting)
    assert problem.reason == (
        f"there is no key to log in with as {sshd.user} at {sshd.entry}; {keys['locked']} has a "
        "passphrase and is not in the agent (ssh-add it, or set identity_passphrase)"
    )
    assert problem.hint.startswith("start an ssh agent, add the key with ssh-add")


def test_a_session_tells_which_key_opened_it(
    sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent, stranger: Path
) -> None:
    agent.add(stranger)
    agent.add(keys["locked"], passphrase=PASSPHRASE)
    conn_options = with_agent(sshd, home, agent)
    of_file = login_of(target_at(sshd, identity_file=str(keys["rsa"])), conn_options)
    assert (of_file.user, of_file.key) == (sshd.user, str(keys["rsa"]))
    locked = str(keys["locked"])
    named = login_of(target_at(sshd, identity_file=locked), conn_options)
    assert named.key == f"{locked} (from the agent)"
    kept = login_of(target_at(sshd, identity_file=None), conn_options)
    public = keys["locked"].with_suffix(".pub")
    shown = read_public_key(public.read_bytes())
    assert shown is not None
    comment = public.read_text().split(maxsplit=2)[2].strip()
    assert kept.key == f"the agent's key {shown.fingerprint} {comment}"


@pytest.mark.parametrize("public_half", ["beside it", "nowhere but inside it", "alone"])
def test_a_key_with_a_passphrase_through_the_agent(
    public_half: str, sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent, tmp_path: Path
) -> None:
    agent.add(keys["locked"], passphrase=PASSPHRASE)
    named = tmp_path / "named"
    if public_half != "alone":
        shutil.copy(keys["locked"], named)
    if public_half != "nowhere but inside it":
        shutil.copy(keys["locked"].with_suffix(".pub"), f"{named}.pub")
    connection(target_at(sshd, identity_file=str(named)), with_agent(sshd, home, agent))


def test_a_public_key_names_the_agents_key(
    sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent, stranger: Path
) -> None:
    agent.add(stranger)
    agent.add(keys["locked"], passphrase=PASSPHRASE)
    public = str(keys["locked"].with_suffix(".pub"))
    connection(target_at(sshd, identity_file=public), with_agent(sshd, home, agent))


def test_only_the_named_key_is_offered(
    sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent, stranger: Path
) -> None:
    agent.add(keys["ed25519"])
    problem = refusal(target_at(sshd, identity_file=str(stranger)), with_agent(sshd, home, agent))
    assert f"(tried: {stranger})" in problem.reason


@pytest.mark.parametrize(("only", "offered"), [("yes", False), ("no", True)])
def test_identities_only_leaves_the_agents_other_keys_out(
    only: str,
    offered: bool,
    sshd: Sshd,
    keys: dict[str, Path],
    home: Path,
    agent: Agent,
    stranger: Path,
) -> None:
    agent.add(keys["ed25519"])
    config = home / "config"
    config.write_text(f"IdentityFile {stranger}\nIdentitiesOnly {only}\n")
    host = target_at(sshd, identity_file=None)
    conn_options = options(home, sshd.known_hosts, agent_socket=agent.socket, ssh_config=config)
    if offered:
        connection(host, conn_options)
    else:
        assert f"(tried: {stranger})" in refusal(host, conn_options).reason


def test_a_key_that_the_host_does_not_take(
    sshd: Sshd, stranger: Path, trusting: ConnectOptions
) -> None:
    problem = refusal(target_at(sshd, identity_file=str(stranger)), trusting)
    assert str(problem) == (
        f"login: the host took none of the keys offered as {sshd.user} at {sshd.entry} "
        f"(tried: {stranger})"
    )


def test_a_user_that_is_not_there(sshd: Sshd, trusting: ConnectOptions) -> None:
    problem = refusal(target_at(sshd, user="no-such-user"), trusting)
    assert problem.step == "login"
    assert "as no-such-user at" in problem.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is not there"),
        ("", "is no private key that can be used"),
        ("hello\n", "is no private key that can be used"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\n-----END OPENSSH PRIVATE KEY-----\n",
            "is no private key that can be used",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----\n",
            "is no private key that can be used",
        ),
    ],
)
def test_a_file_that_is_no_key(
    content: str | None, reason: str, sshd: Sshd, home: Path, trusting: ConnectOptions
) -> None:
    path = home / "id_ed25519"
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    problem = refusal(target_at(sshd, identity_file=str(path)), trusting)
    assert problem.reason.endswith(f"; {path} {reason}")


def test_a_directory_is_no_key(sshd: Sshd, home: Path, trusting: ConnectOptions) -> None:
    problem = refusal(target_at(sshd, identity_file=str(home)), trusting)
    assert problem.reason.endswith(f"; {home} can't be used: is a directory")


def test_without_any_key(sshd: Sshd, trusting: ConnectOptions) -> None:
    problem = refusal(target_at(sshd, identity_file=None), trusting)
    assert problem.reason == f"there is no key to log in with as {sshd.user} at {sshd.entry}"


@pytest.mark.parametrize("cipher", ["aes128-cbc", "chacha20-poly1305@openssh.com"])
def test_a_key_that_is_encrypted_in_a_way_of_its_own(
    cipher: str, sshd: Sshd, home: Path, trusting: ConnectOptions
) -> None:
    key = make_key(home / "key", passphrase=PASSPHRASE)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-Z", cipher, "-P", PASSPHRASE, "-N", PASSPHRASE, "-f", key],
        check=True,
        capture_output=True,
    )
    problem = refusal(target_at(sshd, identity_file=str(key)), trusting)
    assert f"; {key} is encrypted with {cipher}, which the agent alone reads" in problem.reason


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("IdentitiesOnly yes", "identity_file or IdentitiesOnly leaves out the agent's other keys"),
        ("PubkeyAuthentication no", "the ssh config leaves out keys, and nothing else is left"),
        ("PreferredAuthentications password", "the ssh config leaves out keys"),
        ("IdentityAgent {home}/nothing", "; there is no ssh agent where IdentityAgent says"),
    ],
)
def test_what_the_config_leaves_out_is_told(
    config: str, told: str, sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent
) -> None:
    agent.add(keys["ed25519"])
    (home / "config").write_text(config.format(home=home))
    conn_options = replace(with_agent(sshd, home, agent), ssh_config=home / "config")
    problem = refusal(target_at(sshd, identity_file=None), conn_options)
    assert told in problem.reason
    assert problem.hint


def _certificate_beside(key: Path, authority: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", "root", f"{key}.pub"],
        check=True,
        capture_output=True,
    )


def test_a_certificate_that_the_host_does_not_know_leaves_the_key(
    sshd: Sshd, keys: dict[str, Path], tmp_path: Path, trusting: ConnectOptions
) -> None:
    key = tmp_path / "key"
    shutil.copy(keys["ed25519"], key)
    shutil.copy(keys["ed25519"].with_suffix(".pub"), f"{key}.pub")
    _certificate_beside(key, make_key(tmp_path / "authority"))
    connection(target_at(sshd, identity_file=str(key)), trusting)


def test_an_agent_that_will_not_sign(
    sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent
) -> None:
    agent.add(keys["ed25519"], "-c")
    problem = refusal(target_at(sshd, identity_file=None), with_agent(sshd, home, agent))
    assert problem.reason.startswith("the agent would not sign with its key")


def test_an_agent_that_is_not_there_is_in_the_reason(sshd: Sshd, home: Path) -> None:
    conn_options = options(home, sshd.known_hosts, agent_socket=str(home / "nothing"))
    problem = refusal(target_at(sshd, identity_file=None), conn_options)
    assert problem.reason.endswith("; there is no ssh agent where SSH_AUTH_SOCK says")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "the ssh agent does not answer"),
        (b"", "the ssh agent gives no proper answer"),
        (b"\0\0\0\0", "the ssh agent gives no proper answer"),
        (b"\0\0\0\1\5", "the ssh agent gives no proper answer"),
        (
            b"\0\0\0\x11\x0c\0\0\0\1\0\0\0\1k\0\0\0\3\xff\xff\xff",
            "the ssh agent gives no proper answer",
        ),
    ],
)
def test_an_agent_that_is_none(answer: bytes | None, reason: str, sshd: Sshd, home: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        sockets.answering_at(Path(directory) / "agent", answer) as path,
    ):
        conn_options = options(home, sshd.known_hosts, agent_socket=str(path), timeout=1.0)
        problem = refusal(target_at(sshd, identity_file=None), conn_options)
    assert problem.reason.endswith(f"; {reason}")


def test_a_broken_agent_does_not_keep_a_key_file_from_working(sshd: Sshd, home: Path) -> None:
    connection(target_at(sshd), options(home, sshd.known_hosts, agent_socket=str(home / "nothing")))


def test_more_keys_than_the_host_takes(tmp_path: Path, home: Path, agent: Agent) -> None:
    for number in range(11):
        agent.add(make_key(tmp_path / f"stranger_{number}"))
    with running_sshd(tmp_path / "server", settings=["MaxAuthTries 1"]) as strict:
        agent.add(strict.client_key)
        problem = refusal(target_at(strict, identity_file=None), with_agent(strict, home, agent))
        connection(target_at(strict), with_agent(strict, home, agent))
    assert problem.reason.startswith("the host hung up during the login as ")
    assert "(tried: 12 of the agent's)" in problem.reason
    assert "name the right one with 'identity_file'" in problem.hint


def test_a_host_that_wants_more_than_a_key(tmp_path: Path, home: Path) -> None:
    settings = ["AuthenticationMethods publickey,password", "PasswordAuthentication yes"]
    with running_sshd(tmp_path / "server", settings=settings) as strict:
        problem = refusal(target_at(strict), options(home, strict.known_hosts))
    assert problem.reason == f"the host wants password as {strict.user} at {strict.entry}"
    assert "AuthenticationMethods" in problem.hint


def test_a_host_that_wants_no_key_at_all(tmp_path: Path, home: Path) -> None:
    settings = ["PubkeyAuthentication no", "PasswordAuthentication yes", "PermitRootLogin yes"]
    with running_sshd(tmp_path / "server", settings=settings) as strict:
        problem = refusal(target_at(strict), options(home, strict.known_hosts))
    assert problem.reason == f"the host wants password as {strict.user} at {strict.entry}"


def test_two_keys_where_the_host_wants_two(tmp_path: Path, home: Path) -> None:
    first, second = make_key(tmp_path / "first"), make_key(tmp_path / "second")
    config = home / "config"
    config.write_text(f"IdentityFile {first}\nIdentityFile {second}\n")
    with running_sshd(
        tmp_path / "server",
        settings=["AuthenticationMethods publickey,publickey"],
        authorized=[first.with_suffix(".pub"), second.with_suffix(".pub")],
    ) as strict:
        host = target_at(strict, identity_file=None)
        connection(host, options(home, strict.known_hosts, ssh_config=config))


@pytest.mark.parametrize(
    "algorithms",
    [
        "KexAlgorithms diffie-hellman-group14-sha1",
        "HostKeyAlgorithms ssh-rsa",
        "Ciphers aes128-cbc,aes256-cbc",
        "MACs hmac-sha1,hmac-md5",
    ],
)
def test_a_server_with_outdated_algorithms_alone(
    algorithms: str, tmp_path: Path, home: Path
) -> None:
    # A cipher that brings its own integrity would leave the MACs without a say.
    settings = [algorithms, *([] if "Ciphers" in algorithms else ["Ciphers aes128-ctr"])]
    with running_sshd(tmp_path / "server", kind="rsa", settings=settings) as outdated:
        problem = refusal(target_at(outdated), options(home, outdated.known_hosts))
    assert problem.reason.startswith("the host offers no modern ")
    assert problem.step == "handshake"


def test_no_private_key_is_in_the_error(
    sshd: Sshd, stranger: Path, trusting: ConnectOptions
) -> None:
    problem = refusal(target_at(sshd, identity_file=str(stranger)), trusting)
    told = f"{problem} {problem.hint} {problem!r}"
    assert not any(line in told for line in stranger.read_text().splitlines()[1:-1])
