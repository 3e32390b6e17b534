"""A secret does not come back, however it is spelt, and nothing else is taken out."""

from __future__ import annotations

import base64
import json
import string
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aegis_provision.providers.redaction import MASK, PIECE, Redactor
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "tkn_4f1d+Zq/9wXy7LmN2pR"
REDACTOR = Redactor.of([Secret(TOKEN, "${T}")])


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def half_percent(text: str) -> str:
    return "".join(percent(char) if index % 2 else char for index, char in enumerate(text))


def json_escaped(text: str) -> str:
    return "".join(
        json.dumps(char)[1:-1] if char in '"\\' or ord(char) > 0x7E else f"\\u{ord(char):04X}"
        for char in text
    )


def references(text: str) -> str:
    return "".join(
        f"&#{ord(c):04};" if index % 2 else f"&#x{ord(c):x};" for index, c in enumerate(text)
    )


def python_escaped(text: str) -> str:
    return "".join(
        f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\U{ord(char):08x}" for char in text
    )


def base64_of(text: str, before: str = "", after: str = "") -> str:
    return base64.b64encode((before + text + after).encode()).decode()


def base64url_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "lower": lambda text: "".join(c.lower() if c in string.ascii_letters else c for c in text),
    "upper": lambda text: "".join(c.upper() if c in string.ascii_letters else c for c in text),
    "quoted": lambda text: quote(text, safe=""),
    "percent": percent,
    "percent-lower": lambda text: percent(text).lower(),
    "half-percent": half_percent,
    "percent-twice": lambda text: percent(percent(text)),
    "json": lambda text: json.dumps(text)[1:-1],
    "json-escaped": json_escaped,
    "json-twice": lambda text: json.dumps(json.dumps(text)),
    "slash-escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "references": references,
    "python": python_escaped,
    "base64": base64_of,
    "base64-unpadded": lambda text: base64_of(text).rstrip("="),
    "base64-after-1": lambda text: base64_of(text, "u"),
    "base64-after-2": lambda text: base64_of(text, "u:"),
    "base64-after-3": lambda text: base64_of(text, "us:"),
    "base64-between": lambda text: base64_of(text, "user:", ":more"),
    "base64url": base64url_of,
    "base64-percent": lambda text: percent(base64_of(text)),
    "percent-base64": lambda text: base64_of(percent(text)),
    "base64-twice": lambda text: base64_of(base64_of(text)),
    "base64-in-path": lambda text: f"/v1/{base64_of(text)}/models",
    "hex": lambda text: text.encode().hex(),
    "hex-upper": lambda text: text.encode().hex().upper(),
    "hex-odd": lambda text: "a" + text.encode().hex(),
}
ANY_SPELLING = pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
# No white space at an end: a word that is cut there is another word.
SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]),
    min_size=PIECE,
    max_size=60,
).filter(lambda text: text not in {"<local-token>", "ollama-local"})
# What of a spelling stands around the secret in it, and says nothing of it.
LEFT = {
    "json-twice": f'"\\"{MASK}\\""',
    "base64": f"{MASK}=",
    "base64-after-1": f"d{MASK}",
    "base64-after-2": f"dT{MASK}==",
    "base64-after-3": f"dXM6{MASK}=",
    "base64-between": f"dXNlcj{MASK}ptb3Jl",
    "base64-percent": f"{MASK}%3D",
    "base64-twice": f"{MASK}0=",
    "base64-in-path": f"/v1/{MASK}=/models",
    "hex-odd": f"a{MASK}",
}
# What can't be taken for a part of any encoding.
AROUND = st.sampled_from(["", " ", '"', "said: ", "(", "é", "https://llm.example.com/?k= "])


@ANY_SPELLING
@given(secret=SECRETS, before=AROUND, after=AROUND)
@example(secret=TOKEN, before="", after="")
@example(secret="é" * PIECE + "\U0001f600\U0010ffff", before="", after="")
def test_no_spelling_of_a_secret_is_left(
    spelt: Callable[[str], str], secret: str, before: str, after: str
) -> None:
    redactor = Redactor.of([Secret(secret, "${T}")])
    text = f"{before}{spelt(secret)}{after}"
    redacted = redactor.redact(text)
    assert redactor.finds(text)
    assert MASK in redacted
    assert not redactor.finds(redacted.replace(MASK, "|"))


