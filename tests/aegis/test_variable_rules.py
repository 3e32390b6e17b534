"""What Aegis and its sessions take."""

from __future__ import annotations

import pytest

from aegis_provision.aegis.variable_rules import (
    DENIED_NAMES,
    DENIED_PREFIXES,
    failing_value_problem,
    fixed_url_problem,
    name_problem,
    placeholder_problem,
    sends_token_in_the_open,
    timeout_problem,
    tmux_session_problem,
    url_problems,
    value_problem,
)


@pytest.mark.parametrize("name", ["A", "_", "_A1", "ANTHROPIC_MODEL", "PATHS", "CIRCLE", "SSHD"])
def test_names_that_are_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["", "a", "1A", "A-B", "A B", "A\n", "\u00c9", "A\u0661"])
def test_names_of_another_form(name: str) -> None:
    assert name_problem(name)


def test_denied_names() -> None:
    assert len(DENIED_NAMES) == 78
    assert all(name_problem(name) for name in DENIED_NAMES)


@pytest.mark.parametrize("prefix", DENIED_PREFIXES)
def test_denied_prefixes_in_either_case(prefix: str) -> None:
    assert name_problem(prefix + "x")
    assert name_problem(prefix.upper() + "X")


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\x08", "\x0b", "\x1b", "\x1f", "\x7f"])
def test_control_characters(char: str) -> None:
    words = f"it holds a control character (U+{ord(char):04X})"
    assert value_problem(f"a{char}b") == words
    assert failing_value_problem(f"a{char}b") == words


@pytest.mark.parametrize(
    "value", ["", " ", "\t", "x" * 8192, "é" * 4096, "\u2028", "a}b", "\x80", "\x85", "\x9f"]
)
def test_values_that_are_taken(value: str) -> None:
    assert value_problem(value) is None
    assert failing_value_problem(value) is None


@pytest.mark.parametrize("value", ["x" * 8193, "é" * 4097, "\udcff"])
def test_values_that_are_too_long_or_no_text(value: str) -> None:
    assert value_problem(value)


def test_half_a_surrogate_pair_breaks_no_session() -> None:
    assert failing_value_problem("\ud800" * 2730) is None
    size = "it has 8193 bytes, and Aegis takes at most 8192"
    assert failing_value_problem("\ud800" * 2731) == size
    assert value_problem("\udc00") == "it is not valid UTF-8"
    assert value_problem("\ud7ff\ue000") is None
    assert value_problem("\udfff") == value_problem("\ud800") == "it is not valid UTF-8"


SAFE_SESSIONS = [
    *("aegis", "-", "+", "#", "a#b", "x$", "a*", "é", "日本", "\xa0", "a=b", "a@b", "a%b", "a;b"),
    *("**", "~x", "^x", "__", "x_", "a#zb", "[a]", "\U0001f600"),
]
LOST_SESSIONS = [
    *("a\\b", "a\tb", "\x1f", "a\x7fb", "a\x9fb", "a\u2028b", "a\u2029", "=x", "$", "@", "%x"),
    *("-x", "+x", "-é", "*", "^", "_", "~", "x$y", "x$_", "x${", "x;", ";", "#{x}", "a##b"),
    *("a#Sb", "#(id)", "a#,b", "a#}b"),
]


@pytest.mark.parametrize("name", SAFE_SESSIONS)
def test_tmux_sessions(name: str) -> None:
    assert tmux_session_problem(name) is None


@pytest.mark.parametrize("name", LOST_SESSIONS)
def test_names_that_tmux_does_not_find_again(name: str) -> None:
    assert tmux_session_problem(name) == "tmux would not find a session of this name again"


@pytest.mark.parametrize("name", ["a b", " ", "a.b", ".", "a:b", ":"])
def test_tmux_sessions_that_look_like_something_else(name: str) -> None:
    words = "it holds a space, '.' or ':', which tmux takes for something else"
    assert tmux_session_problem(name) == words


def test_a_tmux_session_needs_a_name() -> None:
    assert tmux_session_problem("") == "it is empty"


@pytest.mark.parametrize("value", ["1", "999", "60000", "2147483647", "060000"])
def test_timeouts(value: str) -> None:
    assert timeout_problem(value) is None


@pytest.mark.parametrize(
    "value",
    ["0", "-1", "+1", "1.0", "30s", "1e3", " 1", "1\n", "", "2147483648", "9" * 5000, "\u0661"],
)
def test_no_timeouts(value: str) -> None:
    assert timeout_problem(value)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/v1",
        "HTTPS://a.example:8443/v1/",
        "http://[::1]:1234/v1",
        "http://127.0.0.1",
        "https://a.example/x@y",
    ],
)
def test_base_urls(url: str) -> None:
    assert list(url_problems(url)) == []


@pytest.mark.parametrize(
    "url",
    [
        "a.example/v1",
        "ftp://a.example",
        "https://",
        "https:///v1",
        "https:\\\\a.example",
        "https://a.example\\@b.example/",
        "https://user@a.example/",
        "https://user:canary@a.example/",
        "https://a.example/?k=canary",
        "https://a.example/?",
        "https://a.example/#x",
        "https://a.example/a b",
        " https://a.example/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://[::1/",
        "http://localhost%2eb.example/",
        "http://[fe80::1%eth0]/",
    ],
)
def test_no_base_urls(url: str) -> None:
    problems = list(url_problems(url))
    assert problems
    assert not any("canary" in problem for problem in problems)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST", "a.localhost", "10.1.2.3",
     "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "[fd12::1]",
     "[::ffff:10.0.0.1]", "100.64.0.1"],
)  # fmt: skip
def test_private(host: str) -> None:
    assert not sends_token_in_the_open(f"http://{host}:8080/v1")


@pytest.mark.parametrize(
    "host",
    ["a.example", "gpu-01", "8.8.8.8", "203.0.113.5", "198.18.0.1", "192.0.2.1", "240.0.0.1",
     "172.32.0.1", "11.0.0.1", "0.0.0.0",  # noqa: S104 - an address to refuse, nothing binds to it
     "[::]", "[2001:db8::1]", "[::ffff:8.8.8.8]",
     "localhost.a.example", "notlocalhost", "010.0.0.1", "127.1", "2130706433",
     "localhost%2ea.example", "10.0.0.1.a.example"],
)  # fmt: skip
def test_not_private(host: str) -> None:
    assert sends_token_in_the_open(f"http://{host}/v1")
    assert sends_token_in_the_open(f"HTTP://{host}/v1")
    assert not sends_token_in_the_open(f"https://{host}/v1")


@pytest.mark.parametrize("value", ["<token>", "<your key 1>", "https://YOUR-RESOURCE.a.example"])
def test_placeholders(value: str) -> None:
    assert placeholder_problem(value)


@pytest.mark.parametrize("value", ["", "<>", "a<b>", "<1>", "<a>b", "your-resource"])
def test_no_placeholders(value: str) -> None:
    assert placeholder_problem(value) is None


@pytest.mark.parametrize(
    "template", ["https://u:p@${H}/v1", "https://${U}@${H}/", "${B}/v1?x", "https://${H}/#"]
)
def test_the_fixed_part_of_a_url(template: str) -> None:
    assert fixed_url_problem(template)


@pytest.mark.parametrize("template", ["${B}", "https://${H}:${P}/v1/x@y", "${S}://a.example/"])
def test_a_fixed_part_that_is_fine(template: str) -> None:
    assert fixed_url_problem(template) is None
