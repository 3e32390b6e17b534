"""Certificates of hosts: what OpenSSH's client trusts is trusted, and nothing else."""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.fleet.clients import connection, need, options, refusal, target_at
from tests.fleet.openssh import ADDRESS, find_sshd, make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleet.openssh import Sshd

_AUTHORITIES = {"ca": "ed25519", "other-ca": "ed25519", "rsa-ca": "rsa", "ecdsa-ca": "ecdsa"}


@dataclass
class Servers:
    """A port where each connection gets an sshd of its own, with the certificate of the moment."""

    sshd: Sshd
    port: int
    directory: Path
    keys: Mapping[str, Path]
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def certify(self, case: Case) -> None:
        """Give the next sshd the certificate of ``case``, none if it has none."""
        host_key = self.keys[case.kind]
        lines = [
            *(line for line in self._config().splitlines() if not line.startswith("HostKey ")),
            f"HostKey {host_key}",
        ]
        if case.certificate is not None:
            certificate = self.directory / "certified-cert.pub"
            certificate.unlink(missing_ok=True)
            public = self.directory / "certified.pub"
            public.write_text(host_key.with_name(f"{host_key.name}.pub").read_text())
            host = [] if "-user" in case.certificate else ["-h"]
            words = [
                word.replace("{name}", f"[{ADDRESS}]:{self.port}")
                for word in case.certificate
                if word != "-user"
            ]
            command: list[str | Path] = [
                "ssh-keygen",
                "-q",
                "-s",
                self.keys[case.authority],
                *host,
                *words,
                public,
            ]
            subprocess.run(command, check=True, capture_output=True)
            lines.append(f"HostCertificate {certificate}")
        (self.directory / "config").write_text("\n".join(lines) + "\n")

    def _config(self) -> str:
        return self.sshd.host_key.with_name("sshd_config").read_text()

    def serve(self, listener: socket.socket) -> None:
        command = [find_sshd(), "-i", "-e", "-f", str(self.directory / "config")]
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.children.append(
                    subprocess.Popen(
                        command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=subprocess.DEVNULL,
                    )
                )


@dataclass(frozen=True)
class Case:
    """A host's certificate, and what the operator has: known hosts, an ssh config.

    ``certificate`` is what ssh-keygen is told beside the authority's key, ``None`` for no
    certificate at all. ``words`` are in our refusal.
    """

    known_hosts: str
    trusted: bool
    certificate: tuple[str, ...] | None = ("-I", "x", "-n", ADDRESS)
    authority: str = "ca"
    kind: str = "host-ed25519"
    config: str = ""
    address: str = ADDRESS
    words: str = ""


def _certificate(*more: str, names: str = ADDRESS) -> tuple[str, ...]:
    return ("-I", "key-id", *(["-n", names] if names else []), *more)


