"""Why a host has its values: the line that is named is the one whose change changes the value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.providers.explain import Explanation, SettingSource, explain, matching
from aegis_provision.providers.recipes import VARIABLE_OF
from tests.inventory.inventories import HOST, VALUES, Files, Text, inventories, lines_of, load

FRESH: dict[str, Any] = {
    "provider": "lm-studio",
    "port": 4242,
    "timeout_ms": 4242,
    "base_url": "https://fresh.example.com/v1",
    "auth_token": "${FRESH_TOKEN}",
    "env.B_TOKEN": "${FRESH_TOKEN}",
}


def explained(files: Files, host: str, key: str) -> Explanation | None:
    """Return why ``host`` has its value of ``key``, ``None`` where the inventory is refused."""
    loaded = load(files)
    if loaded is None:
        return None
    inventory, recipes = loaded
    found = matching(explain(inventory.hosts[host], inventory, recipes, ()), key)
    return found[0] if found else Explanation(key, None, None, None)


def where(place: SettingSource | None) -> tuple[str, int] | None:
    return (place.span.source.name, place.span.line) if place is not None else None


def fresh(key: str) -> str | int:
    value: str | int = FRESH.get(key, "fresh")
    return value


def edited(files: Files, file: Text, line: int, key: str) -> Files:
    return tuple(item.edited(line, fresh(key)) if item is file else item for item in files)


@given(files=inventories(), key=st.sampled_from(sorted(VALUES)))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
def test_the_line_it_names_is_the_one_whose_change_changes_the_value(
    files: Files, key: str
) -> None:
    before = explained(files, HOST, key)
    assume(before is not None)
    assert before is not None
    agreeing = {where(place) for place in before.agreeing}
    others = {where(place) for place in (*before.overrode, *before.ignored)}
    for file, line in lines_of(files, key):
        after = explained(edited(files, file, line, key), HOST, key)
        place = (file.name, line)
        if place == where(before.place) and not agreeing:
            assert after is not None
            assert str(after.value) == str(fresh(key)) != str(before.value)
        elif place == where(before.place) or place in agreeing:
            assert after is None, "neither of two that agree can change alone"
        elif after is not None:
            assert (after.value, where(after.place)) == (before.value, where(before.place))
        else:
            assert place not in others, "what was beaten can say what it likes"


FILES = """\
providers:
  gateway:
    extends: openrouter
    base_url: https://llm.example.com/v1
    auth_token: ${GATEWAY_TOKEN}
    env: {A: of-the-gateway, HEADERS: "Bearer ${GATEWAY_TOKEN}"}
all:
  vars: {provider: openrouter, model: far, become_user: aegis, config_path: /c, service: s}
  children:
    gpu:
      vars: {provider: gateway, model: near, env: {A: of-the-group}}
      hosts:
        h:
        pinned: {provider: glm, port: 22, restart_command: r}
