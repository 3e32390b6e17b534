"""``pin`` and ``unpin``: which file is edited, what becomes of it, and what is refused."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import RefusedError
from aegis_provision.files.atomic import Replacement, replace_files
from tests.schemas import check_document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.operator import Operator

INVENTORY = """\
# The fleet.
all:
  vars: {provider: openrouter}
  children:
    gpu:
      vars: {provider: ollama, model: "qwen2.5-coder:32b"}   # big
      hosts:
        gpu-[01:03]:
        gpu-04: {provider: glm, model: glm-4.5}   # by hand
    eu:
      hosts:
        eu-01:
        eu-02: {port: 2222}
        eu-03:
          port: 2222
"""


@pytest.fixture
def fleet(operator: Operator) -> Operator:
    """An operator with the inventory above."""
    (operator.work / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    return operator


def text(operator: Operator, name: str = "inventory.yml") -> str:
    return (operator.work / name).read_text(encoding="utf-8")


def _script(operator: Operator, variables: str) -> None:
    script = operator.work / "hosts.sh"
    hosts = json.dumps(list(json.loads(variables)))
    listed = f'{{"all": {{"hosts": {hosts}}}, "_meta": {{"hostvars": {variables}}}}}'
    script.write_text(f"#!/bin/sh\necho '{listed}'\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("host", "before", "after"),
    [
        (
            "gpu-02",
            "        gpu-[01:03]:\n",
            "        gpu-[01:03]:\n        gpu-02: {provider: glm}\n",
        ),
        ("eu-01", "        eu-01:\n", "        eu-01:\n          provider: glm\n"),
        ("eu-02", "{port: 2222}\n", "{port: 2222, provider: glm}\n"),
        ("eu-03", "          port: 2222\n", "          port: 2222\n          provider: glm\n"),
    ],
)
def test_the_edit_is_the_pin_and_nothing_else(
    fleet: Operator, host: str, before: str, after: str
) -> None:
    assert fleet.call("pin", host, "glm").code == 0
    assert text(fleet) == INVENTORY.replace(before, after)
    assert fleet.call("hosts", "provider=glm").out.count(host) == 1
    assert fleet.call("unpin", host).code == 0
    assert text(fleet) == INVENTORY


def test_unpin_takes_a_pin_of_version_0_1_0_and_leaves_an_empty_entry(fleet: Operator) -> None:
    """That version kept what an entry held before in the number of blanks inside the braces."""
    old = INVENTORY.replace("eu-01:\n", "eu-01: {  provider: glm  }\n").replace(
        "        gpu-[01:03]:\n", "        gpu-[01:03]:\n        gpu-02: {      provider: glm}\n"
    )
    (fleet.work / "inventory.yml").write_text(old)
    assert fleet.call("unpin", "gpu-02:eu-01").code == 0
    assert text(fleet) == old.replace("{  provider: glm  }", "{}").replace(
        "{      provider: glm}", "{}"
    )


def test_what_a_pin_replaces_stands_in_it(fleet: Operator) -> None:
    old = INVENTORY.replace("eu-01:\n", "eu-01: null   # as it was\n")
    (fleet.work / "inventory.yml").write_text(old)
    result = fleet.call("pin", "eu-01", "glm")
    assert "+        eu-01: {provider: glm, pin_replaces: null}   # as it was\n" in result.out
    assert fleet.call("pin", "eu-01", "ollama", "--model", "m").code == 0
    assert "eu-01: {provider: ollama, pin_replaces: null, model: m}" in text(fleet)
    assert fleet.call("unpin", "eu-01").code == 0
    assert text(fleet) == old


def test_a_pin_holds_its_values_in_order(fleet: Operator) -> None:
    result = fleet.call(
        *("pin", "eu-01", "glm", "--reason", "to compare", "--until", "2099-12-31"),
        *("--timeout-ms", "9000", "--fast-model", "glm-4.5-air", "--model", "a:b"),
        *("--auth-token", "${GLM_API_KEY}", "--base-url", "https://llm.example.com/v1"),
    )
    assert result.code == 0, result.err
    assert (
        "        eu-01:\n"
        "          provider: glm\n"
        "          base_url: https://llm.example.com/v1\n"
        "          auth_token: ${GLM_API_KEY}\n"
        '          model: "a:b"\n'
        "          fast_model: glm-4.5-air\n"
        "          timeout_ms: 9000\n"
        "          pin_until: 2099-12-31\n"
        '          pin_reason: "to compare"\n'
        "        eu-02:"
    ) in text(fleet)


def test_several_hosts_are_pinned_by_pattern(fleet: Operator) -> None:
    result = fleet.call("pin", "gpu[0:1]:eu-0?:!eu-02", "glm")
    assert result.code == 0
    assert result.out.endswith("pinned to glm: gpu-01, gpu-02, eu-01, eu-03\n")
    assert "gpu-01: {provider: glm}\n        gpu-02: {provider: glm}\n" in text(fleet)
    fleet.call("unpin", "all:!gpu-04")
    assert text(fleet) == INVENTORY


def test_a_dry_run_shows_the_same_diff_and_writes_nothing(fleet: Operator) -> None:
    shown = fleet.call("pin", "eu", "glm", "--dry-run")
    assert text(fleet) == INVENTORY
    assert shown.out == fleet.call("pin", "eu", "glm").out + "Dry run: nothing was written.\n"


def test_pinning_again_to_the_same_provider_keeps_what_is_not_named(fleet: Operator) -> None:
    assert fleet.call("pin", "gpu-04", "glm", "--reason", "still").code == 0
    assert "{provider: glm, model: glm-4.5, pin_reason: still}   # by hand\n" in text(fleet)


def test_pinning_to_another_provider_drops_the_values_of_the_first(fleet: Operator) -> None:
    assert fleet.call("pin", "gpu-04", "ollama", "--fast-model", "x").code == 0
    assert "gpu-04: {provider: ollama, fast_model: x}   # by hand\n" in text(fleet)


def test_a_pin_that_is_there_already_is_left_alone(fleet: Operator) -> None:
    result = fleet.call("pin", "gpu-04", "glm", "--model", "glm-4.5")
    assert (result.code, result.out) == (0, "pinned to glm already: gpu-04\n")
    assert text(fleet) == INVENTORY


def test_a_host_without_a_pin_is_left_alone(fleet: Operator) -> None:
    result = fleet.call("unpin", "eu-01")
    assert (result.code, result.out) == (0, "not pinned: eu-01\n")
    assert text(fleet) == INVENTORY


def test_the_last_inventory_that_knows_the_host_is_edited(fleet: Operator) -> None:
    (fleet.work / "second.yml").write_text("eu: {hosts: {eu-01: {port: 2223}}}\n")
    both = ("-i", "inventory.yml", "-i", "second.yml")
    assert fleet.call("pin", "eu-01:eu-02", "glm", *both).code == 0
    assert text(fleet, "second.yml") == "eu: {hosts: {eu-01: {port: 2223, provider: glm}}}\n"
    assert "eu-02: {port: 2222, provider: glm}" in text(fleet)


def test_host_vars_are_edited_where_the_settings_are(fleet: Operator) -> None:
    variables = fleet.work / "host_vars" / "eu-01.yml"
    variables.parent.mkdir()
    variables.write_text("# eu\nport: 2222")
    assert fleet.call("pin", "eu-01", "glm").code == 0
    assert variables.read_text() == "# eu\nport: 2222\nprovider: glm"
    assert text(fleet) == INVENTORY
    assert fleet.call("unpin", "eu-01").code == 0
    assert variables.read_text() == "# eu\nport: 2222"


def test_a_pin_in_two_files_is_taken_from_both(fleet: Operator) -> None:
    variables = fleet.work / "host_vars" / "gpu-04.yml"
    variables.parent.mkdir()
    variables.write_text("provider: ollama\n")
    result = fleet.call("unpin", "gpu-04")
    assert result.code == 0
    assert "host_vars/gpu-04.yml:1:1: note: the host was pinned in 2 places" in result.err
    assert "inventory.yml:9:9: also here" in result.err
    assert variables.read_text() == ""
    assert "gpu-04: {}   # by hand" in text(fleet)


def test_what_the_host_says_itself_can_not_be_pinned(fleet: Operator) -> None:
    own = INVENTORY.replace("{port: 2222}", "{model: own}")
    (fleet.work / "inventory.yml").write_text(own)
    result = fleet.call("pin", "eu-02", "glm", "--model", "glm-4.5")
    assert result.code == 3
    assert 'inventory.yml:13:24: error: "model" is set here by the host itself' in result.err
    assert text(fleet) == own


def test_a_hosts_own_settings_stay_with_a_note(fleet: Operator) -> None:
    own = INVENTORY.replace("{port: 2222}", "{model: own}")
    (fleet.work / "inventory.yml").write_text(own)
    result = fleet.call("pin", "eu-02", "glm")
    assert 'note: "model" is set here by the host itself, and counts with glm too' in result.err
    assert "eu-02: {model: own, provider: glm}" in text(fleet)
    result = fleet.call("unpin", "eu-02")
    assert 'note: "model" stands before the provider' in result.err
    assert text(fleet) == own


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ("{h: &x {port: 22}, i: *x}", "can't be edited in place without changing something else"),
        ("{h: &x {port: 22}, i: {<<: *x}}", "without changing something else"),
    ],
)
def test_an_edit_that_would_change_another_host_is_refused(
    fleet: Operator, hosts: str, words: str
) -> None:
    before = f"all: {{vars: {{provider: openrouter}}, hosts: {hosts}}}\n"
    (fleet.work / "inventory.yml").write_text(before)
    result = fleet.call("pin", "h", "glm")
    assert result.code == 3
    assert words in result.err
    assert "make this edit by hand" in result.err
    assert text(fleet) == before


def test_settings_that_are_an_alias_are_not_edited(fleet: Operator) -> None:
    before = "all: {vars: {provider: openrouter}, hosts: {h: &x {port: 22}, i: *x}}\n"
    (fleet.work / "inventory.yml").write_text(before)
    result = fleet.call("pin", "i", "glm")
    assert result.code == 3
    assert "inventory.yml:1:63: error: the settings of this host are an alias, *x" in result.err


def test_a_provider_by_a_merge_key_stays_with_an_error(fleet: Operator) -> None:
    before = "all: {hosts: {h: &x {provider: glm}, i: {<<: *x}}}\n"
    (fleet.work / "inventory.yml").write_text(before)
    result = fleet.call("unpin", "i")
    assert result.code == 3
    assert "comes from here by an alias or a merge key" in result.err
    assert text(fleet) == before


def test_a_pinned_range_is_changed_as_a_whole_or_not_at_all(fleet: Operator) -> None:
    before = "all: {vars: {provider: glm}, hosts: {'g[1:3]': {provider: ollama}}}\n"
    (fleet.work / "inventory.yml").write_text(before)
    result = fleet.call("unpin", "g2")
    assert result.code == 3
    assert "a range of 3 hosts is pinned here, and 1 of them are to be changed" in result.err
    assert text(fleet) == before
    assert fleet.call("unpin", "g*").code == 0
    assert text(fleet) == before.replace("{provider: ollama}", "{}")


def test_a_pin_without_effect_is_refused(fleet: Operator) -> None:
    _script(fleet, '{"eu-01": {"aegis": {"provider": "glm"}}}')
    result = fleet.call("pin", "eu-01", "ollama", "-i", "inventory.yml", "-i", "hosts.sh")
    assert result.code == 3
    assert "this edit would have no effect" in result.err
    assert text(fleet) == INVENTORY


def test_an_unpin_without_effect_is_refused(fleet: Operator) -> None:
    _script(fleet, '{"gpu-04": {"aegis": {"provider": "glm"}}}')
    result = fleet.call("unpin", "gpu-04", "-i", "inventory.yml", "-i", "hosts.sh")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(
        "error: this edit would have no effect: something else decides these hosts' providers "
        "(on 1 host: gpu-04)\n"
    )
    assert text(fleet) == INVENTORY


def _variables(fleet: Operator, host: str, content: str) -> Path:
    path = fleet.work / "host_vars" / f"{host}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize("command", [["pin", "eu-01", "glm"], ["unpin", "eu-01"]])
def test_an_edit_that_moves_another_host_by_a_link_is_refused(
    fleet: Operator, command: list[str]
) -> None:
    content = "port: 22\n" + ("provider: ollama\n" if command[0] == "unpin" else "")
    shared = _variables(fleet, "eu-01", content)
    (fleet.work / "host_vars" / "eu-03.yml").symlink_to("eu-01.yml")
    (fleet.work / "inventory.yml").write_text(INVENTORY.replace("          port: 2222\n", ""))
    result = fleet.call(*command)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(
        "error: with this edit something else of these hosts changes too (on 1 host: eu-03)\n"
    )
    assert shared.read_text() == content


def test_hosts_that_share_a_file_are_pinned_together(fleet: Operator) -> None:
    shared = _variables(fleet, "eu-01", "port: 22\n")
    (fleet.work / "host_vars" / "eu-03.yml").symlink_to("eu-01.yml")
    (fleet.work / "inventory.yml").write_text(INVENTORY.replace("          port: 2222\n", ""))
    result = fleet.call("pin", "eu-01:eu-03", "glm")
    assert result.code == 0, result.err
    assert result.out.count("+++ ") == 1
    assert shared.read_text() == "port: 22\nprovider: glm\n"
    assert (fleet.work / "host_vars" / "eu-03.yml").is_symlink()
    assert fleet.call("unpin", "eu-01:eu-03").code == 0
    assert shared.read_text() == "port: 22\n"


def test_one_file_under_two_names_is_not_edited_in_two_ways(fleet: Operator) -> None:
    whole = "all: {vars: {provider: openrouter}, hosts: {a: {port: 1}, b: {port: 2}}}\n"
    (fleet.work / "inventory.yml").write_text(whole)
    (fleet.work / "same.yml").symlink_to("inventory.yml")
    named = ("-i", "inventory.yml", "-i", "same.yml")
    assert fleet.call("pin", "a", "glm", *named).code == 0
    assert text(fleet) == whole.replace("{port: 1}", "{port: 1, provider: glm}")


def test_variables_of_two_inventories_in_one_directory_are_written_once(fleet: Operator) -> None:
    variables = _variables(fleet, "eu-02", "user: root\n")
    (fleet.work / "second.yml").write_text("eu: {hosts: {eu-02: }}\n")
    (fleet.work / "inventory.yml").write_text(INVENTORY.replace("{port: 2222}", ""))
    result = fleet.call("pin", "eu-02", "glm", "-i", "inventory.yml", "-i", "second.yml")
    assert result.code == 0, result.err
    assert result.out.count("+++ ") == 1
    assert variables.read_text() == "user: root\nprovider: glm\n"


def test_new_errors_are_reported_and_nothing_is_written(fleet: Operator) -> None:
    result = fleet.call("pin", "eu-01", "glmm")
    assert (result.code, result.out) == (3, "")
    assert 'no provider is called "glmm" (on 1 host: eu-01)' in result.err
    assert "nothing was written" in result.err
    assert text(fleet) == INVENTORY


def test_errors_from_before_do_not_prevent_an_edit(fleet: Operator) -> None:
    before = INVENTORY.replace("provider: openrouter", "provider: opnrouter")
    (fleet.work / "inventory.yml").write_text(before)
    assert fleet.call("pin", "eu-01", "glm").code == 0
    assert "          provider: glm\n" in text(fleet)


def test_a_host_of_a_script_gets_a_hint(fleet: Operator) -> None:
    _script(fleet, '{"s1": {"aegis": {"provider": "glm"}}}')
    result = fleet.call("pin", "s1", "ollama", "-i", "hosts.sh")
    assert result.code == 3
    assert "begin a file host_vars/s1.yml beside the script" in result.err
    (fleet.work / "host_vars").mkdir()
    (fleet.work / "host_vars" / "s1.yml").write_text("port: 22\n")
    assert fleet.call("pin", "s1", "ollama", "-i", "hosts.sh").code == 0
    assert text(fleet, "host_vars/s1.yml") == "port: 22\nprovider: ollama\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--until", "2020-01-01"], "2020-01-01 is past"),
        (["--until", "soon"], "takes a day as YYYY-MM-DD"),
        (["--until", "2026-02-30"], "takes a day as YYYY-MM-DD"),
        (["--reason", " "], "is no reason"),
        (["--reason", "a\nb"], "is no reason"),
        (["--reason", "for sk-live-4f1d9a"], "holds what looks like a token"),
        (["--auth-token", "sk-live-4f1d9a"], "takes one reference"),
        (["--model", ""], "is empty, or holds a control character"),
        (["--timeout-ms", "0"], "0 is not in the range"),
    ],
)
def test_wrong_flags_are_usage_errors_that_repeat_no_secret(
    fleet: Operator, flags: list[str], words: str
) -> None:
    result = fleet.call("pin", "eu-01", "glm", *flags)
    assert (result.code, result.out) == (64, "")
    assert words in result.err
    assert "4f1d9a" not in result.err
    assert text(fleet) == INVENTORY


def test_a_pattern_that_selects_nothing_is_an_error(fleet: Operator) -> None:
    result = fleet.call("pin", "gpu-05", "glm")
    assert result.code == 3
    assert result.err.startswith('error: HOST: "gpu-05" matches no host')


def test_lines_that_may_hold_a_secret_are_not_shown(fleet: Operator) -> None:
    literal = INVENTORY.replace("eu-02: {port: 2222}", "eu-02: {auth_token: canary4f1d}")
    (fleet.work / "inventory.yml").write_text(literal)
    for flags in ((), ("--format", "json")):
        result = fleet.call("pin", "eu-01:eu-02", "glm", "--dry-run", *flags)
        assert result.code == 0
        assert "(line not shown: it may hold a secret)" in result.out
        assert "canary4f1d" not in result.out + result.err


@pytest.mark.parametrize("command", [["pin", "gpu", "glm"], ["unpin", "gpu"]])
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_the_document_is_what_its_schema_says(
    fleet: Operator, command: list[str], flags: list[str]
) -> None:
    result = fleet.call(*command, *flags, "--format", "json")
    content = json.loads(result.out)
    check_document("pin", content)
    assert [file["written"] for file in content["files"]] == [not flags]


# ---- the file itself


def test_mode_and_a_symbolic_link_stay(fleet: Operator) -> None:
    inventory = fleet.work / "inventory.yml"
    real = fleet.root / "real.yml"
    inventory.rename(real)
    real.chmod(0o640)
    inventory.symlink_to(real)
    assert fleet.call("pin", "eu-01", "glm").code == 0
    assert inventory.readlink() == real
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "provider: glm\n" in real.read_text()
    assert [path.name for path in fleet.work.iterdir()] == ["inventory.yml"]


def test_the_owner_stays(fleet: Operator) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    inventory = fleet.work / "inventory.yml"
    os.chown(inventory, 4242, 4243)
    assert fleet.call("pin", "eu-01", "glm").code == 0
    assert (inventory.stat().st_uid, inventory.stat().st_gid) == (4242, 4243)


def test_a_read_only_file_is_not_written(fleet: Operator) -> None:
    (fleet.work / "inventory.yml").chmod(0o444)
    result = fleet.call("pin", "eu-01", "glm")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("error: inventory.yml can't be written: it is read-only\n")
    assert text(fleet) == INVENTORY
    assert [path.name for path in fleet.work.iterdir()] == ["inventory.yml"]


def test_a_file_that_was_changed_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"saved by an editor")
    with pytest.raises(RefusedError) as refused:
        replace_files([Replacement(one, b"1", b"new"), Replacement(two, b"2", b"new")])
    assert "two was changed by another program meanwhile; nothing was written" in str(refused.value)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == [
        ("one", b"1"),
        ("two", b"saved by an editor"),
    ]


def test_two_edits_at_once_lose_no_pin(fleet: Operator) -> None:
    hosts = ("gpu-01", "gpu-02", "gpu-03", "eu-01", "eu-02", "eu-03")
    running = {host: fleet.start("pin", host, "glm") for host in hosts}
    ended = {}
    for host, process in running.items():
        _, result = process.communicate(timeout=120)
        ended[host] = process.returncode
        assert process.returncode in {0, 6}, result
    pinned = fleet.call("hosts", "provider=glm:!gpu-04").out
    assert [host for host in hosts if host in pinned] == [h for h in hosts if ended[h] == 0]
    assert 0 in ended.values()
    assert [path.name for path in fleet.work.iterdir()] == ["inventory.yml"]


# ---- pins that end


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("7d", "note: this pin ends on {day} (on 1 host: eu-01)"),
        ("4d", "note: this pin ends on {day} (on 1 host: eu-01)"),
        ("3d", "warning: the pin to glm (a trial) ends on {day}, in 3 days (on 1 host: eu-01)"),
        ("1d", "warning: the pin to glm (a trial) ends on {day}, in 1 day (on 1 host: eu-01)"),
    ],
)
def test_the_end_of_a_pin_is_one_line_and_none_with_quiet(
    fleet: Operator, until: str, told: str
) -> None:
    assert fleet.call("pin", "eu-01", "glm", "--until", until, "--reason", "a trial").code == 0
    [day] = re.findall(r"pin_until: (\S+)", text(fleet))
    result = fleet.call("validate")
    severity = told.partition(":")[0]
    assert result.err.splitlines() == [
        f"inventory.yml:14:22: {told.format(day=day)}",
        f"1 {severity}",
    ]
    assert fleet.call("validate", "-q").err == ""
    [diagnostic] = json.loads(fleet.call("validate", "--format", "json").out)["diagnostics"]
    assert (diagnostic["severity"], diagnostic["line"]) == (severity, 14)
    assert ("--until DATE" in diagnostic["hint"]) is (severity == "warning")


def test_an_ended_pin_is_reported_in_full_with_quiet_too(fleet: Operator) -> None:
    ended = INVENTORY.replace("{port: 2222}", "{provider: glm, pin_until: 2020-01-01}")
    (fleet.work / "inventory.yml").write_text(ended)
    result = fleet.call("validate", "-q")
    assert result.code == 3
    assert "error: the pin to glm ended on 2020-01-01 (on 1 host: eu-02)\n" in result.err
    assert "eu-02: {provider: glm, pin_until: 2020-01-01}\n" in result.err
    assert "  = give it another end with 'aegis-provision pin HOST PROVIDER --until" in result.err
