"""Aegis' file: what it would make of it, and a merge that changes only what is ours."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.config_file import (
    JSON,
    YAML,
    ConfigFile,
    RejectedConfig,
    Syntax,
    merge,
    parse_config,
    render,
    session_env_in,
    syntax_of,
)
from aegis_provision.documents.yaml_reader import DEEPEST
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

CANARY = "canary-5d2f"
ENV = "defaultSessionEnv"
OURS = {"ANTHROPIC_BASE_URL": "https://a.example/v1", "API_TIMEOUT_MS": "60000"}


def taken(data: str | bytes) -> ConfigFile:
    result = parse_config(data if isinstance(data, bytes) else data.encode())
    assert isinstance(result, ConfigFile), result
    return result


def reasons(data: str | bytes) -> tuple[str, ...]:
    result = parse_config(data if isinstance(data, bytes) else data.encode())
    assert isinstance(result, RejectedConfig)
    return result.reasons


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-be"), "not JSON"),
        (b'{"x": 1}\xff', "line 1, column 9"),
        (b'\xff{"x": 1}', "line 1, column 1"),
        (b"[]", "root"),
        (b"null", "root"),
        (b"{,}", "line 1, column 2"),
        (b'{\n "a": 1,\n "b": 2,\n}', "line 4, column 1"),
        (b'{"x":\n  NaN}', "NaN is no JSON in line 2, column 3"),
        (b'{"s": "NaN", "x": -Infinity}', "column 19"),
        (b'{"x": "a\nb"}', "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"x": 01}', "not JSON"),
        (b"{'x': 1}", "not JSON"),
        (b'{"x": 1} // c', "not JSON"),
    ],
)
def test_what_is_no_file(data: bytes, word: str) -> None:
    (reason,) = reasons(data)
    assert word in reason
    assert reason.startswith("Aegis ignores the whole file")


WRONG: list[tuple[str, Any]] = [
    *((name, CANARY) for name in ("port", "reaperIntervalMs", "sseMaxPerIp", "tgTopicTTLHours")),
    *(("port", value) for value in (0, -1, 1.5, 65536, 2**53, True, None, "9100")),
    *(("sseIdleMs", value) for value in (0, 1.5, 2**53, 1e308, 10**400, True, "1")),
    ("tgTopicTTLHours", 2**53),
    ("memoryBridge", {"enabled": True, "reaperIntervalMs": 2**53}),
    ("alerting", {"webhooks": [], "failureThreshold": 2**53}),
    ("rateLimit", {"sessionsMax": 2**53}),
    ("tgAllowedUsers", [10**400]),
    ("tgAllowedUsers", [-(10**400)]),
    *(("baseUrl", url) for url in ("", "http://", "http://a b", "http://[::1", "http://h:99999")),
    ("baseUrl", "http://%zz/"),
    ("stateStore", "postgres"),
    *(("tmuxSession", value) for value in ("", "a b", "a.b", "a:b", 5)),
    *((name, 5) for name in ("host", "authToken", "stateDir", "postgresUrl", "tgBotToken")),
    *((name, None) for name in ("authToken", "webhooks", "rateLimit", ENV, "dashboardEnabled")),
    ("baseUrl", CANARY),
    ("dashboardEnabled", CANARY),
    ("webhooks", CANARY),
    ("webhooks", [1]),
    ("allowedWorkDirs", [None]),
    ("tgAllowedUsers", [CANARY]),
    ("tgTopicTTLHours", -1),
    ("defaultPermissionMode", CANARY),
    ("stateStore", CANARY),
    ("memoryBridge", {}),
    ("memoryBridge", {"enabled": CANARY}),
    ("memoryBridge", {"enabled": True, "reaperIntervalMs": 0}),
    ("verificationProtocol", {"criticalOnly": CANARY}),
    ("alerting", {}),
    ("alerting", {"webhooks": [], "cooldownMs": 0}),
    ("tenantWorkdirs", {"t": {}}),
    ("tenantWorkdirs", {"t": {"root": 5}}),
    ("rateLimit", {"generalMax": 1.5}),
    (ENV, []),
    (ENV, CANARY),
    (ENV, {"API_TIMEOUT_MS": 60000}),
    (ENV, {"X": None}),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_field_of_the_wrong_type(name: str, value: object) -> None:
    found = reasons(json.dumps({name: value}))
    assert len(found) == 1
    assert name in found[0]
    assert CANARY not in found[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"port": 9007199254740991}', 'Aegis dies at its start: "port" is above 65535'),
        ('{"port": 65536}', 'Aegis dies at its start: "port" is above 65535'),
        ('{"port": 9007199254740992}', 'Aegis ignores the whole file: "port" is too large'),
        ('{"sseIdleMs": 9007199254740991.6}',
         'Aegis ignores the whole file: "sseIdleMs" is too large'),
        ('{"sseIdleMs": 1e400}',
         'Aegis ignores the whole file: "sseIdleMs" must be a whole number'),
        ('{"sseIdleMs": -0.5}', 'Aegis ignores the whole file: "sseIdleMs" must be a whole number'),
        ('{"tgAllowedUsers": [1, 1e400]}',
         'Aegis ignores the whole file: "tgAllowedUsers.1" is too large'),
        ('{"tgAllowedUsers": [-1e400]}',
         'Aegis ignores the whole file: "tgAllowedUsers.0" is too small'),
        ('{"baseUrl": "http://h:99999"}', 'Aegis ignores the whole file: "baseUrl" must be a URL'),
        ('{"stateStore": "postgres", "postgresUrl": ""}',
         'Aegis crashes at its start: "stateStore" is postgres, and there is no "postgresUrl"'),
        ('{"tmuxSession": ""}',
         'Aegis crashes at its start: "tmuxSession" is a bad name: it is empty'),
        ('{"tenantWorkdirs": {"t": 5, "__proto__": 5}}',
         'Aegis ignores the whole file: "tenantWorkdirs.t" must be an object'),
    ],
)  # fmt: skip
def test_what_is_said_of_a_field(text: str, reason: str) -> None:
    assert reasons(text) == (reason,)


def test_what_stops_the_start_is_told_beside_what_loses_the_file() -> None:
    found = reasons('{"stateStore": "postgres", "tmuxSession": "a b", "host": 5}')
    assert [reason.split(":")[0] for reason in found] == [
        "Aegis ignores the whole file",
        "Aegis crashes at its start",
        "Aegis crashes at its start",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"sseIdleMs": 9007199254740991}',
        '{"sseIdleMs": 9007199254740991.4}',
        '{"port": 65535}',
        '{"tgTopicTTLHours": -0}',
        '{"tgAllowedUsers": [1.5, -0, 1e308, -1e308]}',
        '{"baseUrl": " \\tHTTP:\\\\h"}',
        '{"baseUrl": "http://aegis.example:65535/"}',
        '{"stateStore": "postgres", "postgresUrl": "x"}',
        '{"stateStore": "redis"}',
        '{"postgresUrl": ""}',
        '{"tmuxSession": "aegis-2"}',
        '{"defaultSessionEnv": {"A": "\\u0080\\u009f\\ud800"}}',
        '{"tenantWorkdirs": {"__proto__": 5}}',
        '{"odd": [1e400, -1e999]}',
    ],
)
def test_what_aegis_takes(text: str) -> None:
    taken(text)


def test_a_prototype_is_no_variable() -> None:
    text = '{"defaultSessionEnv": {"__proto__": 5, "A": "x"}}'
    assert taken(text).session_env == {"A": "x"}
    assert session_env_in(text.encode()) == {"A": "x"}


@pytest.mark.parametrize(
    ("broken", "read"),
    [
        (b"\xff", "\ufffd"),
        (b"\xe9t\xe9", "\ufffdt\ufffd"),
        (b"\xe2\x82", "\ufffd"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc0\xaf", "\ufffd\ufffd"),
    ],
)
def test_bytes_that_are_no_utf8_are_read_as_aegis_reads_them(broken: bytes, read: str) -> None:
    config = taken(b'{"x": "' + broken + b'", "defaultSessionEnv": {"A": "' + broken + b'"}}')
    assert not config.is_utf8
    assert config.session_env == {"A": read}
    assert json.loads(merge(config, {"B": "b"}))["x"] == read
    assert session_env_in(b'{"defaultSessionEnv": {"A": "' + broken + b'"}}') == {"A": read}


def test_a_replacement_character_of_its_own_is_utf8() -> None:
    assert taken('{"x": "\ufffd"}').is_utf8


@pytest.mark.parametrize("content", [b"", b"[]", b'{"defaultSessionEnv": []}', b"[" * 500])
def test_no_variables_in_what_is_no_file(content: bytes) -> None:
    assert session_env_in(content) == {}


def test_variables_beside_numbers_of_any_length() -> None:
    content = b'{"n": ' + b"9" * 5000 + b', "defaultSessionEnv": {"A": "x", "B": 5}}'
    assert session_env_in(content) == {"A": "x"}


def test_every_wrong_field_is_named() -> None:
    found = reasons('{"port": "x", "host": 5, "webhooks": [1, "a", 2], "odd": 1}')
    assert len(found) == 4
    assert not any("odd" in reason for reason in found)


def test_what_crashes_is_told_apart() -> None:
    assert "crash" in reasons('{"alerting": {"failureThreshold": 3}}')[0]
    assert "dies" in reasons('{"port": 70000}')[0]


def test_fields_of_the_right_type() -> None:
    config = taken(
        json.dumps(
            {
                "port": 9100,
                "baseUrl": "http://127.0.0.1:9100",
                "tgTopicTTLHours": 0,
                "defaultPermissionMode": "acceptEdits",
                "stateStore": "redis",
                "memoryBridge": {"enabled": False},
                "verificationProtocol": {},
                "alerting": {"webhooks": []},
                "tenantWorkdirs": {"t": {"root": "/x", "allowedPaths": ["/y"]}},
                "rateLimit": {"enabled": True, "sessionsMax": 1},
                "typo": {"anything": [1, None]},
                "authToken": CANARY,
                ENV: {"A": "", "B": "\t"},
            }
        )
    )
    assert config.has_auth_token
    assert config.session_env == {"A": "", "B": "\t"}
    assert CANARY not in repr(config)


@pytest.mark.parametrize("number", ["9100.0", "1e3", "9.1E3", "91e2"])
def test_whole_numbers_as_javascript_sees_them(number: str) -> None:
    taken(f'{{"port": {number}}}')


@pytest.mark.parametrize("number", ["1e400", "-0.0", "0.5", "-9100.0"])
def test_no_whole_number_above_zero(number: str) -> None:
    assert "port" in reasons(f'{{"port": {number}}}')[0]


@pytest.mark.parametrize("text", ["{}", '{"authToken": ""}'])
def test_without_a_token(text: str) -> None:
    assert not taken(text).has_auth_token


@pytest.mark.parametrize(
    "entry", [{"PATH": "x"}, {"a": "x"}, {"A": f"{CANARY}\n"}, {"A": CANARY * 1000}]
)
def test_entries_that_break_every_session(entry: dict[str, str]) -> None:
    (reason,) = reasons(json.dumps({ENV: entry}))
    assert "every session" in reason
    assert CANARY not in reason


def test_prefixes_that_only_single_sessions_refuse_do_not_condemn_a_file() -> None:
    assert taken('{"defaultSessionEnv": {"AWS_REGION": "x"}}').session_env == {"AWS_REGION": "x"}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> str:
        return '{"x": ' + opening * levels + "1" + closing * levels + "}"

    fits = nested(DEEPEST - 1)
    assert json.loads(merge(taken(fits), {}))["x"] == json.loads(fits)["x"]
    for levels in (DEEPEST, 1000, 200_000):
        (reason,) = reasons(nested(levels))
        assert "nested more than" in reason
        assert not reason.startswith("Aegis")


def test_brackets_inside_of_strings_are_no_depth() -> None:
    text = json.dumps({"x": '"\\' + "[" * 500})
    assert json.loads(merge(taken(text), {}))["x"] == json.loads(text)["x"]


def test_numbers_keep_their_text() -> None:
    numbers = [
        "1e3",
        "2.50",
        "1E400",
        "1.0",
        "1.10",
        "1e400",
        "123456789012345678901234567890",
        "-0.0",
        "1E5",
        "-0",
        "9" * 5000,
    ]
    text = '{"a": [' + ", ".join(numbers) + "]}"
    merged = merge(taken(text), OURS).decode()
    assert re.findall(r"^ {4}(-?[0-9].*?),?$", merged, re.MULTILINE) == numbers


def test_order_and_foreign_entries_stay() -> None:
    text = json.dumps(
        {
            "z": 1,
            ENV: {"MINE": "x", "API_TIMEOUT_MS": "1", "OTHER": "y"},
            "__proto__": {"a": 1},
            "a": [],
        }
    )
    merged = json.loads(merge(taken(text), OURS))
    assert list(merged) == ["z", ENV, "__proto__", "a"]
    assert list(merged[ENV].items()) == [
        ("MINE", "x"),
        ("API_TIMEOUT_MS", "60000"),
        ("OTHER", "y"),
        ("ANTHROPIC_BASE_URL", "https://a.example/v1"),
    ]


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    merged = json.loads(merge(taken('{"a": 1, "b": 2, "a": 3}'), {}))
    assert merged == {"a": 3, "b": 2, ENV: {}}


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    merged = merge(taken(r'{"x\ud800": "\udfff \ud83d\ude00"}'), {})
    assert rb'"x\ud800": "\udfff ' in merged
    assert "😀".encode() in merged


def test_a_new_file() -> None:
    values: dict[str, str | Secret] = {"A": "é\u2028", "T": Secret(CANARY, "${T}")}
    plain = {ENV: {"A": "é\u2028", "T": CANARY}}
    expected = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    assert merge(None, values) == expected.encode()
    assert render(values, mask=None) == expected
    assert CANARY not in render(values, mask="<secret>")


names = st.text(max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
# A leading x keeps foreign keys apart from the fields that Aegis knows.
foreign = st.dictionaries(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8).map("x{}".format),
    json_values,
    max_size=5,
)
environments = st.dictionaries(
    st.from_regex(r"\AX[A-Z0-9_]{0,6}\Z"), st.text(alphabet="ab é\t", max_size=6), max_size=4
)


def _sane(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


@given(foreign, environments, environments)
def test_a_merge_keeps_what_is_not_ours(
    root: dict[str, Any], actual: dict[str, str], wanted: dict[str, str]
) -> None:
    before = {**root, ENV: actual}
    data = json.dumps(before).encode()
    merged = merge(taken(data), wanted)
    after = {**root, ENV: {**actual, **wanted}}
    expected = json.dumps(after, indent=2, ensure_ascii=False) + "\n"
    if _sane(expected):
        assert merged.decode() == expected
    assert json.loads(merged) == after
    assert list(json.loads(merged)) == list(after)
    assert merge(taken(merged), wanted) == merged
    assert all(taken(merged).session_env[name] == value for name, value in wanted.items())


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0e-.NnaI\\u', max_size=30).map(str.encode))
def test_no_bytes_are_too_odd(data: bytes) -> None:
    assert isinstance(parse_config(data), ConfigFile | RejectedConfig)


def test_a_value_that_is_about_to_be_replaced_breaks_no_session() -> None:
    data = json.dumps({"defaultSessionEnv": {"API_TIMEOUT_MS": "1\n", "OTHER": "x\ny"}}).encode()
    both = parse_config(data)
    assert isinstance(both, RejectedConfig)
    assert len(both.reasons) == 2
    foreign = parse_config(data, replaced=["API_TIMEOUT_MS"])
    assert isinstance(foreign, RejectedConfig)
    assert len(foreign.reasons) == 1
    assert "OTHER" in foreign.reasons[0]
    assert isinstance(parse_config(data, replaced=["API_TIMEOUT_MS", "OTHER"]), ConfigFile)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({"authToken": "one", "port": "x", "alerting": {"myKey": ["two"]}}, ("one", "two")),
        ({"defaultSessionEnv": {"A_TOKEN": "one", "a b": "x"}}, ("one",)),
        ([{"authToken": "one"}], ()),
    ],
)
def test_the_secrets_of_a_file_that_is_ignored_are_known_too(
    content: object, held: tuple[str, ...]
) -> None:
    ignored = parse_config(json.dumps(content).encode())
    assert isinstance(ignored, RejectedConfig)
    assert ignored.secrets() == held
    assert "one" not in repr(ignored)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ghp_canary1f9a", "(not shown)"),
        ("AKIAIOSFODNN7CANARY", "(not shown)"),
        ("sk-or-v1-canary", "(not shown)"),
        ("Zx9Qq7Rk2mP4vT8wL1nB", "(not shown)"),
        ("http://u:canary@h/", "(not shown)"),
        ("FOO", "FOO"),
        ("lower", "lower"),
        ("a" * 60, "a" * 60),
        ("a" * 61, '"' + "a" * 57 + '..."'),
        ("a b", '"a b"'),
        ("a\x1bb", '"a\\x1bb"'),
    ],
)
def test_a_variable_s_name_that_is_a_token_is_not_repeated(name: str, shown: str) -> None:
    found = parse_config(json.dumps({"defaultSessionEnv": {name: "a\nb"}}).encode())
    assert isinstance(found, RejectedConfig)
    [reason] = found.reasons
    words = f"Aegis would fail every session over defaultSessionEnv.{shown}: "
    assert reason.startswith(words)
    assert "canary" not in reason.lower()


@pytest.mark.parametrize(
    ("name", "shown"), [("ghp_canary1f9a", "(not shown)"), ("team", "team"), ("a b", '"a b"')]
)
def test_nor_is_the_name_of_a_field(name: str, shown: str) -> None:
    for content, key in (
        ({"tenantWorkdirs": {name: 1}}, "tenantWorkdirs"),
        ({"defaultSessionEnv": {name: 1}}, "defaultSessionEnv"),
    ):
        found = parse_config(json.dumps(content).encode())
        assert isinstance(found, RejectedConfig)
        [reason] = found.reasons
        assert reason.startswith(f'Aegis ignores the whole file: "{key}.{shown}" must be ')


def test_the_secrets_of_a_file_are_those_that_its_keys_name() -> None:
    content = {
        "authToken": "1234",
        "clientAuthToken": "true",
        "port": 9100,
        "webhooks": ["https://hooks.example.com/x"],
        "tgBotToken": "1:abc",
        "alerting": {"webhooks": ["x"], "secretKeys": ["in-a-list", {"note": "below"}]},
        "mySecret": {"ttlKey": "8000", "note": "under", "flag": "true"},
        "defaultSessionEnv": {
            "ANTHROPIC_AUTH_TOKEN": "5678",
            "MAX_TOKENS": "8000",
            "MAX_KEYS": "many",
            "MODEL": "m",
        },
    }
    found = parse_config(json.dumps(content).encode())
    assert isinstance(found, ConfigFile)
    assert found.secrets() == (
        "1234", "true", "1:abc", "in-a-list", "below", "under", "5678", "many",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "syntax"),
    [
        ("/opt/aegis/.aegis/config.yaml", YAML),
        ("config.yml", YAML),
        ("aegis.config.json", JSON),
        ("config.YAML", JSON),
        ("yaml", JSON),
    ],
)
def test_a_file_s_name_decides_its_syntax(path: str, syntax: Syntax) -> None:
    assert syntax_of(path) is syntax


YAML_FILE = f"""\
# Aegis
clientAuthToken: {CANARY}
port: 0o17
defaultSessionEnv:
  ANTHROPIC_AUTH_TOKEN: 'x'  # until May
  API_TIMEOUT_MS: "60000"
