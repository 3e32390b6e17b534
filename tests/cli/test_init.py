"""``init``: two files that validate as they stand, and nothing of the operator's replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fleet.operator import Operator


def test_the_starters_validate_with_the_command_that_init_names(operator: Operator) -> None:
    result = operator.call("init", "fleet")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Wrote fleet/inventory.yml and fleet/playbook.yml.")
    assert "aegis-provision validate -i fleet/inventory.yml fleet/playbook.yml\n" in result.out
    checked = operator.call("validate", "-i", "fleet/inventory.yml", "fleet/playbook.yml")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.endswith("fleet/playbook.yml: 2 plays, 4 batches, 5 hosts.\n")


@pytest.mark.parametrize("name", ["inventory.yml", "playbook.yml"])
def test_a_file_that_is_there_is_kept_and_none_is_written(operator: Operator, name: str) -> None:
    fleet = operator.work / "fleet"
    fleet.mkdir()
    (fleet / name).write_text("mine\n", encoding="utf-8")
    result = operator.call("init", "fleet")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"error: fleet/{name} is there already")
    assert [path.name for path in fleet.iterdir()] == [name]
    assert (fleet / name).read_text(encoding="utf-8") == "mine\n"


def test_a_dangling_link_is_not_written_through(operator: Operator) -> None:
    fleet = operator.work / "fleet"
    fleet.mkdir()
    (fleet / "inventory.yml").symlink_to("elsewhere.yml")
    assert operator.call("init", "fleet").code == 3
    assert [path.name for path in fleet.iterdir()] == ["inventory.yml"]
