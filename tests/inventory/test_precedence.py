"""Which setting wins, what a provider brings along, and what is ambiguous."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.host import OVERRIDE_KEYS, Host, Inventory, Target
from aegis_provision.inventory.load import load_inventory

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic

Loaded = tuple[Inventory | None, tuple["Diagnostic", ...]]


def load(*files: tuple[str, str, str, int]) -> Loaded:
    return load_inventory(
        [
            InputFile(kind, subject, f"{kind}-{subject}-{rank}", text.encode(), rank)  # type: ignore[arg-type]
            for kind, subject, text, rank in files
        ]
    )


def one(text: str) -> Loaded:
    return load(("inventory", "", text, 0))


def host(loaded: Loaded, name: str = "h") -> Host:
    inventory, diagnostics = loaded
    assert [item.message for item in diagnostics if item.severity.value == "error"] == []
    assert inventory is not None
    return inventory.hosts[name]


def codes(loaded: Loaded) -> list[str]:
    return [item.code for item in loaded[1]]


LEVELS: list[tuple[str, str, str, int]] = [
    ("inventory", "", "all: {vars: {user: u0}}", 0),
    ("group_vars", "all", "user: u1", 0),
    ("inventory", "", "all: {vars: {user: u2}}", 1),
    ("group_vars", "all", "user: u3", 1),
    ("inventory", "", "upper: {vars: {user: u4}}", 0),
    ("group_vars", "upper", "user: u5", 0),
    ("inventory", "", "lower: {vars: {user: u6}}", 0),
    ("group_vars", "lower", "user: u7", 0),
    ("inventory", "", "lower: {hosts: {h: {user: u8}}}", 0),
    ("host_vars", "h", "user: u9", 0),
    ("inventory", "", "lower: {hosts: {h: {user: u10}}}", 1),
    ("host_vars", "h", "user: u11", 1),
]
FRAME = ("inventory", "",
         "all: {vars: {provider: glm}}\nupper: {children: {lower: {hosts: {h: }}}}", 0)  # fmt: skip


@given(st.sets(st.sampled_from(range(len(LEVELS))), min_size=1), st.randoms())
def test_the_nearest_wins_and_then_the_later_file(places: set[int], random: Any) -> None:
    chosen = [LEVELS[place] for place in places]
    random.shuffle(chosen)
    user = host(load(FRAME, *chosen)).settings["user"]
    assert user.value == f"u{max(places)}"
    assert [item.value for item in user.overrode] == [
        f"u{place}" for place in sorted(places - {max(places)}, reverse=True)
    ]


GROUPS = {
    "a": {"hosts": {"h": None, "i": None}, "vars": {"user": "x", "env": {"A": "1"}}},
    "b": {"hosts": {"h": {"port": 1}}, "vars": {"env": {"B": "2"}}},
    "c": {"children": {"a": None}, "vars": {"user": "far", "service": "s"}},
    "d": {"hosts": {"i": None}, "vars": {"identity_file": "/k"}},
    "all": {"vars": {"provider": "glm", "port": 2}},
}


@settings(max_examples=30)
@given(st.permutations(sorted(GROUPS)))
def test_the_order_of_declarations_does_not_matter(order: list[str]) -> None:
    loaded = one(json.dumps({name: GROUPS[name] for name in order}))
    for name, port in (("h", 1), ("i", 2)):
        found = host(loaded, name)
        values = {key: item.value for key, item in found.settings.items()}
        assert values["user"] == "x"
        assert values["port"] == port
        assert values["service"] == "s"
        assert found.env["A"].value == "1"
        assert set(found.groups) == ({"a", "b", "c"} if name == "h" else {"a", "c", "d"})


def test_env_merges_name_by_name() -> None:
    loaded = one(
        "all: {vars: {provider: glm, env: {A: far, B: far}}}\n"
        "g: {vars: {env: {B: mid, C: mid}}, hosts: {h: {env: {C: near}}}}"
    )
    env = {name: item.value for name, item in host(loaded).env.items()}
    assert env == {"A": "far", "B": "mid", "C": "near"}


ENV_PLACES = (
    "all: {vars: {env: {A: VALUE}}}",
    "upper: {vars: {env: {A: VALUE}}}",
    "lower: {vars: {env: {A: VALUE}}}",
    "lower: {hosts: {h: {env: {A: VALUE}}}}",
)


@given(st.lists(st.sampled_from(["null", "one", "two", None]), min_size=4, max_size=4))
def test_a_null_wins_and_loses_as_a_value_does(values: list[str | None]) -> None:
    said = [(place, value) for place, value in enumerate(values) if value is not None]
    files = [
        ("inventory", "", ENV_PLACES[place].replace("VALUE", value), place) for place, value in said
    ]
    env = host(load(FRAME, *files)).env
    assert list(env) == (["A"] if said else [])
    if said:
        wanted = [None if value == "null" else value for _, value in reversed(said)]
        assert [env["A"].value, *(item.value for item in env["A"].overrode)] == wanted


@pytest.mark.parametrize("written", ["", "~", "Null", "NULL"])
def test_only_the_written_word_null_removes_a_variable(written: str) -> None:
    for text in (
        f"all: {{hosts: {{h: {{provider: glm, env: {{A: {written}}}}}}}}}",
        f"all: {{vars: {{provider: glm, env: {{A: {written}}}}}, hosts: {{h: }}}}",
    ):
        (found,) = one(text)[1]
        assert (found.code, found.message) == (
            "wrong-type",
            '"A" must be a string, and this is empty',
        )
        assert "'null', written out, removes the variable" in found.hint
    quoted = host(one("all: {hosts: {h: {provider: glm, env: {A: 'null', B: null}}}}"))
    assert {name: item.value for name, item in quoted.env.items()} == {"A": "null", "B": None}


def test_unrelated_groups_that_disagree_about_a_null_are_ambiguous() -> None:
    text = (
        "all: {vars: {provider: glm}}\n"
        "a: {vars: {env: {A: null}}, hosts: {h: }}\nb: {vars: {env: {A: OTHER}}, hosts: {h: }}"
    )
    assert codes(one(text.replace("OTHER", "x"))) == ["ambiguous-groups"]
    assert host(one(text.replace("OTHER", "null"))).env["A"].value is None
    twice = "all: {vars: {provider: glm}, hosts: {'h[1:2]': {env: {A: x}}, h2: {env: {A: null}}}}"
    assert "set-twice" in codes(one(twice))


def test_files_of_variables_and_scripts_remove_variables_too() -> None:
    for kind, subject in (("group_vars", "lower"), ("host_vars", "h")):
        assert host(load(FRAME, (kind, subject, "env: {A: null}", 0))).env["A"].value is None
    printed = {
        "lower": {"hosts": ["h"]},
        "_meta": {"hostvars": {"h": {"aegis": {"provider": "glm", "env": {"A": None}}}}},
    }
    text = json.dumps(printed).encode()
    script = InputFile("inventory", "", "fleet.sh", text, 0, printed=True)
    assert host(load_inventory([script])).env["A"].value is None


def test_unrelated_groups_that_differ_show_both_places() -> None:
    loaded = one(
        "a: {vars: {port: 1}, hosts: {h: {provider: glm}}}\nb: {vars: {port: 2}, hosts: {h: }}"
    )
    assert codes(loaded) == ["ambiguous-groups"]
    (found,) = loaded[1]
    assert found.hosts == ("h",)
    assert {str(found.span).partition(":")[2], str(found.related[0].span).partition(":")[2]} == {
        "1:18", "2:18",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a: {vars: {port: 1}, hosts: {h: }}\nb: {vars: {port: 1}, hosts: {h: }}",
        "a: {vars: {port: 1}, hosts: {h: {port: 3}}}\nb: {vars: {port: 2}, hosts: {h: }}",
        "a: {vars: {port: 1}, children: {b: {vars: {port: 2}, hosts: {h: }}}, hosts: {h: }}",
        "a: {vars: {port: 1}, hosts: {h: }}\nb: {vars: {port: 2}, hosts: {i: }}",
    ],
)
def test_groups_without_conflict(text: str) -> None:
    loaded = one("all: {vars: {provider: glm}}\n" + text)
    assert codes(loaded) == [] or codes(loaded) == ["same-file"]
    host(loaded)


@pytest.mark.parametrize("key", OVERRIDE_KEYS)
@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("all: {vars: {provider: glm, KEY}, hosts: {h: }}", True),
        ("all: {vars: {provider: glm}, hosts: {h: {KEY}}}", True),
        ("all: {vars: {provider: glm}}\ng: {vars: {KEY}, hosts: {h: }}", True),
        ("all: {vars: {KEY}, hosts: {h: {provider: glm}}}", False),
        ("all: {vars: {provider: ollama, KEY}, hosts: {h: {provider: glm}}}", False),
        ("all: {vars: {KEY}}\ng: {vars: {provider: glm}, hosts: {h: }}", False),
        ("a: {vars: {provider: glm}, hosts: {h: }}\nb: {vars: {provider: glm, KEY}, hosts: {h: }}",
         True),
    ],
)  # fmt: skip
def test_a_provider_brings_its_own_values(key: str, text: str, *, counts: bool) -> None:
    found = host(one(text.replace("KEY", f"{key}: '5'")))
    assert (key in found.overrides) is counts
    assert [item.key for item in found.ignored] == ([] if counts else [key])


def test_an_override_of_an_unrelated_group_is_ambiguous() -> None:
    loaded = one("a: {vars: {provider: glm}, hosts: {h: }}\nb: {vars: {model: m}, hosts: {h: }}")
    assert codes(loaded) == ["ambiguous-override"]


def test_a_pin_inside_a_range() -> None:
    inventory, diagnostics = one(
        "all: {vars: {provider: ollama}, hosts: {'w[1:3]': {user: u}, w2: {provider: glm}}}"
    )
    assert diagnostics == ()
    assert inventory is not None
    assert [item.pinned for item in inventory.hosts.values()] == [False, True, False]
    assert {item.target.user for item in inventory.hosts.values()} == {"u"}
    assert list(inventory.hosts) == ["w1", "w2", "w3"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("all: {hosts: {'w[1:3]': {port: 1}, w2: {port: 2}}}", "set-twice"),
        ("all: {hosts: {'w[1:3]': , 'w[3:4]': }}", "overlapping-ranges"),
        ("a: {children: {b: {children: {a: }}}, hosts: {w: }}", "group-cycle"),
        ("a: {children: {all: }, hosts: {w: }}", "group-cycle"),
        ("all: {hosts: {'w[2:1]': }}", "bad-range"),
        ("all: {hosts: {1: }}", "wrong-type"),
        ("all: {hosts: {all: }}", "bad-name"),
        ("all: {hosts: }", "no-hosts"),
        ("", "empty-file"),
        ("all: {hosts: {w: {user: -l}}}", "bad-value"),
        ("all: {hosts: {w: {become_user: x}}}", "relative-path"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    found = codes(one(text))
    assert [item for item in found if item not in {"no-provider", "same-file"}] == [code]


def test_the_path_that_aegis_reads_is_no_relative_one() -> None:
    assert codes(one("all: {hosts: {w: {become_user: x, config_path: auto}}}")) == ["no-provider"]


@pytest.mark.parametrize(("api", "same"), [("9200", False), ("9100", True)])
def test_each_server_at_one_address_reads_a_file_of_its_own(api: str, same: bool) -> None:
    hosts = f"a: {{api: '127.0.0.1:9100'}}, b: {{api: '127.0.0.1:{api}'}}"
    text = f"all: {{vars: {{config_path: auto, address: x}}, hosts: {{{hosts}}}}}"
    assert ("same-file" in codes(one(text))) is same


def test_ranges_may_overlap_across_inventories_and_groups() -> None:
    first = ("inventory", "", "g: {hosts: {'w[1:3]': {provider: glm}}}", 0)
    later = ("inventory", "", "g: {hosts: {'w[2:4]': {provider: ollama}}}", 1)
    inventory, diagnostics = load(first, later)
    assert diagnostics == ()
    assert inventory is not None
    assert [str(item.provider.value) for item in inventory.hosts.values() if item.provider] == [
        "glm", "ollama", "ollama", "ollama",
    ]  # fmt: skip


def test_ranges_that_overlap_in_two_files_of_one_inventory() -> None:
    text = "g: {hosts: {'w[1:3]': {provider: glm}}}"
    assert codes(load(("inventory", "", text, 0), ("inventory", "", text, 0))) == [
        "overlapping-ranges"
    ]


@pytest.mark.slow
def test_all_hosts_together_are_bounded() -> None:
    ranges = ", ".join(f"'w{number}-[1:100000]': " for number in range(6))
    assert (
        codes(one(f"all: {{vars: {{provider: glm}}, children: {{a: {{hosts: {{{ranges}}}}}}}}}"))[0]
        == "too-many-hosts"
    )


@pytest.mark.parametrize(
    "body",
    [
        "[provider, glm]",
        "glm",
        "{provider: 4}",
        "{provider: }",
        "{providr: glm}",
        "{provider: [glm]}",
    ],
)
def test_no_host_lacks_a_provider_that_is_only_misspelt(body: str) -> None:
    assert "no-provider" not in codes(one(f"all: {{vars: {body}, hosts: {{h: }}}}"))


def test_nothing_is_reported_missing_beside_an_unreadable_file() -> None:
    files = [("inventory", "", "all: {hosts: {h: }}", 0), ("group_vars", "all", "provider: [", 0)]
    assert codes(load(*files)) == ["unfinished"]


def test_hosts_without_a_provider_are_one_error() -> None:
    loaded = one("all: {hosts: {'w[1:9]': }}\ng: {vars: {port: 1}, hosts: {x: {provider: glm}}}")
    assert codes(loaded) == ["no-provider"]
    assert len(loaded[1][0].hosts) == 9


@pytest.mark.parametrize("kind", ["group_vars", "host_vars"])
def test_variables_of_no_host_or_group_are_a_warning(kind: str) -> None:
    loaded = load(
        ("inventory", "", "all: {hosts: {h: {provider: glm}}}", 0), (kind, "x", "port: 1", 0)
    )
    assert codes(loaded) == ["unused-variables"]


def _chain(levels: int) -> str:
    links = "".join(f"g{at}: {{children: {{g{at + 1}: }}}}\n" for at in range(levels))
    return f"all: {{vars: {{provider: glm}}}}\n{links}g{levels}: {{hosts: {{h: }}}}\n"


def test_groups_may_lie_a_hundred_levels_deep_in_each_other() -> None:
    loaded = one(_chain(100))
    assert host(loaded).groups == tuple(f"g{at}" for at in range(101))
    inventory, diagnostics = one(_chain(101))
    assert inventory is None
    assert [(item.code, str(item.span)) for item in diagnostics] == [
        ("too-deep", "inventory--0:102:19")
    ]
    assert diagnostics[0].message == "groups lie more than 100 levels deep in each other"


def test_the_longest_way_down_counts() -> None:
    short_cut = _chain(101) + "a: {children: {g90: , g101: }}\n"
    assert codes(one(short_cut)) == ["too-deep"]
    beside = _chain(99) + "a: {children: {g0: , g50: , g99: }}\nb: {children: {g99: }}\n"
    assert codes(one(beside)) == []


def test_a_long_way_round_is_shown_in_part() -> None:
    links = "".join(f"g{at}: {{children: {{g{(at + 1) % 300}: }}}}\n" for at in range(300))
    inventory, (found,) = one(f"all: {{hosts: {{h: {{provider: glm}}}}}}\n{links}")
    assert inventory is None
    way = " > ".join(f"g{at}" for at in range(20))
    assert found.message == f"a group is inside of itself: {way} > and 281 more"
    assert len(found.related) == 20


@pytest.mark.slow
def test_suggestions_for_unused_files_are_bounded() -> None:
    hosts = "".join(f"  h{at}: {{provider: glm}}\n" for at in range(10_000))
    files = [("host_vars", f"hh{at}", "port: 22", 1) for at in range(11)]
    _, diagnostics = load(("inventory", "", f"all:\n hosts:\n{hosts}", 0), *files)
    assert [(item.code, bool(item.hint)) for item in diagnostics] == [
        *[("unused-variables", True)] * 10,
        ("unused-variables", False),
    ]


def test_hosts_with_the_same_settings_have_the_same_target_but_for_their_own_names() -> None:
    text = (
        "all: {vars: {port: 22, user: u, connection: ssh, identity_file: /k, jump: b, become: true,"
        " become_user: a, become_method: doas, sftp_server_path: /s/s, site: eu, provider: glm,"
        " trust_directory: true, config_path: /c/c.json, read_via: explicit},"
        " hosts: {a: , b: }}"
    )
    loaded = one(text)
    first, second = host(loaded, "a").target, host(loaded, "b").target
    names = {field.name for field in fields(Target)} - {"host", "address", "connection"}
    defaults = host(one("all: {vars: {provider: glm}, hosts: {h: }}")).target
    for name in names:
        assert getattr(first, name) == getattr(second, name) != getattr(defaults, name), name
    assert (second.host, second.address) == ("b", "b")


@pytest.mark.parametrize(
    ("others", "same"),
    [
        ("{jump: b2}", False), ("{jump: none}", False), ("{site: eu}", False), ("{jump: b1}", True),
        ("{connection: local}", False),
    ],
)  # fmt: skip
def test_behind_another_bastion_an_address_is_another_host(others: str, same: bool) -> None:
    hosts = f"a: {{jump: b1}}, b: {others}"
    text = f"all: {{vars: {{address: 10.0.0.1}}, hosts: {{{hosts}}}}}"
    assert ("same-file" in codes(one(text))) is same
