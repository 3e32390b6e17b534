"""What was seen of a host becomes its checks: each fault is one finding, told where it breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.api_responses import ClaudeCode, Health
from aegis_provision.aegis.identify_server import EnvironmentToken, UnknownServer
from aegis_provision.aegis.remote_state import (
    ReadProblem,
    RemoteDirectory,
    RemoteFile,
    RemoteUser,
)
from aegis_provision.diagnosis.checks import Check, CheckResult
from aegis_provision.diagnosis.host_checks import RESTS_ON, checks_of, refused_input
from aegis_provision.diagnosis.host_facts import (
    ApiFailure,
    ClockFacts,
    Fault,
    HostFacts,
    LockFacts,
    LoginFacts,
    SpaceFacts,
)
from aegis_provision.errors import Stage
from aegis_provision.planning.host_plan import RENAME_EXTENSION
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.session_variables import resolve_env
from tests.diagnosis.host_facts import (
    EXTENSIONS,
    FAIL,
    FIVE,
    GIB,
    HEALTH,
    INVENTORY,
    NOT,
    OK,
    PATH,
    RECEIPT,
    SERVER,
    STARTED,
    TOKEN,
    WARN,
    api,
    content,
    facts,
    file,
    files_of,
    state,
    unread,
    with_file,
)
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.diagnosis.checks import HostChecks


def results(found: HostChecks) -> dict[str, CheckResult]:
    return {check.check: check.result for check in found.checks}


def findings(found: HostChecks) -> list[Check]:
    return [check for check in found.checks if check.result in {WARN, FAIL}]


def test_where_all_is_well_every_check_is_ok_and_says_how() -> None:
    found = checks_of(facts())
    assert list(results(found)) == list(RESTS_ON)
    assert set(results(found).values()) == {OK}
    said = {check.check: check.message for check in found.checks}
    assert said["auth"] == "as deploy, with /home/anna/.ssh/id_ed25519"
    assert said["become"] == "as aegis"
    assert said["aegis"] == "0.6.6 on 127.0.0.1:9100, up since 2026-11-18T11:06:40Z"
    assert said["claude"] == "2.1.90"
    assert said["api"] == "it takes authToken of the host's own file"
    assert not any(check.remedy for check in found.checks)
    assert TOKEN not in repr(found)


NO_LISTENER = ApiFailure(ConnectFailure.NOT_LISTENING, "nothing listens there")
STOPPED = replace(SERVER, running=False, started=None)
OLD_CLAUDE = replace(HEALTH, claude=ClaudeCode(True, False, "2.0.1", "2.1.80"))
NO_CLAUDE = replace(HEALTH, claude=ClaudeCode(False, True))
BAD_TIMEOUT = content(defaultSessionEnv={**FIVE, "API_TIMEOUT_MS": 60000}, port="x")
BAD_VALUE = content(defaultSessionEnv={**FIVE, "API_TIMEOUT_MS": "6\n0"})
BEDROCK = content(defaultSessionEnv={**FIVE, "CLAUDE_CODE_USE_BEDROCK": "1"})
OTHER_MODEL = content(defaultSessionEnv={**FIVE, "ANTHROPIC_DEFAULT_MODEL": "other"})
YAML_FILE = RemoteFile(b"{}", 0o600, 998, 998)

# Each: what was seen, which check tells of it and how, and its words and remedy in part.
FAULTS: list[tuple[str, Callable[[], HostFacts], str, CheckResult, str, str]] = [
    (
        "no posix-rename",
        lambda: facts(login=LoginFacts("deploy", "k", (), EXTENSIONS - {RENAME_EXTENSION})),
        "sftp", FAIL, "can't rename over a file (posix-rename@openssh.com)", "OpenSSH's SFTP",
    ),
    (
        "no fsync",
        lambda: facts(login=LoginFacts("deploy", "k", (), frozenset({RENAME_EXTENSION}))),
        "sftp", WARN, "without fsync@openssh.com a write may be lost", "8.0 or newer",
    ),
    (
        "no directory", lambda: unread(ReadProblem.NO_DIRECTORY, directory=None),
        "directory", FAIL, "its directory does not exist", "create the directory",
    ),
    (
        "a directory of another user's",
        lambda: unread(ReadProblem.PERMISSION_DENIED, directory=RemoteDirectory(0o700, 1, 1)),
        "directory", FAIL, "no permission to look into it (0700, uid 1, gid 1)", "log in as the",
    ),
    (
        "root and a user's directory", lambda: unread(ReadProblem.UNSAFE_DIRECTORY),
        "directory", FAIL, "root must not read or write by path there", "trust_directory",
    ),
    (
        "a file that can't be read", lambda: unread(ReadProblem.PERMISSION_DENIED),
        "file", FAIL, "no permission to read it", "become_user",
    ),
    (
        "a link", lambda: unread(ReadProblem.SYMLINK, detail="it leads to /x"),
        "file", FAIL, "it is a symbolic link (it leads to /x)", "set config_path to the file",
    ),
    (
        "no file yet", lambda: with_file(None, api=api(token="")),
        "file", WARN, f"there is none yet: {PATH}", "'apply' writes it",
    ),
    (
        "a file that is gone", lambda: with_file(None, receipt=RECEIPT),
        "file", FAIL, "the file is gone: run-1 wrote it", "'apply --recreate'",
    ),
    (
        "a file that all may read", lambda: with_file(file(mode=0o644)),
        "permissions", FAIL, "its mode is 0644: every user of the host may read it", "chmod 0640",
    ),
    (
        "a file that its group may change", lambda: with_file(file(mode=0o660)),
        "permissions", FAIL, "its group may change it", "'apply' makes it 0640",
    ),
    (
        "a file that the login can't keep", lambda: with_file(file(uid=0, mode=0o644)),
        "permissions", FAIL, "can't keep its owner (uid 0)", "log in as the file's owner",
    ),
    (
        "an immutable file",
        lambda: facts(attributes={PATH: "ie", "/opt/aegis": "e"}),
        "permissions", FAIL, f"it can't be written: {PATH} is immutable", f"chattr -i {PATH}",
    ),
    (
        "a directory that only takes further files",
        lambda: facts(attributes={PATH: "e", "/opt/aegis": "ae"}),
        "permissions", FAIL, "/opt/aegis is open to appending alone", "chattr -a /opt/aegis",
    ),
    (
        "a file that Aegis can't read",
        lambda: facts(
            actual=state(file(uid=0), login=RemoteUser(0, frozenset({0}), 0)),
            server=files_of(file(uid=0)),
            api=api(is_open=False, token="", refused=True),
        ),
        "permissions", FAIL, "it runs as uid 998, whom its owner and mode keep out", "give the",
    ),
    (
        "a file that Aegis ignores", lambda: with_file(file(BAD_TIMEOUT), api=api(is_open=True)),
        "config", FAIL, '"port" must be a whole number', "correct the file on the host",
    ),
    (
        "a value that fails every session", lambda: with_file(file(BAD_VALUE)),
        "config", FAIL, "fail every session over defaultSessionEnv.API_TIMEOUT_MS", "'apply' wri",
    ),
    (
        "another file",
        lambda: facts(
            server=files_of(file(), others={"/opt/aegis/.aegis/config.yaml": YAML_FILE}),
            api=api(refused=True, token=""),
        ),
        "file_in_use", FAIL, "Aegis reads /opt/aegis/.aegis/config.yaml instead", "config_path",
    ),
    (
        "a shadow, and an unknown server",
        lambda: facts(
            actual=state(file(), shadows=("/opt/aegis/.aegis/config.yml",)),
            server=UnknownServer("the host runs no commands for this login"),
        ),
        "file_in_use", FAIL, "Aegis reads /opt/aegis/.aegis/config.yml instead", "config_path",
    ),
    (
        "variables that decide", lambda: with_file(file(BEDROCK)),
        "variables", WARN, "sessions follow CLAUDE_CODE_USE_BEDROCK", "_BEDROCK: null",
    ),
    (
        "another model", lambda: with_file(file(OTHER_MODEL)),
        "variables", WARN, "not as the inventory says: ANTHROPIC_DEFAULT_MODEL", "'apply' w",
    ),
    (
        "a full disk", lambda: facts(space=SpaceFacts(4096, 1000, read_only=False)),
        "free_space", FAIL, "no space left for a write there (4 KiB free)", "make room",
    ),
    (
        "a disk that is nearly full",
        lambda: facts(space=SpaceFacts(9 << 20, None, read_only=False)),
        "free_space", WARN, "9 MiB are free there, and sessions write too", "make room",
    ),
    (
        "no inodes", lambda: facts(space=SpaceFacts(GIB, 2, read_only=False)),
        "free_space", FAIL, "no space left for a write there (2 more files", "remove files",
    ),
    (
        "few inodes", lambda: facts(space=SpaceFacts(GIB, 50, read_only=False)),
        "free_space", WARN, "50 files can still be made", "remove files",
    ),
    (
        "a read-only file system", lambda: facts(space=SpaceFacts(GIB, 1000, read_only=True)),
        "free_space", FAIL, "mounted read-only", "dmesg",
    ),
    (
        "a clock ahead", lambda: facts(clock=ClockFacts(200.4, 202.0)),
        "clock", WARN, "3 min 20 s ahead of the one here", "NTP",
    ),
    (
        "a clock behind", lambda: facts(clock=ClockFacts(-90_001.0, -90_000.0)),
        "clock", WARN, "1 d 1 h behind the one here", "NTP",
    ),
    (
        "a lock that is held", lambda: facts(lock=LockFacts("ben@x", "2026-11-30 10:00 UTC", 42)),
        "lock", WARN, "another run is writing there (ben@x since 2026-11-30 10:00", "in 42 s",
    ),
    (
        "a lock that was left", lambda: facts(lock=LockFacts("", "", -7200)),
        "lock", WARN, "left its lock (a run that left no name); it expired 2 h ago", "breaks it",
    ),
    (
        "a unit that is stopped",
        lambda: facts(server=files_of(file(), STOPPED), api=api(NO_LISTENER)),
        "aegis", FAIL, "aegis does not run", "systemctl status aegis",
    ),
    (
        "nothing listens",
        lambda: facts(server=UnknownServer("nothing listens"), api=api(NO_LISTENER)),
        "aegis", FAIL, "nothing listens on 127.0.0.1:9100", "journalctl -u aegis",
    ),
    (
        "an api that the file contradicts",
        lambda: facts(api=api(NO_LISTENER, contradiction="the file says port 9200")),
        "aegis", FAIL, "nothing listens on 127.0.0.1:9100; the file says port 9200", "correct api",
    ),
    (
        "an api that the file contradicts, and an answer",
        lambda: facts(api=api(contradiction="the file says port 9200")),
        "aegis", WARN, "the file says port 9200", "correct api in the inventory",
    ),
    (
        "nothing listens that would tell the path",
        lambda: facts(
            actual=state(None, problem=ReadProblem.NO_PATH, directory=None),
            server=UnknownServer("nothing listens"),
            api=api(NO_LISTENER),
        ),
        "aegis", FAIL, "nothing listens on 127.0.0.1:9100", "journalctl -u aegis",
    ),
    (
        "a file that Aegis dies of",
        lambda: with_file(file(content(alerting={})), api=api(NO_LISTENER)),
        "config", FAIL, "Aegis crashes at its start", "correct the file",
    ),
    (
        "something else listens",
        lambda: facts(api=api(ApiFailure(ConnectFailure.NOT_HTTP, "what answers is not Aegis"))),
        "aegis", FAIL, "127.0.0.1:9100: what answers is not Aegis", "journalctl",
    ),
    (
        "a degraded Aegis", lambda: facts(api=api(replace(HEALTH, status="degraded"))),
        "aegis", WARN, "it says it is degraded", "journalctl",
    ),
    (
        "a file that was lost", lambda: facts(api=api(is_open=True)),
        "api", FAIL, "Aegis dropped its file", "look at its log",
    ),
    (
        "a file that was lost, and is newer than the server",
        lambda: with_file(file(at=int(STARTED) + 900), api=api(is_open=True)),
        "api", FAIL, "Aegis dropped its file", "restart Aegis, which runs since before",
    ),
    (
        "an empty token in Aegis' environment",
        lambda: facts(
            server=files_of(file(), replace(SERVER, token=EnvironmentToken.EMPTY)),
            api=api(is_open=True),
        ),
        "api", FAIL, "AEGIS_AUTH_TOKEN is empty in Aegis' environment", "set it there to a token",
    ),
    (
        "a token in Aegis' environment that the inventory does not name",
        lambda: facts(
            server=files_of(file(), replace(SERVER, token=EnvironmentToken.SET)),
            api=api(Health("ok"), token="", refused=True),
        ),
        "api", WARN, "goes before the file's authToken, and no such token is known", "api_token",
    ),
    (
        "another token than the one in Aegis' environment",
        lambda: facts(
            "become_user: aegis, api_token: '${AEGIS_TOKEN}'",
            server=files_of(file(), replace(SERVER, token=EnvironmentToken.SET)),
            api=api(Health("ok"), token="", refused=True),
        ),
        "api", FAIL, "it takes none of the known tokens", "set api_token",
    ),
    (
        "no token for the API is taken",
        lambda: facts(api=api(Health("ok"), token="", refused=True, unset="X (i.yml:7)")),
        "api", FAIL, "it takes none of the known tokens; X (i.yml:7) is unset", "set api_token",
    ),
    (
        "a token for the API that is unset, where the file's opens it",
        lambda: facts(api=api(unset="B_KEY (i.yml:7)")),
        "api", WARN, "the inventory's api_token is not known; B_KEY (i.yml:7) is unset", "set it",
    ),
    (
        "a token for the API that is not taken, where the file's opens it",
        lambda: facts(api=api(not_taken="api_token (B_KEY, i.yml:7)")),
        "api", WARN, "and not the inventory's api_token (B_KEY, i.yml:7)", "correct it, or take",
    ),
    (
        "Claude Code is too old", lambda: facts(api=api(OLD_CLAUDE)),
        "claude", FAIL, "too old (2.0.1, and 2.1.80 is the oldest that serves)", "update it",
    ),
    (
        "no Claude Code", lambda: facts(api=api(NO_CLAUDE)),
        "claude", WARN, "Aegis finds no Claude Code", "install it",
    ),
    (
        "a restart that is pending, by the API", lambda: with_file(file(at=int(STARTED) + 900)),
        "restart", WARN, "was not restarted since its file came", "systemctl restart aegis",
    ),
    (
        "a provider that refuses the token",
        lambda: facts(provider=(Check("provider", OK), Check("token", FAIL, "401"))),
        "token", FAIL, "401", "",
    ),
    (
        "a value of the operator's that is none",
        lambda: facts(input_checks={"token": Check("token", FAIL, "X is refused", "set it")}),
        "token", FAIL, "X is refused", "set it",
    ),
    (
        "a variable of the operator's that Aegis would drop, and a file that it can't be held with",
        lambda: with_file(
            file(BAD_TIMEOUT), input_checks={"variables": Check("variables", FAIL, "X", "set it")}
        ),
        "config", FAIL, '"port" must be a whole number', "correct the file on the host",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "name", "result", "words", "remedy"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_one_fault_is_one_finding(
    seen: Callable[[], HostFacts], name: str, result: CheckResult, words: str, remedy: str
) -> None:
    found = checks_of(seen())
    [finding] = findings(found)
    assert (finding.check, finding.result) == (name, result)
    assert words in finding.message
    assert remedy in finding.remedy
    behind = {name} if result is FAIL else set()
    for check in found.checks:
        rests = not behind.isdisjoint(RESTS_ON[check.check])
        assert check.rests_on in ({name} if rests else {name, ""}), check
        behind |= {check.check} if rests else set()


@pytest.mark.parametrize("name", Stage)
def test_behind_a_broken_way_nothing_is_checked(name: Stage) -> None:
    found = checks_of(facts(fault=Fault(name, "broken", "mend it"), login=None, actual=None))
    order = list(RESTS_ON)
    expected = dict.fromkeys(order[: order.index(name)], OK)
    expected[name] = FAIL
    assert results(found) == {**dict.fromkeys(order, NOT), **expected}
    assert {check.rests_on for check in found.checks if check.result is NOT} == {name}


@given(name=st.sampled_from(list(RESTS_ON)))
def test_whatever_ends_the_work_fails_once_and_what_lies_behind_is_not_checked(name: str) -> None:
    found = checks_of(facts(fault=Fault(name, "the connection was lost")))
    assert [check.check for check in findings(found)] == [name]
    order = list(RESTS_ON)
    behind = order[order.index(name) + 1 :]
    assert {results(found)[item] for item in behind} <= {NOT}


@pytest.mark.parametrize("name", ["variables", "provider", "token", "model"])
def test_a_provider_is_not_asked_with_what_is_refused(name: str) -> None:
    refused = {name: Check(name, FAIL, "X is refused", "set it")}
    found = {check.check: check for check in checks_of(facts(input_checks=refused)).checks}
    of_provider = {"provider", "token", "model"} - {name}
    if name == "model":
        assert refused_input(refused) == ""
        assert {found[item].result for item in of_provider} == {OK}
    else:
        assert refused_input(refused) == name
        assert {found[item].rests_on for item in of_provider} == {name}
    assert [check for check in found.values() if check.result is FAIL] == [refused[name]]


def test_every_check_rests_on_earlier_ones() -> None:
    order = list(RESTS_ON)
    for name, earlier in RESTS_ON.items():
        assert all(order.index(item) < order.index(name) for item in earlier)


# What can't be told is no fault: it is not checked, for a reason of its own.
UNTOLD: list[tuple[str, Callable[[], HostFacts], str, str]] = [
    (
        "no commands", lambda: facts(clock="the host runs no commands for this login"),
        "clock", "the host runs no commands for this login",
    ),
    (
        "no statvfs", lambda: facts(space="the host's SFTP server does not tell"),
        "free_space", "does not tell",
    ),
    (
        "no forwarding",
        lambda: facts(api=api(ApiFailure(None, "the host's sshd does not forward connections"))),
        "aegis", "its API could not be asked: the host's sshd does not forward",
    ),
    (
        "a health that was asked for too often",
        lambda: facts(api=api(ApiFailure(
            ConnectFailure.TIMED_OUT, "?", too_often=True, wait=42.0
        ))),
        "aegis", "Aegis was asked too often",
    ),
    (
        "a server that is not known", lambda: facts(server=UnknownServer("it is not Node.js")),
        "file_in_use", "it is not Node.js",
    ),
    (
        "health without a token",
        lambda: facts(server=files_of(file(), replace(SERVER, started=None)),
                      api=api(Health("ok"))),
        "restart", "told by neither its API nor its process",
    ),
    ("a lock that can't be read", lambda: facts(lock="it may not be read"), "lock", "may not"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "name", "words"), [item[1:] for item in UNTOLD], ids=[item[0] for item in UNTOLD]
)
def test_what_can_not_be_told_is_no_fault(
    seen: Callable[[], HostFacts], name: str, words: str
) -> None:
    found = checks_of(seen())
    assert not findings(found)
    [check] = [item for item in found.checks if item.check == name]
    assert check.result is NOT
    assert words in check.message
    assert not check.rests_on


def test_a_locked_api_without_a_known_token_warns_and_says_which_variable_is_unset() -> None:
    seen = facts(api=api(Health("ok"), token="", unset="AEGIS_TOKEN (inventory.yml:7)"))
    [check] = findings(checks_of(seen))
    assert check.message == (
        "it is locked, and no token for it is known; AEGIS_TOKEN (inventory.yml:7) is unset"
    )


def test_an_open_api_warns_where_the_file_has_no_token() -> None:
    bare = file(json.dumps({"defaultSessionEnv": FIVE}).encode())
    [check] = findings(checks_of(with_file(bare, api=api(is_open=True, token=""))))
    assert (check.check, check.result) == ("api", WARN)


def silent_inventory(**changes: Any) -> HostFacts:
    """Return what is seen of a host of whose Aegis the inventory says nothing."""
    text = INVENTORY.replace("PATH", PATH).replace('api: "127.0.0.1:9100", service: aegis, ', "")
    inventory, specs = specified(text.replace(", VARS", ""))
    [host] = inventory.hosts.values()
    session = resolve_env(specs[host.name], {"GATEWAY_TOKEN": TOKEN})
    return replace(facts(), host=host, session=session, **changes)


def test_of_an_aegis_that_the_inventory_does_not_name_only_what_is_certain_counts() -> None:
    assert not findings(checks_of(silent_inventory()))
    assert results(checks_of(silent_inventory()))["aegis"] is OK
    unknown = UnknownServer("nothing listens at 127.0.0.1:9100")
    silent = checks_of(silent_inventory(server=unknown, api=api(NO_LISTENER)))
    assert not findings(silent)
    for name in ("file_in_use", "aegis"):
        [check] = [item for item in silent.checks if item.check == name]
        assert check.message.startswith("the inventory says nothing of the Aegis there")
        assert check.remedy == "set service or api"
    for wrong in (api(is_open=True), api(token="", refused=True)):
        assert results(checks_of(silent_inventory(api=wrong)))["api"] is NOT


def test_a_host_that_is_this_machine_says_so() -> None:
    local = facts("connection: local", login=LoginFacts("anna"), clock=None)
    said = {check.check: check.message for check in checks_of(local).checks}
    assert {said[name] for name in ("name", "port", "host_key", "auth", "sftp", "clock")} == {
        "this machine"
    }


def test_behind_a_bastion_the_bastion_resolves_the_name() -> None:
    login = LoginFacts("deploy", "k", ("outer", "gate"), EXTENSIONS)
    assert checks_of(facts(login=login)).checks[0].message == "the bastion gate resolves it"


@pytest.mark.parametrize(
    ("health", "started", "mtime", "recorded", "result"),
    [
        (HEALTH, None, STARTED + 900, False, WARN),
        (HEALTH, None, STARTED - 900, False, OK),
        (HEALTH, None, STARTED - 900, True, OK),  # the API knows better than a record
        (HEALTH, None, STARTED, True, WARN),  # too near to be told apart
        (HEALTH, None, STARTED, False, OK),
        (Health("ok"), int(STARTED), STARTED + 900, False, WARN),
        (Health("ok"), int(STARTED), STARTED - 900, False, OK),
        (Health("ok"), None, STARTED, True, WARN),
        (Health("ok"), None, STARTED, False, NOT),
    ],
)
def test_whether_a_restart_is_pending(
    health: Health, started: int | None, mtime: float, recorded: bool, result: CheckResult
) -> None:
    found = file(at=int(mtime))
    server = files_of(found, replace(SERVER, started=started))
    seen = facts(actual=state(found), server=server, api=api(health), restart_recorded=recorded)
    assert results(checks_of(seen))["restart"] is result


@given(ahead=st.floats(-1e6, 1e6), trip=st.floats(0, 20), cut=st.floats(0, 0.999))
def test_a_skew_is_never_said_to_be_larger_than_it_is(
    ahead: float, trip: float, cut: float
) -> None:
    """The host's clock is read at any moment of the trip, and cut off to a second."""
    for moment in (0.0, trip / 2, trip):
        true = moment + ahead
        told = true - cut
        skew = ClockFacts(told - trip, told + 1 - 0.0).skew
        assert abs(skew) <= abs(ahead) + 1e-6
        assert skew == 0 or (skew > 0) == (ahead > 0)
        if abs(ahead) > trip + 1:
            assert skew != 0
