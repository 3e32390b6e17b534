"""How many hosts an inventory may list: exactly as many as is said, and told once."""

from __future__ import annotations

import pytest

from aegis_provision.documents.yaml_reader import decode, read_document
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.groups import Tree
from aegis_provision.inventory.ranges import MOST_HOSTS, RangeError, expand_range


def _listed(*entries: str) -> list[str]:
    """Return the messages about groups that list ``entries``, each a range."""
    groups = ", ".join(f"g{at}: {{hosts: {{'{name}': }}}}" for at, name in enumerate(entries))
    file = InputFile("inventory", "", "i.yml", f"all: {{children: {{{groups}}}}}".encode(), 0)
    source, _ = decode(file.name, file.data)
    assert source is not None
    node, _ = read_document(source)
    assert node is not None
    tree = Tree()
    tree.add_inventory(file, node)
    return [item.message for item in tree.diagnostics]


FULL = ("a[1:100000]",) * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entries", "times"),
    [(FULL, 0), ((*FULL, "b[1:1]", "c[1:2]"), 1), ((*FULL[1:], "a[1:99999]", "b[1:2]"), 1)],
)
def test_the_hosts_of_all_groups_are_bounded_with_one_error(
    entries: tuple[str, ...], times: int
) -> None:
    assert _listed(*entries) == times * ["with this the groups list more than 500,000 hosts"]


def test_one_range_is_bounded_exactly() -> None:
    assert len(expand_range(f"a[1:{MOST_HOSTS}]")) == MOST_HOSTS == 100_000
    assert len(expand_range("a[1:400][1:250]")) == 100_000
    for text in (f"a[1:{MOST_HOSTS + 1}]", "a[1:400][1:251]"):
        with pytest.raises(RangeError, match="more than 100,000 hosts") as refused:
            expand_range(text)
        assert refused.value.hint == "split it into several ranges"
