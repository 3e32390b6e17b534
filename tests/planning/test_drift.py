"""Written, there, wanted: each variable is in exactly the state that the three of them make."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.config_file import merge
from aegis_provision.aegis.remote_state import ReadProblem, RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.planning.drift import drift_of, removed_keys
from aegis_provision.planning.host_plan import compare, plan_host
from aegis_provision.planning.plan import (
    Action,
    ChangeKind,
    ManagedKeys,
    restoring_write,
    resulting_file,
)
from aegis_provision.planning.receipts import (
    Receipt,
    RejectedReceipt,
    WriteInfo,
    dump,
    parse,
    validate,
)
from aegis_provision.planning.status import HostState, ProviderMatch, TokenState, status_of
from aegis_provision.providers.session_variables import resolve_env
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import Write
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.providers.session_variables import Session

PATH = "/opt/aegis/aegis.config.json"
DIRECTORY = RemoteDirectory(0o755, 1000, 1000)
INFO = WriteInfo("20261125T101500Z-0a1b2c", datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")
SALT = bytes(16)
FIVE = [
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_FAST_MODEL",
    "API_TIMEOUT_MS",
]
NAMES = [*FIVE, "EXTRA_ONE", "EXTRA_TWO"]


def _wanted(provider: str = "glm", **env: str | None) -> tuple[Host, Session]:
    variables = f"provider: {provider}, config_path: {PATH}, env: {json.dumps(env)}"
    inventory, specs = specified(f"all: {{vars: {{{variables}}}, hosts: {{a: }}}}")
    environ = {"GLM_API_KEY": "token-one", "OPENROUTER_API_KEY": "token-two"}
    return inventory.hosts["a"], resolve_env(specs["a"], environ)


def _content(environment: dict[str, str]) -> bytes:
    return json.dumps({"authToken": "t", "defaultSessionEnv": environment}).encode()


def _actual(content: bytes | None, mode: int = 0o600) -> RemoteState:
    file = RemoteFile(content, mode, 1000, 1000) if content is not None else None
    return RemoteState(PATH, file, DIRECTORY)


def _receipt_of(write: Write) -> Receipt | None:
    """Return what a write leaves beside its file."""
    if write.content is None or write.managed is None:
        return None
    found = parse(dump(write.path, write.managed, write.managed_before, write.content, INFO, SALT))
    assert isinstance(found, Receipt)
    return found


def _receipt(values: dict[str, str], provider: str = "glm") -> Receipt:
    managed = ManagedKeys(provider, tuple(values))
    found = parse(dump(PATH, managed, None, _content(values), INFO, SALT))
    assert isinstance(found, Receipt)
    return found


HOST, SESSION = _wanted()
FILE = plan_host(HOST, SESSION, _actual(b'{"authToken": "t"}')).write
assert FILE is not None
assert FILE.content is not None
RIGHT: dict[str, str] = json.loads(FILE.content)["defaultSessionEnv"]


def _status(
    environment: dict[str, str] | None,
    receipt: Receipt | RejectedReceipt | None,
    *,
    session: Session = SESSION,
    mode: int = 0o600,
) -> HostStatus:
    actual = _actual(None if environment is None else _content(environment), mode)
    return status_of(compare(HOST, session, actual), receipt)


def test_what_was_written_and_is_wanted_is_in_sync() -> None:
    status = _status(RIGHT, _receipt(RIGHT))
    assert status.states == (HostState.IN_SYNC,)
    assert (status.wrote, status.message) == (INFO, "")


def test_an_edit_on_the_host_has_drifted() -> None:
    status = _status({**RIGHT, "API_TIMEOUT_MS": "1"}, _receipt(RIGHT))
    assert status.states == (HostState.DRIFTED,)
    assert (status.drifted, status.pending) == (("API_TIMEOUT_MS",), ())


def test_an_edit_of_the_inventory_is_pending() -> None:
    before = {**RIGHT, "API_TIMEOUT_MS": "30000"}
    status = _status(before, _receipt(before))
    assert status.states == (HostState.PENDING,)
    assert (status.drifted, status.pending) == ((), ("API_TIMEOUT_MS",))


def test_both_edits_are_both() -> None:
    before = {**RIGHT, "API_TIMEOUT_MS": "30000", "ANTHROPIC_DEFAULT_MODEL": "small"}
    current = {**before, "ANTHROPIC_BASE_URL": "https://evil.example.com", "API_TIMEOUT_MS": "1"}
    status = _status(current, _receipt(before))
    assert status.states == (HostState.DRIFTED, HostState.PENDING)
    assert status.drifted == ("ANTHROPIC_BASE_URL", "API_TIMEOUT_MS")
    assert status.pending == ("ANTHROPIC_DEFAULT_MODEL", "API_TIMEOUT_MS")


def test_a_file_that_is_gone_is_an_error() -> None:
    status = _status(None, _receipt(RIGHT))
    assert (status.states, status.drifted) == ((HostState.ERROR,), ())
    assert status.message.startswith("the file is gone: 20261125T101500Z-0a1b2c wrote it at 2026-")
    assert "'apply --recreate' writes a new one" in status.hint


def test_a_mode_that_was_loosened_has_drifted() -> None:
    status = _status(RIGHT, _receipt(RIGHT), mode=0o644)
    assert (status.states, status.drifted) == ((HostState.DRIFTED,), ("file.mode",))


def test_without_a_receipt_nobody_provisioned_the_host() -> None:
    status = _status({**RIGHT, "API_TIMEOUT_MS": "1"}, None)
    assert status.states == (HostState.NEVER_PROVISIONED,)
    assert (status.drifted, status.pending) == ((), ("API_TIMEOUT_MS",))


def test_a_file_that_is_right_without_a_receipt_says_so() -> None:
    status = _status(RIGHT, None)
    assert status.states == (HostState.IN_SYNC, HostState.NEVER_PROVISIONED)
    assert "no receipt" in status.message


@pytest.mark.parametrize(
    ("environment", "states"),
    [(RIGHT, (HostState.IN_SYNC,)), ({**RIGHT, "API_TIMEOUT_MS": "1"}, (HostState.PENDING,))],
)
def test_a_receipt_that_does_not_count_is_told_and_nothing_has_drifted(
    environment: dict[str, str], states: tuple[HostState, ...]
) -> None:
    status = _status(environment, RejectedReceipt("it is damaged"))
    assert (status.states, status.drifted) == (states, ())
    assert "it is damaged" in status.message


def test_a_restart_that_is_owed_is_added_to_the_rest() -> None:
    comparison = compare(HOST, SESSION, _actual(_content(RIGHT)))
    status = status_of(comparison, _receipt(RIGHT), restart_pending=True)
    assert status.states == (HostState.IN_SYNC, HostState.RESTART_PENDING)


def test_a_host_that_would_be_refused_is_in_error() -> None:
    actual = RemoteState(PATH, directory=DIRECTORY, problem=ReadProblem.SYMLINK)
    status = status_of(compare(HOST, SESSION, actual), None)
    assert status.states == (HostState.ERROR,)
    assert "symbolic link" in status.message
    assert status.tokens == {"GLM_API_KEY": TokenState.UNKNOWN}


OLDER = {**RIGHT, "ANTHROPIC_AUTH_TOKEN": "token-zero"}


@pytest.mark.parametrize(
    ("environment", "receipt", "held"),
    [
        (RIGHT, _receipt(RIGHT), TokenState.CURRENT),
        (RIGHT, None, TokenState.CURRENT),
        (OLDER, _receipt(OLDER), TokenState.OLDER),
        (OLDER, _receipt(OLDER, provider="ollama"), TokenState.ANOTHER),
        (OLDER, _receipt(RIGHT), TokenState.ANOTHER),
        (OLDER, None, TokenState.ANOTHER),
        ({}, _receipt(RIGHT), TokenState.NONE),
        (None, None, TokenState.NONE),
    ],
)
def test_what_a_host_has_of_a_token(
    environment: dict[str, str] | None, receipt: Receipt | None, held: TokenState
) -> None:
    assert _status(environment, receipt).tokens == {"GLM_API_KEY": held}


ELSEWHERE = {**RIGHT, "ANTHROPIC_BASE_URL": "http://127.0.0.1:11434/v1"}


@pytest.mark.parametrize(
    ("environment", "receipt", "runs_on"),
    [
        (RIGHT, _receipt(RIGHT), "glm"),
        (RIGHT, None, "glm"),
        ({**RIGHT, "API_TIMEOUT_MS": "1"}, _receipt(RIGHT), "glm"),
        (ELSEWHERE, _receipt(ELSEWHERE, provider="ollama"), "ollama"),
        (ELSEWHERE, _receipt(RIGHT), ProviderMatch.OTHER),
        (ELSEWHERE, None, ProviderMatch.OTHER),
        ({"OTHER": "x"}, _receipt(RIGHT), ProviderMatch.NONE),
        (None, None, ProviderMatch.NONE),
    ],
)
def test_the_provider_that_a_host_is_on(
    environment: dict[str, str] | None, receipt: Receipt | None, runs_on: str | ProviderMatch
) -> None:
    assert _status(environment, receipt).current_provider == runs_on


def test_a_name_that_the_inventory_dropped_is_removed_where_it_is_what_we_wrote() -> None:
    current = {**RIGHT, "EXTRA_ONE": "mine", "EXTRA_TWO": "changed", "FOREIGN": "theirs"}
    receipt = _receipt({**RIGHT, "EXTRA_ONE": "mine", "EXTRA_TWO": "as it was"})
    actual = _actual(_content(current))
    plan = plan_host(HOST, SESSION, actual, receipt)
    assert plan.action is Action.UPDATE
    (change,) = plan.changes
    assert (change.key, change.kind, change.before) == ("EXTRA_ONE", ChangeKind.REMOVED, "mine")
    assert any("EXTRA_TWO: no longer in the inventory" in item for item in plan.warnings)
    status = status_of(compare(HOST, SESSION, actual), receipt)
    assert (status.drifted, status.pending) == (("EXTRA_TWO",), ("EXTRA_ONE",))
    assert plan.write is not None
    assert plan.write.content is not None
    left = json.loads(plan.write.content)["defaultSessionEnv"]
    assert left == {**RIGHT, "EXTRA_TWO": "changed", "FOREIGN": "theirs"}


@pytest.mark.parametrize("receipt", [None, RejectedReceipt("it is damaged")])
def test_without_a_receipt_that_counts_no_name_is_removed(receipt: RejectedReceipt | None) -> None:
    plan = plan_host(HOST, SESSION, _actual(_content({**RIGHT, "EXTRA_ONE": "x"})), receipt)
    assert plan.action is Action.UNCHANGED
    assert any("it is damaged" in item for item in plan.warnings) is (receipt is not None)


def test_a_secret_that_is_removed_is_masked() -> None:
    current = {**RIGHT, "OTHER_KEY": "canary-1234567"}
    plan = plan_host(HOST, SESSION, _actual(_content(current)), _receipt(current))
    (change,) = plan.changes
    assert (change.key, change.sensitive, change.before) == ("OTHER_KEY", True, None)
    assert "canary" not in repr(plan)


def test_going_back_makes_ours_again_what_was() -> None:
    host, session = _wanted("openrouter", EXTRA_ONE="x")
    first = plan_host(host, session, _actual(b'{"authToken": "t"}')).write
    assert first is not None
    assert first.managed_before is None
    assert _receipt_of(restoring_write(first)) is None
    receipt = _receipt_of(first)
    second = plan_host(
        HOST, SESSION, RemoteState(PATH, resulting_file(first), DIRECTORY), receipt
    ).write
    assert second is not None
    back = _receipt_of(restoring_write(second))
    assert receipt is not None
    assert back is not None
    assert (back.provider, back.digests) == ("openrouter", receipt.digests)
    assert back.before == ManagedKeys("glm", tuple(FIVE))


_VALUE = st.sampled_from(["a", "b", "c"])
_VALUES = st.dictionaries(st.sampled_from(["EXTRA_ONE", "EXTRA_TWO", "EXTRA_THREE"]), _VALUE)


_WANTED = st.dictionaries(
    st.sampled_from(["EXTRA_ONE", "EXTRA_TWO", "EXTRA_THREE"]), st.none() | _VALUE
)


@given(written=_VALUES, current=_VALUES, wanted=_WANTED)
def test_every_key_is_in_the_states_that_written_there_and_wanted_make(
    written: dict[str, str], current: dict[str, str], wanted: dict[str, str | None]
) -> None:
    _, session = _wanted("glm", **wanted)
    receipt = _receipt({**RIGHT, **written})
    drift = drift_of({**RIGHT, **current}, session, receipt)
    for name in ("EXTRA_ONE", "EXTRA_TWO", "EXTRA_THREE"):
        was, here, then = written.get(name), current.get(name), wanted.get(name)
        ours = name in written
        removed = name in wanted and then is None
        left_alone = then is None and (not ours or here != was)
        due = here != then and then != was and not left_alone
        assert (name in drift.drifted) is (ours and here not in {was, then}), name
        assert (name in drift.pending) is (name in current if removed else due), name
    dropped = removed_keys({**RIGHT, **current}, session, receipt)
    assert set(dropped.unchanged).isdisjoint(wanted)
    assert not set(dropped.unchanged) & set(drift.drifted)


@given(
    first=_WANTED,
    second=_WANTED,
    edits=st.dictionaries(st.sampled_from(["EXTRA_ONE", "API_TIMEOUT_MS", "FOREIGN"]), _VALUE),
    foreign=st.dictionaries(st.sampled_from(["FOREIGN", "EXTRA_FOUR"]), _VALUE),
)
def test_after_each_write_nothing_is_left_to_do_and_what_is_not_ours_survives(
    first: dict[str, str | None],
    second: dict[str, str | None],
    edits: dict[str, str],
    foreign: dict[str, str],
) -> None:
    content, receipt = _content(foreign), None
    ours: dict[str, str] = {}
    for env, edit in ((first, edits), (second, {})):
        host, session = _wanted("glm", **env)
        current = json.loads(content)["defaultSessionEnv"]
        plan = plan_host(host, session, _actual(content), receipt)
        status = status_of(compare(host, session, _actual(content)), receipt)
        assert plan.write is None or status.pending or status.drifted
        if plan.write is not None:
            assert plan.write.content is not None
            content, receipt = plan.write.content, _receipt_of(plan.write)
            assert receipt is not None
        assert plan_host(host, session, _actual(content), receipt).action is Action.UNCHANGED
        now = json.loads(content)["defaultSessionEnv"]
        kept = {name: value for name, value in current.items() if ours.get(name) != value}
        kept = {name: value for name, value in kept.items() if name not in env}
        values = {name: value for name, value in env.items() if value is not None}
        assert now == {**kept, **{name: now[name] for name in FIVE}, **values}
        ours, content = values, _content({**now, **edit})


def test_a_receipt_is_judged_by_what_it_lies_beside() -> None:
    data = dump("/elsewhere", ManagedKeys("glm", ()), None, merge(None, {}), INFO, SALT)
    judged = validate(RemoteFile(data, 0o600, 1000, 1000), _actual(_content(RIGHT)))
    assert isinstance(judged, RejectedReceipt)
