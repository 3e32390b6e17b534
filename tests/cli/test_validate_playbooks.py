"""``validate PLAYBOOK``: a rollout is checked against the inventory, without SSH and secrets."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fleet.operator import CommandResult, Operator

GOOD = "- {hosts: a}\n- {hosts: 'all:!a', serial: 1}\n"


def validate(operator: Operator, playbook: str, *more: str) -> CommandResult:
    (operator.work / "rollout.yml").write_text(playbook, encoding="utf-8")
    return operator.call("validate", "rollout.yml", *more)


def document(result: CommandResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_a_right_playbook_is_counted(operator: Operator) -> None:
    result = validate(operator, GOOD)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "Valid: 3 hosts, 0 groups, 1 provider in use, 0 pins.\n"
        "rollout.yml: 2 plays, 3 batches, 3 hosts.\n"
    )


def test_several_playbooks_are_checked_in_one_go(operator: Operator) -> None:
    (operator.work / "other.yml").write_text("- {hosts: b}\n", encoding="utf-8")
    assert validate(operator, GOOD, "other.yml").out.endswith(
        "rollout.yml: 2 plays, 3 batches, 3 hosts.\nother.yml: 1 play, 1 batch, 1 host.\n"
    )
    (operator.work / "other.yml").write_text("- {hosts: nobody}\n", encoding="utf-8")
    result = validate(operator, "- {hosts: a, serial: 0}\n", "other.yml")
    assert (result.code, result.out) == (3, "")
    assert "rollout.yml:1:22: error" in result.err
    assert "other.yml:1:11: error" in result.err
    assert result.err.endswith("2 errors\n")


def test_errors_of_inventory_and_playbook_come_together(operator: Operator) -> None:
    operator.inventory("a", more="colour: red")
    result = validate(operator, "- {hosts: a, serial: 0}\n")
    assert result.code == 3
    assert 'none of our settings: "colour" (line' in result.err
    assert '"serial" is 0' in result.err


def test_a_restart_that_nobody_can_do_is_told_before_any_connection(operator: Operator) -> None:
    result = validate(operator, "- {hosts: all, restart: changed}\n")
    assert result.code == 3
    assert "(on 3 hosts: a, b, c)" in result.err
    operator.inventory("a", "b", "c", more="service: aegis")
    assert validate(operator, "- {hosts: all, restart: changed}\n").code == 0


def test_what_makes_no_sense_is_a_warning_beside_the_verdict(operator: Operator) -> None:
    result = validate(operator, "- {hosts: a, verify: {health: true}}\n")
    assert result.code == 0
    assert result.out.endswith("rollout.yml: 1 play, 1 batch, 1 host.\n")
    assert "this play restarts nothing" in result.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope.yml", "the playbook nope.yml does not exist"),
        ("leads.yml", "the playbook leads.yml leads nowhere"),
        (".", ". can't be read: Is a directory"),
        ("fifo", "fifo can't be read: it is not a regular file"),
    ],
)
def test_a_playbook_that_is_no_file_is_told(operator: Operator, name: str, words: str) -> None:
    (operator.work / "leads.yml").symlink_to("nowhere")
    os.mkfifo(operator.work / "fifo")
    result = operator.call("validate", name)
    assert (result.code, result.out) == (3, "")
    assert words in result.err


def test_the_document_shows_plays_and_batches(operator: Operator) -> None:
    result = validate(operator, GOOD, "--format", "json")
    assert result.code == 0
    found = document(result)
    assert (found["valid"], found["diagnostics"]) == (True, [])
    assert found["playbooks"] == [
        {
            "playbook": "rollout.yml",
            "plays": [
                {"name": "a", "batches": [["a"]]},
                {"name": "all:!a", "batches": [["b"], ["c"]]},
            ],
        }
    ]


@pytest.mark.parametrize("playbook", ["- {hosts: nobody}\n", "- {hosts: a, serial: 0}\n", "5"])
def test_the_document_of_a_wrong_playbook_says_so(operator: Operator, playbook: str) -> None:
    result = validate(operator, playbook, "--format", "json")
    assert (result.code, result.err) == (3, "")
    found = document(result)
    assert (found["valid"], found["hosts"]) == (False, 3)
    assert [item["file"] for item in found["diagnostics"]] == ["rollout.yml"]
