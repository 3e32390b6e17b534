"""Which words are a slip of the finger away from a name."""

from __future__ import annotations

import pytest

from aegis_provision.documents.did_you_mean import Suggestions, is_slip


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("modle", "model"), ("modell", "model"), ("motel", "model"), ("models", "model"),
        ("provder", "provider"), ("prvidr", "provider"), ("porvidre", "provider"),
        ("usr", "user"), ("prot", "port"), ("ports", "port"), ("evn", "env"), ("envs", "env"),
        ("adress", "address"), ("addres", "address"), ("jumpp", "jump"),
        ("base-url", "base_url"), ("Model", "model"), ("ageis", "aegis"), ("aegs", "aegis"),
        ("abcdefxy", "abcdefgh"), ("abcdefghij", "abcdefgh"), ("bacdefhg", "abcdefgh"),
    ],
)  # fmt: skip
def test_a_slip(word: str, name: str) -> None:
    assert is_slip(word, name)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("model", "model"), ("app", "api"), ("apt", "api"), ("mode", "model"), ("use", "user"),
        ("por", "port"), ("post", "port"), ("http_port", "port"), ("db_user", "user"),
        ("moble", "model"), ("modelss", "model"), ("ledom", "model"), ("timeout", "timeout_ms"),
        ("abcdexyz", "abcdefgh"), ("abcdefghijk", "abcdefgh"), ("abcdxyg", "abcdefg"),
        ("regis", "aegiss"), ("", "api"), ("service_name", "service"),
    ],
)  # fmt: skip
def test_another_word(word: str, name: str) -> None:
    assert not is_slip(word, name)


def test_suggestions_end_when_there_were_too_many_comparisons() -> None:
    suggestions = Suggestions(5)
    assert suggestions.did_you_mean("modle", ["model", "port"]) == 'did you mean "model"?'
    assert suggestions.did_you_mean("prot", ["model", "port"]) == 'did you mean "port"?'
    assert suggestions.did_you_mean("prot", ["model", "port"]) == ""
    assert Suggestions(2).did_you_mean("prot", ["model", "port"]) == 'did you mean "port"?'
