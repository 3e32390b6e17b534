"""Which files are read, by whom they may be written, and what is asked of this machine."""

from __future__ import annotations

import grp
import os
import pwd
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.network_interfaces import interface_addresses
from aegis_provision.transport.ssh.canonical_names import CanonicalNames, NoSuchNameError
from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops
from aegis_provision.transport.ssh.ssh_config import SshConfig, read_ssh_config
from aegis_provision.transport.ssh.ssh_config_lookup import VERSION, Query
from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
from aegis_provision.values import dataclass
from tests.fleet.clients import need, options, target
from tests.transport.ssh.openssh_config import lookup, ours, theirs

if TYPE_CHECKING:
    from pathlib import Path


def read(home: Path, text: str, **changes: object) -> SshConfig:
    path = home / "config"
    path.write_text(text)
    fields: dict[str, object] = {"home": home, "local_user": "anna", "environ": dict(os.environ)}
    return read_ssh_config(path, **{**fields, **changes})  # type: ignore[arg-type]


def test_the_system_wide_file_counts_behind_the_users(home: Path) -> None:
    system = home / "ssh_config"
    system.write_text("Host a\n User system\n Port 7\nMatch user mine\n HostKeyAlias k\n")
    found = read(home, "Host a\n User mine\n", system_path=system).lookup(Query("a"))
    assert (found.user, found.port, found.host_key_alias) == ("mine", 7, "k")
    alone = read_ssh_config(None, home=home, local_user="anna", environ={}, system_path=system)
    assert alone.lookup(Query("a")).user == "system"
    missing = read(home, "User mine\n", system_path=home / "missing")
    assert missing.lookup(Query("a")).user == "mine"


def test_a_system_wide_file_has_no_home(home: Path) -> None:
    system = home / "ssh_config"
    system.write_text("\nInclude ~/x\n")
    with pytest.raises(SshConfigError, match=f'^{system}:2: Include "~/x": a system-wide file'):
        read(home, "", system_path=system)


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_the_users_file_that_others_can_write_is_refused(mode: int, home: Path) -> None:
    read(home, "User u\n")
    (home / "config").chmod(mode)
    system = home / "missing"
    with pytest.raises(SshConfigError, match="config: bad owner or permissions: it must be yours"):
        read_ssh_config(
            home / "config", home=home, local_user="anna", environ={}, system_path=system
        )
    # One that was named is the operator's own choice, as for ssh -F.
    assert lookup(home / "config", "a").user == "u"
    assert theirs(home / "config", "a") is not None


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o602])
@pytest.mark.parametrize("group", ["root", "users"])
@pytest.mark.root
def test_an_included_file_may_be_written_by_whom_openssh_lets(
    mode: int, group: str, home: Path
) -> None:
    """Debian's client lets the owner's own group write."""
    need("ssh", "openssh-client")
    part, config = home / "part", home / "config"
    part.write_text("User u\n")
    part.chmod(mode)
    os.chown(part, -1, grp.getgrnam(group).gr_gid)
    config.write_text(f"Include {part}\n")
    expected = theirs(config, "a")
    if expected is None:
        with pytest.raises(SshConfigError, match=f"^{part}: bad owner or permissions"):
            lookup(config, "a")
    else:
        assert ours(config, "a") == expected
    assert (expected is None) or mode != 0o602


def test_others_never_write_an_included_file(home: Path) -> None:
    part = home / "part"
    part.write_text("User u\n")
    part.chmod(0o646)
    with pytest.raises(SshConfigError, match=f"^{part}: bad owner or permissions"):
        read(home, f"Include {part}\n")


@pytest.mark.root
def test_a_file_of_another_user_is_refused(home: Path) -> None:
    need("ssh", "openssh-client")
    part, config = home / "part", home / "config"
    part.write_text("User u\n")
    config.write_text(f"Include {part}\n")
    os.chown(part, pwd.getpwnam("nobody").pw_uid, -1)
    assert theirs(config, "a") is None
    with pytest.raises(SshConfigError, match=f"^{part}: bad owner or permissions"):
        lookup(config, "a")


def test_an_include_may_depend_on_the_host(home: Path) -> None:
    (home / "for-a").write_text("User a\nPort 7\n")
    (home / "mine").write_text("User mine\n")
    config = read(
        home, f"Include {home}/for-%h ${{DIR}}/none\nInclude ${{DIR}}/mine\nInclude ${{UNSET}}/x\n",
        environ={"DIR": str(home)},
    )  # fmt: skip
    assert [config.lookup(Query(name)).user for name in ("a", "b")] == ["a", "mine"]
    (home / "for-c").write_text("\nPort x\n")
    with pytest.raises(SshConfigError, match=f"^{home}/for-c:2: "):
        config.lookup(Query("c"))


