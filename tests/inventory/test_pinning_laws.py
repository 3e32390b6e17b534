"""The law of pins: 'pin' then 'unpin' gives the file back, byte for byte, whatever its layout."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.cli.main import run
from tests.inventory.layouts import Text, block_inventories, json_inventories

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


@settings(max_examples=150, deadline=None)
@given(
    text=st.one_of(block_inventories(), block_inventories(), json_inventories()),
    data=st.data(),
)
def test_unpin_gives_back_what_pin_took(text: Text, data: st.DataObject) -> None:
    hosts = data.draw(st.lists(st.sampled_from(text.hosts), min_size=1, unique=True))
    flags = data.draw(st.sampled_from(FLAGS))
    with TemporaryDirectory() as directory:
        path = Path(directory) / "inventory.yml"
        path.write_bytes(text.data)
        assert command("validate", "-i", str(path))[0] == 0
        for names in data.draw(st.sampled_from([[":".join(hosts)], hosts])):
            code, said = command("pin", names, "glm", *flags, "-i", str(path))
            assert code == 0, said
        pinned = path.read_bytes()
        code, said = command("validate", "-i", str(path))
        assert f"{len(hosts)} pin" in said, said
        for names in data.draw(st.sampled_from([[":".join(hosts)], hosts[::-1]])):
            code, said = command("unpin", names, "-i", str(path))
            assert code == 0, said
        assert pinned != text.data
        assert path.read_bytes() == text.data
