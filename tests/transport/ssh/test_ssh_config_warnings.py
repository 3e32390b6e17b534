"""What the ssh config asks for and is not done: told once for each keyword, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.operations.connection import connection_warnings
from aegis_provision.rollout.connection_pool import ConnectionSettings
from aegis_provision.transport.connect import connect
from aegis_provision.transport.ssh.ssh_config_keywords import KEYWORDS, Effect
from aegis_provision.transport.ssh.ssh_config_warnings import ignored_keywords
from tests.fleet.clients import options, target

if TYPE_CHECKING:
    from pathlib import Path

WORTH_TELLING = {
    "CheckHostIP yes": "CheckHostIP",
    "ControlPath ~/.ssh/bastion": "ControlPath",
    "ControlPath /run/%r-%p": "ControlPath",
    "GSSAPIAuthentication yes": "GSSAPIAuthentication",
    "GSSAPIKeyExchange true": "GSSAPIKeyExchange",
    "HostbasedAuthentication yes": "HostbasedAuthentication",
    "KnownHostsCommand /usr/bin/keys %H": "KnownHostsCommand",
    "NoHostAuthenticationForLocalhost yes": "NoHostAuthenticationForLocalhost",
    "PKCS11Provider /usr/lib/opensc-pkcs11.so": "PKCS11Provider",
    "SmartcardDevice /usr/lib/opensc-pkcs11.so": "PKCS11Provider",
    "SecurityKeyProvider /usr/lib/sk.so": "SecurityKeyProvider",
    "StrictHostKeyChecking no": "StrictHostKeyChecking",
    "StrictHostKeyChecking OFF": "StrictHostKeyChecking",
    "StrictHostKeyChecking accept-new": "StrictHostKeyChecking",
    "VerifyHostKeyDNS yes": "VerifyHostKeyDNS",
    "VerifyHostKeyDNS ask": "VerifyHostKeyDNS",
}
NOTHING_TO_TELL = (
    "CheckHostIP no",
    "ControlPath ~/.ssh/%C",
    "ControlPath /run/%r@%h:%p",
    "ControlPath none",
    "GSSAPIAuthentication no",
    "GSSAPIKeyExchange false",
    "HostbasedAuthentication no",
    "KnownHostsCommand none",
    "NoHostAuthenticationForLocalhost no",
    "PKCS11Provider none",
    "SecurityKeyProvider internal",
    "StrictHostKeyChecking ask",
    "StrictHostKeyChecking yes",
    "VerifyHostKeyDNS no",
)


def told(home: Path, config: str, *hosts: str, **changes: Any) -> list[str]:
    """Return the warnings for a config and some hosts, as they are shown."""
    path = home / "config"
    path.write_text(config)
    fields = {name: changes.pop(name) for name in ("jump", "connection") if name in changes}
    settings = ConnectionSettings(connect, options(home, ssh_config=path, **changes), 32, 120.0)
    targets = [target(name, host=name, **fields) for name in hosts or ("a",)]
    return [
        f"{item.message.replace(str(path), 'config')} [{', '.join(item.hosts)}]"
        for item in connection_warnings(settings, targets)
    ]


@pytest.mark.parametrize("line", WORTH_TELLING)
def test_what_may_matter_is_told_with_its_place(line: str, home: Path) -> None:
    name = WORTH_TELLING[line]
    why = KEYWORDS[name.lower()].why
    assert told(home, f"Host a\n {line}\n") == [f"config:2: {name} is not honoured: {why} [a]"]
    assert told(home, f"Host b\n {line}\n") == []


@pytest.mark.parametrize("line", NOTHING_TO_TELL)
def test_what_asks_for_nothing_else_is_not_told(line: str, home: Path) -> None:
    assert told(home, f"Host a\n {line}\n") == []
    assert told(home, f"{line}\nStrictHostKeyChecking no\nCheckHostIP yes\n") != []


def test_every_keyword_that_is_told_stands_in_these_tables() -> None:
    warned = {item.name for item in KEYWORDS.values() if item.effect is Effect.WARNED}
    assert warned == set(WORTH_TELLING.values())
    assert warned == {line.split()[0] for line in NOTHING_TO_TELL}


def test_once_for_each_keyword_with_its_hosts_and_places(home: Path) -> None:
    config = "Host a*\n CheckHostIP yes\nHost b\n CheckHostIP yes\nHost *\n CheckHostIP no\n"
    [warning] = told(home, config, "a1", "b", "a2", "c")
    assert warning.startswith("config:2, config:4: CheckHostIP")
    assert warning.endswith("[a1, b, a2]")
    many = "".join(f"Host h{number}\n CheckHostIP yes\n" for number in range(5))
    [warning] = told(home, many, *(f"h{number}" for number in range(5)))
    assert warning.startswith("config:2, config:4, config:6, and 2 more: CheckHostIP")


def test_the_first_value_counts(home: Path) -> None:
    assert told(home, "Host a\n CheckHostIP no\nHost *\n CheckHostIP yes\n") == []
    assert told(home, "CheckHostIP no\nHost a\n CheckHostIP yes\n") == []


def test_bastions_count_the_inventorys_and_the_configs(home: Path) -> None:
    config = "Host j\n CheckHostIP yes\nHost k\n ProxyJump j\nHost a\n ProxyJump k\n"
    assert len(told(home, config, "a")) == len(told(home, config, "b", jump=("x", "j"))) == 1
    assert told(home, config, "b", jump=("x", "k")) == []
    assert told(home, config, "a", jump=()) == []
    assert told(home, "Host *\n ProxyJump a\n CheckHostIP yes\n", "a") != []


def test_no_program_is_run_to_find_out_and_both_outcomes_count(home: Path) -> None:
    ran = home / "ran"
    config = f'Match host a exec "touch {ran}"\n CheckHostIP no\nHost *\n CheckHostIP yes\n'
    assert told(home, config)[0].startswith("config:4: ")
    config = f'Match host a exec "touch {ran}"\n CheckHostIP yes\nHost *\n CheckHostIP no\n'
    assert told(home, config)[0].startswith("config:2: ")
    assert told(home, config, "b") == []
    assert not ran.exists()


def test_what_is_done_by_a_flag_is_not_told(home: Path) -> None:
    assert told(home, "StrictHostKeyChecking accept-new\n", accept_new=True) == []
    assert told(home, "StrictHostKeyChecking no\n", accept_new=True) != []


def test_hosts_of_this_machine_have_no_ssh_config(home: Path) -> None:
    assert told(home, "CheckHostIP yes\n", connection="local") == []


def test_what_a_distribution_sets_for_everybody_is_told_only_where_it_may_matter(
    home: Path, tmp_path: Path
) -> None:
    system = tmp_path / "ssh_config"
    system.write_text("Host *\n GSSAPIAuthentication yes\n CheckHostIP yes\n")
    conn_options = options(home, system_ssh_config=system)
    [found] = ignored_keywords([target("a")], conn_options)
    assert (found.keyword.name, [str(place) for place in found.places]) == (
        "CheckHostIP",
        [f"{system}:3"],
    )


def test_a_config_that_can_not_be_used_is_told_by_the_hosts(home: Path) -> None:
    assert told(home, "CheckHostIP yes\nPort x\n") == []
    assert len(told(home, "Host a\n HostName %n\nHost *\n CheckHostIP yes\n", "a", "b")) == 1


def test_an_include_that_depends_on_the_host_counts(home: Path) -> None:
    (home / "for-a").write_text("CheckHostIP yes\n")
    assert told(home, f"Include {home}/for-%n\n", "a", "b")[0].endswith("[a]")