def test_a_user_of_the_config_has_tokens(home: Path) -> None:
    config = read(home, "Host a\n User ${WHO}-%u-%n\nHost b\n User %r\n", environ={"WHO": "me"})
    assert config.lookup(Query("a")).user == "me-anna-a"
    assert config.lookup(Query("a", user="%u")).user == "%u"
    with pytest.raises(SshConfigError, match="config:4: User %r: %r is not supported there"):
        config.lookup(Query("b"))


def test_several_files_of_revoked_keys(home: Path) -> None:
    found = read(home, "RevokedHostKeys ~/r /%h/r\n").lookup(Query("a"))
    assert found.revoked_host_keys == (f"{home}/r", "/a/r")


CRITERIA = {
    "tagged x": True,
    "tagged y": False,
    "tagged *": True,
    'tagged ""': False,
    "!tagged y": True,
    "command x": False,
    'command ""': True,
    "sessiontype shell": True,
    "sessiontype exec,none": False,
    f"version {VERSION}": True,
    "version OpenSSH_10.*": True,
    "version OpenSSH_9.*": False,
    "localnetwork 127.0.0.0/8": True,
    "localnetwork 198.51.100.0/24": False,
    "localnetwork 198.51.100.0/24,127.0.0.1": True,
    "!localnetwork 127.0.0.0/8": False,
    "host=a,b localnetwork=127.0.0.0/8 tagged=x": True,
}


@pytest.mark.parametrize("criteria", CRITERIA)
def test_criteria_of_newer_clients(criteria: str, home: Path) -> None:
    found = read(home, f"Tag x\nMatch {criteria}\n User met\n").lookup(Query("a"))
    assert (found.user == "met") is CRITERIA[criteria]


def test_no_tag_is_an_empty_one_and_a_jump_host_has_no_shell(home: Path) -> None:
    config = read(home, 'Match tagged ""\n Port 7\nMatch sessiontype none\n User jump\n')
    assert config.lookup(Query("a")).port == 7
    assert config.lookup(Query("a")).user is None
    assert config.lookup(Query("a", jump_host=True)).user == "jump"


@pytest.mark.parametrize("text", ["Match localnetwork 127.0.0.1/8\n", "Match localnetwork lan\n"])
def test_what_is_no_network_is_refused(text: str, home: Path) -> None:
    with pytest.raises(SshConfigError, match=r"config:1: Match localnetwork: .* is no network"):
        read(home, text)


def test_loopback_is_among_the_interfaces() -> None:
    found = {str(item.address): item.interface for item in interface_addresses()}
    assert found["127.0.0.1"].startswith("lo")


def test_a_command_of_a_match_runs_once_in_the_operators_shell(home: Path) -> None:
    log = home / "log"
    config = read(
        home,
        f'Match exec "echo $0 $WORD %n >>{log}; exit 0"\n User met\n',
        environ={"SHELL": "/bin/sh", "WORD": "mine"},
    )
    with ThreadPoolExecutor(8) as pool:
        queries = [Query("a", port=number) for number in range(1, 17)]
        assert {found.user for found in pool.map(config.lookup, queries)} == {"met"}
    assert config.lookup(Query("b")).user == "met"
    assert log.read_text() == "/bin/sh mine a\n/bin/sh mine b\n"


def test_a_command_is_not_run_where_another_criterion_fails(home: Path) -> None:
    ran = home / "ran"
    config = read(home, f'Match host b exec "touch {ran}"\n User met\nMatch host a\n Port 7\n')
    assert (config.lookup(Query("a")).port, ran.exists()) == (7, False)
    assert (config.lookup(Query("b")).user, ran.exists()) == ("met", True)


@pytest.mark.parametrize(
    ("command", "shell", "reason"),
    [
        ("sleep 1000", "/bin/sh", "it did not end within 0.2 s"),
        ("kill -9 $$", "/bin/sh", "signal 9 ended it"),
        ("true", "/no/such/shell", "the shell /no/such/shell can't be run: No such file"),
        ("test %x", "/bin/sh", "%x is not supported there"),
    ],
)
def test_a_command_without_an_answer_refuses_the_host(
    command: str, shell: str, reason: str, home: Path
) -> None:
    config = read(home, f'\nMatch host a exec "{command}"\n', environ={"SHELL": shell}, timeout=0.2)
    assert config.lookup(Query("b")).user is None
    with pytest.raises(SshConfigError) as caught:
        config.lookup(Query("a"))
    assert str(caught.value).startswith(f"{home}/config:2: Match exec: {reason}")