"""


def in_yaml(text: str) -> ConfigFile | RejectedConfig:
    return parse_config(text.encode(), syntax=YAML)


def variables_in(data: bytes) -> Mapping[str, str]:
    return session_env_in(data, syntax=YAML)


def test_a_file_in_yaml() -> None:
    config = in_yaml(YAML_FILE)
    assert isinstance(config, ConfigFile)
    assert config.session_env == {"ANTHROPIC_AUTH_TOKEN": "x", "API_TIMEOUT_MS": "60000"}
    assert config.root["port"] == 15
    assert config.secrets() == (CANARY, "x")
    assert CANARY not in repr(config)
    merged = merge(config, {"B": "b", "API_TIMEOUT_MS": "5"}, removed=["ANTHROPIC_AUTH_TOKEN"])
    before, env, _ = YAML_FILE.partition("defaultSessionEnv:\n")
    assert merged.decode() == f'{before}{env}  API_TIMEOUT_MS: "5"\n  B: "b"\n'
    assert list(variables_in(merge(config, {"Z": "z", "A": "a", "ANTHROPIC_BASE_URL": "u"}))) == [
        "ANTHROPIC_AUTH_TOKEN", "API_TIMEOUT_MS", "ANTHROPIC_BASE_URL", "A", "Z",
    ]  # fmt: skip
    assert session_env_in(merged, syntax=YAML) == {"API_TIMEOUT_MS": "5", "B": "b"}
    assert session_env_in(b"a: [", syntax=YAML) == {}
    assert merge(None, {"T": Secret("t", "${T}")}, syntax=YAML) == b'defaultSessionEnv:\n  T: "t"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("defaultSessionEnv:\n  API_TIMEOUT_MS: 60000\n",
         ('Aegis ignores the whole file: "defaultSessionEnv.API_TIMEOUT_MS" must be a string '
         "(line 2, column 19: a number without quotes, write it in quotes)")),
        (f"x: {CANARY}\ndefaultSessionEnv: {{CLAUDE_FLAG: true}}\n",
         ('Aegis ignores the whole file: "defaultSessionEnv.CLAUDE_FLAG" must be a string '
         "(line 2, column 34: true or false without quotes, write it in quotes)")),
        ("defaultSessionEnv:\n  A:\n",
         ('Aegis ignores the whole file: "defaultSessionEnv.A" must be a string '
         "(line 2, column 5: nothing is written there)")),
        ("authToken: 12345\n",
         ('Aegis ignores the whole file: "authToken" must be a string '
         "(line 1, column 12: a number without quotes, write it in quotes)")),
        ("port: '9100'\n",
         'Aegis ignores the whole file: "port" must be a whole number (line 1, column 7)'),
        ("dashboardEnabled: yes\n",
         ('Aegis ignores the whole file: "dashboardEnabled" must be true or false '
         "(line 1, column 19)")),
        ("tgAllowedUsers: [1, .nan]\n",
         'Aegis ignores the whole file: "tgAllowedUsers.1" must be a number (line 1, column 21)'),
        ("tgAllowedUsers: [.inf]\n",
         'Aegis ignores the whole file: "tgAllowedUsers.0" is too large (line 1, column 18)'),
        ("defaultSessionEnv:\n",
         ('Aegis ignores the whole file: "defaultSessionEnv" must be an object '
         "(line 1, column 19)")),
        ("x: &e {A: 5}\ndefaultSessionEnv: *e\n",
         ('Aegis ignores the whole file: "defaultSessionEnv.A" must be a string '
         "(line 1, column 11: a number without quotes, write it in quotes)")),
        ("port: 1\nport: 2\n",
         "Aegis ignores the whole file: a key stands twice, in line 2, column 1"),
        ("defaultSessionEnv:\n  A: |\n    x\n",
         ("Aegis would fail every session over defaultSessionEnv.A: "
         "it holds a control character (U+000A) (line 2, column 6)")),
        ("tmuxSession: a b\n",
         ('Aegis crashes at its start: "tmuxSession" is a bad name: it holds a space, \'.\' or '
         "':', which tmux takes for something else (line 1, column 14)")),
        ("", "Aegis ignores the whole file: it is empty"),
        ("# nothing\n", "Aegis ignores the whole file: its root is no object"),
        ("- a\n", "Aegis ignores the whole file: its root is no object"),
        (f"a: {CANARY}\n  b: 1\n",
         ("this tool can't be sure how Aegis reads the file: a ':' that begins no entry here in "
         "line 2, column 4")),
        ("[Unit]\nA=B: c: d\n",
         "this tool can't be sure how Aegis reads the file: it is not YAML in line 2, column 1"),
    ],
)  # fmt: skip
def test_why_aegis_does_not_take_a_file_in_yaml(text: str, reason: str) -> None:
    found = in_yaml(text)
    assert isinstance(found, RejectedConfig)
    assert found.reasons == (reason,)


def test_yaml_may_begin_with_a_byte_order_mark_but_be_no_utf16() -> None:
    assert isinstance(in_yaml("\ufeffport: 1\n"), ConfigFile)
    found = parse_config("port: 1\n".encode("utf-16"), syntax=YAML)
    assert isinstance(found, RejectedConfig)
    assert "UTF-16" in found.reasons[0]
    assert isinstance(parse_config(b"\xff\xfeport: 1\n", syntax=YAML), ConfigFile)


def test_bytes_that_are_no_utf8_in_yaml() -> None:
    config = parse_config(b"x: \xff\n", syntax=YAML)
    assert isinstance(config, ConfigFile)
    assert not config.is_utf8
    assert config.root == {"x": "\ufffd"}