"""


def why(host: str, key: str, text: str = FILES) -> Explanation:
    found = explained((Text("inventory", "", "i.yml", tuple(text.split("\n")), 0),), host, key)
    assert found is not None
    return found


def shown(*places: SettingSource | None) -> list[str]:
    return [f"{item.holder}:{item.span.line} {item.value}" for item in places if item is not None]


def test_what_was_overridden_stands_in_order_and_recipes_come_last() -> None:
    found = why("h", "env.A")
    assert shown(found.place, *found.overrode) == [
        "gpu:11 of-the-group",
        "gateway:6 of-the-gateway",
    ]
    found = why("h", "base_url")
    assert shown(found.place, *found.overrode) == [
        "gateway:4 https://llm.example.com/v1",
        "openrouter:11 ${OPENROUTER_BASE_URL:-https://openrouter.ai/api/v1}",
    ]
    assert [place.builtin for place in found.overrode] == [True]


def test_the_line_that_removes_a_variable_is_named_with_what_it_beat() -> None:
    text = FILES.replace("        h:\n", "        h: {env: {A: null}}\n")
    found = why("h", "env.A", text)
    assert (found.value, found.remark) == (None, "removes it from the host")
    assert shown(found.place, *found.overrode) == [
        "h:13 None",
        "gpu:11 of-the-group",
        "gateway:6 of-the-gateway",
    ]
    by_recipe = FILES.replace("A: of-the-gateway", "A: null").replace(
        ", env: {A: of-the-group}", ""
    )
    found = why("h", "A", by_recipe)
    assert (shown(found.place), found.remark) == (["gateway:6 None"], "removes it from the host")
    kept = why("h", "A", FILES.replace("A: of-the-gateway", "A: null"))
    assert shown(kept.place, *kept.overrode) == ["gpu:11 of-the-group", "gateway:6 None"]
    assert kept.remark == ""


def test_what_is_farther_than_the_provider_is_ignored_and_not_overridden() -> None:
    found = why("h", "model")
    assert shown(found.place) == ["gpu:11 near"]
    assert shown(*found.ignored) == ["all:8 far"]
    pinned = why("pinned", "model")
    assert shown(pinned.place) == ["glm:6 ${GLM_MODEL:-glm-4.5}"]
    assert shown(*pinned.ignored) == ["gpu:11 near", "all:8 far"]


@pytest.mark.parametrize("key", OVERRIDE_KEYS)
def test_a_key_and_its_variable_name_the_same_value(key: str) -> None:
    found, same = why("h", key), why("h", VARIABLE_OF[key])
    assert (found.key, found.variable) == (same.key, same.variable) == (key, VARIABLE_OF[key])
    assert shown(found.place) == shown(same.place) != []


@pytest.mark.parametrize(
    ("host", "key", "value", "remark"),
    [
        ("h", "address", "h", "the host's name"),
        ("h", "port", 22, "unless the ssh config says otherwise"),
        ("h", "connection", "ssh", ""),
        ("h", "become", True, "implied by become_user"),
        ("h", "user", None, "what the ssh config says, else your own name"),
        ("h", "restart_command", None, ""),
        ("h", "api_token", None, "the authToken of the host's own file"),
    ],
)
def test_what_nobody_set_is_the_default(host: str, key: str, value: object, remark: str) -> None:
    found = why(host, key)
    assert (found.place, found.value, found.remark) == (None, value, remark)


def test_a_setting_that_another_one_puts_out_of_use_says_so() -> None:
    assert why("h", "service").remark == ""
    assert why("pinned", "service").remark == "not used: restart_command goes before it"
    text = FILES.replace("become_user:", "become: false, become_user:")
    assert why("h", "become_user", text).remark == "not used: become is false"


def test_ansibles_name_for_a_setting_is_understood() -> None:
    assert shown(why("pinned", "ansible_port").place) == ["pinned:14 22"]


def test_defaults_that_could_be_secrets_are_not_told() -> None:
    found = why("h", "HEADERS")
    assert found.value == "...${GATEWAY_TOKEN}"
    [use] = found.environment
    assert (use.name, use.has_default, use.default) == ("GATEWAY_TOKEN", False, None)
    number = why("h", "A_TOKEN", FILES.replace("{A: of-the-group}", "{A_TOKEN: '${T:-8000}'}"))
    assert number.value == "${T:-...}"
    assert (number.environment[0].has_default, number.environment[0].default) == (True, None)
    harmless = why("h", "auth_token", FILES.replace("${GATEWAY_TOKEN}\n", "${T:-ollama-local}\n"))
    assert harmless.environment[0].default == "ollama-local"


def test_two_entries_of_one_host_that_say_the_same_agree() -> None:
    text = "all: {vars: {provider: glm}}\na: {hosts: {h: {port: 1}}}\nb: {hosts: {h: {port: 1}}}"
    found = why("h", "port", text)
    assert shown(found.place, *found.agreeing) == ["h:2 1", "h:3 1"]
    assert found.overrode == ()


def test_what_unrelated_groups_agree_on_beats_what_each_of_them_beat() -> None:
    text = (
        "all: {vars: {provider: glm, port: 3}}\nabove: {vars: {port: 2}, children: {b: }}\n"
        "a: {vars: {port: 1}, hosts: {h: }}\nb: {vars: {port: 1}, hosts: {h: }}"
    )
    found = why("h", "port", text)
    assert sorted(shown(found.place, *found.agreeing)) == ["a:3 1", "b:4 1"]
    assert shown(*found.overrode) == ["above:2 2", "all:1 3"]
    pinned = why("h", "port", text.replace("hosts: {h: }}\nb", "hosts: {h: {port: 9}}}\nb"))
    assert sorted(shown(*pinned.overrode[:2])) == ["a:3 1", "b:4 1"]


def test_an_alias_lets_one_line_speak_for_several_places() -> None:
    text = "all: {vars: &v {provider: glm, port: 3}}\ng: {vars: *v, hosts: {h: }}"
    found = why("h", "port", text)
    assert shown(found.place, *found.overrode) == ["g:1 3", "all:1 3"]
