"""A plan and a status without the secrets: the same as with them, but for what only they decide."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.planning.host_plan import compare, plan_host, read_only
from aegis_provision.planning.plan import Action, ChangeKind
from aegis_provision.planning.status import HostState, status_of
from aegis_provision.providers.session_variables import resolve_env
from tests.fleet.specs import specified

TOKEN = "canary-4d1f0a"
TOKEN_NAME = "ANTHROPIC_AUTH_TOKEN"
ENVIRON = {"GLM_API_KEY": TOKEN, "HEADER_TOKEN": f"{TOKEN}-2", "REGION": "eu"}
PATH = "/opt/aegis/aegis.config.json"
DIRECTORY = RemoteDirectory(0o755, 1000, 1000)
INVENTORY = """
all:
  vars:
    provider: glm
    model: glm-4.6
    env: {WHERE: "${REGION:-nowhere}", EXTRA_TOKEN: "${HEADER_TOKEN}"}
    config_path: /opt/aegis/aegis.config.json
  hosts: {a: }
"""
_TOKENS = (TOKEN_NAME, "EXTRA_TOKEN")
_NAMES = (*_TOKENS, "ANTHROPIC_BASE_URL", "ANTHROPIC_DEFAULT_MODEL", "WHERE", "API_TIMEOUT_MS")

_inventory, _specs = specified(INVENTORY)
HOST, SPEC = _inventory.hosts["a"], _specs["a"]
FULL = resolve_env(SPEC, ENVIRON)
WITHHELD = resolve_env(SPEC, {"REGION": "eu"}, with_secrets=False)

# A token that stands in a wrong place is known by its looks alone where it is withheld.
_ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(
            [TOKEN, f"{TOKEN}-2", "old"] if name in _TOKENS else ["glm-4.6", "eu", "3000000", "x"]
        )
        for name in _NAMES
    },
)
_FILES = st.none() | st.builds(
    lambda environment, mode: RemoteFile(
        json.dumps({"authToken": "t", "defaultSessionEnv": environment}).encode(), mode, 1000, 1000
    ),
    _ENVIRONMENTS,
    st.sampled_from([0o600, 0o644]),
)


def test_what_only_secrets_need_is_neither_needed_nor_read() -> None:
    partial = resolve_env(SPEC, {}, with_secrets=False)
    assert (partial.missing, partial.withheld) == ((), frozenset(_TOKENS))
    assert resolve_env(SPEC, ENVIRON, with_secrets=False) == WITHHELD
    assert TOKEN_NAME not in WITHHELD.values
    assert WITHHELD.names == FULL.names


def test_what_shares_a_variable_with_a_token_is_withheld_with_it() -> None:
    """The token would not be known there, and so not be masked."""
    spec = specified(INVENTORY.replace("glm-4.6", '"${GLM_API_KEY:-none}"'))[1]["a"]
    unset = {"REGION": "eu"}
    partial, full = (resolve_env(spec, environ, with_secrets=False) for environ in (unset, ENVIRON))
    assert partial == full
    assert partial.withheld == {*_TOKENS, "ANTHROPIC_DEFAULT_MODEL"}
    plan = plan_host(HOST, full, RemoteState(PATH, None, DIRECTORY))
    shown = {change.key: (change.after, change.sensitive) for change in plan.changes}
    assert shown["ANTHROPIC_DEFAULT_MODEL"] == (None, True)


@given(file=_FILES)
def test_a_plan_without_secrets_says_what_one_with_them_says_of_all_else(
    file: RemoteFile | None,
) -> None:
    actual = RemoteState(PATH, file, DIRECTORY)
    full, partial = plan_host(HOST, FULL, actual), plan_host(HOST, WITHHELD, actual)
    certain = [
        change
        for change in full.changes
        if change.key not in _TOKENS or change.kind is ChangeKind.ADDED
    ]
    assert list(partial.changes) == certain
    assert set(partial.same) == set(full.same) - set(_TOKENS)
    current = json.loads(file.content)["defaultSessionEnv"] if file else {}
    assert partial.unknown == tuple(
        name for name in FULL.in_order if name in {*_TOKENS} & {*current}
    )
    assert partial.warnings == full.warnings
    if certain:
        assert partial.action is full.action
    else:
        assert partial.action is Action.UNCHANGED


@given(file=_FILES)
def test_nothing_can_be_written_of_what_is_only_to_be_shown(file: RemoteFile | None) -> None:
    plan = read_only(plan_host(HOST, WITHHELD, RemoteState(PATH, file, DIRECTORY)))
    assert plan.write is None


@given(file=_FILES)
def test_a_status_without_secrets_judges_by_all_else(file: RemoteFile | None) -> None:
    actual = RemoteState(PATH, file, DIRECTORY)
    full = status_of(compare(HOST, FULL, actual), None)
    partial = status_of(compare(HOST, WITHHELD, actual), None)
    current = json.loads(file.content)["defaultSessionEnv"] if file else {}
    assert set(partial.pending) == {
        name for name in full.pending if name not in _TOKENS or name not in current
    }
    assert set(partial.unknown) == {*_TOKENS} & {*current}
    assert (HostState.IN_SYNC in partial.states) == (not partial.pending)


def test_a_value_there_that_aegis_would_fail_over_is_unknown_and_no_error() -> None:
    content = {"authToken": "t", "defaultSessionEnv": {TOKEN_NAME: "bad\nvalue"}}
    file = RemoteFile(json.dumps(content).encode(), 0o600, 1000, 1000)
    plan = plan_host(HOST, WITHHELD, RemoteState(PATH, file, DIRECTORY))
    assert plan.action is Action.UPDATE
    assert plan.unknown == (TOKEN_NAME,)