CA = "@cert-authority * {ca}\n"
ALIAS = "HostKeyAlias fleet\n"
CASES = {
    "an authority of everyone": Case(CA, trusted=True),
    "an authority of the name and port": Case("@cert-authority {name} {ca}\n", trusted=True),
    "an authority of the bare name": Case("@cert-authority 127.0.0.1 {ca}\n", trusted=True),
    "an authority of a pattern": Case("@cert-authority [127.*]:* {ca}\n", trusted=True),
    "an authority of others": Case("@cert-authority *,!{name},!127.0.0.1 {ca}\n", trusted=False),
    "an authority of another port": Case("@cert-authority [127.0.0.1]:1 {ca}\n", trusted=False),
    "a tab behind the marker": Case("@cert-authority\t* {ca}\n", trusted=False),
    "nothing but tabs": Case("@cert-authority\t*\t{ca_tabs}\n", trusted=True),
    "two markers": Case("@cert-authority @revoked * {ca}\n", trusted=False),
    "another authority": Case("@cert-authority * {other_ca}\n", trusted=False),
    "two authorities": Case("@cert-authority * {other_ca}\n" + CA, trusted=True),
    "the authority's key as a host's": Case("{name} {ca}\n", trusted=False),
    "no certificate": Case(CA, trusted=False, certificate=None),
    "the host's key as an authority's": Case("@cert-authority * {key}\n", trusted=False),
    "the host's own key": Case("{name} {key}\n", trusted=True),
    "the host's own key behind another authority": Case(
        "@cert-authority * {other_ca}\n{name} {key}\n", trusted=True
    ),
    "another key beside the authority": Case("{name} {other}\n" + CA, trusted=True),
    "another key behind the authority": Case(CA + "{name} {other}\n", trusted=True),
    "another key beside another authority": Case(
        "{name} {other}\n@cert-authority * {other_ca}\n", trusted=False
    ),
    "the bare name's key where the port has another": Case(
        "{name} {other}\n127.0.0.1 {key}\n", trusted=True
    ),
    "the authority of the bare name where the port has another key": Case(
        "{name} {other}\n@cert-authority 127.0.0.1 {ca}\n", trusted=True
    ),
    "expired": Case(CA, trusted=False, certificate=_certificate("-V", "20200101:20210101")),
    "expired, and its key is known": Case(
        CA + "{name} {key}\n", trusted=True, certificate=_certificate("-V", "20200101:20210101")
    ),
    "expired, and another key is known": Case(
        CA + "{name} {other}\n", trusted=False, certificate=_certificate("-V", "20200101:20210101")
    ),
    "not yet valid": Case(CA, trusted=False, certificate=_certificate("-V", "+52w:+104w")),
    "valid now": Case(CA, trusted=True, certificate=_certificate("-V", "-1d:+1d")),
    "another principal": Case(CA, trusted=False, certificate=_certificate(names="elsewhere")),
    "several principals": Case(CA, trusted=True, certificate=_certificate(names="a,127.0.0.1")),
    "a pattern as a principal": Case(CA, trusted=False, certificate=_certificate(names="127.*")),
    "everyone as a principal": Case(CA, trusted=False, certificate=_certificate(names="*")),
    "the port in the principal": Case(CA, trusted=False, certificate=_certificate(names="{name}")),
    "no principal": Case(CA, trusted=True, certificate=_certificate(names="")),
    "a user's certificate": Case(CA, trusted=False, certificate=_certificate("-user")),
    "a critical option": Case(
        CA, trusted=False, certificate=_certificate("-O", "critical:odd@example.com=1")
    ),
    "an extension": Case(
        CA, trusted=True, certificate=_certificate("-O", "extension:odd@example.com=1")
    ),
    "an RSA authority": Case(
        "@cert-authority * {rsa_ca}\n", trusted=True, authority="rsa-ca"
    ),
    "an RSA authority and SHA-1": Case(
        "@cert-authority * {rsa_ca}\n",
        trusted=False,
        authority="rsa-ca",
        certificate=_certificate("-t", "ssh-rsa"),
    ),
    "an RSA authority and SHA-1, and its key is known": Case(
        "@cert-authority * {rsa_ca}\n{name} {key}\n",
        trusted=True,
        authority="rsa-ca",
        certificate=_certificate("-t", "ssh-rsa"),
    ),
    "an ECDSA authority": Case(
        "@cert-authority * {ecdsa_ca}\n", trusted=True, authority="ecdsa-ca"
    ),
    "an RSA key": Case(CA, trusted=True, kind="host-rsa"),
    "an ECDSA key": Case(CA, trusted=True, kind="host-ecdsa"),
    "an alias": Case(CA, trusted=False, config=ALIAS),
    "an alias that is a principal": Case(
        CA, trusted=True, config=ALIAS, certificate=_certificate(names="fleet")
    ),
    "an alias in capitals": Case(
        "@cert-authority fleet {ca}\n",
        trusted=True,
        config="HostKeyAlias Fleet\n",
        certificate=_certificate(names="fleet"),
    ),
    "an alias in capitals that is a principal": Case(
        "@cert-authority fleet {ca}\n",
        trusted=False,
        config="HostKeyAlias Fleet\n",
        certificate=_certificate(names="Fleet"),
    ),
    "an alias in capitals, and the key is known": Case(
        "fleet {key}\n", trusted=True, config="HostKeyAlias Fleet\n", certificate=None
    ),
    "a name in capitals": Case(
        CA, trusted=True, address="LOCALHOST", certificate=_certificate(names="localhost")
    ),
    "a name in capitals, as a principal": Case(
        CA, trusted=False, address="LOCALHOST", certificate=_certificate(names="LOCALHOST")
    ),
    "a short name's principal": Case(
        CA, trusted=True, address="localhost", certificate=_certificate(names="localhost")
    ),
    "the authority is revoked": Case(
        "@revoked * {ca}\n" + CA, trusted=False, words="the authority of {name}'s certificate is"
    ),
    "the authority is revoked for the name": Case(
        CA + "@revoked {name} {ca}\n", trusted=False
    ),
    "the authority is revoked, and the key is known": Case(
        "@revoked * {ca}\n{name} {key}\n" + CA, trusted=False
    ),
    "the authority is revoked under the bare name": Case(
        "@revoked 127.0.0.1 {ca}\n" + CA, trusted=True
    ),
    "the authority is revoked under the bare name, and it alone has it": Case(
        "@revoked 127.0.0.1 {ca}\n@cert-authority 127.0.0.1 {ca}\n", trusted=False
    ),
    "another authority is revoked": Case("@revoked * {other_ca}\n" + CA, trusted=True),
    "the key is revoked": Case("@revoked * {key}\n" + CA, trusted=False),
    "the certificate is revoked": Case("@revoked * {certificate}\n" + CA, trusted=False),
    "the certificate is revoked, and the host has its key alone": Case(
        "@revoked * {certificate}\n{name} {key}\n", trusted=False, certificate=None
    ),
    "the certificate as a host's key": Case("{name} {certificate}\n", trusted=False),
    "the revoked keys hold the authority": Case(CA, False, config="RevokedHostKeys {dir}/ca.pub\n"),
    "the revoked keys hold the certificate": Case(
        CA, False, config="RevokedHostKeys {dir}/certified-cert.pub\n"
    ),
    "the revoked keys hold another": Case(CA, True, config="RevokedHostKeys {dir}/other.pub\n"),
    "a KRL of the key": Case(CA, False, config="RevokedHostKeys {krl:key}\n"),
    "a KRL of the authority": Case(CA, False, config="RevokedHostKeys {krl:authority}\n"),
    "a KRL of the serial": Case(
        CA, False, _certificate("-z", "77"), config="RevokedHostKeys {krl:serial: 77}\n"
    ),
    "a KRL of the serial, of another authority": Case(
        CA, True, _certificate("-z", "77"), config="RevokedHostKeys {krl-other:serial: 77}\n"
    ),
    "a KRL of the serial, of any authority": Case(
        CA, False, _certificate("-z", "77"), config="RevokedHostKeys {krl-any:serial: 77}\n"
    ),
    "a KRL of a range of serials": Case(
        CA, False, _certificate("-z", "77"), config="RevokedHostKeys {krl:serial: 70-80}\n"
    ),
    "a KRL of other serials": Case(
        CA,
        True,
        _certificate("-z", "77"),
        config="RevokedHostKeys {krl:serial: 70-76|serial: 78|serial: 80|serial: 82-90}\n",
    ),
    "a KRL of scattered serials": Case(
        CA,
        False,
        _certificate("-z", "77"),
        config="RevokedHostKeys {krl:serial: 71|serial: 73|serial: 74|serial: 77|serial: 79}\n",
    ),
    "a KRL of the id": Case(
        CA, False, _certificate("-z", "5"), config="RevokedHostKeys {krl:id: key-id}\n"
    ),
    "a KRL of another id": Case(CA, True, config="RevokedHostKeys {krl:id: other-id}\n"),
    "a KRL of the serial 0": Case(
        CA, True, _certificate("-z", "0"), config="RevokedHostKeys {krl:serial: 1-9}\n"
    ),
    "no certificates asked for": Case(
        CA, trusted=False, config="HostKeyAlgorithms ssh-ed25519\n"
    ),
    "no certificates asked for, and the key is known": Case(
        CA + "{name} {key}\n", trusted=True, config="HostKeyAlgorithms -*-cert-*\n"
    ),
    "no algorithm of that authority": Case(
        CA, trusted=False, config="CASignatureAlgorithms rsa-sha2-512\n"
    ),
    "the algorithm of that authority": Case(
        CA, trusted=True, config="CASignatureAlgorithms -rsa*,ecdsa*\n"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("certified")
    keys = {name: make_key(directory / name, kind=kind) for name, kind in _AUTHORITIES.items()}
    keys["other"] = make_key(directory / "other")
    for kind in ("ed25519", "rsa", "ecdsa"):
        keys[f"host-{kind}"] = make_key(directory / f"host-{kind}", kind=kind)
    with running_sshd(directory / "server") as sshd, _listening() as listener:
        found = Servers(sshd, listener.getsockname()[1], directory, keys)
        thread = threading.Thread(target=found.serve, args=(listener,))
        thread.start()
        try:
            yield found
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for child in found.children:
                child.kill()
                child.wait()


@contextmanager
def _listening() -> Iterator[socket.socket]:
    with socket.create_server((ADDRESS, 0)) as listener:
        yield listener


def _public(path: Path) -> str:
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def _krl(servers: Servers, kind: str, what: str, directory: Path, case: Case) -> Path:
    made, specification = directory / "krl", directory / "specification"
    keys = {"key": servers.keys[case.kind], "authority": servers.keys[case.authority]}
    if what in keys:
        source = keys[what].with_name(f"{keys[what].name}.pub")
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", made, source], check=True)
        return made
    specification.write_text(what.replace("|", "\n") + "\n")
    authority = {"krl": "ca", "krl-other": "other-ca", "krl-any": None}[kind]
    signer = "none" if authority is None else f"{servers.keys[authority]}.pub"
    subprocess.run(["ssh-keygen", "-q", "-k", "-s", signer, "-f", made, specification], check=True)
    return made


def _filled(text: str, servers: Servers, case: Case) -> str:
    name = case.address.lower()
    certificate = servers.directory / "certified-cert.pub"
    words = {
        "name": f"[{name}]:{servers.port}",
        "key": _public(servers.keys[case.kind]),
        "other": _public(servers.keys["other"]),
        "ca": _public(servers.keys["ca"]),
        "ca_tabs": _public(servers.keys["ca"]).replace(" ", "\t"),
        "other_ca": _public(servers.keys["other-ca"]),
        "rsa_ca": _public(servers.keys["rsa-ca"]),
        "ecdsa_ca": _public(servers.keys["ecdsa-ca"]),
        "certificate": certificate.read_text().strip() if certificate.exists() else "",
    }
    return text.format(**words)


def _config(text: str, servers: Servers, directory: Path, case: Case) -> str:
    if "{krl" in text:
        before, _, rest = text.partition("{")
        kind, _, what = rest.partition("}")[0].partition(":")
        return f"{before}{_krl(servers, kind, what, directory, case)}\n"
    return text.replace("{dir}", str(servers.directory))


def openssh_trusts(servers: Servers, case: Case, known_hosts: Path, config: Path) -> bool:
    said = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "none",
        "BatchMode": "yes",
        "PreferredAuthentications": "none",
        "UpdateHostKeys": "no",
    }
    command = [need("ssh", "openssh-client"), "-F", str(config), "-p", str(servers.port)]
    for name, value in said.items():
        command += ["-o", f"{name}={value}"]
    done = subprocess.run(
        [*command, case.address],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    trusted = "Permission denied" in done.stderr
    assert trusted != ("verification failed" in done.stderr), done.stderr
    return trusted


@pytest.mark.parametrize("name", CASES)
def test_a_certificate_counts_where_it_does_for_the_real_client(
    name: str, servers: Servers, home: Path
) -> None:
    case = CASES[name]
    if case.certificate is None:  # one that is revoked may be named all the same
        servers.certify(Case("", trusted=False))
    servers.certify(case)
    known_hosts, config = home / "known_hosts", home / "config"
    known_hosts.write_text(_filled(case.known_hosts, servers, case))
    config.write_text(_config(case.config, servers, home, case))
    assert openssh_trusts(servers, case, known_hosts, config) == case.trusted
    conn_options = options(home, known_hosts, ssh_config=config)
    host = target_at(servers.sshd, address=case.address, port=servers.port)
    if case.trusted:
        assert connection(host, conn_options) == ()
    else:
        problem = refusal(host, conn_options)
        assert problem.step == "host key"
        assert _filled(case.words, servers, case) in problem.reason
