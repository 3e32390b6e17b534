"""Broken inventories and exactly what the command line says about each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aegis_provision.cli.main import run
from tests.golden.compare import assert_golden

GOLDEN = Path(__file__).parents[1] / "golden" / "inventory"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.suffix != ".txt")


@pytest.fixture(autouse=True)
def beside_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)


@pytest.mark.parametrize("case", CASES)
def test_broken_inventory(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["validate", "-i", case], {})
    out, result = capsys.readouterr()
    assert_golden(f"inventory/{Path(case).stem}.txt", result)
    assert out == ""
    assert code == 3


@pytest.mark.parametrize("case", CASES)
def test_the_same_diagnostics_as_json(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["validate", "-i", case, "--format", "json"], {})
    out, result = capsys.readouterr()
    document = json.loads(out)
    text = (GOLDEN / case).with_suffix(".txt").read_text(encoding="utf-8")
    assert (code, result, document["valid"]) == (3, "", False)
    assert all(item["message"] in text for item in document["diagnostics"])
    errors = [item for item in document["diagnostics"] if item["severity"] == "error"]
    assert text.splitlines()[-1].startswith(f"{len(errors)} error")
    assert all(item["hint"] for item in errors)


def test_every_text_belongs_to_a_case() -> None:
    texts = {path.stem for path in GOLDEN.glob("*.txt")}
    assert texts == {Path(case).stem for case in CASES}


def test_no_text_holds_a_secret() -> None:
    for path in GOLDEN.glob("*.txt"):
        assert "canary" not in path.read_text(encoding="utf-8"), path.name
