"""``import`` on real hosts, and what it says of those that it can't take over."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from aegis_provision.packaged_files import load_schema
from tests.fleet.hosts import OLD_ENV, running_hosts
from tests.importing.fleets import BUILTIN, KEYS, Fleet

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "token-of-the-fleet"


def values(provider: str, token: str = TOKEN, **changed: str) -> dict[str, str]:
    url, *rest = BUILTIN[provider]
    return {**dict(zip(KEYS, (url, token, *rest), strict=True)), **changed}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, {})


def inventory(fleet: Fleet, **hosts: dict[str, str] | None) -> None:
    for host, found in hosts.items():
        fleet.furnish(host, found)
    lines = "".join(f"    {fleet.entry(host)}\n" for host in hosts)
    (fleet.directory / "hosts.yml").write_text(f"all:\n  hosts:\n{lines}")


def imported(fleet: Fleet, *flags: str, code: int = 0) -> dict[str, Any]:
    """Return what the new inventory holds, less how each host is reached."""
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml", *flags)
    assert result.code == code, result.err + result.out
    found: dict[str, Any] = yaml.safe_load((fleet.directory / "out.yml").read_text())
    for group in (found["all"], *found["all"].get("children", {}).values()):
        for host, settings in group.get("hosts", {}).items():
            for key in ("connection", "config_path"):
                (settings or {}).pop(key, None)
            group["hosts"][host] = settings or None
    return found


def test_hosts_over_ssh_are_taken_over_as_they_are(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 3, groups={"web": ["host-01"]}) as hosts:
        result = hosts.run("import", "--out", "out.yml", "--format", "json")
        assert result.exit_code == 0, result.stderr
        assert result.json["summary"] == {"imported": 3, "left_out": 0, "unreachable": 0}
        tokens = {
            item["name"]: OLD_ENV[item["holds"]]
            for item in result.json["variables"]
            if not item["set"]
        }
        plan = hosts.run("plan", "-i", "out.yml", "--format", "json", env=tokens)
        assert set(plan.statuses.values()) == {"unchanged"}, plan.stderr
        shown = hosts.run("hosts", "-i", "out.yml", "web")
        assert shown.stdout.split()[0] == "host-01"


def test_a_recipes_own_variable_is_named_where_it_holds_the_token(fleet: Fleet) -> None:
    inventory(fleet, a=values("openrouter"), b=values("openrouter"))
    fleet.environ = {"OPENROUTER_API_KEY": TOKEN}
    assert imported(fleet) == {
        "all": {"vars": {"provider": "openrouter"}, "hosts": {"a": None, "b": None}}
    }


def test_another_token_gets_a_variable_of_its_own(fleet: Fleet) -> None:
    inventory(fleet, a=values("openrouter"), b=values("openrouter"), c=values("openrouter", "c-c"))
    fleet.environ = {"OPENROUTER_API_KEY": "another"}
    assert imported(fleet) == {
        "all": {
            "vars": {"provider": "openrouter", "auth_token": "${OPENROUTER_TOKEN}"},
            "hosts": {"a": None, "b": None, "c": {"auth_token": "${OPENROUTER_TOKEN_2}"}},
        }
    }


def test_the_most_common_provider_is_everybodys_and_others_are_pins(fleet: Fleet) -> None:
    inventory(
        fleet,
        a=values("glm"),
        b=values("openrouter"),
        c=values("openrouter"),
        d=values("ollama", "ollama-local"),
    )
    fleet.environ = {"OPENROUTER_API_KEY": TOKEN, "GLM_API_KEY": TOKEN}
    assert imported(fleet)["all"] == {
        "vars": {"provider": "openrouter"},
        "hosts": {"a": {"provider": "glm"}, "b": None, "c": None, "d": {"provider": "ollama"}},
    }


def test_what_counts_for_some_hosts_alone_is_a_recipe_not_a_setting_that_pins_ignore(
    fleet: Fleet,
) -> None:
    inventory(fleet, a=values("openrouter"), b=values("openrouter"), c=values("ollama"))
    fleet.environ = {"OLLAMA_API_KEY": TOKEN}
    assert imported(fleet) == {
        "providers": {
            "fleet-openrouter": {"extends": "openrouter", "auth_token": "${OPENROUTER_TOKEN}"}
        },
        "all": {
            "vars": {"provider": "fleet-openrouter"},
            "hosts": {"a": None, "b": None, "c": {"provider": "ollama"}},
        },
    }


def test_an_unknown_base_url_becomes_a_recipe_that_is_named_after_its_host(fleet: Fleet) -> None:
    url = "http://llm.example.com:8443/v1"
    own = values("glm", ANTHROPIC_BASE_URL=url, API_TIMEOUT_MS="5000")
    inventory(fleet, a=own, b=own, c={**own, "ANTHROPIC_DEFAULT_MODEL": "x"})
    assert imported(fleet) == {
        "providers": {
            "llm-example-com-8443": {
                "base_url": url,
                "auth_token": "${LLM_EXAMPLE_COM_8443_TOKEN}",
                "model": "glm-4.5",
                "fast_model": "glm-4.5-air",
                "timeout_ms": 5000,
                "allow_http": True,
            }
        },
        "all": {
            "vars": {"provider": "llm-example-com-8443"},
            "hosts": {"a": None, "b": None, "c": {"model": "x"}},
        },
    }


def test_an_azure_resource_is_recognised_by_the_form_of_its_url(fleet: Fleet) -> None:
    inventory(fleet, a=values("azure-openai"))
    fleet.environ = {"AZURE_OPENAI_API_KEY": TOKEN}
    assert imported(fleet)["all"]["vars"] == {
        "provider": "azure-openai",
        "base_url": "https://our-own.openai.azure.com/openai/v1",
    }


def test_a_value_out_of_the_environment_is_written_down(fleet: Fleet) -> None:
    """The inventory is to mean the same for a colleague whose environment says nothing of it."""
    inventory(fleet, a=values("glm", ANTHROPIC_DEFAULT_MODEL="glm-5"))
    fleet.environ = {"GLM_API_KEY": TOKEN, "GLM_MODEL": "glm-5"}
    assert imported(fleet)["all"]["vars"] == {"provider": "glm", "model": "glm-5"}


def test_own_recipes_and_everything_but_providers_is_kept(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm", ANTHROPIC_BASE_URL="https://llm.example.com/v1"), b=None)
    path = fleet.directory / "hosts.yml"
    path.write_text(
        "providers: {ours: {extends: glm, base_url: 'https://llm.example.com/v1'}}\n"
        + path.read_text()
        + "  vars: {provider: ollama, model: x, env: {A: b}, jump: [one, two], user: deploy}\n"
        "web: {vars: {service: aegis, become: false}, hosts: {a: }, children: {inner: }}\n"
        "inner: {vars: {restart_command: 'x # y'}}\n"
    )
    fleet.environ = {"GLM_API_KEY": TOKEN}
    assert imported(fleet, code=4) == {
        "providers": {"ours": {"extends": "glm", "base_url": "https://llm.example.com/v1"}},
        "all": {
            "vars": {"provider": "ours", "jump": ["one", "two"], "user": "deploy"},
            "hosts": {"a": None},
            "children": {
                "web": {
                    "vars": {"service": "aegis", "become": False},
                    "hosts": {"a": None},
                    "children": {"inner": None},
                },
                "inner": {"vars": {"restart_command": "x # y"}},
            },
        },
    }
    text = (fleet.directory / "out.yml").read_text()
    assert f"# left out: there is no file {fleet.directory}/hosts/b/aegis.config.json yet\n" in text


def test_what_the_inventory_says_of_providers_is_replaced_and_that_is_told(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    path = fleet.directory / "hosts.yml"
    path.write_text(path.read_text() + "  vars: {provider: ollama}\n")
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert "note: what is said of providers here is replaced by what the hosts have" in result.err


LEFT_OUT = {
    "nothing": ({}, "its file has no session variables yet"),
    "absent": ({**values("glm"), "API_TIMEOUT_MS": ""}, "it has no API_TIMEOUT_MS"),
    "reference": (values("glm", ANTHROPIC_DEFAULT_MODEL="a${B}"), 'holds a "${"'),
    "user": (values("glm", ANTHROPIC_BASE_URL="https://u:canary9@e.com/v1"), "looks like a secret"),
    "query": (values("glm", ANTHROPIC_BASE_URL="https://e.com/v1?"), "it holds '?' or '#'"),
    "token": (values("glm", ANTHROPIC_DEFAULT_MODEL="sk-canary9canary9"), "looks like a secret"),
    "same": (values("glm", "canary9", ANTHROPIC_DEFAULT_MODEL="x-canary9"), "looks like a secret"),
    "seconds": (values("glm", API_TIMEOUT_MS="30s"), "a timeout is a whole number"),
    "placeholder": (values("glm", "<your-canary9>"), "ANTHROPIC_AUTH_TOKEN is a placeholder"),
    "resource": (values("glm", ANTHROPIC_BASE_URL="https://YOUR-RESOURCE.x/v1"), "placeholder"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_no_inventory_can_say_is_left_out_with_the_reason(fleet: Fleet, case: str) -> None:
    content, words = LEFT_OUT[case]
    inventory(fleet, good=values("openrouter"), bad=content)
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json")
    assert result.code == 4
    [good, bad] = result.json["hosts"]
    assert (good["result"], bad["result"]) == ("imported", "left_out")
    assert words in bad["message"]
    text = (fleet.directory / "out.yml").read_text()
    assert "    # bad: {connection: local, config_path: " in text
    assert "canary9" not in result.out + result.err + text


def test_variables_that_no_inventory_may_hold_stay_where_they_are(fleet: Fleet) -> None:
    inventory(fleet, a={**values("glm"), "AWS_REGION": "eu", "X": "${Y}", "A_KEY": "k", "B": "b"})
    assert imported(fleet, code=4)["all"]["vars"]["env"] == {"A_KEY": "${A_KEY}", "B": "b"}
    result = fleet.call("import", "-i", "hosts.yml", "--out", "o.yml", "--format", "json")
    assert result.json["hosts"][0]["unmanaged"] == ["AWS_REGION", "X"]


def test_what_a_plan_would_take_away_is_not_taken_over(fleet: Fleet) -> None:
    """By its receipt the variable is ours; no inventory can say it, so it would be dropped."""
    inventory(fleet, a=values("glm"), b=values("glm"))
    path = fleet.directory / "hosts.yml"
    (fleet.directory / "before.yml").write_text(
        path.read_text() + "  vars: {provider: glm, env: {X: '${A_TEXT}'}}\n"
    )
    fleet.environ = {"GLM_API_KEY": TOKEN, "A_TEXT": "${B}"}
    assert fleet.call("apply", "-i", "before.yml", "--limit", "a", "--yes").code == 0
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json")
    [left, taken] = result.json["hosts"]
    assert (left["result"], taken["result"]) == ("left_out", "imported")
    assert "X can't stand in an inventory, and a plan would remove" in left["message"]


def test_hosts_that_this_tool_wrote_are_taken_over_as_they_are(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    path = fleet.directory / "hosts.yml"
    (fleet.directory / "before.yml").write_text(
        path.read_text() + "  vars: {provider: glm, env: {X: x, MY_KEY: '${K}'}}\n"
    )
    fleet.environ = {"GLM_API_KEY": TOKEN, "K": "k", "MY_KEY": "k"}
    assert fleet.call("apply", "-i", "before.yml", "--yes").code == 0
    assert imported(fleet)["all"]["vars"]["env"] == {"X": "x", "MY_KEY": "${MY_KEY}"}
    status = fleet.call("status", "-i", "out.yml", "--format", "json")
    assert [host["state"][0] for host in status.json["hosts"]] == ["in_sync"]


def test_a_file_that_is_replaced_keeps_its_mode(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    out = fleet.directory / "out.yml"
    out.touch(mode=0o600)
    imported(fleet, "--force")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_hosts_that_can_not_be_read_are_named(fleet: Fleet) -> None:
    inventory(fleet, good=values("glm"), broken={}, link={})
    (fleet.directory / "hosts" / "broken" / "aegis.config.json").write_text("{")
    link = fleet.directory / "hosts" / "link" / "aegis.config.json"
    link.rename(link.with_name("other.json"))
    link.symlink_to(link.with_name("other.json"))
    path = fleet.directory / "hosts.yml"
    path.write_text(path.read_text() + "    gone: {address: 127.0.0.1, port: 1}\n")
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json")
    assert result.code == 4
    told = {item["host"]: (item["result"], item["message"]) for item in result.json["hosts"]}
    assert told["good"] == ("imported", "")
    assert told["broken"][0] == told["link"][0] == "left_out"
    assert "it is not JSON" in told["broken"][1]
    assert "it is a symbolic link" in told["link"][1]
    assert told["gone"][0] == "unreachable"


def test_only_unreachable_hosts_have_an_exit_code_of_their_own(fleet: Fleet) -> None:
    inventory(fleet, good=values("glm"))
    path = fleet.directory / "hosts.yml"
    path.write_text(path.read_text() + "    gone: {address: 127.0.0.1, port: 1}\n")
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert result.code == 5
    result = fleet.call("import", "-i", "hosts.yml", "--out", "none.yml", "--limit", "gone")
    assert (result.code, result.out.splitlines()[0]) == (
        5,
        "Nothing was written: no host could be taken over.",
    )
    assert not (fleet.directory / "none.yml").exists()


def test_a_file_that_is_there_is_replaced_only_by_force(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    out = fleet.directory / "out.yml"
    out.write_text("mine")
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert result.code == 3
    assert result.err == (
        "error: --out: out.yml is there already\n"
        "  = name another file, or say --force to replace it\n"
    )
    assert out.read_text() == "mine"
    assert imported(fleet, "--force")["all"]["vars"]["provider"] == "glm"
    assert [path.name for path in fleet.directory.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize(
    ("out", "words"),
    [("hosts", "hosts is a directory"), ("no/where.yml", "there is no directory no")],
)
def test_a_place_that_takes_no_file_is_told_before_anything_is_read(
    fleet: Fleet, out: str, words: str
) -> None:
    inventory(fleet, a=values("glm"))
    result = fleet.call("import", "-i", "hosts.yml", "--out", out)
    assert result.code == 3
    assert words in result.err
    assert "Reading" not in result.err


def test_the_inventory_is_a_file_like_any_other(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    before = os.umask(0o027)
    try:
        imported(fleet)
    finally:
        os.umask(before)
    assert stat.S_IMODE((fleet.directory / "out.yml").stat().st_mode) == 0o640


def test_files_beside_the_new_inventory_are_left_where_they_are(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    (fleet.directory / "group_vars").mkdir()
    (fleet.directory / "group_vars" / "all.yml").write_text("service: aegis\n")
    assert "service" not in imported(fleet)["all"]["vars"]
    shown = fleet.call("hosts", "-i", "out.yml", "--host", "a")
    assert "service      aegis  (all, group_vars/all.yml:1:10)" in shown.out


def test_files_beside_it_that_would_say_something_else_are_in_the_way(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    (fleet.directory / "host_vars").mkdir()
    (fleet.directory / "host_vars" / "a.yml").write_text("model: other\n")
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert result.code == 3
    assert "host_vars/a.yml would count for out.yml too" in result.err
    assert not (fleet.directory / "out.yml").exists()


def test_a_mode_that_a_write_would_correct_is_told(fleet: Fleet) -> None:
    inventory(fleet, a=values("glm"))
    (fleet.directory / "hosts" / "a" / "aegis.config.json").chmod(0o644)
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert result.code == 0
    assert "its file has mode 0644; the next write makes it 0640" in result.out


def test_the_document_is_what_its_schema_says(fleet: Fleet) -> None:
    inventory(
        fleet,
        a=values("glm"),
        b={**values("openrouter"), "AWS_REGION": "eu", "A_KEY": "k"},
        c=values("glm", ANTHROPIC_BASE_URL="https://llm.example.com/v1"),
        d=None,
    )
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json")
    schema = load_schema("import")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(result.json)
    line = fleet.call("import", "-i", "hosts.yml", "--out", "o.yml", "--format", "ndjson").out
    assert json.loads(line) == {**result.json, "inventory": "o.yml"}
    assert line.count("\n") == 1
    assert result.json["exit_code"] == result.code == 4
    origins = {item["name"]: item["origin"] for item in result.json["providers"]}
    assert origins["llm-example-com"] == "new"


def test_short_digits_and_booleans_are_no_secrets_under_any_name(fleet: Fleet) -> None:
    env = {"MAX_THINKING_TOKENS": "8000", "USE_KEYCHAIN": "true", "MAX_KEYS": "many"}
    inventory(fleet, h=values("glm", **env))
    found = imported(fleet)["all"]["vars"]["env"]
    assert found == {
        "MAX_THINKING_TOKENS": "8000",
        "USE_KEYCHAIN": "true",
        "MAX_KEYS": "${MAX_KEYS}",
    }


@pytest.mark.parametrize("token", ["$OTHER", "changeme", "op://vault/x", "Bearer x", '"x1"'])
def test_what_is_obviously_no_token_is_not_taken_over(fleet: Fleet, token: str) -> None:
    inventory(fleet, h=values("glm", token), i=values("glm", MY_KEY=token))
    result = fleet.call("import", "-i", "hosts.yml", "--out", "out.yml")
    assert result.code == 4
    assert "ANTHROPIC_AUTH_TOKEN is a placeholder, not a token" in result.out + result.err
    text = (fleet.directory / "out.yml").read_text()
    assert "MY_KEY" not in text
    assert token not in text


def test_a_recipe_does_not_bring_what_is_obviously_no_token(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"GLM_API_KEY": "changeme"})
    inventory(fleet, h=values("glm", "changeme"))
    assert fleet.call("import", "-i", "hosts.yml", "--out", "out.yml").code == 4


def test_a_secret_by_its_looks_becomes_a_reference(fleet: Fleet) -> None:
    headers = "x-key: Bearer abcdef-1"
    inventory(fleet, h=values("glm", HEADERS=headers, MODEL_SHA256="0c1a2b3d" * 4))
    found = imported(fleet)["all"]["vars"]["env"]
    assert found["HEADERS"] == "${HEADERS_SECRET}"
