"""Secrets in the operator's input, from end to end: refused, masked, and never repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aegis_provision.cli.main import run

CANARY = "sk-litellm-LITERALcanary"
LOGIN = "http://svc:hunter2canary@proxy.example.com:3128"
LOOKS = [
    CANARY,
    LOGIN,
    f"x-litellm-api-key: Bearer {CANARY}",
    "Bearer hunter2canary",
    "curl -H 'Authorization: Bearer hunter2canary' http://127.0.0.1/",
    "x-api-key: hunter2canary",
    "Zx9Qq7Rk2mP4vT8wL1nBcanary",
]


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/").replace("_yml", ".yml"))
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")


CommandResult = tuple[int, str, str]


def call(
    capsys: pytest.CaptureFixture[str], *args: str, environ: dict[str, str] | None = None
) -> CommandResult:
    code = run(args, {"XDG_STATE_HOME": str(Path.cwd() / "state"), **(environ or {})})
    out, err = capsys.readouterr()
    return code, out, err


def q(text: str) -> str:
    return json.dumps(text)


PLACES = {
    "host": "all: {vars: {provider: ollama}, hosts: {m1: {KEY: VALUE}}}",
    "group": "all: {vars: {provider: ollama, KEY: VALUE}, hosts: {m1: }}",
    "overridden": "all: {vars: {provider: ollama, KEY: VALUE}, hosts: {m1: {KEY: plain}}}",
    "provider": "providers: {p: {extends: ollama, KEY: VALUE}}\n"
    "all: {vars: {provider: ollama}, hosts: {m1: }}",
    "child": "all: {vars: {provider: ollama}, children: {g: {vars: {KEY: VALUE}, hosts: {m1: }}}}",
}
COMMANDS = [
    ["validate"],
    ["validate", "--format", "json"],
    ["validate", "--format", "sarif"],
    ["hosts"],
    ["hosts", "--host", "m1"],
    ["hosts", "--format", "json"],
    ["explain", "m1"],
    ["providers"],
    ["render", "m1", "--reveal"],
    ["plan"],
    ["status"],
    ["apply", "-y"],
    ["pin", "m1", "glm", "--dry-run"],
    ["import", "--out", "x.yml"],
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["model", "base_url", "env"])
def test_a_literal_is_refused_wherever_it_stands(
    place: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in LOOKS:
        written = f"{{HTTPS_PROXY: {q(value)}}}" if key == "env" else q(value)
        plain = "{A: x}" if key == "env" else "plain"
        text = PLACES[place].replace("VALUE", written).replace("plain", plain)
        write(inventory_yml=text.replace("KEY", key))
        code, out, err = call(capsys, "validate")
        assert (code, out) == (3, "")
        assert "canary" not in err
        assert "error" in err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_goes_on_with_one_or_repeats_it(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        inventory_yml="all:\n  vars: {provider: ollama}\n  hosts:\n    m1:\n      env:\n"
        f"        ANTHROPIC_CUSTOM_HEADERS: {q(f'x-key: Bearer {CANARY}')}\n"
        f"        HTTPS_PROXY: {LOGIN}\n"
    )
    code, out, err = call(capsys, *command)
    assert code == (0 if command[0] == "pin" else 3)  # a pin says only what it would break itself
    assert "canary" not in out + err
    if command[-1] == "validate":
        assert err == (
            'inventory.yml:6:35: error: "ANTHROPIC_CUSTOM_HEADERS" holds what looks like a secret: '
            "a secret never stands in an inventory\n"
            "     | (line not shown: it may hold a secret)\n"
            "  = write a reference there, such as ${GATEWAY_KEY}, and keep it in your environment\n"
            'inventory.yml:7:22: error: "HTTPS_PROXY" holds what looks like a secret: '
            "a secret never stands in an inventory\n"
            "     | (line not shown: it may hold a secret)\n"
            "  = write a reference there, such as ${GATEWAY_KEY}, and keep it in your environment\n"
            "2 errors\n"
        )


@pytest.mark.parametrize(
    "files",
    [
        {"group_vars__all_yml": f"model: {CANARY}"},
        {"host_vars__m1_yml": f"restart_command: {q(LOOKS[4])}"},
        {"host_vars__m1_yml": f"service: {CANARY}"},
        {"host_vars__m1_yml": "ansible_host: sk-or-v1-canary"},
        {"inventory_yml": "all: {hosts: {sk-or-v1-canary: {provider: ollama}}}"},
        {"inventory_yml": "all: {hosts: {h: {provider: ollama}}}\nghp_canary1: {hosts: {h: }}"},
        {"inventory_yml": f"all: {{hosts: {{h: {{provider: ollama, pin_reason: {CANARY}}}}}}}"},
    ],
)
def test_every_file_and_name_is_looked_at(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(**{"inventory_yml": "all: {vars: {provider: ollama}, hosts: {m1: }}", **files})
    code, out, err = call(capsys, "validate")
    assert (code, out) == (3, "")
    assert "canary" not in err
    assert "secret" in err


def test_what_a_script_prints_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {"provider": "ollama", "env": {"A": f"Bearer {CANARY}"}}
    printed = {
        "_meta": {"hostvars": {"h": {"aegis": ours, "note": CANARY, "ansible_x": CANARY}}},
        "g": {"hosts": ["h"]},
    }
    script = Path("script")
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(printed)}\nEND\n", encoding="utf-8")
    script.chmod(0o755)
    code, _, err = call(capsys, "validate", "-i", "script")
    assert code == 3
    assert "canary" not in err
    assert err.count("holds what looks like a secret") == 1
    ours["env"] = {"A": "x"}
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(printed)}\nEND\n", encoding="utf-8")
    assert call(capsys, "validate", "-i", "script")[0] == 0


def test_a_playbook_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        inventory_yml="all: {vars: {provider: ollama}, hosts: {m1: }}",
        p_yml=f"- name: {CANARY}\n  hosts: all\n",
    )
    code, out, err = call(capsys, "validate", "p.yml")
    assert (code, out) == (3, "")
    assert "canary" not in err
    assert '"name" holds what looks like a secret: a secret never stands in a playbook' in err


NONE = {
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "32000",
    "MAX_THINKING_TOKENS": "8000",
    "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "3600000",
    "USE_KEYCHAIN": "true",
    "MODEL_SHA256": "0c1a2b3d4e5f607182930c1a2b3d4e5f",
    "ANTHROPIC_MODEL": "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
}


def test_what_is_no_secret_is_taken_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    env = f"{{provider: ollama, model: 3f2504e0-4f89-41d3-9a0c-0305e82c3301, env: {q_env(NONE)}}}"
    write(inventory_yml=f"all: {{hosts: {{m1: {env}}}}}")
    assert call(capsys, "validate")[0] == 0
    for command in (["hosts", "--host", "m1"], ["explain", "m1"]):
        code, out, _ = call(capsys, *command)
        assert code == 0
        assert all(value in out for value in NONE.values())
    code, out, _ = call(capsys, "render", "m1")
    values = json.loads(out)["defaultSessionEnv"]
    assert code == 0
    assert {name: values[name] for name in NONE} == NONE
    assert values["ANTHROPIC_DEFAULT_MODEL"] == "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def q_env(env: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {q(value)}" for name, value in env.items()) + "}"


HEADER = """\
all:
  vars: {provider: ollama, connection: local, config_path: PATH/c.json}
  hosts:
    m1: {env: {ANTHROPIC_CUSTOM_HEADERS: "x-key: Bearer ${GW}", PROXY: "http://u:${GW}@h:1"}}
