"""What a saved plan rests on: nothing may change, and what does is named with its host."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.planning.host_plan import plan_host, unreachable
from aegis_provision.planning.plan import Action, ChangeKind
from aegis_provision.planning.saved_plan import (
    PlanInputs,
    PlanOptions,
    SavedPlan,
    save,
    stale_hosts,
    stale_inputs,
)
from aegis_provision.providers.session_variables import resolve_env
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.plan import HostPlan

NAMES = ("a", "b", "c")
INVENTORY = """
all:
  vars:
    provider: glm
    model: "${MODEL:-glm-4.6}"
    env: {EXTRA: "x", EXTRA_TOKEN: "${EXTRA_TOKEN}"}
    config_path: /opt/aegis/aegis.config.json
  hosts: {a: , b: {provider: openrouter}, c: }
"""
ENVIRON = {
    "GLM_API_KEY": "canary-glm",
    "OPENROUTER_API_KEY": "canary-router",
    "EXTRA_TOKEN": "canary-extra",
}
DIRECTORY = RemoteDirectory(0o755, 1000, 1000)
PATH = "/opt/aegis/aegis.config.json"
_WHEN = datetime(2026, 11, 25, tzinfo=UTC)

_inventory, SPECS = specified(INVENTORY)
HOSTS = _inventory.hosts


def _file(content: Mapping[str, object] = {"authToken": "t"}, mode: int = 0o600) -> RemoteFile:
    return RemoteFile(json.dumps(content).encode(), mode, 1000, 1000)


FILES: Mapping[str, RemoteFile | None] = {
    "a": _file(),
    "b": None,
    "c": _file({"authToken": "t", "defaultSessionEnv": {"ANTHROPIC_AUTH_TOKEN": "canary-there"}}),
}


def _inputs(environ: Mapping[str, str] = ENVIRON, *, with_secrets: bool = True) -> PlanInputs:
    sessions = {
        name: resolve_env(SPECS[name], environ, with_secrets=with_secrets) for name in NAMES
    }
    return PlanInputs(
        (("inventory.yml", "0" * 64), ("play.yml", "1" * 64)), ((NAMES,),), HOSTS, sessions
    )


def _plans(
    files: Mapping[str, RemoteFile | None] = FILES, inputs: PlanInputs | None = None
) -> tuple[HostPlan, ...]:
    sessions = (inputs or _inputs()).sessions
    return tuple(
        plan_host(HOSTS[name], sessions[name], RemoteState(PATH, files[name], DIRECTORY))
        for name in NAMES
    )


def _saved(*, with_secrets: bool = True) -> SavedPlan:
    inputs = _inputs(with_secrets=with_secrets)
    chosen = PlanOptions((), no_secrets=not with_secrets)
    return save(_WHEN, "1", chosen, inputs, _plans(inputs=inputs), bytes(range(16)))


SAVED = _saved()


def test_where_nothing_has_changed_nothing_is_against_it() -> None:
    assert not stale_inputs(SAVED, _inputs())
    assert not stale_hosts(SAVED, _plans())


def test_no_token_is_in_it_and_each_distinct_one_has_one_digest() -> None:
    assert "canary" not in repr(SAVED)
    assert len(SAVED.tokens) == 3
    by_host = {host.host: host.tokens for host in SAVED.hosts}
    assert by_host["a"] == by_host["c"]
    assert by_host["a"]["EXTRA_TOKEN"] == by_host["b"]["EXTRA_TOKEN"]
    assert by_host["a"]["ANTHROPIC_AUTH_TOKEN"] != by_host["b"]["ANTHROPIC_AUTH_TOKEN"]


@pytest.mark.slow
@given(
    name=st.sampled_from(["GLM_API_KEY", "OPENROUTER_API_KEY", "EXTRA_TOKEN", "MODEL"]),
    value=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12),
)
@settings(max_examples=12, deadline=None)
def test_another_value_is_named_with_the_hosts_that_would_get_it(name: str, value: str) -> None:
    found = stale_inputs(SAVED, _inputs({**ENVIRON, name: value}))
    uses_it = {
        host: any(f"{{{name}" in variable.template for variable in SPECS[host].variables)
        for host in NAMES
    }
    assert set(found.hosts) == {host for host, uses in uses_it.items() if uses}
    assert not found.whole


_CHANGED_FILES = (
    st.builds(
        lambda key, value, mode: _file({"authToken": "t", key: value}, mode),
        st.sampled_from(["note", "defaultSessionEnv"]),
        st.dictionaries(st.sampled_from(["EXTRA", "OTHER"]), st.sampled_from(["x", "y"])),
        st.sampled_from([0o600, 0o640]),
    )
    | st.none()
)


@given(name=st.sampled_from(NAMES), file=_CHANGED_FILES)
def test_another_file_is_named_with_its_host(name: str, file: RemoteFile | None) -> None:
    found = stale_hosts(SAVED, _plans({**FILES, name: file}))
    assert set(found.hosts) == ({name} if file != FILES[name] else set())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"uid": 0}, "its owner has changed"),
        ({"gid": 0}, "its owner has changed"),
        ({"mode": 0o640}, "its mode"),
        ({"content": b'{"authToken":"t"}'}, "the file"),
    ],
)
def test_owner_and_mode_belong_to_the_file_and_so_does_its_layout(
    change: dict[str, int | bytes], says: str
) -> None:
    file = FILES["a"]
    assert file is not None
    found = stale_hosts(SAVED, _plans({**FILES, "a": replace(file, **change)}))  # type: ignore[arg-type]
    assert [*found.hosts] == ["a"]
    assert says in found.hosts["a"][0]


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ((("inventory.yml", "2" * 64), ("play.yml", "1" * 64)), ("inventory.yml has changed",)),
        ((("inventory.yml", "0" * 64),), ("play.yml is not there any more",)),
        (
            (("inventory.yml", "0" * 64), ("more.yml", "3" * 64), ("play.yml", "1" * 64)),
            ("more.yml has come",),
        ),
        (
            (("play.yml", "1" * 64), ("inventory.yml", "0" * 64)),
            ("the inventories are read in another order",),
        ),
        (
            (("inventory.yml", "1" * 64), ("play.yml", "0" * 64)),
            ("inventory.yml has changed", "play.yml has changed"),
        ),
        (
            (("inventory.yml", "0" * 64), ("play.yml", "0" * 64)),
            ("play.yml has changed",),
        ),
        ((("elsewhere/inventory.yml", "0" * 64), ("play.yml", "1" * 64)), ()),
    ],
)
def test_the_operators_files_are_what_they_were(
    now: tuple[tuple[str, str], ...], says: tuple[str, ...]
) -> None:
    assert stale_inputs(SAVED, replace(_inputs(), sources=now)).whole == says


def test_the_order_within_a_batch_decides_nothing() -> None:
    """A script may print its groups in another order each time."""
    batches = ((tuple(reversed(NAMES)),),)
    assert not stale_inputs(SAVED, replace(_inputs(), batches=batches))


def test_other_batches_are_another_plan() -> None:
    found = stale_inputs(SAVED, replace(_inputs(), batches=((("a",), ("b", "c")),)))
    assert "batches" in found.whole[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("address", "10.0.0.9"),
        ("port", "2222"),
        ("jump", "bastion.example.com"),
        ("become_user", "aegis"),
        ("trust_directory", "true"),
        ("read_via", "explicit"),
        ("restart_command", "/opt/aegis/restart"),
        ("api", "127.0.0.1:9101"),
        ("api_token", '"${AEGIS_TOKEN}"'),
    ],
)
def test_who_is_reached_or_restarted_otherwise_is_named(setting: str, value: str) -> None:
    """A file that is only renamed has the bytes it had."""
    vars_of_b = InputFile("host_vars", "b", "host_vars/b.yml", f"{setting}: {value}".encode(), 0)
    of_all = InputFile("inventory", "", "inventory.yml", INVENTORY.encode(), 0)
    inventory, _ = load_inventory([of_all, vars_of_b])
    assert inventory is not None
    found = stale_inputs(SAVED, replace(_inputs(), hosts=inventory.hosts))
    assert found.hosts == {"b": ["how it is reached or restarted is not what it was"]}


def test_hosts_that_go_and_come_are_named() -> None:
    sessions = dict(_inputs().sessions)
    sessions["d"] = sessions.pop("b")
    found = stale_inputs(SAVED, replace(_inputs(), sessions=sessions))
    assert {*found.hosts} == {"b", "d"}


def test_a_host_nobody_can_talk_to_is_left_to_the_run() -> None:
    plans = list(_plans())
    plans[1] = unreachable(HOSTS["b"], _inputs().sessions["b"], "no route", "")
    assert not stale_hosts(SAVED, plans)


def test_a_restart_that_is_owed_now_is_more_than_was_planned() -> None:
    plans = [replace(plan, restart_pending=plan.host == "a") for plan in _plans()]
    assert [*stale_hosts(SAVED, plans).hosts] == ["a"]
    saved = replace(SAVED, hosts=tuple(replace(host, restart_pending=True) for host in SAVED.hosts))
    assert not stale_hosts(saved, _plans()), "nothing is left to do there"


def test_without_secrets_only_what_was_unknown_may_turn_out() -> None:
    saved = _saved(with_secrets=False)
    assert not saved.tokens
    assert not stale_inputs(saved, _inputs())
    assert not stale_inputs(saved, _inputs({**ENVIRON, "GLM_API_KEY": "another"}))
    assert not stale_hosts(saved, _plans())
    found = stale_hosts(saved, _plans({**FILES, "c": _file()}))
    assert [*found.hosts] == ["c"]


def _sharing(environ: Mapping[str, str], *, with_secrets: bool = True) -> PlanInputs:
    """Return a inputs where a variable that is no secret holds one all the same."""
    _, specs = specified(INVENTORY.replace("${MODEL:-glm-4.6}", "${GLM_API_KEY:-big}"))
    sessions = {
        name: resolve_env(specs[name], environ, with_secrets=with_secrets) for name in NAMES
    }
    return replace(_inputs(), sessions=sessions)


@pytest.mark.parametrize("with_secrets", [True, False])
def test_a_value_that_a_token_is_in_is_kept_as_a_token_is(with_secrets: bool) -> None:
    inputs = _sharing(ENVIRON, with_secrets=with_secrets)
    chosen = PlanOptions((), no_secrets=not with_secrets)
    saved = save(_WHEN, "1", chosen, inputs, _plans(inputs=inputs), bytes(16))
    host = saved.hosts[0]
    assert host.wanted["ANTHROPIC_DEFAULT_MODEL"] is None
    assert ("ANTHROPIC_DEFAULT_MODEL" in host.tokens) is with_secrets
    now = _sharing(ENVIRON)
    assert not stale_inputs(saved, now)
    assert not stale_hosts(saved, _plans(inputs=now))
    other = stale_inputs(saved, _sharing({**ENVIRON, "GLM_API_KEY": "canary-other"}))
    assert bool(other) is with_secrets


def test_a_token_in_a_wrong_place_that_is_recognised_now_is_the_change_it_was() -> None:
    actual = {"ANTHROPIC_DEFAULT_MODEL": ENVIRON["GLM_API_KEY"]}
    files = {**FILES, "a": _file({"authToken": "t", "defaultSessionEnv": actual})}
    bare = _inputs(with_secrets=False)
    chosen = PlanOptions((), no_secrets=True)
    saved = save(_WHEN, "1", chosen, bare, _plans(files, bare), bytes(16))
    assert not stale_hosts(saved, _plans(files))


def test_what_can_not_be_written_is_no_part_of_it() -> None:
    plans = list(_plans())
    plans[0] = replace(plans[0], action=Action.ERROR, message="broken", changes=(), write=None)
    saved = save(_WHEN, "1", PlanOptions(()), _inputs(), plans, bytes(16))
    assert [host.host for host in saved.hosts] == ["b", "c"]
    assert [(host.host, host.reason) for host in saved.skipped] == [("a", "broken")]
    assert not stale_inputs(saved, _inputs())


def _against(**changes: object) -> dict[str, tuple[str, ...]]:
    """Return what is against writing where host ``a`` is planned with ``changes``."""
    plans = tuple(
        replace(plan, **changes) if plan.host == "a" else plan  # type: ignore[arg-type]
        for plan in _plans()
    )
    return {host: tuple(reasons) for host, reasons in stale_hosts(SAVED, plans).hosts.items()}


def _seen(content: bytes) -> RemoteFile:
    return RemoteFile(content, 0o600, 1000, 1000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"action": Action.ERROR, "message": "not JSON", "restart_pending": True},
            ("it can't be written any more: not JSON",),
        ),
        ({"path": "/elsewhere"}, (f"the file is /elsewhere now, not {PATH}",)),
        ({"seen": None}, ("the file is gone",)),
        ({"seen": _seen(b"other")}, ("the file, its mode or its owner has changed",)),
        (
            {"restart_pending": True},
            ("it is owed a restart now, of which the plan does not know",),
        ),
        (
            {"seen": None, "restart_pending": True},
            (
                "the file is gone",
                "it is owed a restart now, of which the plan does not know",
            ),
        ),
        (
            {"path": "/elsewhere", "seen": None},
            (f"the file is /elsewhere now, not {PATH}",),
        ),
    ],
)
def test_what_is_against_a_host_is_told_in_words(
    changes: dict[str, object], words: tuple[str, ...]
) -> None:
    assert _against(**changes) == {"a": words}


def test_a_file_that_has_come_is_told_as_such() -> None:
    plans = tuple(
        replace(plan, seen=_seen(b"{}")) if plan.host == "b" else plan for plan in _plans()
    )
    assert dict(stale_hosts(SAVED, plans).hosts) == {
        "b": ["a file has come since the plan saw none"]
    }


def test_other_changes_are_told_by_their_keys_in_order() -> None:
    changes = next(plan.changes for plan in _plans() if plan.host == "a")
    first, *rest = changes
    other = replace(first, after="elsewhere")
    extra = replace(first, key="EXTRA_ONE_MORE")
    what = "what would change is not what the plan says: "
    assert _against(changes=(other, *rest)) == {"a": (f"{what}{first.key}",)}
    assert _against(changes=tuple(rest)) == {"a": (f"{what}{first.key}",)}
    assert _against(changes=(*changes, extra)) == {"a": (f"{what}EXTRA_ONE_MORE",)}
    assert _against(changes=(*rest, extra)) == {"a": (f"{what}{first.key}, EXTRA_ONE_MORE",)}


def test_of_a_masked_change_only_its_kind_counts() -> None:
    changes = next(plan.changes for plan in _plans() if plan.host == "a")
    secret = next(change for change in changes if change.sensitive)
    shown = next(change for change in changes if not change.sensitive)
    masked = replace(shown, before=None, after=None, sensitive=True)
    assert _against(changes=tuple(masked if it is shown else it for it in changes)) == {}
    removed = replace(secret, kind=ChangeKind.REMOVED)
    assert _against(changes=tuple(removed if it is secret else it for it in changes)) == {
        "a": (f"what would change is not what the plan says: {secret.key}",)
    }


def test_hosts_that_go_come_or_move_on_are_told_in_words() -> None:
    inputs = _inputs()
    gone = {name: session for name, session in inputs.sessions.items() if name != "a"}
    assert dict(stale_inputs(SAVED, replace(inputs, sessions=gone)).hosts) == {
        "a": ["it is no part of what the plan is about any more"]
    }
    come = {**inputs.sessions, "d": inputs.sessions["a"]}
    assert dict(stale_inputs(SAVED, replace(inputs, sessions=come)).hosts) == {
        "d": ["it has come since the plan was made"]
    }
    other = {**inputs.sessions, "a": inputs.sessions["b"]}
    assert dict(stale_inputs(SAVED, replace(inputs, sessions=other)).hosts) == {
        "a": ["its provider is openrouter now, not glm"]
    }
    moved = {
        **HOSTS, "a": replace(HOSTS["a"], target=replace(HOSTS["a"].target, user="other"))
    }  # fmt: skip
    assert dict(stale_inputs(SAVED, replace(inputs, hosts=moved)).hosts) == {
        "a": ["how it is reached or restarted is not what it was"]
    }
