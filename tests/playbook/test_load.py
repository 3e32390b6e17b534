"""Playbooks as an operator writes them, right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.load import load_playbook
from aegis_provision.playbook.plays import (
    Gates,
    OnFailure,
    Play,
    Playbook,
    Restart,
    Sessions,
    Verify,
)
from aegis_provision.report.diagnostics import diagnostics_lines
from tests.golden.compare import GOLDEN, assert_golden

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = sorted((GOLDEN / "playbook").glob("*.yml"))


def loaded(text: str) -> Playbook:
    book, found = load_playbook("rollout.yml", text.encode())
    assert book is not None
    assert found == ()
    return book


def only_play(text: str) -> Play:
    [play] = loaded(text).plays
    return play


def test_every_key_has_its_place() -> None:
    play = only_play(
        """\
- name: Everyone else
  hosts: all:!canary
  serial: [1, 10%, "2"]
  pause: 30s
  restart: changed
  verify: {health: true, probe: true, timeout: 2m, session: true, prompt: Say ok}
  on_failure: rollback
  max_fail: 5%
  sessions: refuse
  preflight: {probe: true}
"""
    )
    assert (play.name, play.hosts) == ("Everyone else", "all:!canary")
    assert play.serial == (
        HostCount(1, percent=False),
        HostCount(10, percent=True),
        HostCount(2, percent=False),
    )
    assert (play.pause, play.max_fail) == (30, HostCount(5, percent=True))
    assert play.gates == Gates(
        restart=Restart.CHANGED,
        verify=Verify(health=True, probe=True, timeout=120, session=True, prompt="Say ok"),
        on_failure=OnFailure.ROLLBACK,
        sessions=Sessions.REFUSE,
        probe_first=True,
    )
    places = (play.span, play.hosts_span, play.restart_span)
    assert [str(place) for place in places] == [
        "rollout.yml:1:3",
        "rollout.yml:2:10",
        "rollout.yml:5:12",
    ]


def test_a_play_that_only_names_its_hosts_has_the_defaults() -> None:
    play = only_play("[{hosts: canary}]")
    assert play.name == "canary"
    assert play.serial == (HostCount(100, percent=True),)
    assert (play.pause, play.max_fail) == (0, HostCount(0, percent=False))
    assert play.gates == Gates()


@pytest.mark.parametrize(
    ("written", "sessions", "wait"),
    [
        ("wait", Sessions.WAIT, 600),
        ("refuse", Sessions.REFUSE, 600),
        ("ignore", Sessions.IGNORE, 600),
        ("{wait: 2m}", Sessions.WAIT, 120),
        ("{wait: 90}", Sessions.WAIT, 90),
        ("{}", Sessions.WAIT, 600),
    ],
)
def test_sessions_are_a_word_or_how_long_to_wait(
    written: str, sessions: Sessions, wait: float
) -> None:
    gates = only_play(f"[{{hosts: all, sessions: {written}}}]").gates
    assert (gates.sessions, gates.sessions_wait) == (sessions, wait)


@pytest.mark.parametrize("written", ["30", "30s", '"30"', '"30s"'])
def test_seconds_may_be_bare(written: str) -> None:
    assert only_play(f"[{{hosts: all, pause: {written}}}]").pause == 30


def test_a_name_is_one_line() -> None:
    assert only_play('[{hosts: all, name: "Two\\n lines"}]').name == "Two lines"


def test_json_is_a_playbook_too() -> None:
    assert only_play('[{"hosts": "all", "serial": "25%"}]').serial == (HostCount(25, percent=True),)


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_errors_are_in_the_words_of_a_person(path: Path) -> None:
    _, found = load_playbook(path.name, path.read_bytes())
    result = "".join(f"{line.plain}\n" for line in diagnostics_lines(found))
    assert_golden(f"playbook/{path.stem}.txt", result)


def test_a_pasted_token_is_not_repeated() -> None:
    result = (GOLDEN / "playbook" / "pasted-token.txt").read_text(encoding="utf-8")
    assert result
    assert "REDACTME" not in result


def test_what_makes_no_sense_is_a_warning_and_the_playbook_stands() -> None:
    path = GOLDEN / "playbook" / "senseless.yml"
    book, found = load_playbook(path.name, path.read_bytes())
    assert book is not None
    assert {item.severity for item in found} == {Severity.WARNING}
    assert len(book.plays) == 5


SOUND = [
    "restart: changed",
    "restart: always",
    "verify: {probe: true}",
    "restart: changed\n  verify: {health: true}",
    "restart: never\n  verify: {probe: true}",
]
NOTHING_CAN_FAIL = [
    "name: x",
    "restart: never",
    "preflight: {probe: true}",
    "sessions: refuse",
]


@pytest.mark.parametrize("on_failure", ["on_failure: rollback", "on_failure: keep", "pause: 1s"])
@pytest.mark.parametrize("play", SOUND)
def test_a_play_in_which_something_can_fail_is_not_warned_of(play: str, on_failure: str) -> None:
    book, found = load_playbook("x.yml", f"- hosts: all\n  {on_failure}\n  {play}\n".encode())
    assert book is not None
    assert found == ()


@pytest.mark.parametrize("play", NOTHING_CAN_FAIL)
def test_a_rollback_that_waits_for_nothing_is_warned_of(play: str) -> None:
    text = f"- hosts: all\n  {play}\n  on_failure: rollback\n"
    book, found = load_playbook("x.yml", text.encode())
    assert book is not None
    assert [(item.code, str(item.span)) for item in found] == [("nothing-to-fail", "x.yml:3:15")]
    assert load_playbook("x.yml", text.replace("rollback", "keep").encode())[1] == ()
    assert load_playbook("x.yml", f"- hosts: all\n  {play}\n".encode())[1] == ()


def test_a_verify_that_asks_nothing_is_reported_as_that_alone() -> None:
    text = b"- hosts: all\n  verify: {health: false}\n  on_failure: rollback\n"
    assert [item.code for item in load_playbook("x.yml", text)[1]] == ["verifies-nothing"]


def test_with_errors_the_other_plays_are_still_there_to_find_more() -> None:
    book, found = load_playbook("x.yml", b"- hosts: all\n  serial: 0\n- hosts: canary\n- 5\n")
    assert book is not None
    assert [play.hosts for play in book.plays] == ["all", "canary"]
    assert len(found) == 2


YAML_VALUES: st.SearchStrategy[str] = st.sampled_from(
    ["0", "-1", "1.5", "true", "null", "''", "[]", "{}", "[[]]", "{wait: []}", "x", "5%", "~", "'"]
)
KEYS = st.sampled_from(
    [
        *("name", "hosts", "serial", "pause", "restart", "verify", "on_failure", "max_fail"),
        *("sessions", "preflight", "tasks", "5", "<<"),
    ]
)


@given(st.dictionaries(KEYS, YAML_VALUES, max_size=4))
def test_no_value_under_any_key_is_too_strange_to_be_reported(play: dict[str, str]) -> None:
    text = "- " + "\n  ".join(f"{key}: {value}" for key, value in play.items())
    book, found = load_playbook("x.yml", text.encode())
    assert book is not None or found
    assert diagnostics_lines(found) or not found


@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange_to_be_reported(data: bytes) -> None:
    book, found = load_playbook("x.yml", data)
    assert book is not None or found
