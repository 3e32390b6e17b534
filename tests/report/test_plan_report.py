"""How a plan reads: hosts with the same plan stand together, on one screen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
from aegis_provision.report.json_documents import as_text
from aegis_provision.report.plan_report import plan_document, plan_lines
from tests.report.fleets import FLEET, PINS, inventory, plans, written

CHANGES = (
    Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.CHANGED, None, None, sensitive=True),
    Change("ANTHROPIC_DEFAULT_MODEL", ChangeKind.ADDED, None, "glm-4.5", sensitive=False),
)


def plan_of(host: str, *, path: str = "/opt/aegis/aegis.config.json") -> HostPlan:
    return HostPlan(host, "glm", path, Action.UPDATE, CHANGES)


def text_of(*plans: HostPlan, width: int = 80, every_host: bool = False) -> list[str]:
    return [line.plain for line in plan_lines(plans, width=width, every_host=every_host)]


def test_hosts_that_differ_in_their_path_alone_stand_together() -> None:
    plans = [plan_of(f"n{number}", path=f"/srv/n{number}/a.json") for number in range(1, 6)]
    assert text_of(*plans)[:2] == ["~ update      5 hosts  [glm]  /srv/.../a.json", "    n[1:5]"]


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["/a/x.json", "/a/x.json"], "/a/x.json"),
        (["/a/x.json", "/b/x.json"], "/.../x.json"),
        (["/a/x.json", "/a/y.json"], "/a/..."),
        (["/a/x.json", "/a/b/x.json"], "/a/.../x.json"),
        (["x.json", "/a/x.json"], ".../x.json"),
        (["x.json", "y.json"], "..."),
    ],
)
def test_of_different_paths_the_common_parts_are_shown(paths: list[str], shown: str) -> None:
    plans = [plan_of(f"host-{at}", path=path) for at, path in enumerate(paths)]
    assert text_of(*plans)[0] == f"~ update      2 hosts  [glm]  {shown}"


def test_verbose_shows_every_path_and_name() -> None:
    plans = [plan_of(f"n{number}", path=f"/srv/n{number % 2}/a.json") for number in range(10)]
    lines = text_of(*plans, every_host=True)
    assert lines[0] == "~ update      5 hosts  [glm]  /srv/n0/a.json"
    assert lines[1] == "    n0, n2, n4, n6, n8"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", ["[glm (pin)]", "+ file.mode"]),
        (", pin_until: 2099-12-31", ["[glm (pin)]", "    pin until 2099-12-31"]),
        (", pin_reason: a trial", ["[glm (pin)]", "    pin: a trial"]),
        (
            ", pin_until: 2099-12-31, pin_reason: a trial",
            ["[glm (pin)]", "    pin until 2099-12-31: a trial"],
        ),
    ],
)
def test_a_pin_is_shown_with_its_end_and_its_reason(said: str, shown: list[str]) -> None:
    hosts = inventory(f"all: {{hosts: {{a: {{provider: glm{said}}}}}}}").hosts
    change = Change("file.mode", ChangeKind.ADDED, None, "0600", sensitive=False)
    plan = replace(plan_of("a"), changes=(change,), pin=pin_of(hosts["a"]))
    first, second = text_of(plan)[:2]
    assert shown[0] in first
    assert shown[1] in second


def test_hosts_that_are_pinned_for_another_reason_stand_apart() -> None:
    text = "all: {hosts: {a: {provider: glm}, b: {provider: glm, pin_reason: x}, c: }}"
    hosts = inventory(text).hosts
    made = [replace(plan_of(name), pin=pin_of(hosts[name])) for name in "abc"]
    assert [line[14] for line in text_of(*made) if line[0] == "~"] == ["a", "b", "c"]


def test_many_unchanged_names_are_abridged_and_counted() -> None:
    names = [f"{letter}-{number}" for letter in "abcdefghijkl" for number in range(5)]
    plans = [HostPlan(name, "glm", "/f", Action.UNCHANGED) for name in names]
    lines = text_of(*plans, width=200)
    assert lines[1].endswith("h-[0:4], and 20 more (-v names all)")
    assert "l-4" in "\n".join(text_of(*plans, every_host=True))


def test_different_changes_stand_apart() -> None:
    other = replace(plan_of("b"), changes=CHANGES[:1])
    assert text_of(plan_of("a"), other)[-1] == "Plan: 2 to update"
    assert [line[:16] for line in text_of(plan_of("a"), other) if line[0] == "~"] == [
        "~ update      a ",
        "~ update      b ",
    ]


def test_a_host_can_not_drive_the_terminal() -> None:
    wicked = replace(plan_of("a"), message="\x1b[2J\u202egone", warnings=("\x07",))
    assert not any(char in "\n".join(text_of(wicked)) for char in "\x1b\u202e\x07")


def test_a_huge_value_is_cut_and_measured() -> None:
    huge = Change("X", ChangeKind.CHANGED, "m" * 900_000, "small", sensitive=False)
    line = text_of(replace(plan_of("a"), changes=(huge,)))[1]
    assert line.endswith("mmm... (900000 characters) -> small")
    assert len(line) < 300


def test_json_does_not_drive_the_terminal_either_and_means_the_same() -> None:
    wicked = "\x1b[2J\u202egone \U000e0041 \x9b\x7f é 😀"
    change = Change("X", ChangeKind.CHANGED, wicked, "small", sensitive=False)
    content = plan_document([replace(plan_of("a"), changes=(change,))])
    text = as_text(content)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.isascii()
    assert "\\u00e9 \\ud83d\\ude00" in text
    assert json.loads(text) == content


def fits(made: list[HostPlan]) -> bool:
    lines = text_of(*made, width=100)
    unfolded = text_of(*made, width=100, every_host=True)
    for plan in made:
        assert all(any(change.key in line for line in lines) for change in plan.changes)
        assert any(plan.host in line for line in unfolded)
    return len(lines) <= 50


def test_two_hundred_hosts_with_eleven_pins_are_one_screen() -> None:
    first = plans()
    assert fits(first)
    without_pins = plans("\n".join(line for line in FLEET.split("\n") if ".com: {" not in line))
    later = plans(contents=written(without_pins))
    assert sum(plan.action is Action.UPDATE for plan in later) == PINS
    assert fits(later)
    assert fits(plans(contents=written(first)))


def test_where_all_fits_on_a_screen_each_change_has_its_line() -> None:
    assert "    + ANTHROPIC_DEFAULT_MODEL       glm-4.5" in text_of(plan_of("a"))
    crowd = [plan_of(f"{letter}-{'x' * at}") for at, letter in enumerate("abcdefghijklmnopqrst")]
    for at, plan in enumerate(crowd):
        crowd[at] = replace(plan, message=f"said of {at}")
    dense = text_of(*crowd)
    assert "    ~ ANTHROPIC_AUTH_TOKEN (secret) changed  + ANTHROPIC_DEFAULT_MODEL glm-4.5" in dense
    assert "    + ANTHROPIC_DEFAULT_MODEL       glm-4.5" in text_of(*crowd, every_host=True)


def test_warnings_that_several_plans_share_are_told_once_with_their_hosts() -> None:
    plans = [replace(plan_of(name), warnings=("look out",)) for name in ("a", "b", "d")]
    plans.insert(2, plan_of("c"))
    assert text_of(*plans)[:2] == ["~ update      4 hosts  [glm]  /opt/aegis/aegis.config.json",
                                   "    a, b, c, d"]  # fmt: skip
    assert text_of(*plans)[-3:] == ["warning: look out", "    a, b, d", "Plan: 4 to update"]


def test_a_warning_of_exactly_the_hosts_that_stand_together_stands_with_them() -> None:
    plans = [replace(plan_of(name), warnings=("look out",)) for name in ("a", "b")]
    lines = text_of(*plans, replace(plan_of("c"), changes=CHANGES[:1]))
    assert lines[4] == "    warning: look out"
    assert lines[-1] == "Plan: 3 to update"