@dataclass(frozen=True)
class Names(CanonicalNames):
    """Names that are known without DNS: what each is an alias of."""

    known: dict[str, str] = field(default_factory=dict)

    def alias(self, name: str, family: str) -> str:
        if name not in self.known:
            raise NoSuchNameError
        return self.known[name]


CANONICAL = {
    "found": ("", "web", "web.b.example"),
    "enough dots": ("", "a.b.c", "a.b.c"),
    "one dot": ("", "web.sub", "web.sub.a.example"),
    "more dots": ("CanonicalizeMaxDots 0\n", "web.sub", "web.sub"),
    "anchored": ("", "web.b.example.", "web.b.example"),
    "nowhere": ("", "nowhere", "nowhere"),
    "by a jump": ("ProxyJump j\n", "web", "web"),
    "by a jump, always": ("CanonicalizeHostname always\nProxyJump j\n", "web", "web.b.example"),
    "off": ("CanonicalizeHostname no\n", "web", "web"),
    "none": ("CanonicalDomains none\n", "web", "web"),
    "an address": ("", "10.1", "10.0.0.1"),
    "an alias": ("CanonicalizePermittedCNAMEs *.b.example:*.c.example\n", "web", "real.c.example"),
    "any alias": ("CanonicalizePermittedCNAMEs *\n", "web", "real.c.example"),
    "another's alias": ("CanonicalizePermittedCNAMEs x.*:*\n", "web", "web.b.example"),
    "no alias": ("CanonicalizePermittedCNAMEs none\n", "web", "web.b.example"),
    "an alias of a full name": ("CanonicalizePermittedCNAMEs *:*\n", "full.d.e", "real.c.example"),
}


@pytest.mark.parametrize("name", CANONICAL)
def test_a_short_name_is_looked_for_in_the_domains(name: str, home: Path) -> None:
    text, host, expected = CANONICAL[name]
    config = read(
        home,
        f"{text}CanonicalizeHostname yes\nCanonicalDomains a.example B.example\n"
        "Match canonical host *.example\n User found\n",
    )
    known = {
        "web.b.example.": "real.c.example",
        "web.sub.a.example.": "",
        "full.d.e": "real.c.example",
    }
    files = replace(config.files, names=Names(1.0, known=known))
    found = SshConfig(files).lookup(Query(host))
    assert found.host_name == expected
    assert (found.user == "found") is expected.endswith(".example")


def test_a_name_that_must_be_found_and_is_not_refuses_the_host(home: Path) -> None:
    text = "CanonicalizeHostname yes\nCanonicalDomains x.invalid\nCanonicalizeFallbackLocal no\n"
    config = read(home, text)
    assert theirs(home / "config", "web") is None
    with pytest.raises(SshConfigError, match='finds "web" in no domain, and'):
        config.lookup(Query("web"))
    assert ours(home / "config", "a.b.c") == theirs(home / "config", "a.b.c")


def test_a_name_that_nobody_knows_is_none() -> None:
    with pytest.raises(NoSuchNameError):
        CanonicalNames(10.0).alias("nowhere.invalid", "any")


def test_an_alias_that_is_no_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "$(reboot).example", ("192.0.2.1", 0))]

    monkeypatch.setattr("socket.getaddrinfo", answer)
    assert CanonicalNames(10.0).alias("web", "any") == ""


def test_many_threads_read_a_config_and_run_its_command_once(home: Path) -> None:
    log, path = home / "log", home / "config"
    path.write_text(f'Match exec "echo ran >>{log}"\n User met\n')
    conn_options = options(home, ssh_config=path, environ=dict(os.environ))
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda _: resolve_hops(target("a"), conn_options)[0].user, range(64))
    assert (set(found), log.read_text()) == ({"met"}, "ran\n")


def test_a_thousand_hosts_are_looked_up_in_a_moment(home: Path) -> None:
    blocks = "".join(f"Host h{number} *.net{number}\n User u{number}\n" for number in range(1000))
    config = read(home, f"{blocks}Host *\n User everybody\n")
    assert config.lookup(Query("h999")).user == "u999"
    assert config.lookup(Query("x.net500")).user == "u500"
    assert config.lookup(Query("other")).user == "everybody"


def test_the_environment_is_never_shown(home: Path) -> None:
    config = read(home, "User u\n", environ={"SECRET": "very-secret"})
    assert "very-secret" not in repr(config)