"""


def test_a_reference_in_a_longer_value_is_allowed_and_masked_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(inventory_yml=HEADER.replace("PATH", str(Path.cwd())))
    environ = {"GW": "gateway-canary-1"}
    for command in (
        ["validate"],
        ["hosts", "--host", "m1"],
        ["explain", "m1"],
        ["render", "m1"],
        ["plan"],
        ["apply", "-y"],
        ["plan"],
        ["status"],
        ["history", "last"],
    ):
        code, out, err = call(capsys, *command, environ=environ)
        assert code == 0, err
        assert "canary" not in out + err
        if command[0] == "render":
            values = json.loads(out)["defaultSessionEnv"]
            assert values["ANTHROPIC_CUSTOM_HEADERS"] == values["PROXY"] == "<secret>"
    written = json.loads(Path("c.json").read_text(encoding="utf-8"))["defaultSessionEnv"]
    assert written["ANTHROPIC_CUSTOM_HEADERS"] == "x-key: Bearer gateway-canary-1"
    assert written["PROXY"] == "http://u:gateway-canary-1@h:1"


OPEN = """\
providers:
  gw: {extends: openrouter, base_url: "https://127.0.0.1:9/v1", auth_token: "${GW}"}
all:
  vars: {provider: gw, connection: local, restart_command: "true", api_token: "${API}"}
  hosts:
    h1: {config_path: PATH/c.json, env: {MY_KEY: "${MINE}"}}
