"""Values that are masked although their variable is no secret."""

from __future__ import annotations

import pytest

from aegis_provision.providers.redaction import exposes_secret, without_exposed
from aegis_provision.providers.secret import Secret

TOKEN = "canary-1f9a77"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:pass@llm.example.com/v1",
        "https://llm.example.com/v1?api_key=abc",
        "sk-or-v1-abcdef",
        "a_sk-abcdef",
        "ghp_abcdef",
        "github_pat_abcdef",
        "glpat-abcdef",
        "hf_abcdef",
        "xoxb-abcdef",
        "eyJhbGciOi",
        "AKIAabcdefgh",
        "Bearer abcdef",
        f"prefix-{TOKEN}-suffix",
        TOKEN,
    ],
)
def test_masked(text: str) -> None:
    assert exposes_secret(text, [Secret(TOKEN, "${T}")])
    assert exposes_secret(text, [TOKEN])


@pytest.mark.parametrize(
    "text",
    [
        "https://openrouter.ai/api/v1",
        "claude-sonnet-4-20250514",
        "openai/gpt-4.1-mini",
        "qwen2.5-coder:32b",
        "60000",
        "",
    ],
)
def test_shown(text: str) -> None:
    assert not exposes_secret(text, [Secret(TOKEN, "${T}"), TOKEN])


def test_a_tiny_token_hides_only_itself() -> None:
    assert exposes_secret("a", [Secret("a", "${T}")])
    assert not exposes_secret("glm-4.5-air", [Secret("a", "${T}")])


def test_values_that_repeat_a_secret_become_secrets() -> None:
    token, url = Secret(TOKEN, "${T}"), f"https://llm.example.com/{TOKEN}"
    hidden = without_exposed({"TOKEN": token, "URL": url, "MODEL": "glm-4.5"})
    assert hidden == {"TOKEN": token, "URL": Secret(url, "URL"), "MODEL": "glm-4.5"}


def test_a_hash_is_shown_under_a_name_that_says_so() -> None:
    digest = "0c1a2b3d" * 8
    assert not exposes_secret(digest, (), "MODEL_SHA256")
    assert exposes_secret(digest, (digest,), "MODEL_SHA256")
    assert exposes_secret(digest, (), "MODEL")
    assert exposes_secret(digest, ())
    values = {"MODEL_SHA256": digest, "MODEL": digest}
    assert without_exposed(values) == {"MODEL_SHA256": digest, "MODEL": Secret(digest, "MODEL")}
