"""What is wrong with the input for a host: which of its checks that decides, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.diagnosis.input_checks import find_in_input
from aegis_provision.providers.session_variables import resolve_env
from tests.diagnosis.host_facts import FAIL, INVENTORY, NOT, PATH, TOKEN
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from aegis_provision.diagnosis.checks import CheckResult

VARIABLES = {"GATEWAY_TOKEN": TOKEN, "A_KEY": "key-of-the-api-not-real"}


def _found(
    settings: str, *, probe: bool, **variables: str
) -> tuple[dict[str, CheckResult], str, str, bool]:
    text = INVENTORY.replace("PATH", PATH).replace("VARS", settings)
    inventory, specs = specified(text)
    [host] = inventory.hosts.values()
    known = {**VARIABLES, **variables}
    session = resolve_env(specs[host.name], known)
    found, token = find_in_input(session, host, known, probe=probe)
    results = {name: check.result for name, check in found.checks.items()}
    return results, found.api_token, found.unset_api_token, token is not None


@pytest.mark.parametrize("probe", [False, True])
def test_what_is_refused_fails_whatever_else_is_unset(probe: bool) -> None:
    both = "env: {ONE: 'a${UNSET}', TWO: '${WITH_NUL}'}"
    results, *_ = _found(both, probe=probe, WITH_NUL="a\0b")
    assert results == {"variables": FAIL}


@pytest.mark.parametrize(("probe", "result"), [(False, NOT), (True, FAIL)])
def test_what_is_unset_fails_only_where_it_is_asked_for(probe: bool, result: CheckResult) -> None:
    assert _found("become: true", probe=probe, GATEWAY_TOKEN="")[0] == {"token": result}


def test_a_token_that_is_none_fails_in_any_case() -> None:
    assert _found("become: true", probe=False, GATEWAY_TOKEN="changeme")[0] == {"token": FAIL}


def test_the_token_of_the_api_is_called_by_its_variable_and_its_place() -> None:
    place = "inventory.yml:10:"
    results, called, unset, is_known = _found("api_token: '${A_KEY}'", probe=False)
    assert (results, unset, is_known) == ({}, "", True)
    assert called.startswith(f"api_token (A_KEY, {place}")
    results, _, unset, is_known = _found("api_token: '${B_KEY}'", probe=True)
    assert (results, is_known) == ({}, False)
    assert unset.startswith(f"B_KEY ({place}")
    assert _found("api_token: '${A_KEY}'", probe=False, A_KEY="changeme")[0] == {"api": FAIL}
    assert _found("become: true", probe=True) == ({}, "", "", False)