"""


@pytest.mark.parametrize(
    "command",
    [
        ["render", "h1", "--reveal"],
        ["plan"],
        ["apply", "-y"],
        ["status"],
        ["plan", "--out", "x.plan"],
        ["render", "--provider", "gw"],
    ],
    ids=" ".join,
)
def test_what_is_obviously_no_token_is_refused_before_anything_else(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(inventory_yml=OPEN.replace("PATH", str(Path.cwd())))
    environ = {"GW": "$REGISTRY_canary", "MINE": "op://canary/x", "API": "abcdef"}
    environ["GW"] = "${REGISTRY_canary}"
    code, out, err = call(capsys, *command, environ=environ)
    assert (code, out) == (3, "")
    assert "canary" not in err
    assert (
        "error: ANTHROPIC_AUTH_TOKEN (from GW) is refused: it is a reference, and nothing is "
        "expanded here, in an --env-file neither: it has to be the token itself\n"
    ) in err
    assert "  = put the token itself into GW\n" in err
    if "--provider" not in command:
        assert "error: MY_KEY (from MINE) is refused: it is the place of a secret in a store" in err
    assert not Path("c.json").exists()
    assert not Path("x.plan").exists()


def test_an_env_file_s_value_is_refused_in_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(inventory_yml=OPEN.replace("PATH", str(Path.cwd())), secrets="GW=$canary\nMINE=x1\n")
    Path("secrets").chmod(0o600)
    code, out, err = call(capsys, "render", "h1", "--env-file", "secrets", "--reveal")
    assert (code, out) == (3, "")
    assert "ANTHROPIC_AUTH_TOKEN (from GW) is refused" in err
    assert "--env-file" in err
    assert "canary" not in err


def test_of_several_env_files_the_last_one_wins_and_the_environment_over_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(
        inventory_yml=OPEN.replace("PATH", str(Path.cwd())),
        first="GW=the-first-value-of-gw\nMINE=the-first-of-mine\n",
        second="GW=the-second-value-of-gw\nMINE=the-second-of-mine\n",
    )
    Path("first").chmod(0o600)
    Path("second").chmod(0o600)
    command = ("render", "h1", "--reveal", "--env-file", "first", "--env-file", "second")
    code, out, _ = call(capsys, *command, environ={"MINE": "the-third-of-mine"})
    assert code == 0
    assert "the-second-value-of-gw" in out
    assert "the-third-of-mine" in out
    assert "the-first" not in out


def test_a_token_of_the_api_is_held_to_it_where_it_is_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(
        inventory_yml=OPEN.replace("PATH", str(Path.cwd())),
        p_yml="- hosts: all\n  restart: changed\n  verify: {health: true}\n",
    )
    environ = {"GW": "gateway-1", "MINE": "x1", "API": "Bearer canary"}
    assert call(capsys, "plan", environ=environ)[0] == 0
    code, _, err = call(capsys, "plan", "p.yml", environ=environ)
    assert code == 3
    assert "error: api_token (from API) is refused: it begins with a header's scheme" in err
    assert "  = put the token itself into API\n" in err
    assert "canary" not in err
    assert err.startswith("inventory.yml:4:")


def test_without_the_secrets_none_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    write(inventory_yml=OPEN.replace("PATH", str(Path.cwd())))
    environ = {"GW": "$OTHER", "MINE": "***"}
    assert call(capsys, "plan", "--no-secrets", environ=environ)[0] == 0
    assert call(capsys, "status", "--no-secrets", environ=environ)[0] == 0


def test_a_saved_plan_is_not_carried_out_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    write(inventory_yml=OPEN.replace("PATH", str(Path.cwd())))
    good = {"GW": "gateway-1", "MINE": "x1"}
    assert call(capsys, "plan", "--out", "x.plan", environ=good)[0] == 0
    code, _, err = call(capsys, "apply", "x.plan", "-y", environ={**good, "GW": "changeme"})
    assert code == 3
    assert "ANTHROPIC_AUTH_TOKEN (from GW) is refused: it is a placeholder" in err
    assert not Path("c.json").exists()


def test_local_stand_ins_pass(capsys: pytest.CaptureFixture[str]) -> None:
    for provider, token in (("lm-studio", "<local-token>"), ("ollama", "ollama-local")):
        code, out, _ = call(capsys, "render", "--provider", provider, "--reveal")
        assert code == 0
        assert json.loads(out)["defaultSessionEnv"]["ANTHROPIC_AUTH_TOKEN"] == token


NOTES = [
    'note: "login is hunter2"',
    'note: "login is hunter2',
    "note: login is: hunter2",
    "note: |\n        login is hunter2\n       x",
    "note: [login, hunter2]",
    "{note: hunter2, port: 1}",
    "note: {a: hunter2}",
    "note: 0123hunter2",
    "note: 'a\n      login hunter2'",
    "note:\n      - hunter2\n     x",
    "note: &a hunter2\n      note: *a",
    "\tnote: hunter2",
    "note: hunter2: x",
    "note: @hunter2",
    "note: %hunter2",
]


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("format_", ["text", "json", "sarif"])
def test_of_a_line_with_an_unknown_key_only_keys_are_told(
    note: str, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        inventory_yml="all:\n  vars: {provider: glm}\n  hosts:\n"
        f"    h1:\n      {note}\n      port: 0\n"
    )
    code, out, err = call(capsys, "validate", "--format", format_)
    assert code == 3
    assert "hunter2" not in out + err


def test_a_rollback_that_asks_the_api_is_held_to_it_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(
        inventory_yml=OPEN.replace("PATH", str(Path.cwd())),
        p_yml="- hosts: all\n  restart: changed\n",
    )
    good = {"GW": "gateway-1", "MINE": "x1", "API": "api-1"}
    call(capsys, "apply", "p.yml", "-y", environ=good)
    assert Path("c.json").exists()
    for api, words in (("$OTHER", "api_token (from API) is refused"), ("", "API (needed by h1)")):
        code, _, err = call(capsys, "rollback", "-y", environ={**good, "API": api})
        assert code == 3
        assert words in err
        assert Path("c.json").exists()
