"""'pin' then 'unpin' gives the file back, byte for byte, in any layout."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aegis_provision.cli.main import run
from tests.inventory.layouts import HOST_VARS, block_inventories, json_inventories

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS: tuple[list[str], ...] = (
    [],
    ["--fast-model", "qwen2.5-coder:7b"],
    ["--until", "2099-12-31", "--reason", "it's 'only' a \"try\": yes"],
    ["--timeout-ms", "60000", "--auth-token", "${GLM_API_KEY}", "--base-url", "https://x.org/v1"],
)


def command(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = run(words, {})
    return code, out.getvalue()


def say(*words: str) -> str:
    """Run a command that has to succeed, and return what it says."""
    code, said = command(*words)
    assert code == 0, said
    return said


def pins(node: Any, hosts: list[str]) -> Iterator[str]:
    """Yield the hosts with a ``provider: glm`` of their own below ``node``."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in hosts and isinstance(value, dict) and value.get("provider") == "glm":
                yield key
            yield from pins(value, hosts)


def pins_by_another_parser(files: dict[str, bytes], hosts: list[str]) -> set[str]:
    """Return the hosts that are pinned in ``files``, as a second YAML 1.2 library reads them."""
    found: set[str] = set()
    for name, content in files.items():
        node = YAML(typ="safe", pure=True).load(content)
        found.update(pins(node, hosts))
        if name.startswith("host_vars/") and isinstance(node, dict):
            own = {Path(name).stem: node}
            found.update(pins(own, hosts))
    return found


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, bytes], list[str]]:
    """The files of an inventory by name, and some of the hosts in them."""
    text = draw(st.one_of(block_inventories(), block_inventories(), json_inventories()))
    files, hosts = {"one.yml": text.data}, list(text.hosts)
    if draw(st.booleans()):
        more = draw(block_inventories(groups=(("c",),)))
        files["two.yml"], hosts = more.data, [*hosts, *more.hosts]
    chosen = draw(st.lists(st.sampled_from(hosts), min_size=1, unique=True))
    if draw(st.booleans()):
        files[f"host_vars/{chosen[0]}.yml"] = draw(st.sampled_from(HOST_VARS)).encode()
    return files, chosen


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(fleet=fleets(), data=st.data())
def test_unpin_gives_back_what_pin_took(
    fleet: tuple[dict[str, bytes], list[str]], data: st.DataObject
) -> None:
    files, hosts = fleet
    orders = st.sampled_from([[":".join(hosts)], hosts, hosts[::-1]])
    flags = st.sampled_from(FLAGS)
    with TemporaryDirectory() as directory:
        for name, content in files.items():
            path = Path(directory) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        named = [
            word for name in files if "/" not in name for word in ("-i", f"{directory}/{name}")
        ]

        say("validate", *named)
        for names in data.draw(orders):
            say("pin", names, "glm", *data.draw(flags), *named)
        pinned = {name: (Path(directory) / name).read_bytes() for name in files}
        assert pinned != files
        for name, content in files.items():
            rest = iter(pinned[name])
            assert all(byte in rest for byte in content), "a pin only adds"
        assert pins_by_another_parser(pinned, hosts) == set(hosts)
        assert f"{len(hosts)} pin" in say("validate", *named)
        for provider in data.draw(st.sampled_from([(), ("glm",), ("openrouter",)])):
            say("pin", ":".join(hosts), provider, *data.draw(flags), *named)
        for names in data.draw(orders):
            say("unpin", names, *named)
        assert {name: (Path(directory) / name).read_bytes() for name in files} == files
