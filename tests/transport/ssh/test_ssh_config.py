"""The ssh config as OpenSSH's own client reads it: ``ssh -G`` is the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis_provision.transport.ssh.ssh_config import read_ssh_config
from aegis_provision.transport.ssh.ssh_config_lookup import Query
from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
from tests.fleet.clients import need
from tests.transport.ssh.openssh_config import HOME, ME, lookup, ours, reading, theirs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def openssh() -> None:
    need("ssh", "openssh-client")


COMPLETING = "CanonicalizeHostname yes\nCanonicalDomains invalid\n"
AGREED = {
    "no line is about the host": "Host b\n User u\n",
    "an empty file": "",
    "the first value wins": "Host a\n User u\n Port 5\nHost *\n User v\n Port 6\n HostName h\n",
    "before any Host": "User u\nHost a\n User v\n",
    "an equals sign": "Host=a\nHostName=b\nPort = 2222\nUser= u\nHostKeyAlias =k\n",
    "tabs": "Host\ta\n\tUser\tu\n\tPort\t=\t9\n",
    "capitals": "HOST a\n HOSTNAME B.Example\n uSeR U\n HostKeyAlias Key\n",
    "a host's name in capitals": "Host A\n User u\nHost *\n Port 9\n",
    "CRLF": "Host a\r\n User u\r\n Port 9\r\n",
    "comments": "#Host a\n# x\nHost a # hi\n HostName b # x\n User u#v # y\n",
    "a hash in quotes": "Host a\n User '#x'\n",
    "double quotes": 'Host "a"\n HostName "b"\n IdentityFile "/my keys/id"\n',
    "single quotes": "Host 'a'\n IdentityFile '/x y'\n",
    "quotes in the middle of a word": 'Host a\n User "u"v\n',
    "backslashes": "Host a\n IdentityFile /my\\ keys/id\n User a\\b\n",
    "several patterns": "Host x a y\n User u\n",
    "a comma is no separator under Host": "Host a,b\n User u\n",
    "a question mark": "Host ?\n User u\nHost ??\n Port 9\n",
    "brackets are no class": "Host [a]\n User u\n",
    "a negated pattern": "Host * !a\n User u\nHost a\n Port 9\n",
    "a negated pattern first": "Host !b *\n User u\n",
    "a negated pattern alone": "Host !b\n User u\n",
    "an equals sign in front of the pattern": "Host = a\n User u\n",
    "HostName with a token": "Host a\n HostName %h.example.com\n",
    "HostName with a percent sign": "Host a\n HostName x%%y\n",
    "tokens": "Host a\n HostName h\n Port 7\n User u\n IdentityFile /%h/%n/%p/%r/%u/%i/%l/%L/%k\n",
    "tokens of the home": "Host a\n IdentityFile %d/x\n IdentityFile ~/y\n IdentityFile /%%d\n",
    "a token for the alias": "Host a\n HostKeyAlias K\n IdentityFile /%k\n",
    "another user's home": "Host a\n IdentityFile ~root/k\n",
    "the home's variable": "Host a\n IdentityFile ${HOME}/k\n",
    "a relative identity": "Host a\n IdentityFile keys/rel\n",
    "identities of all": "Host a\n IdentityFile /x\n IdentityFile /y\nHost *\n IdentityFile z\n",
    "an identity named twice": "Host a\n IdentityFile /x\n IdentityFile /x\n",
    "IdentitiesOnly yes": "Host a\n IdentitiesOnly YES\nHost *\n IdentitiesOnly no\n",
    "IdentitiesOnly true": "Host a\n IdentitiesOnly true\n",
    "IdentitiesOnly false": "Host a\n IdentitiesOnly false\n",
    "Match host": "Match host a\n User u\n",
    "Match host in capitals": "Match Host A\n User u\n",
    "Match host sees HostName": "Host a\n HostName b\nMatch host b\n User u\nMatch host a\n Port 9",
    "Match host sees HostName filled in": "Host a\n HostName %h.x\nMatch host a.x\n User u\n",
    "Match originalhost": "Host a\n HostName b\nMatch originalhost a\n User u\n",
    "Match user": "Host a\n User u\nMatch user u\n Port 9\nMatch user v\n HostKeyAlias k\n",
    "Match user without a User": f"Match user {ME}\n Port 9\n",
    "Match localuser": f"Match localuser {ME}\n Port 9\nMatch localuser nobody-else\n User u\n",
    "Match all": "Match all\n Port 9\n",
    "Match with a negated criterion": "Match !host a\n Port 9\nMatch !host b\n Port 10\n",
    "Match with several criteria": f"Match host a user {ME}\n Port 9\nMatch host a user x\n User y",
    "Match with a list": "Match host b,a\n Port 9\nMatch host *,!a\n User u\n",
    "Match with an equals sign": f"Match host=a\n Port 9\nMatch user = {ME}\n HostKeyAlias k\n",
    "Match with quotes": f'Match host "a,b" user "{ME}" # c\n Port 9\n',
    "Match with tabs": "Match\thost\ta\n Port 9\n",
    "Match exec that fails": 'Match exec "false"\n Port 9\n',
    "Match final": "Match final\n Port 9\n",
    "Match final asks the real name": "Host a\n HostName b\nHost b\n Port 7\nMatch final all\n",
    "Match canonical without a second pass": "Match canonical all\n Port 9\n",
    "Match canonical with one": "Match final all\n User u\nMatch canonical all\n Port 9\n",
    "Match not final": "Match final all\n User u\nMatch !final all\n Port 9\n",
    "Match not final wants it": "Match !final\n Port 9\nHost b\n User u\nHost a\n HostName b\n",
    "Match final comes too late for HostName": "Match final\n HostName b\n Port 9\n",
    "Match final after a HostName": "Match final\n HostName c\nHost a\n HostName b\n",
    "Match final host": "Host a\n HostName %h.x\nMatch final host a.x\n Port 9\n",
    "Match final, percent": "Host a\n HostName x%%h\nMatch final host x%h\n Port 9\n",
    "Match final sees the user of before": "Host a\n User u\nMatch final user u\n Port 9\n",
    "Match final adds identities": "Host a\n IdentityFile /x\nMatch final\n IdentityFile /y\n",
    "Match final adds an alias": "Match final\n HostKeyAlias K\nHost a\n HostKeyAlias j\n",
    "Match final and a jump": "Match final\n ProxyJump j\nHost a\n ProxyCommand nc\n",
    "Match final behind": "Match user x final\n Port 9\nHost b\n User u\nHost a\n HostName b\n",
    "a host called final": "Match host final\n Port 9\nHost b\n Port 8\nHost a\n HostName b\n",
    "a user called final": "Match user=final\n Port 9\nHost b\n Port 8\nHost a\n HostName b\n",
    "a real name in capitals": "Host a\n HostName B\nHost b\n Port 9\nMatch final\n User u\n",
    "canonical": "CanonicalizeHostname yes\nMatch canonical\n Port 9\nMatch final\n User u\n",
    "CanonicalizeHostname always": "CanonicalizeHostname Always\nMatch canonical\n Port 9\n",
    "CanonicalizeHostname true": "CanonicalizeHostname true\nMatch canonical\n Port 9\n",
    "CanonicalizeHostname no": "CanonicalizeHostname no\nMatch canonical\n Port 9\n",
    "CanonicalizeHostname false": "CanonicalizeHostname false\nMatch canonical\n Port 9\n",
    "a canonical name": "Host a\n CanonicalizeHostname yes\n HostName b\nHost b\n Port 9\n",
    "canonical, no domain": "CanonicalizeHostname yes\nCanonicalDomains none\nHost a\n Port 9\n",
    "CanonicalDomains alone": "CanonicalDomains example.invalid\nHost a\n Port 9\n",
    "CanonicalizeHostname through a jump": f"{COMPLETING}ProxyJump j\n",
    "canonical through a command": f"{COMPLETING}ProxyCommand nc\n",
    "CanonicalizeHostname and an address": f"{COMPLETING}Host a\n HostName 127.1\n",
    "a canonical broken address": f"{COMPLETING}HostName 1.2.3.4.5\n",
    "CanonicalizeHostname and enough dots": f"{COMPLETING}HostName a.b.c\n",
    "CanonicalizeMaxDots": f"{COMPLETING}CanonicalizeMaxDots 0\nHostName a.b\n",
    "an odd address": "Host a\n HostName 127.1\nHost 127.0.0.1\n User u\nMatch final\n Port 9\n",
    "an odd address of no use": "AddressFamily inet6\nHostName 127.1\nMatch host 127.1\n Port 9\n",
    "an address in a first pass": "Host a\n HostName 127.1\nMatch host 127.0.0.1\n Port 9\n",
    "an IPv6 address in another form": "HostName 0:0::0:1\n",
    "a broken IPv6 address keeps its capitals": "HostName AB::CD::EF\n",
    "a percent sign keeps capitals": "HostName B%%C\n",
    "RevokedHostKeys": "Host a\n RevokedHostKeys /x\nHost *\n RevokedHostKeys /y\n",
    "RevokedHostKeys none": "Host a\n RevokedHostKeys None\nHost *\n RevokedHostKeys /y\n",
    "RevokedHostKeys with blanks": "RevokedHostKeys \"/a b\"\n",
    "Match with an equals sign behind a blank": "Match host =a\n Port 9\n",
    "Match with a blank behind the equals sign": "Match host= a user=%ME\n Port 9\n",
    "Match not all": "Match !all\n Port 9\n",
    "Match one criterion and all": "Match host a all\n Port 9\nMatch !host a all\n User u\n",
    "ProxyJump": "Host a\n ProxyJump j1,u@j2:22\nHost *\n ProxyJump z\n",
    "comments in place of values": "Host # a\n User u\nHost a\n UserKnownHostsFile # x\n Port 9\n",
    "ProxyJump and a comment": "Host a\n ProxyJump == j#k # x\n",
    "ProxyJump none": "Host a\n ProxyJump None\nHost *\n ProxyJump j\n",
    "ProxyJump as a URL": "Host a\n ProxyJump ssh://u@j:2200\n",
    "ProxyJump to IPv6": "Host a\n ProxyJump u@[::1]:22,j\n",
    "ProxyJump before ProxyCommand": "Host a\n ProxyJump j\n ProxyCommand nc %h %p\n",
    "ProxyJump after ProxyCommand": "Host a\n ProxyCommand nc %h %p\n ProxyJump j\n",
    "ProxyJump after ProxyCommand none": "Host a\n ProxyCommand none\n ProxyJump j\n",
    "ProxyCommand after no ProxyJump": "Host a\n ProxyJump none\n ProxyCommand nc\n ProxyJump j\n",
    "ProxyCommand none": "Host a\n ProxyCommand none\nHost *\n ProxyCommand nc\n",
    "ProxyCommand with quotes": 'Host a\n ProxyCommand = nc "a b" # c\n',
    "options that are nothing to us": "Host a\n Compression yes\n StrictHostKeyChecking no\n",
    "options of the future": "IgnoreUnknown Foo\nHost a\n Foo bar baz\n User u\n",
}  # fmt: skip


@pytest.mark.parametrize("name", AGREED)
def test_a_config_means_what_the_real_client_takes_it_for(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(AGREED[name].replace("%ME", ME), newline="")
    assert ours(config, "a") == theirs(config, "a")


@pytest.mark.parametrize(
    ("text", "arguments", "asked"),
    [
        ("Host a\n Port 7\n User u\n", ["-p", "8"], {"port": 8}),
        ("Host a\n Port 7\n User u\n", ["-l", "v"], {"user": "v"}),
        ("Match user v\n Port 9\n", ["-l", "v"], {"user": "v"}),
        ("Host a\n IdentityFile /%p/%r\n", ["-l", "v", "-p", "8"], {"user": "v", "port": 8}),
    ],
)
def test_what_is_asked_for_wins_over_the_config(
    text: str, arguments: list[str], asked: dict[str, str | int], tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    assert ours(config, "a", **asked) == theirs(config, "a", *arguments)  # type: ignore[arg-type]


REFUSED = {
    "Host a\n Port 0\n": "config:2: Port is not a number from 1 to 65535",
    "Host a\n Port 70000\n": "config:2: Port is not a number from 1 to 65535",
    "Host b\n Port 22x\n": "config:2: Port is not a number from 1 to 65535",
    "Host a\n Port \N{SUPERSCRIPT TWO}\n": "config:2: Port is not a number from 1 to 65535",
    "Host a\n User\n": "config:2: User has no value",
    'Host a\n User ""\n': "config:2: User has no value",
    "Host a\n ProxyCommand\n": "config:2: ProxyCommand has no value",
    "Host a\n User u v\n": "config:2: User has more than one value",
    "Host a\n HostName b c\n": "config:2: HostName has more than one value",
    "Host a\n ProxyJump j1, j2\n": "config:2: ProxyJump has more than one value",
    'Host a\n User "u\n': "config:2: a quote is never closed",
    "Host\n User u\n": "config:1: Host has no value",
    "\n\nMatch\n User u\n": "config:3: Match has no value",
    "Host a\n IdentitiesOnly maybe\n": "config:2: IdentitiesOnly is neither yes nor no",
    "Match host\n Port 9\n": "config:1: Match host is compared with nothing",
    "Match final !user\n Port 9\n": "config:1: Match user is compared with nothing",
    "Match host=\n Port 9\n": "config:1: Match host is compared with nothing",
    "Match all final\n": "config:1: 'all' of Match stands alone, or at the end behind",
    "Match host a final all\n": "config:1: 'all' of Match stands alone, or at the end behind one",
    "CanonicalizeHostname maybe\n": "config:1: CanonicalizeHostname is neither yes, no nor always",
    "CanonicalizeMaxDots -1\n": "config:1: CanonicalizeMaxDots is no number",
    "CanonicalizeMaxDots\n": "config:1: CanonicalizeMaxDots has no value",
    "RevokedHostKeys\n": "config:1: RevokedHostKeys has no value",
    "RevokedHostKeys /a none\n": "config:1: RevokedHostKeys: 'none' stands alone",
    "Host a\n HostName %n\n": "HostName %n: %n is not supported there",
    "Host a\n HostName b%\n": "HostName b%: % is not supported there",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_config_that_the_real_client_refuses_is_refused_with_its_place(
    text: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    assert theirs(config, "a") is None
    with pytest.raises(SshConfigError) as caught:
        lookup(config, "a")
    assert REFUSED[text] in str(caught.value)


@pytest.mark.parametrize("value", ["/%q", "${NOT_SET}/k", "/%", "${}/k", "/${HOME", "~no-such/k"])
def test_what_can_not_be_filled_in_is_an_error_only_for_the_hosts_that_use_it(
    value: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host a\n IdentityFile {value}\n")
    with pytest.raises(SshConfigError, match=f"^{config}:2: IdentityFile ") as caught:
        lookup(config, "a")
    assert value in str(caught.value)
    assert lookup(config, "b").identity_files is None


def test_the_environment_is_the_operators_and_the_tilde_is_not(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("IdentityFile ${HOME}/k\nIdentityFile ~/k\nIdentityFile %d/${KEY}\n")
    found = reading(config, HOME="/elsewhere", KEY="%h").lookup(Query("a"))
    assert found.identity_files == ("/elsewhere/k", f"{HOME}/k", f"{HOME}/%h")


def _tree(directory: Path) -> Path:
    config, parts = directory / "config", directory / "parts"
    parts.mkdir()
    (parts / "1.conf").write_text("User first\nHost b\n Port 71\n")
    (parts / "2.conf").write_text("User second\nHost a\n HostKeyAlias k\n")
    (parts / "deep.conf").write_text(f"Include {parts}/1.conf\nHost a\n Port 72\n")
    (parts / "with blank.conf").write_text("Port 73\n")
    return config


INCLUDES = {
    "at the top": "Include {parts}/1.conf\nHost a\n Port 9\n",
    "a glob, in order": "Include {parts}/?.conf\n",
    "several patterns": "Include {parts}/2.conf {parts}/1.conf\n",
    "nested": "Include {parts}/deep.conf\n",
    "quoted": 'Include "{parts}/with blank.conf"\n',
    "nothing there": "Include {parts}/nothing.conf {parts}/none*\nUser u\n",
    "a directory": "Include {parts}\nUser u\n",
    "in a block that applies": "Host a\n Include {parts}/deep.conf\n Port 9\nHost *\n User z\n",
    "in a block that does not": "Host b\n Include {parts}/deep.conf\nHost *\n Port 9\n",
    "the block goes on behind it": "Host b\n Include {parts}/1.conf\n Port 9\n",
    "a Match goes on behind it": "Match host a\n HostName b\n Include {parts}/1.conf\n Port 9\n",
    "a Match that it changes": "Match user %ME\n Include {parts}/1.conf\n Port 9\n",
}


@pytest.mark.parametrize("name", INCLUDES)
@pytest.mark.parametrize("host", ["a", "b"])
def test_includes_mean_what_the_real_client_takes_them_for(
    name: str, host: str, tmp_path: Path
) -> None:
    config = _tree(tmp_path)
    config.write_text(INCLUDES[name].replace("{parts}", str(tmp_path / "parts")).replace("%ME", ME))
    assert ours(config, host) == theirs(config, host)


def test_relative_includes_lie_in_the_ssh_directory_of_the_home(tmp_path: Path) -> None:
    ssh = tmp_path / ".ssh"
    (ssh / "parts").mkdir(parents=True)
    (ssh / "parts" / "a.conf").write_text("Host a\n Port 7\n")
    (ssh / "b.conf").write_text("Host a\n User u\n")
    elsewhere = tmp_path / "config"
    elsewhere.write_text("Include parts/*.conf\nInclude ~/.ssh/b.conf\n")
    read = read_ssh_config(elsewhere, home=tmp_path, local_user=ME, environ={})
    found = read.lookup(Query("a"))
    assert (found.port, found.user) == (7, "u")


def test_a_file_that_includes_itself_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Include {config}\n")
    assert theirs(config, "a") is None
    with pytest.raises(SshConfigError, match="more than 16 files deep"):
        lookup(config, "a")


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    part, config = tmp_path / "part", tmp_path / "config"
    part.write_text("# nothing\nPort x\n")
    config.write_text(f"Include {part}\n")
    with pytest.raises(SshConfigError, match=f"^{part}:2: "):
        lookup(config, "a")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00", b"Host a\n User \xff\n", b"\x00" * 50, b"User a\0b\nPort 9",
        b"\xef\xbb\xbfHost a\n", b"Host a\r User b\n", b"User\ra\n", b"\fUser a\n", b"User a\f\n",
    ],
    ids=repr,
)  # fmt: skip
def test_bytes_that_are_no_text_mean_what_the_real_client_takes_them_for(
    content: bytes, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_bytes(content)
    expected = theirs(config, "b")
    if expected is None:
        with pytest.raises(SshConfigError, match=f"^{config}:1: "):
            lookup(config, "b")
    else:
        assert ours(config, "b") == expected


def test_a_directory_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SshConfigError, match="can't be read: Is a directory"):
        lookup(tmp_path, "a")


_NAMES = st.sampled_from(
    ["a", "b", "a.x", "*", "?", "a*", "!a", "!b", "*.x", "A", "B", "127.0.0.1", "::1"]
)
_VALUES = {
    "HostName": st.sampled_from(["b", "a.x", "%h.x", "%h", "B", "127.1", "x%%h", "0::1"]),
    "HostKeyAlias": st.sampled_from(["k", "K"]),
    "RevokedHostKeys": st.sampled_from(["/r/1", "/r/2", "none"]),
    "CanonicalizeHostname": st.sampled_from(["yes", "no", "always"]),
    "Port": st.integers(1, 65535).map(str),
    "User": st.sampled_from(["u", "v", ME, '"w x"', "x#y"]),
    "IdentityFile": st.sampled_from(["/k/%h", "/k/%n-%p-%r", "~/k", '"/k k"', "/k/1"]),
    "IdentitiesOnly": st.sampled_from(["yes", "no"]),
    "ProxyJump": st.sampled_from(["j", "none", "u@j:9,k"]),
    "ProxyCommand": st.sampled_from(["nc x", "none", "nc %h %p %n %r %%"]),
    "UserKnownHostsFile": st.sampled_from(["~/.ssh/k ${HOME}/k2", "/%h/%k-%C", "none", "/k"]),
    "GlobalKnownHostsFile": st.sampled_from(["/g1 /g2", "~/%h", "None"]),
    "IdentityAgent": st.sampled_from(["none", "SSH_AUTH_SOCK", "$AGENT", "~/%h.sock", "${HOME}/a"]),
    "CertificateFile": st.sampled_from(["/c/%h", "~/c", "/c/1"]),
    "AddressFamily": st.sampled_from(["any", "INET", "inet6"]),
    "BindAddress": st.sampled_from(["127.0.0.1", "::1"]),
    "ConnectTimeout": st.sampled_from(["5", "1m30s", "none", "0", "2H"]),
    "ServerAliveInterval": st.sampled_from(["5", "1m", "0"]),
    "RequiredRSASize": st.sampled_from(["1024", "3072"]),
    "PubkeyAuthentication": st.sampled_from(["yes", "no", "host-bound"]),
    "PasswordAuthentication": st.sampled_from(["yes", "no"]),
    "ChallengeResponseAuthentication": st.sampled_from(["yes", "no"]),
    "PreferredAuthentications": st.sampled_from(
        ["password", "publickey,password", "gssapi-with-mic"]
    ),
    "Include": st.sampled_from(["{parts}/1", "{parts}/*", "{parts}/2 {parts}/1", "{parts}/none*"]),
}
_OPTIONS = st.one_of(
    [values.map(lambda value, key=key: f"  {key} {value}") for key, values in _VALUES.items()]  # type: ignore[misc]
)
_CRITERIA = st.one_of(
    st.sampled_from(["host", "originalhost"]).flatmap(
        lambda key: _NAMES.map(lambda name: f"{key} {name}")
    ),
    st.sampled_from(
        ['exec "true"', 'exec "test %h = a"', "!exec false", 'exec "test %p-%r = 22-u"']
    ),
    st.sampled_from(["user u", f"user {ME}", "!user v", "!host b", "localuser x", "final"]),
    st.sampled_from(["!final", "canonical", "!canonical", "host final", "host=127.0.0.1"]),
)
_HEADS = st.one_of(
    st.lists(_NAMES, min_size=1, max_size=3).map(lambda names: "Host " + " ".join(names)),
    st.lists(_CRITERIA, min_size=1, max_size=2).map(lambda words: "Match " + " ".join(words)),
    st.sampled_from(["Match all", "Match final all", "Match !final all"]),
)
_BLOCKS = st.tuples(_HEADS, st.lists(_OPTIONS, max_size=4)).map(
    lambda block: "\n".join([block[0], *block[1]])
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    blocks=st.lists(_BLOCKS, min_size=1, max_size=5),
    parts=st.lists(_BLOCKS, min_size=2, max_size=2),
    host=st.sampled_from(["a", "b", "a.x", "ab", "A", "127.1"]),
)
def test_any_config_means_what_the_real_client_takes_it_for(
    blocks: list[str], parts: list[str], host: str, tmp_path: Path
) -> None:
    config, beside = tmp_path / "config", tmp_path / "parts"
    beside.mkdir(exist_ok=True)
    for number, part in enumerate(parts, start=1):
        (beside / str(number)).write_text(part.replace("Include", "#") + "\n")
    text = "\n".join(blocks).replace("{parts}", str(beside))
    config.write_text(f"{text}\n")
    assert ours(config, host) == theirs(config, host)
