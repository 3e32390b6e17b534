"""``render --provider NAME --reveal`` against observed output, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aegis_provision.cli.main import run

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "render.json").read_text(encoding="utf-8")
)


def refused(vector: dict[str, Any]) -> bool:
    """Tell by plain text search, not by our own rules, whether no session would work."""
    if vector["missing"]:
        return True
    values = json.loads(vector["output"])["defaultSessionEnv"]
    timeout, token = values["API_TIMEOUT_MS"], values["ANTHROPIC_AUTH_TOKEN"]
    return (
        token != token.strip()  # Aegis takes it, and no provider would
        or "YOUR-RESOURCE" in values["ANTHROPIC_BASE_URL"]
        or not (timeout.isdecimal() and int(timeout) > 0)
        or any(len(value.encode()) > 8192 for value in values.values())
        or any(char < " " and char != "\t" for value in values.values() for char in value)
    )


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_what_may_be_pushed_is_printed_and_nothing_else(
    vector: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(["render", "--provider", vector["provider"], "--reveal"], vector["env"])
    out, result = capsys.readouterr()
    if refused(vector):
        assert (code, out) == (3, "")
        assert all(name in result for name in vector["missing"])
    else:
        assert (code, out) == (0, vector["output"])