@pytest.mark.parametrize("name", SPELLINGS)
def test_nothing_of_it_is_left(name: str) -> None:
    redacted = REDACTOR.redact(f"it says: {SPELLINGS[name](TOKEN)}!")
    assert redacted == f"it says: {LEFT.get(name, MASK)}!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a {TOKEN} b", f"a {MASK} b"),
        (TOKEN, MASK),
        (TOKEN * 2, MASK),
        (f"{TOKEN}, {TOKEN}", f"{MASK}, {MASK}"),
        (f"a {TOKEN[:PIECE]} b", f"a {MASK} b"),
        (f"a {TOKEN[-PIECE:]} b", f"a {MASK} b"),
        (f"a {TOKEN[5 : 5 + PIECE]}é b", f"a {MASK}é b"),
        (f"a {TOKEN[5 : 4 + PIECE]} b", f"a {TOKEN[5 : 4 + PIECE]} b"),
        (f"a {TOKEN[:PIECE]}.{TOKEN[PIECE:-1]} b", f"a {MASK}.{TOKEN[PIECE:-1]} b"),
        (f"a {base64_of(TOKEN[:PIECE])} b", f"a {MASK} b"),
        (f"a {base64_of(TOKEN[: PIECE - 1])} b", f"a {base64_of(TOKEN[: PIECE - 1])} b"),
        (f"a {TOKEN[:PIECE].encode().hex()} b", f"a {MASK} b"),
        (f"a {TOKEN[: PIECE - 1].encode().hex()} b", f"a {TOKEN[: PIECE - 1].encode().hex()} b"),
        (f"%41{percent(TOKEN)}%42 b", f"%41{MASK}%42 b"),
        ("", ""),
        (
            "nothing at all, 100% sure: \\o/ &#1; \\u00e9",
            "nothing at all, 100% sure: \\o/ &#1; \\u00e9",
        ),
    ],
)
def test_just_the_secret_is_taken_out(text: str, expected: str) -> None:
    assert REDACTOR.redact(text) == expected
    assert REDACTOR.finds(text) == (text != expected)


def test_as_many_bytes_as_count_are_found_wherever_they_are() -> None:
    for start in range(len(TOKEN) - PIECE + 1):
        assert REDACTOR.redact(f"({TOKEN[start : start + PIECE]})") == f"({MASK})"
        assert not REDACTOR.finds(f"({TOKEN[start : start + PIECE - 1]})")


@pytest.mark.parametrize("secret", ["ab1d", "abc-1234", "hunter2!", "AB1CDEFGHIJ"])
def test_a_short_secret_counts_as_a_whole(secret: str) -> None:
    redactor = Redactor.of([secret])
    for spelt in SPELLINGS.values():
        assert MASK in redactor.redact(f"({spelt(secret)})"), spelt(secret)
    assert redactor.redact(f"x{secret}y") == f"x{MASK}y"
    assert redactor.redact(secret[:-1]) == secret[:-1]
    assert redactor.redact(secret[1:]) == secret[1:]


@pytest.mark.parametrize("secret", ["ollama", "lm-studio", "not_needed", "EMPTY", "test"])
def test_a_mere_word_counts_by_itself_alone(secret: str) -> None:
    redactor = Redactor.of([secret])
    for text in (f'"{secret}"', f"/{secret}/models", f"{secret}.", f"user:{secret}", f"({secret})"):
        assert redactor.redact(text) == text.replace(secret, MASK)
        assert redactor.redact(text, words=False) == text
        assert (redactor.finds(text), redactor.finds(text, words=False)) == (True, False)
    assert redactor.redact(f"k={percent(secret)}") == f"k={MASK}"
    assert redactor.redact(base64_of(f"u:{secret}:x")) != base64_of(f"u:{secret}:x")
    for text in (f"x{secret}", f"{secret}s", f"{secret}2", f"2{secret}", secret.swapcase()):
        assert redactor.redact(text) == text


def test_of_words_the_longer_one_counts() -> None:
    assert Redactor.of(["test", "test-run"]).redact("a test-run, a test") == f"a {MASK}, a {MASK}"


@pytest.mark.parametrize("secret", ["", "a", "a1", "a1!", "<local-token>", "ollama-local"])
def test_what_is_no_secret_or_in_every_text_is_left(secret: str) -> None:
    redactor = Redactor.of([secret])
    assert redactor == Redactor()
    assert redactor.redact(f"({secret})") == f"({secret})"


def test_a_word_of_twelve_characters_counts_in_pieces() -> None:
    assert Redactor.of(["twelvetwelve"]).redact("xtwelvetwelvex") == f"x{MASK}x"


def test_secrets_of_a_host_count_beside_those_of_the_run() -> None:
    both = REDACTOR.with_secrets(["host-0f1e2d3c", "word"])
    text = f"{TOKEN} host-0f1e2d3c word"
    assert both.redact(text) == f"{MASK} {MASK} {MASK}"
    assert both.redact(text, words=False) == f"{MASK} {MASK} word"
    assert REDACTOR.redact(text) == f"{MASK} host-0f1e2d3c word"
    assert REDACTOR.with_secrets([]) is REDACTOR
    assert REDACTOR.with_secrets(["a"]) is REDACTOR
    assert both.with_secrets([TOKEN, "word"]) is both, "a text is not searched twice for one"


def test_encodings_are_undone_a_few_levels_deep() -> None:
    for levels, found in ((3, True), (4, False)):
        text = TOKEN
        for _ in range(levels):
            text = base64_of(text)
        assert REDACTOR.finds(text) is found


def test_it_shows_none_of_what_it_knows() -> None:
    for text in (repr(REDACTOR.with_secrets(["word"])), str(REDACTOR)):
        assert TOKEN[:4].lower() not in text.lower()
        assert "word" not in text


@given(text=st.text())
@example("\ud800" + TOKEN)
@example("%C3" + "é%")
@example("\\ud83d \\ude00 &#1114112; &#xFFFFF; %zz \\u12")
def test_no_text_upsets_it(text: str) -> None:
    assert REDACTOR.redact(text).replace(MASK, "") == text.replace(TOKEN, "")
