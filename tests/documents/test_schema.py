"""What a schema's violations cost: the memory of what is told, and no more.

While the program reads inventories no circles are looked for, so none may be left behind.
"""

from __future__ import annotations

import gc
import tracemalloc

from aegis_provision.documents.schema import check
from aegis_provision.documents.yaml_reader import read_yaml

MANY = 300
BYTES = 2_000
"""For each; with what the library itself keeps of one it would be thrice as much."""


def test_many_violations_take_the_memory_of_what_is_told_of_them() -> None:
    hosts = "".join(f"    h{at}: {{port: 99999999, prot: 1}}\n" for at in range(MANY))
    node, _ = read_yaml("inventory.yml", f"all:\n  hosts:\n{hosts}".encode())
    assert node is not None
    check(node, "inventory")  # loads the library
    gc.disable()
    tracemalloc.start()
    try:
        found = check(node, "inventory")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(found) == 2 * MANY
    assert most < BYTES * len(found)
