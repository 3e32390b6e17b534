"""Host keys: known, unknown, changed, revoked. OpenSSH's client is the oracle for the files."""

from __future__ import annotations

import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.clients import connection, need, options, refusal, target_at
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    from tests.fleet.openssh import Sshd


@dataclass(frozen=True)
class Lines:
    """The pieces of a known_hosts line for a server, and of one for another key."""

    name: str
    port: int
    key: str
    other: str
    ecdsa: str


@pytest.fixture(scope="session")
def lines(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    directory = tmp_path_factory.mktemp("other")
    other = make_key(directory / "key").with_suffix(".pub")
    ecdsa = make_key(directory / "ecdsa", kind="ecdsa").with_suffix(".pub")
    return Lines(
        sshd.entry,
        sshd.port,
        _without_comment(sshd.host_key),
        _without_comment(other),
        _without_comment(ecdsa),
    )


def _without_comment(public: Path) -> str:
    return " ".join(public.read_text().split()[:2])


def openssh_connects(sshd: Sshd, known_hosts: Path) -> bool:
    """Tell whether OpenSSH's own client trusts the server on account of ``known_hosts``."""
    trusting = [
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=none",
        "BatchMode=yes",
        "IdentityAgent=none",
        "UpdateHostKeys=no",
    ]
    command = [need("ssh", "openssh-client"), "-F", "none", "-i", str(sshd.client_key)]
    command += ["-p", str(sshd.port), *(word for option in trusting for word in ("-o", option))]
    completed = subprocess.run(
        [*command, "-s", f"{sshd.user}@{sshd.address}", "sftp"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    trusted = completed.returncode == 0
    assert trusted or "Host key" in completed.stderr or "HOST" in completed.stderr, completed.stderr
    return trusted


TRUSTED = {
    "plain": "{name} {key}\n",
    "with a comment": "{name} {key} put there by hand\n",
    "without a newline at the end": "{name} {key}",
    "CRLF": "{name} {key}\r\n",
    "blanks and tabs": "  {name}\t{key}\n",
    "among other names": "other.example.com,{name},192.0.2.1 {key}\n",
    "a wildcard": "[127.0.0.*]:{port} {key}\n",
    "a question mark": "[127.0.0.?]:{port} {key}\n",
    "everyone": "* {key}\n",
    "the bare name": "127.0.0.1 {key}\n",
    "the bare name, where another port has another key": "[127.0.0.1]:1 {other}\n127.0.0.1 {key}\n",
    "a negated pattern about another host": "*,!192.0.2.1 {key}\n",
    "behind garbage": "\n# comment\nnonsense\n{name} ssh-ed25519 !!!\n{name}\n{name} {key}\n",
    "behind an authority": "@cert-authority * {other}\n{name} {key}\n",
    "behind another key that is revoked": "@revoked * {other}\n{name} {key}\n",
    "behind an unknown marker": "@odd {name} {other}\n{name} {key}\n",
    "the old key beside the new one": "{name} {other}\n{name} {key}\n",
    "behind a line of SSH 1": "{name} 1024 35 1325432543\n{name} {key}\n",
    "another address with this port": "[127.0.0.2]:{port} {other}\n127.0.0.1 {key}\n",
    "the bare name behind a broken line of the port": "{name} ssh-ed25519 AAAA\n127.0.0.1 {key}\n",
    "behind an authority of the port": "@cert-authority {name} {other}\n127.0.0.1 {key}\n",
    "behind another key revoked for the port": "@revoked {name} {other}\n127.0.0.1 {key}\n",
    "the port, where the bare name has another key": "{name} {key}\n127.0.0.1 {other}\n",
    "the port, revoked under the bare name alone": "{name} {key}\n@revoked 127.0.0.1 {key}\n",
    "revoked for another port": "{name} {key}\n@revoked [127.0.0.1]:1 {key}\n",
    "a vertical tab in the comment": "{name} {key} a\x0b* b\n",
    "a line that ends in a form feed": "{name} {key}\x0c\n",
    "a carriage return amid the comment": "{name} {key} a\rb\n",
    "NUL in the comment": "{name} {key} a\0b\n",
    "capitals": "LOCALHOST,{name} {key}\n",
}  # fmt: skip
DISTRUSTED = {
    "an empty file": "",
    "another port": "[127.0.0.1]:1 {key}\n",
    "another host": "[127.0.0.2]:{port} {key}\n",
    "another key": "{name} {other}\n",
    "another key under the bare name": "127.0.0.1 {other}\n",
    "a negated pattern": "*,![127.0.0.1]:{port},!127.0.0.1 {key}\n",
    "a negated pattern alone": "!192.0.2.1 {key}\n",
    "a comment": "#{name} {key}\n",
    "an authority is no key": "@cert-authority {name} {key}\n",
    "revoked": "@revoked {name} {key}\n{name} {key}\n",
    "revoked for everyone": "{name} {key}\n@revoked * {key}\n",
    "revoked under the bare name": "@revoked 127.0.0.1 {key}\n127.0.0.1 {key}\n",
    "a key that is cut off": "{name} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n",
    "the wrong type": "{name} ssh-rsa {blob}\n",
    "the bare name where the port has another key": "{name} {other}\n127.0.0.1 {key}\n",
    "the bare name before the port's other key": "127.0.0.1 {key}\n{name} {other}\n",
    "the bare name where a pattern has another key": "[127.*]:* {other}\n127.0.0.1 {key}\n",
    "the bare name where everyone has another key": "* {other}\n127.0.0.1 {key}\n",
    "the bare name where the port has a key of another type": "{name} {ecdsa}\n127.0.0.1 {key}\n",
    "the bare name, revoked for the port": "@revoked {name} {key}\n127.0.0.1 {key}\n",
    "a vertical tab before the name": "\x0b{name} {key}\n",
    "a form feed before the name": "\x0c{name} {key}\n",
    "a vertical tab and an entry in a comment": "other.example.com {other} \x0b* {key}\n",
    "a form feed and an entry in a comment": "other.example.com {other} a\x0c* {key}\n",
    "a carriage return and an entry in a comment": "other.example.com {other} a\r* {key}\n",
    "a file separator and an entry in a comment": "other.example.com {other} a\x1c* {key}\n",
    "NEL and an entry in a comment": "other.example.com {other} a\x85* {key}\n",
    "a line separator and an entry in a comment": "other.example.com {other} a\u2028* {key}\n",
    "a paragraph separator and an entry in a comment": "other.example.com {other} a\u2029* {key}\n",
    "NUL and an entry in a comment": "other.example.com {other} a\0* {key}\n",
    "NUL at the beginning": "\0{name} {key}\n",
    "NUL in the name": "127.0.0\0.1 {key}\n",
    "a vertical tab in place of a blank": "{name}\x0b{key}\n",
    "a no-break space in place of a blank": "{name}\xa0{key}\n",
}


def _written(text: str, lines: Lines, path: Path) -> Path:
    path.write_text(
        text.format(
            name=lines.name,
            port=lines.port,
            key=lines.key,
            other=lines.other,
            blob=lines.key.split()[1],
            ecdsa=lines.ecdsa,
        ),
        newline="",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("name", TRUSTED)
def test_a_key_that_openssh_trusts_is_trusted(
    name: str, sshd: Sshd, lines: Lines, home: Path
) -> None:
    known_hosts = _written(TRUSTED[name], lines, home / "known_hosts")
    assert openssh_connects(sshd, known_hosts)
    assert connection(target_at(sshd), options(home, known_hosts)) == ()


@pytest.mark.parametrize("name", DISTRUSTED)
def test_a_key_that_openssh_does_not_trust_is_not_trusted(
    name: str, sshd: Sshd, lines: Lines, home: Path
) -> None:
    known_hosts = _written(DISTRUSTED[name], lines, home / "known_hosts")
    assert not openssh_connects(sshd, known_hosts)
    assert refusal(target_at(sshd), options(home, known_hosts)).step == "host key"


def test_hashed_names_are_found(sshd: Sshd, lines: Lines, home: Path) -> None:
    known_hosts = _written("other.example.com {other}\n{name} {key}\n", lines, home / "known_hosts")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known_hosts], check=True, capture_output=True)
    assert sshd.entry not in known_hosts.read_text()
    assert connection(target_at(sshd), options(home, known_hosts)) == ()


def test_all_files_count_and_one_that_is_not_there_is_empty(sshd: Sshd, home: Path) -> None:
    files = (home / "missing", home / "missing" / "too", sshd.known_hosts)
    assert connection(target_at(sshd), options(home, *files)) == ()


def test_a_key_that_is_revoked_in_another_file_is_revoked(
    sshd: Sshd, lines: Lines, home: Path
) -> None:
    revoked = _written("@revoked * {key}\n", lines, home / "revoked")
    problem = refusal(target_at(sshd), options(home, sshd.known_hosts, revoked))
    assert problem.reason.startswith(f"the key of {sshd.entry} is revoked (SHA256:")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_of_several_host_keys_the_one_that_is_known_is_asked_for(
    kind: str, sshd: Sshd, home: Path
) -> None:
    known_hosts = home / "known_hosts"
    place = sshd.host_key if kind == "ed25519" else sshd.host_key.parents[1] / f"host_{kind}.pub"
    known_hosts.write_text(f"{sshd.entry} {place.read_text()}")
    assert connection(target_at(sshd), options(home, known_hosts)) == ()


def test_an_rsa_key_shorter_than_the_config_asks_for_is_refused_as_by_the_real_client(
    sshd: Sshd, keys: dict[str, Path], home: Path
) -> None:
    known_hosts, config = home / "known_hosts", home / "config"
    known_hosts.write_text(
        f"{sshd.entry} {(sshd.host_key.parents[1] / 'host_rsa.pub').read_text()}"
    )
    for text, told in (
        ("HostKeyAlgorithms rsa-sha2-512\n", None),
        ("HostKeyAlgorithms rsa-sha2-512\nRequiredRSASize 4096\n", "host key"),
        ("HostKeyAlgorithms +ssh-rsa\nRequiredRSASize 3072\n", None),
    ):
        config.write_text(text)
        command = [need("ssh", "openssh-client"), "-F", str(config), "-p", str(sshd.port)]
        command += ["-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes"]
        command += ["-i", str(sshd.client_key), "-o", "IdentityAgent=none"]
        command += [f"{sshd.user}@{sshd.address}", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (told is None), done.stderr
        conn_options = options(home, known_hosts, ssh_config=config)
        if told is None:
            connection(target_at(sshd), conn_options)
        else:
            assert refusal(target_at(sshd), conn_options).step == told
    config.write_text("RequiredRSASize 4096\n")
    conn_options = options(home, sshd.known_hosts, ssh_config=config)
    problem = refusal(target_at(sshd, identity_file=str(keys["rsa"])), conn_options)
    assert "RequiredRSASize leave out all keys that there are" in problem.reason


def fingerprint(public: Path) -> str:
    completed = subprocess.run(
        ["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True
    )
    return completed.stdout.split()[1]


def test_an_unknown_key_is_an_error_with_its_fingerprint(sshd: Sshd, home: Path) -> None:
    problem = refusal(target_at(sshd), options(home, home / "known_hosts"))
    assert problem.reason == (
        f"the key of {sshd.entry} is not known (ssh-ed25519 {fingerprint(sshd.host_key)})"
    )
    assert "ssh-keyscan" in problem.hint
    assert not (home / "known_hosts").exists()


def test_a_changed_key_is_an_error_with_both_fingerprints(
    sshd: Sshd, lines: Lines, home: Path, tmp_path: Path
) -> None:
    known_hosts = _written("{name} {other}\n", lines, home / "known_hosts")
    (tmp_path / "other.pub").write_text(lines.other)
    problem = refusal(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert problem.reason == (
        f"the key of {sshd.entry} has changed: known is {fingerprint(tmp_path / 'other.pub')}, "
        f"and it shows {fingerprint(sshd.host_key)}"
    )
    assert f"ssh-keygen -R '{sshd.entry}'" in problem.hint
    assert "someone may be in between" in problem.hint
    assert len(known_hosts.read_text().splitlines()) == 1


@pytest.mark.parametrize("loose", ["no", "off", "accept-new", "ask"])
def test_strict_host_key_checking_of_the_ssh_config_is_ignored(
    loose: str, sshd: Sshd, home: Path
) -> None:
    config = home / "config"
    config.write_text(f"Host *\n StrictHostKeyChecking {loose}\n UserKnownHostsFile /dev/null\n")
    problem = refusal(target_at(sshd), options(home, home / "known_hosts", ssh_config=config))
    assert problem.step == "host key"


def test_a_file_that_can_not_be_read_is_named(sshd: Sshd, home: Path) -> None:
    problem = refusal(target_at(sshd), options(home, home))
    assert str(problem) == f"known_hosts: {home}: is a directory"


def test_bytes_that_are_no_text_hide_nothing(sshd: Sshd, home: Path) -> None:
    known_hosts = home / "known_hosts"
    known_hosts.write_bytes(b"\xff\xfe\x00 \x80\n" + sshd.known_hosts.read_bytes())
    assert connection(target_at(sshd), options(home, known_hosts)) == ()


def test_accept_new_lists_the_key_and_saves_it_for_the_next_time(sshd: Sshd, home: Path) -> None:
    first = home / "new" / "known_hosts"
    trusting = options(home, first, home / "second", accept_new=True)
    (accepted,) = connection(target_at(sshd), trusting)
    assert (accepted.name, accepted.key_type) == (sshd.entry, "ssh-ed25519")
    assert accepted.fingerprint == fingerprint(sshd.host_key)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert not (home / "second").exists()
    assert openssh_connects(sshd, first)
    assert connection(target_at(sshd), trusting) == ()
    assert connection(target_at(sshd), options(home, first)) == ()


def test_accept_new_keeps_a_file_that_ends_without_a_newline(
    sshd: Sshd, lines: Lines, home: Path
) -> None:
    known_hosts = _written("other.example.com {other}", lines, home / "known_hosts")
    known_hosts.chmod(0o644)
    connection(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert known_hosts.read_text().splitlines() == [
        f"other.example.com {lines.other}",
        f"{sshd.entry} {lines.key}",
    ]
    assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o644


def test_accept_new_does_not_take_a_revoked_key(sshd: Sshd, lines: Lines, home: Path) -> None:
    known_hosts = _written("@revoked * {key}\n", lines, home / "known_hosts")
    problem = refusal(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert "is revoked" in problem.reason
    assert len(known_hosts.read_text().splitlines()) == 1


def test_accept_new_that_can_not_save_does_not_connect(sshd: Sshd, home: Path) -> None:
    (home / "file").write_text("")
    known_hosts = home / "file" / "known_hosts"
    problem = refusal(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert problem.step == "known_hosts"
    assert str(home / "file") in problem.reason


def test_accept_new_without_a_file_to_save_to_does_not_connect(sshd: Sshd, home: Path) -> None:
    assert refusal(target_at(sshd), options(home, accept_new=True)).step == "host key"


@pytest.mark.parametrize("hashed", ["both", "the port", "the bare name"])
def test_the_bare_name_does_not_count_beside_the_ports_own_key_hashed_or_not(
    hashed: str, sshd: Sshd, lines: Lines, home: Path
) -> None:
    def written(text: str, name: str) -> str:
        path = _written(text, lines, home / name)
        if hashed in {"both", name}:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
        return path.read_text()

    known_hosts = home / "known_hosts"
    bare = written("127.0.0.1 {key}\n", "the bare name")
    known_hosts.write_text(written("{name} {other}\n", "the port") + bare)
    assert not openssh_connects(sshd, known_hosts)
    for accept_new in (False, True):
        problem = refusal(target_at(sshd), options(home, known_hosts, accept_new=accept_new))
        assert f"the key of {sshd.entry} has changed" in problem.reason
    known_hosts.write_text(bare)
    assert openssh_connects(sshd, known_hosts)
    assert connection(target_at(sshd), options(home, known_hosts)) == ()


def test_the_files_count_together_and_not_each_for_itself(
    sshd: Sshd, lines: Lines, home: Path
) -> None:
    bare = _written("127.0.0.1 {key}\n", lines, home / "bare")
    port = _written("{name} {other}\n", lines, home / "port")
    for files in ((bare, port), (port, bare)):
        assert "has changed" in refusal(target_at(sshd), options(home, *files)).reason
    assert connection(target_at(sshd), options(home, bare)) == ()


def test_a_type_that_only_the_bare_name_knows_is_not_asked_for(sshd: Sshd, home: Path) -> None:
    known_hosts = home / "known_hosts"
    ecdsa = sshd.host_key.parents[1] / "host_ecdsa.pub"
    known_hosts.write_text(f"127.0.0.1 {ecdsa.read_text()}")
    assert not openssh_connects(sshd, known_hosts)
    problem = refusal(target_at(sshd), options(home, known_hosts))
    assert problem.reason == (
        f"the key of {sshd.entry} is not known (ssh-ed25519 {fingerprint(sshd.host_key)})"
    )


def test_an_alias_has_no_port_and_no_other_name(sshd: Sshd, lines: Lines, home: Path) -> None:
    config = home / "config"
    config.write_text("HostKeyAlias fleet\n")
    known_hosts = _written("fleet {key}\n{name} {other}\n127.0.0.1 {other}\n", lines, home / "k")
    assert connection(target_at(sshd), options(home, known_hosts, ssh_config=config)) == ()
    _written("fleet {other}\n{name} {key}\n127.0.0.1 {key}\n", lines, known_hosts)
    problem = refusal(target_at(sshd), options(home, known_hosts, ssh_config=config))
    assert problem.reason.startswith("the key of fleet has changed")


@pytest.mark.parametrize("alias", ["*", "a,b", "a?", "!a", "@revoked", "|1|", "#a", "[a]", "'a b'"])
def test_accept_new_saves_under_plain_names_only(alias: str, sshd: Sshd, home: Path) -> None:
    config, known_hosts = home / "config", home / "known_hosts"
    config.write_text(f"HostKeyAlias {alias}\n" if alias != "#a" else 'HostKeyAlias "#a"\n')
    trusting = options(home, known_hosts, ssh_config=config, accept_new=True)
    problem = refusal(target_at(sshd), trusting)
    assert problem.step == "known_hosts"
    assert problem.reason.endswith("which is no plain name")
    assert known_hosts.read_text() == ""


def test_accept_new_takes_no_key_that_is_revoked_under_the_bare_name(
    sshd: Sshd, lines: Lines, home: Path
) -> None:
    known_hosts = _written("@revoked 127.0.0.1 {key}\n", lines, home / "known_hosts")
    problem = refusal(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert "is revoked" in problem.reason


def test_accept_new_takes_a_key_where_the_bare_name_has_another(
    sshd: Sshd, lines: Lines, home: Path
) -> None:
    known_hosts = _written("127.0.0.1 {other}\n", lines, home / "known_hosts")
    [accepted] = connection(target_at(sshd), options(home, known_hosts, accept_new=True))
    assert accepted.name == sshd.entry


def test_accept_new_looks_into_the_other_files_too(sshd: Sshd, lines: Lines, home: Path) -> None:
    other = _written("{name} {other}\n", lines, home / "other")
    trusting = options(home, home / "known_hosts", other, accept_new=True)
    assert "has changed" in refusal(target_at(sshd), trusting).reason


def test_accept_new_takes_no_key_that_it_can_not_save(sshd: Sshd, home: Path) -> None:
    problem = refusal(target_at(sshd), options(home, Path("/dev/null"), accept_new=True))
    assert str(problem) == (
        f"host key: the key of {sshd.entry} is new, and there is no file to save it in"
    )


@pytest.mark.parametrize("named", ["/dev/null", "none"])
def test_accept_new_takes_no_key_where_the_config_saves_none(
    named: str, sshd: Sshd, home: Path
) -> None:
    config, saved = home / "config", home / "global"
    config.write_text(f"UserKnownHostsFile {named}\nGlobalKnownHostsFile {saved}\n")
    trusting = options(
        home, home / "known_hosts", ssh_config=config, accept_new=True, known_hosts_named=False
    )
    assert "no file to save it in" in refusal(target_at(sshd), trusting).reason
    assert not saved.exists()
    winning = replace(trusting, known_hosts_named=True)
    assert [key.name for key in connection(target_at(sshd), winning)] == [sshd.entry]


def test_the_configs_own_known_hosts_count_unless_others_were_named(sshd: Sshd, home: Path) -> None:
    config = home / "config"
    config.write_text(f"UserKnownHostsFile {home}/mine {sshd.known_hosts}\n")
    named = options(home, home / "empty", ssh_config=config)
    assert "is not known" in refusal(target_at(sshd), named).reason
    connection(target_at(sshd), replace(named, known_hosts_named=False))
    config.write_text(f"UserKnownHostsFile none\nGlobalKnownHostsFile {sshd.known_hosts}\n")
    connection(target_at(sshd), options(home, ssh_config=config, known_hosts_named=False))
