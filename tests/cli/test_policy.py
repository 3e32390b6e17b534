"""Which policy counts, and that a broken one stops a command before it connects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

NONE = "- {name: none, providers: []}\n"
ANY = "- max_share: 100%\n"


def test_the_policy_beside_the_inventory_counts_unless_another_is_named(operator: Operator) -> None:
    beside = operator.work / "policy.yml"
    (operator.work / "any.yml").write_text(ANY)
    beside.write_text(NONE)
    broken = operator.call("validate")
    assert (broken.code, broken.out) == (3, "")
    assert 'the policy (none) does not allow "openrouter" here (on 3 hosts: a, b, c)' in broken.err
    for command in (["plan"], ["apply", "--yes"]):
        refused = operator.call(*command)
        assert refused.code == 3
        assert "the policy (none) does not allow" in refused.err
    assert "defaultSessionEnv" not in operator.file_of("a").read_text()
    assert operator.call("validate", "--policy", "any.yml").code == 0
    sarif = json.loads(operator.call("validate", "--format", "sarif").out)
    [result] = sarif["runs"][0]["results"]
    assert result["ruleId"] == "policy-providers"
    assert result["relatedLocations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": "policy.yml",
        "uriBaseId": "%SRCROOT%",
    }
    beside.unlink()
    assert operator.call("validate", "--policy", "gone.yml").err == (
        "error: the policy gone.yml does not exist\n  = name another with --policy\n1 error\n"
    )
    beside.symlink_to("nowhere")
    assert "the policy policy.yml leads nowhere" in operator.call("validate").err


def test_the_policy_in_an_inventory_directory_is_no_inventory(operator: Operator) -> None:
    fleet = operator.work / "fleet"
    fleet.mkdir()
    (operator.work / "inventory.yml").rename(fleet / "hosts.yml")
    (fleet / "policy.yml").write_text(ANY)
    assert operator.call("validate", "-i", "fleet").code == 0
    (fleet / "policy.yml").write_text(NONE)
    assert "fleet/policy.yml:1:" in operator.call("validate", "-i", "fleet").err
    several = operator.call("validate", "-i", "fleet/hosts.yml", "-i", "fleet")
    assert several.err.count("the policy (none) does not allow") == 1
