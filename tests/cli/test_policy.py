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
    both = operator.call("validate", "--policy", "policy.yml", "--policy", "any.yml")
    assert both.code == 3
    named = str(beside)
    assert operator.call("plan", environ={"AEGIS_PROVISION_POLICY": named}).code == 3
    # What only looks is held to nothing: an incident may begin with a policy that is broken.
    assert "the policy" not in operator.call("status").err
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
    held = operator.call("validate", "-i", "fleet")
    assert (held.code, held.err) == (0, "")
    (fleet / "policy.yml").rename(fleet / "policy.yaml")
    held = operator.call("validate", "-i", "fleet")
    assert (held.code, held.err) == (0, "")
    (fleet / "policy.yaml").write_text(NONE)
    assert "fleet/policy.yaml:1:" in operator.call("validate", "-i", "fleet").err
    (fleet / "policy.yaml").unlink()
    (fleet / "policy.yml").write_text(NONE)
    assert "fleet/policy.yml:1:" in operator.call("validate", "-i", "fleet").err
    several = operator.call("validate", "-i", "fleet/hosts.yml", "-i", "fleet")
    assert several.err.count("the policy (none) does not allow") == 1


def test_a_pin_that_breaks_the_policy_is_not_written(operator: Operator) -> None:
    inventory = operator.work / "inventory.yml"
    before = inventory.read_text()
    policy = operator.work / "policy.yml"
    policy.write_text("- pins: {reason: required, max_days: 30}\n- max_share: {ollama: 1}\n")
    refused = operator.call("pin", "a", "ollama", "--until", "31d")
    assert refused.code == 3
    assert "'aegis-provision pin a ollama --reason WHY'" in refused.err
    assert "within 30 days, and this one ends in 31" in refused.err
    assert "nothing was written" in refused.err
    assert inventory.read_text() == before
    flags = ["--until", "30d", "--reason", "a trial"]
    assert operator.call("pin", "a", "ollama", *flags).code == 0
    refused = operator.call("pin", "b", "ollama", *flags)
    assert "2 of 3 hosts (66 %) are on ollama, and the policy allows 1" in refused.err
    # What was too much before is no reason to refuse what makes it less.
    policy.write_text("- max_share: {ollama: 0}\n")
    assert operator.call("pin", "b", "ollama").code == 0
    unpinned = operator.call("unpin", "a")
    assert (unpinned.code, unpinned.err) == (0, "")
    # Back on its group's provider, a host may be one too many there.
    policy.write_text("- max_share: {openrouter: 2}\n")
    refused = operator.call("unpin", "b")
    assert "3 of 3 hosts (100 %) are on openrouter" in refused.err
    assert operator.call("unpin", "b", "--policy", "/dev/null").code == 3
