"""What is a secret, by its name and by its looks: tables in both directions, and laws."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.secret_detection import (
    HARMLESS_TOKENS,
    holds_token,
    is_plain_setting,
    is_secret_name,
    looks_secret,
    may_hold_secret,
    puts_references_in_secrets,
)

HEX = "0c1a2b3d4e5f607182930c1a2b3d4e5f"
MIXED = "Zx9Qq7Rk2mP4vT8wL1nB"
RANDOM = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40)


@pytest.mark.parametrize(
    "name",
    ["TOKEN", "MY_API_TOKEN", "MAX_TOKENS", "api_key", "KEYS", "ClientSecret", "DB_PASSWORD"],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["", "HTTPS_PROXY", "ANTHROPIC_MODEL", "TOK", "PASS", "HEADERS"])
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "value",
    ["0", "8000", "3600000", "2147483647", "true", "True", "TRUE", "false", "False", "FALSE"],
)
def test_plain_settings_are_no_secrets(value: str) -> None:
    assert is_plain_setting(value)
    assert not may_hold_secret(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "tRUE",
        "yes",
        "12345678901",
        "8000 ",
        "-1",
        "8_000",
        "0x1f",
        "1e3",
        "\u0661\u0662",
        "true\n",
        "8000\n",
        "hunter2",
    ],
)
def test_all_else_may_be_one(value: str) -> None:
    assert not is_plain_setting(value)


TOKENS = [
    "sk-or-v1-LITERAL",
    "sk-ant-api03-abc",
    "sk-proj-abc",
    "sk-litellm-abc",
    "sk-abc",
    "a_sk-abcdef",
    "pk-lf-abc",
    "sk_live_abc",
    "pk_test_abc",
    "rk_live_abc",
    f"pk-{MIXED}",
    "ghp_abcdef",
    "gho_abcdef",
    "ghu_abcdef",
    "ghs_abcdef",
    "ghr_abcdef",
    "github_pat_abc",
    "glpat-abcdef",
    "glpat-",
    "gldt-abcdef",
    "glptt-abcdef",
    "glcbt-abcdef",
    "glsoat-abcdef",
    "xoxb-abcdef",
    "xoxp-1-2-abc",
    "xapp-1-abcdef",
    "AKIAabcdefgh",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "hf_abcdef",
    "hf_AbCdEfGhIj",
    "AIzaSyCanary",
    "ya29.abcdef",
    "GOCSPX-abcdef",
    "eyJhbGciOi",
    "npm_abcdefghij",
    "pypi-AgEIcHlwaS5vcmc",
    "gsk_abcdefgh",
    "r8_abcdefgh",
    "fw_abcdefgh",
    "xai-abcdefghijklmnop",
    "pplx-abcdefghijklmnop",
    "csk-abcdefghijklmnop",
    "nvapi-abcdefghijklmnop",
    "tvly-abcdefghijklmnop",
    "dapi0123456789abcdef",
    "hvs.abcdef",
    "dp.st.prod.abc",
    "SG.abcdef",
    "AGE-SECRET-KEY-1QQQ",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "BEGIN PRIVATE KEY",
]
CARRIERS = [
    "svc:hunter2@proxy.example.com:3128",
    "all=svc:hunter2@proxy:3128",
    "svc:hunter2@[fd00::1]:3128",
    "Server=db;User=sa;Pwd=hunter2;",
    "host=db user=app pass=hunter2",
    "DB_PASS='hunter2'",
    "Cookie: session=hunter2",
    "x-a: b, cookie:id=hunter2",
    "Bearer x",
    "BEARER x",
    "Authorization: Bearer abc",
    "bearer abc1def",
    "Basic dXNlcjpwYXNz",
    "basic dXNlcjpwYXNzdw==",
    "Authorization: Basic dXNlcjpwYXNz",
    "Authorization: Token abcdef",
    "x-api-key: hunter2",
    "X-Api-Key: hunter2",
    "x-key: Bearer sk-abc",
    "api-key=hunter2",
    "Ocp-Apim-Subscription-Key: abcdef",
    "PRIVATE-TOKEN: abcdef",
    "x-auth: hunter2",
    "API_TOKEN=hunter2 run",
    "the password: hunter2",
    "passwd=hunter2",
    "passphrase = hunter2",
    '{"apiKey": "hunter2"}',
    "accessKey=hunter2",
    "session_token=abcd",
    "credential=hunter2",
    "run --password hunter2",
    "run --token=hunter2",
    "run --api-key 'hunter2'",
    "run -token abcd",
    "curl -H 'Authorization: Bearer abc' http://x",
    "curl -u deploy:hunter2 http://x",
    "curl --user deploy:hunter2 x",
    "curl -s --proxy-user a:b x",
    "sshpass -p hunter2 ssh h",
    "http://svc:hunter2@proxy:3128",
    "https://TOKEN@host/",
    "ssh://u:p@h",
    "http://:pw@h",
    "https://hooks.slack.com/services/T0/B0/x",
    "https://discord.com/api/webhooks/1/x",
    "https://api.telegram.org/bot1:x/send",
    "socks5://${U}:hunter2@h",
    "${A:-sk-abc}",
    "Bearer ${A:-hunter2}",
    "x-api-key: ${A:-hunter2}",
]
RUNS = [
    HEX,
    HEX.upper(),
    HEX + HEX,
    f"{HEX}.{MIXED}",
    MIXED,
    f"x {MIXED}",
    "0c1a2b3d4e5f6071",
    "aaaa1aaaa1aaaaaa",
    "AbCdEfGhIjKlMnOpQrSt",
    "3q2+7wAAAAAB3q2+7wAAAAAB==",
]


@pytest.mark.parametrize("text", [*TOKENS, *CARRIERS, *RUNS])
def test_looks_of_a_secret(text: str) -> None:
    assert looks_secret(text)
    assert may_hold_secret(text)


MODELS = [
    "gpt-4o-mini",
    "openai/gpt-4.1-mini",
    "qwen2.5-coder:32b",
    "anthropic/claude-3.5-sonnet:beta",
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4@20250514",
    "hf.co/acme/Llama-3.2-3B-GGUF:Q4_K_M",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
    "Qwen3-Coder-480B-A35B-Instruct-FP8",
    "qwen3-235b-a22b-instruct-2507",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
    "ft:gpt-4o-mini-2024-07-18:acme::9ABCdefG",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-v2:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456",
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "ep-20250122143052-bx7m9",
    "gpt4omini20240718",
    "projects/p/locations/us-central1/endpoints/1234567890123456789",
    "12345678901234567890",
    "mistralai/Mixtral-8x22B-Instruct-v0.1",
    "deepseek-r1-distill-qwen-32b-q4_k_m",
]
SETTINGS = [
    "me@bastion:22",
    "me@bastion:22,you@other:22",
    "bastion:22,you@other:22",
    "mailto:ops@example.com:25",
    "docker run aegis:v1@sha256:1",
    "bypass=hunter2",
    "PWD=/opt/aegis",
    "pass=true",
    "first pass: 300ms",
    "cookies: none",
    "",
    "x" * 40,
    "A" * 40,
    "http://",
    "https://llm.example.com/v1",
    "sk_SK.UTF-8",
    "disk-full-now",
    f"https://gateway.ai.cloudflare.com/v1/{HEX}/gateway/openai",
    f"https://{MIXED}.example.com/v1",
    f"sha256:{HEX}{HEX}",
    f"app@sha256:{HEX}{HEX}",
    f"/blobs/sha256-{HEX}{HEX}",
    f"md5:{HEX}",
    f"SHA256:{MIXED}{MIXED}",
    f"org/model@{HEX}01234567",
    f"org/model@{HEX}{HEX}",
    f"/srv/{HEX}/x",
    f"~/{MIXED}/x",
    f"./{HEX}",
    f"--home=/srv/{HEX}",
    "systemctl --no-ask-password restart -- aegis",
    "MAX_TOKENS=8000 run",
    "x-max-tokens: 8000",
    "x --key-file=/etc/ssl/key.pem",
    "x --key-file /etc/ssl/key.pem",
    "KEY=~/.ssh/id run",
    "x --token-ttl true",
    "X-Tenant: blue",
    "x-keyword: foo",
    "x-tokenizer: foo",
    "oauth: google",
    "the bearer of this",
    "Basic authentication is off",
    "basic plan",
    "author: me",
    "token:",
    "canary for the new model",
    "key rotation on Monday",
    "docker run -u 1000:1000 x",
    "curl -fsS http://127.0.0.1:9100/v1/health",
    "/srv/hf_cache",
    "hf_cache",
    "models/hf_abcdef",
    "NameOfSomeServiceAndMore",
    "pypi-mirror-eu",
    "npm_registry",
    "xai-grok-2",
    "pplx-70b-online",
    "ASIAPACIFIC",
    "AKIA",
    "eyJ",
    "sk-",
    "sk-ab",
    "pk-lahore-01",
    "0c1a2b3d4e5f607",
    "aaaa1aaaa1aaaaaaa",
]
REFERENCES = [
    "svc:${PROXY_LOGIN}@proxy:3128",
    "pass=${DB}",
    "Cookie: session=${SESSION}",
    "${A}",
    "Bearer ${A}",
    "Authorization: Bearer ${A}",
    "x-api-key: ${A}",
    "x-api-key: ${A:-}",
    "http://svc:${A}@proxy:3128",
    "http://${U}:${A}@proxy:3128",
    "${A:-<local-token>}",
    "curl -u ${U}:${A} http://x",
    "--token ${A}",
    "sshpass -p ${A} ssh h",
]


@pytest.mark.parametrize("text", [*MODELS, *SETTINGS, *REFERENCES])
def test_looks_of_none(text: str) -> None:
    assert not looks_secret(text)
    assert not may_hold_secret(text)


@pytest.mark.parametrize(
    "text",
    ["https://a.example/?k=canary", "a?b=", "x&y=1", "x#y=1", "u:canary@host", "[u:canary@host]"],
)
def test_a_query_and_a_login_are_not_refused_and_not_shown(text: str) -> None:
    assert not looks_secret(text)
    assert may_hold_secret(text)


@given(before=st.sampled_from(["", "a ", "model=", '"', "x/"]), token=st.sampled_from(TOKENS[:5]))
def test_what_stands_around_a_token_hides_it_not(before: str, token: str) -> None:
    assert looks_secret(before + token)
    assert looks_secret(token + " and more")
    assert looks_secret(f"${{A}} {token} ${{B:-}}")


@given(RANDOM)
def test_given_to_a_header_everything_is_a_secret(value: str) -> None:
    assert looks_secret(f"x-api-key: {value}") is not is_plain_setting(value)
    assert looks_secret(f"Bearer {value}")
    assert looks_secret(f"http://user:{value}@host/")


@given(st.text(max_size=30))
def test_nothing_makes_it_fail_and_what_is_refused_is_masked(text: str) -> None:
    assert may_hold_secret(text) or not looks_secret(text)
    assert not holds_token(text) or looks_secret(text)


@pytest.mark.parametrize(
    "name",
    [
        "sk-or-v1-abc",
        "h-sk-ant-abc",
        "ghp_abcdef",
        "ghp_abc",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOi",
        f"sk-{MIXED}",
        f"hf_{MIXED}",
        "~/BEGIN RSA PRIVATE KEY",
    ],
)
def test_names_that_hold_a_token(name: str) -> None:
    assert holds_token(name)


@pytest.mark.parametrize(
    "name",
    [
        "sk-bratislava-01",
        "i-0a1b2c3d4e5f67890",
        "hf_models",
        "npm_registry",
        "pypi-mirror-eu-01",
        "web-01.example.com",
        "gpu-[01:08].example.com",
        "sk-web-frontend-eu-central-01",
        HEX,
        MIXED,
        "xox-a",
        "all",
        "sk-ab-c",
    ],
)
def test_names_of_hosts_and_groups(name: str) -> None:
    assert not holds_token(name)


@pytest.mark.parametrize(
    "template",
    [
        "Bearer ${A}",
        "x-key: Bearer ${A}",
        "x-api-key: ${A}",
        "http://u:${A}@h",
        "http://${A}@h",
        "curl -u a:${B}",
        "Bearer ${A:-}",
    ],
)
def test_references_that_stand_where_a_secret_would(template: str) -> None:
    assert puts_references_in_secrets(template)


@pytest.mark.parametrize(
    "template", ["${A}", "a ${A}", "https://${A}/v1", "X-Tenant: ${A}", "Bearer x", "", "Bearer $A"]
)
def test_references_that_do_not(template: str) -> None:
    assert not puts_references_in_secrets(template)


def test_the_recipes_stand_ins_are_harmless() -> None:
    assert frozenset({"", "<local-token>", "ollama-local"}) == HARMLESS_TOKENS
    assert not any(may_hold_secret(token) for token in HARMLESS_TOKENS)
