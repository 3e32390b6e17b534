"""Values that are obviously no token are told apart from those that may be one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.secret_detection import HARMLESS_TOKENS
from aegis_provision.providers.unusable_tokens import LONGEST_TOKEN, unusable_token

NAME = "GLM_API_KEY"


@pytest.mark.parametrize(
    "value",
    [
        "$OTHER",
        "$REGISTRY_PASSWORD",
        "$other_1",
        "$_",
        "${OTHER}",
        "${OTHER:-x}",
        "${A}${B}",
        "${a\nb}",
        "${env:X}",
        "$(cat /x)",
        "$(a\nb)",
        "`cat x`",
        "${{ secrets.X }}",
        "$env:TOKEN",
        "%OTHER%",
        "!OTHER!",
        "{{ x }}",
        "{{x}}",
        "{% x %}",
        "<% x %>",
        "<%= x %>",
        "#{token}",
        "[[x]]",
        "%{TOKEN}",
        "%(token)s",
        "__TOKEN__",
        "@TOKEN@",
        "@@token@@",
    ],
)
def test_references(value: str) -> None:
    reason = unusable_token(value, NAME)
    assert reason.startswith("it is a reference, and nothing is expanded here")
    assert "--env-file" in reason


@pytest.mark.parametrize(
    "value",
    [
        "op://vault/item/field",
        "OP://v/i/f",
        "ref+vault://secret/x#/k",
        "ref+awssecrets://x",
        "secretref+x://y",
        "vault://x",
        "vault:secret/data/x#key",
        "awssm://x",
        "aws-sm://x",
        "gcpsm://x",
        "secretmanager://x",
        "sm://x",
        "ssm:/a/b",
        "akv://x",
        "keyvault://x",
        "gopass://x",
        "pass:a/b",
        "bws://x",
        "doppler://x",
        "infisical://x",
        "keyring:x",
        "file:/x",
        "file:///x",
        "env://X",
        "env:X",
        "arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "arn:aws-cn:ssm:x:1:parameter/x",
        "sops://x",
        "projects/p/secrets/s",
        "projects/1/secrets/s/versions/latest",
        "k8s://x",
        "encrypted:BASE64",
        "https://v.vault.azure.net/secrets/x",
        "@Microsoft.KeyVault(SecretUri=x)",
        "!vault |",
        "!vault x",
        "ENC[AES256_GCM,data:x]",
        "{cipher}abc",
        "$ANSIBLE_VAULT;1.1;AES256\n61",
        "/run/secrets/token",
        "/home/a/.token",
        "~/.token",
    ],
)
def test_state_dir_in_a_store(value: str) -> None:
    assert unusable_token(value, NAME).startswith("it is the place of a secret in a store")


@pytest.mark.parametrize(
    "value",
    [
        "<your key>",
        "<x>",
        "<>",
        "changeme",
        "CHANGE_ME",
        "change-me",
        "change me",
        "change_this",
        "changeme!",
        "please-change-me",
        "change-me-now",
        "replaceme",
        "replace-me",
        "replace_with_your_key",
        "fill-me-in"[:7],
        "todo",
        "TO-DO",
        "TBD",
        "fixme",
        "placeholder",
        "null",
        "NULL",
        "nil",
        "undefined",
        "None",
        "none",
        "NaN",
        "n/a",
        "your-api-key",
        "YOUR_API_KEY",
        "your_token_here",
        "yourapikey",
        "your-openrouter-api-key",
        "sk-your-key-here",
        "sk-or-your-api-key",
        "insert-your-token-here",
        "paste-token-here",
        "enter your api key",
        "put_key_here",
        "api-key-here",
        "token-goes-here",
        "the-real-api-key-here",
        "api-key",
        "API_KEY",
        "auth_token",
        "access-token",
        NAME,
    ],
)
def test_placeholders(value: str) -> None:
    assert unusable_token(value, NAME) == "it is a placeholder, not a token"


@pytest.mark.parametrize(
    "value",
    [
        "***",
        "*****",
        "xxx",
        "XXXXXXXX",
        "...",
        "\u2026",
        "\u2022\u2022\u2022",
        "###",
        "___",
        "---",
        "???",
        "sk-xxx",
        "sk-...",
        "sk-***",
        "sk-or-v1-xxxxxxxx",
        "ghp_xxxx",
        "[REDACTED]",
        "redacted",
        "<<masked>>"[1:],
        "***hidden***",
        "(secret)",
        "*secret*",
    ],
)
def test_masks(value: str) -> None:
    assert unusable_token(value, NAME) == "it is what a masked token looks like, not the token"


@pytest.mark.parametrize(
    "value",
    [
        " ",
        " abc",
        "abc ",
        "\tabc",
        "abc\n",
        "abc\r",
        "abc\r\n",
        "\xa0abc",
        "abc\u2003",
        "\ufeffabc",
        "abc\u200b",
        " $OTHER",
    ],
)
def test_white_space_around_it(value: str) -> None:
    assert unusable_token(value, NAME).startswith("it begins or ends with white space")


@pytest.mark.parametrize(
    "value",
    ['"abc"', "'abc'", "''", '""', "\u201cabc\u201d", "\u2018a\u2019", "\u201ea\u201c", "'$OTHER'"],
)
def test_quotes_around_it(value: str) -> None:
    assert unusable_token(value, NAME).startswith("it stands in quotes")


@pytest.mark.parametrize(
    "value", ["Bearer x", "bearer  x y", "BEARER x", "Basic eA==", "token x", "Digest a"]
)
def test_the_scheme_of_a_header(value: str) -> None:
    assert "scheme" in unusable_token(value, NAME)
    assert "scheme" in unusable_token(value, NAME, token=False)
    assert unusable_token(value, NAME, alone=False) == ""


@pytest.mark.parametrize(
    "value", [f"{NAME}=abc", f"export {NAME}=abc", f"{NAME} = abc", f"{NAME}="]
)
def test_the_variables_own_name(value: str) -> None:
    assert unusable_token(value, NAME).startswith("it begins with a variable's name")
    assert unusable_token(value) == unusable_token(value, "OTHER") == ""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://x/y", "it is an address, not a token"),
        ("HTTP://u:p@x", "it is an address, not a token"),
        ("Authorization: Bearer x", "it is a whole header, and has to be the token alone"),
        ("x-api-key: abc", "it is a whole header, and has to be the token alone"),
        ("api-key:abc", "it is a whole header, and has to be the token alone"),
        ("proxy-authorization: x", "it is a whole header, and has to be the token alone"),
    ],
)
def test_what_only_a_token_is_not(value: str, reason: str) -> None:
    assert unusable_token(value, NAME) == reason
    assert unusable_token(value, NAME, token=False) == ""


@pytest.mark.parametrize(
    "value",
    [
        "sk-or-v1-abcdef",
        "ab$OTHERcd",
        "$OTHER.",
        "x$OTHER",
        "ab***cd",
        "***x",
        "a${X}b",
        "${X}b",
        "a$(x)",
        "$2b$12$abc",
        "$Xk9qLmP2",
        "$1",
        "lm-studio",
        "ollama",
        "dummy",
        "EMPTY",
        "not-needed",
        "sk-1234",
        "sk-no-key-required",
        "demo",
        "x",
        "xx",
        "**",
        "..",
        "test",
        "secret",
        "token",
        "key",
        "password1",
        'abc"def',
        '"abc',
        "abc'",
        '"',
        "'",
        "hunter2",
        "ghp_xxxAbc",
        "Bearer",
        "bearerx",
        "basic-abc",
        "a:b",
        "canary-1f9a77",
        "keyring",
        "passphrase of words",
        "vault",
        "abc=",
        "/abc+def/ghi=",
        "nullable",
        "nonesuch",
        "my-token",
        "local-token",
        "%41%42",
        "%A",
        "<abc",
        "abc>",
        "{x}",
        "changes",
        "replaced",
        "todos",
        "your-way",
        "__x__",
        "@x",
        "file",
        "projects/p",
        "arn:aws:iam::1:user/x",
        "x" * LONGEST_TOKEN + "y",
        "token-1",
        "gateway-token-1",
        "xxxy",
        "op:/x",
        "OTHER=abc",
    ],
)
def test_what_may_be_a_token(value: str) -> None:
    assert unusable_token(value, NAME) == ""


def test_the_recipes_stand_ins_pass() -> None:
    assert [unusable_token(value, NAME) for value in HARMLESS_TOKENS] == ["", "", ""]
    assert unusable_token("<other-token>", NAME)


def test_how_long_it_may_be() -> None:
    assert unusable_token("x" * LONGEST_TOKEN)
    assert not unusable_token("x" * (LONGEST_TOKEN + 1))
    assert LONGEST_TOKEN == 8192


INSIDE = st.text(string.ascii_letters + string.digits + "$*{}%`<>\"' .-_", min_size=1, max_size=20)


@given(INSIDE)
def test_inside_of_a_token_everything_may_stand(inside: str) -> None:
    assert unusable_token(f"Zx9Qq{inside}7Rk2mP", NAME) == ""


@given(st.text(max_size=20))
def test_no_reason_repeats_the_value(value: str) -> None:
    reason = unusable_token(f"${{{value}canary}}", NAME)
    assert reason
    assert "canary" not in reason
