"""Logging in with what the inventory names: a passphrase for key files, a password."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from aegis_provision.providers.secret import Secret
from aegis_provision.transport.connect_options import ConnectOptions, LoginSecrets
from aegis_provision.transport.ssh.private_keys import PrivateKey, read_private_key
from aegis_provision.transport.ssh.public_keys import read_public_key
from aegis_provision.transport.ssh.signatures import is_signed
from tests.fleet.clients import connection, logged_in, need, options, refusal, target, target_at
from tests.fleet.openssh import make_key, running_sshd
from tests.fleet.users import user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from aegis_provision.inventory.host import Target
    from tests.fleet.openssh import Sshd

    _Challenge: TypeAlias = tuple[str, str, str, Sequence[tuple[str, bool]]]

PASSPHRASE = "open sesame"
PASSWORD = "correct-horse-not-real"
GIVEN = Secret(PASSPHRASE, "${KEY_PASSPHRASE}")
WRONG = Secret("close sesame", "${WRONG_ONE}")


def with_secrets(
    conn_options: ConnectOptions, *, passphrase: Secret | None = None, password: str | None = None
) -> ConnectOptions:
    given = LoginSecrets(
        passphrase, None if password is None else Secret(password, "${LOGIN_PASSWORD}")
    )
    return replace(conn_options, login_secrets={"host": given})


def _container(source: Path, form: str, passphrase: str, path: Path) -> Path:
    """Write the key at ``source`` in another form."""
    forms = {
        "OpenSSH": PrivateFormat.OpenSSH,
        "PKCS#8": PrivateFormat.PKCS8,
        "PEM": PrivateFormat.TraditionalOpenSSL,
    }
    key = load_ssh_private_key(source.read_bytes(), None)
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase.encode())
    path.write_bytes(key.private_bytes(Encoding.PEM, forms[form], encryption))
    path.chmod(0o600)
    return path


_ALGORITHMS = {
    "ed25519": "ssh-ed25519",
    "ecdsa": "ecdsa-sha2-nistp256",
    "rsa": "rsa-sha2-512",
    "nistp384": "ecdsa-sha2-nistp384",
    "nistp521": "ecdsa-sha2-nistp521",
}


@pytest.mark.parametrize("form", ["OpenSSH", "PKCS#8", "PEM"])
@pytest.mark.parametrize("kind", _ALGORITHMS)
def test_every_kind_of_key_in_every_form(
    kind: str, form: str, keys: dict[str, Path], tmp_path: Path
) -> None:
    if (kind, form) == ("ed25519", "PEM"):
        form = "PKCS#8"  # there is no older form of these keys
    source = keys.get(kind) or tmp_path / kind
    if not source.exists():
        command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", kind.removeprefix("nistp")]
        subprocess.run([*command, "-N", "", "-f", source], check=True)
    public = read_public_key(source.with_name(f"{source.name}.pub").read_bytes())
    plain = _container(source, form, "", tmp_path / "plain")
    locked = _container(source, form, PASSPHRASE, tmp_path / "locked")
    for path, passphrase in ((plain, None), (plain, GIVEN), (locked, GIVEN)):
        found = read_private_key(str(path), passphrase)
        assert isinstance(found, PrivateKey)
        assert found.public == public
        signature = found.sign(b"data", _ALGORITHMS[kind])
        assert is_signed(b"data", signature, found.public.blob, {_ALGORITHMS[kind]})
    told = read_private_key(str(locked), None)
    assert (
        told == "has a passphrase and is not in the agent (ssh-add it, or set identity_passphrase)"
    )
    told = read_private_key(str(locked), WRONG)
    assert told == "is not opened by the passphrase in ${WRONG_ONE}"


def test_a_key_with_a_passphrase_opens_a_host(
    keys: dict[str, Path], sshd: Sshd, home: Path, tmp_path: Path
) -> None:
    locked = _container(keys["ecdsa"], "PKCS#8", PASSPHRASE, tmp_path / "locked")
    trusting = options(home, sshd.known_hosts)
    host = target_at(sshd, identity_file=str(locked))
    assert "has a passphrase" in refusal(host, trusting).reason
    connection(host, with_secrets(trusting, passphrase=GIVEN))
    problem = refusal(host, with_secrets(trusting, passphrase=WRONG))
    assert problem.reason.endswith(f"; {locked} is not opened by the passphrase in ${{WRONG_ONE}}")
    assert "sesame" not in f"{problem!r}{problem.hint}"


def test_a_passphrase_that_is_not_needed_does_no_harm(
    keys: dict[str, Path], sshd: Sshd, home: Path
) -> None:
    trusting = with_secrets(options(home, sshd.known_hosts), passphrase=GIVEN)
    connection(target_at(sshd, identity_file=str(keys["rsa"])), trusting)


def test_a_key_that_others_can_read_is_not_used_as_by_the_real_client(
    keys: dict[str, Path], sshd: Sshd, home: Path, tmp_path: Path
) -> None:
    loose = tmp_path / "loose"
    shutil.copy(keys["ed25519"], loose)
    loose.chmod(0o640)
    command = [need("ssh", "openssh-client"), "-F", "none", "-i", str(loose), "-p", str(sshd.port)]
    for option in ("BatchMode=yes", f"UserKnownHostsFile={sshd.known_hosts}", "IdentityAgent=none"):
        command += ["-o", option]
    command += ["-o", "IdentitiesOnly=yes", f"{sshd.user}@{sshd.address}", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert "too open" in done.stderr
    host = target_at(sshd, identity_file=str(loose))
    problem = refusal(host, options(home, sshd.known_hosts))
    assert problem.reason.endswith(f"{loose} can be read by others (mode 0640): chmod 600 it")
    loose.chmod(0o400)
    connection(host, options(home, sshd.known_hosts))


def test_what_is_no_key_of_ours(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key").with_name("key.pub")
    told = read_private_key(str(public), None)
    assert told == "is a public key, and no agent has its private half"
    assert read_private_key(str(tmp_path / "none"), None) == "is not there"
    large = tmp_path / "large"
    large.write_bytes(b"x" * (64 * 1024 + 1))
    assert read_private_key(str(large), None) == "can't be used: it is larger than 64 KiB"


def test_neither_secret_shows(home: Path) -> None:
    conn_options = with_secrets(options(home), passphrase=GIVEN, password=PASSWORD)
    assert PASSWORD not in repr(conn_options) + repr(conn_options.login_secrets)
    assert PASSPHRASE not in repr(conn_options.login_secrets)


# --- Passwords: a server that asks what it likes ---


class _Asker(asyncssh.SSHServer):
    """A server that takes the password, over ``methods``, with questions of its own."""

    questions: Sequence[Sequence[tuple[str, bool]]] = ((("Password: ", False),),)
    methods: tuple[str, ...] = ("keyboard-interactive",)
    passwords: list[str]
    answers: list[list[str]]
    connections: list[asyncssh.SSHServerConnection]

    def __init__(self) -> None:
        self.round = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return False

    def password_auth_supported(self) -> bool:
        return "password" in self.methods

    def validate_password(self, username: str, password: str) -> bool:
        self.passwords.append(password)
        return password == PASSWORD

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self.methods

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> _Challenge:
        return "", "", "", self.questions[0]

    def validate_kbdint_response(
        self, username: str, responses: Sequence[str]
    ) -> bool | _Challenge:
        self.answers.append([*responses])
        self.round += 1
        if self.round < len(self.questions):
            return "", "", "", self.questions[self.round]
        return [PASSWORD] in self.answers


@contextmanager
def _asking(
    questions: Sequence[Sequence[tuple[str, bool]]], methods: tuple[str, ...], directory: Path
) -> Iterator[tuple[type[_Asker], Target, Path]]:
    server: type[_Asker] = type(
        "_Server",
        (_Asker,),
        {
            "questions": questions,
            "methods": methods,
            "passwords": [],
            "answers": [],
            "connections": [],
        },
    )
    loop, key = asyncio.new_event_loop(), asyncssh.generate_private_key("ssh-ed25519")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(server, "127.0.0.1", 0, server_host_keys=[key])

    async def stop(acceptor: asyncssh.SSHAcceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()
        for connected in server.connections:
            connected.abort()
            await connected.wait_closed()

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    try:
        port = acceptor.get_port()
        known_hosts = directory / "known"
        known_hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
        yield server, target("127.0.0.1", port, user="anna"), known_hosts
    finally:
        asyncio.run_coroutine_threadsafe(stop(acceptor), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


HIDDEN = (("Password: ", False),)
BOTH = ("keyboard-interactive", "password")


@pytest.mark.parametrize(
    ("questions", "methods", "answers", "passwords"),
    [
        ([HIDDEN], BOTH[:1], [[PASSWORD]], []),
        ([HIDDEN], BOTH[1:], [], [PASSWORD]),
        ([HIDDEN], BOTH, [[PASSWORD]], []),
        ([HIDDEN, ()], BOTH, [[PASSWORD], []], []),
        ([(), HIDDEN], BOTH, [[], [PASSWORD]], []),
        ([(("Token: ", True),)], BOTH, [], [PASSWORD]),
        ([(("Password: ", False), ("Token: ", False))], BOTH, [], [PASSWORD]),
    ],
)
def test_a_password_where_the_host_asks_for_it(
    questions: Sequence[Sequence[tuple[str, bool]]],
    methods: tuple[str, ...],
    answers: list[list[str]],
    passwords: list[str],
    home: Path,
) -> None:
    with _asking(questions, methods, home) as (server, host, known_hosts):
        trusting = options(home, known_hosts)
        with logged_in(host, with_secrets(trusting, password=PASSWORD)) as connected:
            assert connected.logged_in_with == "the password in ${LOGIN_PASSWORD}"
        assert (server.answers, server.passwords) == (answers, passwords)


@pytest.mark.parametrize(
    ("questions", "answers", "reason"),
    [
        (
            [(("Password: ", True),)],
            [],
            "the host asks for something else than a password as anna at ",
        ),
        (
            [(("Password: ", False), ("Token: ", True))],
            [],
            "the host asks for something else than a password as anna at ",
        ),
        (
            [HIDDEN, (("New password: ", False),)],
            [[PASSWORD]],
            "the host asks for something else than a password as anna at ",
        ),
        (
            [HIDDEN, *[()] * 20],
            [[PASSWORD], *[[]] * 7],
            "the host asks for something else than a password as anna at ",
        ),
    ],
)
def test_what_is_no_question_for_a_password_is_not_answered(
    questions: Sequence[Sequence[tuple[str, bool]]],
    answers: list[list[str]],
    reason: str,
    home: Path,
) -> None:
    with _asking(questions, BOTH[:1], home) as (server, host, known_hosts):
        problem = refusal(host, with_secrets(options(home, known_hosts), password=PASSWORD))
        assert problem.reason.startswith(reason)
        assert (server.answers, server.passwords) == (answers, [])


@pytest.mark.parametrize("methods", [BOTH, BOTH[1:]])
def test_a_wrong_password_is_sent_once(methods: tuple[str, ...], home: Path) -> None:
    with _asking([HIDDEN], methods, home) as (server, host, known_hosts):
        problem = refusal(host, with_secrets(options(home, known_hosts), password="wrong-not-real"))
        assert problem.reason.startswith("the host did not let us in as anna at [127.0.0.1]:")
        assert "(tried: the password in ${LOGIN_PASSWORD})" in problem.reason
        assert len(server.answers) + len(server.passwords) == 1
        assert "wrong-not-real" not in f"{problem!r}{problem.hint}"


def test_a_password_is_never_sent_to_a_host_with_another_key(home: Path) -> None:
    with _asking([HIDDEN], BOTH, home) as (server, host, known_hosts):
        other = make_key(home / "other").with_name("other.pub").read_text()
        known_hosts.write_text(f"* {other}")
        problem = refusal(host, with_secrets(options(home, known_hosts), password=PASSWORD))
        assert problem.step == "host key"
        assert (server.answers, server.passwords) == ([], [])


def test_a_hosts_password_is_not_for_its_bastion(home: Path) -> None:
    with _asking([HIDDEN], BOTH, home) as (server, bastion, known_hosts):
        jump = f"anna@127.0.0.1:{bastion.port}"
        host = target("127.0.0.1", 9, user="anna", jump=(jump,))
        problem = refusal(host, with_secrets(options(home, known_hosts), password=PASSWORD))
        assert problem.step.startswith("bastion ")
        assert (server.answers, server.passwords) == ([], [])


# --- Passwords: OpenSSH's server ---


_METHODS = [
    (["PasswordAuthentication yes"], False),
    (["UsePAM yes", "KbdInteractiveAuthentication yes"], False),
    (["PasswordAuthentication yes", "AuthenticationMethods publickey,password"], True),
    (["PasswordAuthentication yes", "AuthenticationMethods password,publickey"], True),
    (
        [
            "UsePAM yes",
            "KbdInteractiveAuthentication yes",
            "AuthenticationMethods publickey,keyboard-interactive",
        ],
        True,
    ),
]


@pytest.mark.root
def test_openssh_takes_a_password_alone_or_after_a_key(tmp_path: Path, home: Path) -> None:
    key = make_key(tmp_path / "key")
    # sshd reads the authorized keys as the user.
    with (
        user("password") as name,
        tempfile.TemporaryDirectory(prefix="authorized-") as directory,
    ):
        Path(directory).chmod(0o755)
        authorized = Path(directory) / "keys"
        shutil.copy(key.with_name("key.pub"), authorized)
        authorized.chmod(0o644)
        subprocess.run(
            [need("chpasswd", "passwd")], input=f"{name}:{PASSWORD}\n", text=True, check=True
        )
        for number, (settings, needs_key) in enumerate(_METHODS):
            own = [*settings, f"AuthorizedKeysFile {authorized}"]
            with running_sshd(tmp_path / f"server-{number}", settings=own) as server:
                plain = options(home, server.known_hosts)
                identity_file = str(key) if needs_key else None
                host = target_at(server, user=name, identity_file=identity_file)
                connection(host, with_secrets(plain, password=PASSWORD))
                wrong = with_secrets(plain, password="wrong-not-real")
                assert "did not let us in" in refusal(host, wrong).reason
                assert "wants" in refusal(host, plain).reason or identity_file is None
