"""Which Aegis a host has, out of what it told: units that do not run, processes of other users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.find_server_output import parse_report
from aegis_provision.aegis.identify_server import (
    AegisServer,
    EnvironmentToken,
    ServerUser,
    UnknownServer,
    identify_server,
)

UNIT = "aegis.service"
API = "127.0.0.1:9100"

# As 'systemctl show' of systemd 252 prints it.
EXEC = (
    "{{ path={path} ; argv[]={argv} ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; "
    "pid=0 ; code=(null) ; status=0/0 }}"
)


def output(*lines: str) -> bytes:
    text = ["noise of a login shell", "aegis-provision:begin 1", "aegis-provision:user deploy"]
    text += ["aegis-provision:namespace mnt:[1]", "aegis-provision:sockets 9100"]
    text += [f"aegis-provision:{line}" for line in lines]
    return "\n".join([*text, "aegis-provision:end 1", ""]).encode()


def identify(
    *lines: str, unit: str | None = UNIT, api_is_set: bool = False
) -> AegisServer | UnknownServer:
    return identify_server(parse_report(output(*lines)), unit, API, api_is_set=api_is_set)


def server(*lines: str, unit: str | None = UNIT, api_is_set: bool = False) -> AegisServer:
    found = identify(*lines, unit=unit, api_is_set=api_is_set)
    assert isinstance(found, AegisServer), found
    return found


def reason(*lines: str, unit: str | None = UNIT, api_is_set: bool = False) -> str:
    found = identify(*lines, unit=unit, api_is_set=api_is_set)
    assert isinstance(found, UnknownServer), found
    return found.reason


STOPPED = (
    "unit LoadState=loaded",
    "unit MainPID=0",
    "unit WorkingDirectory=/opt/aegis",
    "unit-directory /srv/aegis",
    "unit User=aegis",
    "unit-home /home/aegis",
    "unit-program /usr/bin/node",
)
RUNNING = ("unit MainPID=7", *(line for line in STOPPED if "MainPID" not in line))
# What a login sees of a process that belongs to another user.
FOREIGN = (
    "process 7",
    "cgroup 0::/system.slice/aegis.service",
    "Uid 998 998 998 998",
    "Gid 997 997 997 997",
    "Groups 997 27",
    "program /usr/bin/node",
    "arguments 2",
    "account-home /home/aegis",
)
OWN = (
    *FOREIGN,
    "directory /srv/aegis",
    "root /",
    "namespace mnt:[1]",
    "environment read",
    "variable HOME=/var/lib/aegis",
)


def test_a_host_whose_shell_told_nothing() -> None:
    found = identify_server(
        parse_report(b"This service allows sftp only.\n"), UNIT, API, api_is_set=True
    )
    assert isinstance(found, UnknownServer)
    assert "not found on the host" in found.reason


def test_a_unit_that_is_stopped() -> None:
    assert server(*STOPPED) == AegisServer(
        "/srv/aegis", "/home/aegis", None, None, running=False, token=EnvironmentToken.ABSENT
    )


@pytest.mark.parametrize(
    ("rest", "config"),
    [
        ("/etc/aegis.json", "/etc/aegis.json"),
        ("my.json --port 9", "my.json"),
        ("/etc/a file.json", None),
        ("${CONFIG}", None),
        ("", None),
    ],
)
def test_the_config_of_a_unit_that_is_stopped(rest: str, config: str | None) -> None:
    found = identify(*STOPPED, f"unit-config {rest}")
    if config is None:
        assert isinstance(found, UnknownServer)
    else:
        assert isinstance(found, AegisServer)
        assert found.config == config


def test_a_unit_that_is_stopped_and_starts_a_script() -> None:
    lines = [line for line in STOPPED if "program" not in line]
    assert "not Node.js itself" in reason(*lines, "unit-program /opt/aegis/start.sh")


def test_a_unit_that_is_stopped_while_something_listens() -> None:
    listener = "listener 0100007F:238C 0 77"
    assert "something else listens" in reason(*STOPPED, listener, api_is_set=True)
    assert server(*STOPPED, listener).directory == "/srv/aegis"


def test_its_home_is_unknown_where_a_file_may_set_it() -> None:
    found = server(*STOPPED, "unit EnvironmentFiles=/etc/default/aegis (ignore_errors=no)")
    assert found.home is None
    assert found.token is EnvironmentToken.UNKNOWN
    assert server(*STOPPED, "unit-variable-unclear HOME").home is None
    assert server(*STOPPED, "unit-variable HOME=/h").home == "/h"


def test_the_home_as_a_working_directory() -> None:
    lines = [line for line in STOPPED if "irectory" not in line]
    assert server(*lines, "unit WorkingDirectory=!~").directory == "/home/aegis"
    assert server(*lines, "unit WorkingDirectory=").directory == "/"


def test_of_a_process_that_may_not_be_looked_into_the_unit_tells_the_rest() -> None:
    found = server(*RUNNING, "unit-variable AEGIS_AUTH_TOKEN=set", *FOREIGN)
    user = ServerUser(998, frozenset({997, 27}))
    assert found == AegisServer(
        "/srv/aegis", "/home/aegis", None, user, running=True, token=EnvironmentToken.SET
    )


def test_what_may_be_read_of_a_process_wins() -> None:
    found = server(*RUNNING, "unit-variable HOME=/h", *OWN, "variable AEGIS_PORT=9")
    assert (found.home, found.port) == ("/var/lib/aegis", "9")
    assert found.token is EnvironmentToken.ABSENT


def test_a_unit_that_was_changed_since_its_start() -> None:
    changed = "aegis.service was changed since its process was started"
    assert reason(*RUNNING, "unit-config new.json", *OWN) == changed
    assert reason(*RUNNING, *OWN[:8], "directory /old", *OWN[9:]) == changed


def test_a_script_may_change_the_directory() -> None:
    lines = [line for line in RUNNING if "program" not in line]
    found = server(*lines, "unit-program /opt/start.sh", *OWN[:8], "directory /old", *OWN[9:])
    assert found.directory == "/old"


def test_a_main_process_that_only_starts_the_server() -> None:
    shell = ("process 7", "cgroup 0::/a", "program /bin/sh", "arguments 2")
    child = ("process 8", "cgroup 0::/a", "program node", "arguments 2", *OWN[8:])
    listener = ("listener 0100007F:238C 0 77", "holder 8 77")
    lines = [line for line in RUNNING if "program" not in line]
    assert server(*lines, *listener, *shell, *child).directory == "/srv/aegis"
    foreign = ("process 8", "cgroup 0::/b", *child[2:])
    assert "is not Node.js" in reason(*lines, *listener, *shell, *foreign)


def test_an_api_that_belongs_to_something_else() -> None:
    other = ("process 8", "cgroup 0::/b", "program node", "arguments 2")
    listener = ("listener 0100007F:238C 0 77", "holder 8 77")
    lines = (*RUNNING, *listener, *OWN, *other)
    assert "does not belong to aegis.service" in reason(*lines, api_is_set=True)
    assert server(*lines).directory == "/srv/aegis"


def test_a_title_in_place_of_the_command_line() -> None:
    lines = [line.replace("arguments 2", "arguments 1") for line in OWN]
    assert reason(*RUNNING, *lines) == "the command line of process 7 can't be told"


OTHER_NAMESPACE = [line.replace("mnt:[1]", "mnt:[2]") for line in OWN]


def test_another_mount_namespace_or_root() -> None:
    assert "a container" in reason(*RUNNING, *OTHER_NAMESPACE)
    assert "a container" in reason(
        *RUNNING, *(line.replace("root /", "root /jail") for line in OWN)
    )


@pytest.mark.parametrize(
    "hardening", ["PrivateTmp=yes", "ProtectSystem=strict", "ReadOnlyPaths=/x"]
)
def test_a_unit_that_protects_the_system_sees_the_same_files(hardening: str) -> None:
    assert server(*RUNNING, f"unit {hardening}", *OTHER_NAMESPACE).directory == "/srv/aegis"


@pytest.mark.parametrize(
    "setting",
    ["BindPaths=/a:/b", "RootDirectory=/jail", "TemporaryFileSystem=/srv", "ProtectHome=yes"],
)
def test_a_unit_that_sees_other_files(setting: str) -> None:
    assert reason(*RUNNING, "unit PrivateTmp=yes", f"unit {setting}", *OTHER_NAMESPACE)
    assert reason(*RUNNING, "unit PrivateTmp=yes", f"unit {setting}", *FOREIGN)
    assert reason(*STOPPED, f"unit {setting}")


def test_a_private_tmp_hides_a_file_there() -> None:
    lines = (*RUNNING, "unit PrivateTmp=yes")
    assert "PrivateTmp" in reason(
        *lines, "unit-config /tmp/a.json", *OTHER_NAMESPACE, "config /tmp/a.json"
    )


def test_a_unit_that_does_not_exist_leaves_the_api() -> None:
    lines = ("unit LoadState=not-found", "unit MainPID=0")
    assert reason(*lines) == f"nothing listens at {API}"
    listener = ("listener 0100007F:238C 0 77", "holder 7 77")
    assert server(*lines, *listener, *OWN).directory == "/srv/aegis"


def test_a_host_that_is_no_linux() -> None:
    text = output().replace(b"aegis-provision:sockets 9100\n", b"")
    found = identify_server(parse_report(text), None, API, api_is_set=True)
    assert found == UnknownServer("the host does not list its processes as Linux does")


def test_an_ipv4_address_within_ipv6_and_a_host_of_the_other_byte_order() -> None:
    for address in ("0000000000000000FFFF00000100007F", "7F000001"):
        listener = (f"listener {address}:238C 0 77", "holder 7 77", "listener 00000000:238C 0 78")
        assert server(*listener, *OWN, unit=None).directory == "/srv/aegis"


def test_what_was_printed_before_a_second_try_does_not_count() -> None:
    text = output("process 9", "directory /first") + output(*OWN)
    report = parse_report(text)
    assert report is not None
    assert [process.pid for process in report.processes] == [7]
    assert parse_report(b"aegis-provision:begin 1\n" + b"aegis-provision:process 7\n") is None


LINES = st.lists(
    st.sampled_from((*RUNNING, *OWN, "listener x", "listener 0100007F:238C 0 77", "holder 7 77"))
    | st.text(max_size=20)
    | st.builds(
        "{} {}".format,
        st.sampled_from(("process", "Uid", "Groups", "listener", "unit")),
        st.text(max_size=9),
    )
)


@given(LINES, st.booleans())
def test_nothing_that_a_host_prints_raises(lines: list[str], api_is_set: bool) -> None:
    report = parse_report(output(*lines))
    assert report is not None
    for unit in (UNIT, None):
        found = identify_server(report, unit, API, api_is_set=api_is_set)
        assert isinstance(found, AegisServer | UnknownServer)


@given(st.binary(max_size=200))
def test_no_output_raises(data: bytes) -> None:
    assert parse_report(data) is None or b"aegis-provision:end" in data
