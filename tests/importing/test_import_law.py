"""What ``import`` writes, planned with, changes nothing; on random fleets."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, event, given, settings

from tests.importing.fleets import ENVIRONMENTS, KEYS, OPERATORS, OWN_RECIPES, Fleet

NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)
GROUPS = ("web", "gpu", "all")


def staged(
    directory: Path, fleet: list[dict[str, str] | None], environ: dict[str, str], own: str
) -> Fleet:
    found = Fleet(directory, environ)
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for number, values in enumerate(fleet):
        found.furnish(f"h{number}", values)
        groups[GROUPS[number % 3]].append(found.entry(f"h{number}"))
    hosts = {name: "\n".join(f"        {line}" for line in lines) for name, lines in groups.items()}
    (directory / "hosts.yml").write_text(
        f"{own}all:\n  hosts:\n{hosts['all']}\n  children:\n"
        f"    web:\n      vars: {{service: aegis}}\n      hosts:\n{hosts['web']}\n"
        f"    gpu:\n      hosts:\n{hosts['gpu']}\n"
    )
    return found


def exported(fleet: list[dict[str, str] | None], document: dict[str, Any]) -> dict[str, str]:
    """Return what an operator exports who does what the summary says."""
    variables = {}
    for item in document["variables"]:
        if not item["set"]:
            [value] = {(fleet[int(host[1:])] or {})[item["holds"]] for host in item["hosts"]}
            variables[item["name"]] = value
    return variables


@pytest.mark.slow
@given(ENVIRONMENTS, OPERATORS, OWN_RECIPES)
@settings(
    deadline=None, phases=NO_SHRINK, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
def test_planning_with_what_was_imported_changes_nothing(
    fleet: list[dict[str, str] | None], environ: dict[str, str], own: str
) -> None:
    with TemporaryDirectory() as directory:
        operator = staged(Path(directory), fleet, environ, own)
        completed = operator.call(
            "import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json"
        )
        assert completed.code in {0, 4}, completed.err
        assert len(completed.json["hosts"]) == len(fleet)
        ends = {item["host"]: item for item in completed.json["hosts"]}
        imported = [name for name, end in ends.items() if end["result"] == "imported"]
        event(f"{len(imported)} of {len(fleet)} imported")
        if not imported:
            assert not (operator.directory / "out.yml").exists()
            return
        text = (operator.directory / "out.yml").read_text(encoding="utf-8")
        variables = exported(fleet, completed.json)
        # (What is no secret on another host may stand there, and "0" stands everywhere.)
        given = "".join(value for values in fleet for value in (values or {}).values())
        secret = [value for value in variables.values() if given.count(value) == 1]
        assert not [value for value in secret if len(value) > 5 and value in text]
        plan = operator.call("plan", "-i", "out.yml", "--format", "json", environ=variables)
        assert plan.code == 0, plan.err + text
        assert {item["host"]: item["action"] for item in plan.json["hosts"]} == dict.fromkeys(
            imported, "unchanged"
        )
        assert not any("is ignored" in words for item in plan.json["hosts"] for words in
                       item["warnings"])  # fmt: skip
        # All that may be managed is: an operator who rotates a value there sees a change.
        for name in imported:
            values = fleet[int(name[1:])] or {}
            managed = set(values) - set(ends[name]["unmanaged"])
            rendered = operator.call("render", name, "-i", "out.yml", "--reveal", environ=variables)
            got = json.loads(rendered.out)["defaultSessionEnv"]
            assert got == {key: values[key] for key in managed}
        # Taken over once more with the variables set, it comes out the same.
        again = operator.call(
            "import", "-i", "hosts.yml", "--out", "again.yml", "--format", "json", environ=variables
        )
        assert (operator.directory / "again.yml").read_text(encoding="utf-8") == text
        assert all(item["set"] for item in again.json["variables"])
        assert yaml.safe_load(text) is not None


@given(ENVIRONMENTS, OPERATORS)
@settings(
    deadline=None, phases=NO_SHRINK, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
def test_a_host_is_left_out_only_for_a_reason_that_plan_has_too(
    fleet: list[dict[str, str] | None], environ: dict[str, str]
) -> None:
    """Something is missing, or it is a value that an inventory may not hold."""
    with TemporaryDirectory() as directory:
        operator = staged(Path(directory), fleet, environ, "")
        completed = operator.call(
            "import", "-i", "hosts.yml", "--out", "out.yml", "--format", "json"
        )
        for end in completed.json["hosts"]:
            values = fleet[int(end["host"][1:])]
            if end["result"] == "left_out":
                assert end["message"]
                message = end["message"]
                named = values is None or "Aegis would fail every session" in message
                named |= any(not (values or {}).get(key) or f"{key} " in message for key in KEYS)
                assert named, end["message"]
                assert not any(
                    value in end["message"] for value in (values or {}).values() if len(value) > 8
                )
