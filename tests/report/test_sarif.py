"""Diagnostics for other programs: SARIF, which says what the ``validate`` document does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aegis_provision.cli.main import run
from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.report.sarif import Places, sarif_log
from aegis_provision.report.sarif_rules import RULES
from tests.schemas import check_document

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE / "sarif.schema.json").read_text(encoding="utf-8"))
BROKEN = HERE.parent / "golden" / "inventory"
CASES = sorted(BROKEN.glob("*.yml"))
EXPIRED = "all: {hosts: {h: {provider: glm, pin_until: 2020-01-01}}}\n"


def checked(log: Any) -> Any:
    """Return the results of a log that keeps to the schema and to what GitHub takes.

    One result without a file, or a rule without its texts, and it takes none of them:
    https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support
    """
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(log)
    for rule in log["runs"][0]["tool"]["driver"]["rules"]:
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    results = log["runs"][0]["results"]
    assert len(results) <= 25_000
    for result in results:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"]
        assert place["region"]["startLine"] >= 1
        assert result["message"]["text"]
    return results


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_both_forms_tell_the_same_of_every_broken_inventory(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["validate", "-i", str(case), "--format", "json"], {})
    document = json.loads(capsys.readouterr().out)
    check_document("validate", document)
    assert run(["validate", "-i", str(case), "--format", "sarif"], {}) == code
    results = checked(json.loads(capsys.readouterr().out))
    assert document["valid"] is (code == 0)
    assert [item["code"] for item in document["diagnostics"]] == [
        item["ruleId"] for item in results
    ]
    for diagnostic, result in zip(document["diagnostics"], results, strict=True):
        assert result["level"] == diagnostic["severity"]
        assert result["message"]["text"].startswith(diagnostic["message"])
        [place] = [item["physicalLocation"] for item in result["locations"]]
        assert place["region"]["startLine"] == (diagnostic["line"] or 1)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("inventory.yml", "infra/inventory.yml"),
        ("./a/../my fleet/ü#1.yml", "infra/my%20fleet/%C3%BC%231.yml"),
        ("../policy.yml", "policy.yml"),
        ("/repo/x/hosts.yml", "x/hosts.yml"),
        ("/repository/hosts.yml", "file:///repository/hosts.yml"),
        ("../../elsewhere.yml", "file:///elsewhere.yml"),
    ],
)
def test_a_place_is_a_reference_to_its_file_from_the_root(name: str, uri: str) -> None:
    source = Source(name, "a: b\n")
    here, there = Span(source, 1, 1, 1, 2), Span(source, 1, 4, 1, 5)
    diagnostic = error(
        "set-twice", "this", here, hint="that", related=(Related(there, "the other"),)
    )
    places = Places("/repo", "/repo/infra", "inventory.yml")
    [result] = checked(sarif_log([diagnostic, diagnostic], "1.0", places))
    base = {} if uri.startswith("file:") else {"uriBaseId": "%SRCROOT%"}
    assert result["message"]["text"] == "this\nthat"
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": uri, **base},
                "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2},
            }
        }
    ]
    assert result["relatedLocations"][0]["message"]["text"] == "the other"


def test_every_kind_of_diagnostic_is_explained() -> None:
    said = re.compile(
        r'(?:\b(?:error|warning|note)|_(?:refuse|warn|skip))\(\s*"([a-z]+(?:-[a-z]+)*)",'
    )
    package = HERE.parents[1] / "aegis_provision"
    codes = {
        code for path in package.rglob("*.py") for code in said.findall(path.read_text("utf-8"))
    }
    assert len(codes) > 80
    assert codes <= set(RULES)


def test_paths_are_relative_to_the_top_of_the_checkout_or_to_what_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    fleet = tmp_path / "repo" / "infra" / "fleet"
    fleet.mkdir(parents=True)
    (fleet / "inventory.yml").write_text(EXPIRED, encoding="utf-8")
    monkeypatch.chdir(fleet)

    def uri(*more: str) -> str:
        assert run(["validate", "--format", "sarif", *more], {}) == 3
        [result] = checked(json.loads(capsys.readouterr().out))
        found: str = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        return found

    assert uri() == "infra/fleet/inventory.yml"
    assert uri("--sarif-root", "..") == "fleet/inventory.yml"
    (tmp_path / "link").symlink_to(tmp_path / "repo" / "infra")
    by_link = str(tmp_path / "link" / "fleet" / "inventory.yml")
    assert uri("-i", by_link) == "infra/fleet/inventory.yml"
    assert uri("--sarif-root", str(tmp_path / "link"), "-i", by_link) == "fleet/inventory.yml"
    (fleet / "shared.yml").symlink_to(tmp_path / "shared.yml")
    (tmp_path / "shared.yml").write_text(EXPIRED, encoding="utf-8")
    assert uri("-i", "shared.yml") == "infra/fleet/shared.yml"
    (tmp_path / "repo" / ".git").rmdir()
    assert uri() == "inventory.yml"


def test_what_is_wrong_without_a_place_is_shown_at_the_inventory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "hosts.sh"
    script.write_text('#!/bin/sh\necho \'{"all": {"hosts": {"h": {}}}}\'\n', "utf-8")
    script.chmod(0o755)
    Path("inventory.yml").write_text("all: {hosts: {h: {provider: glm}}}\n", "utf-8")
    for args, name in (
        (["-i", "nowhere.yml"], "nowhere.yml"),
        (["-i", "hosts.sh"], "hosts.sh"),
        (["-i", "ansible:nowhere"], "nowhere"),
        (["nowhere.yml"], "inventory.yml"),
        ([], "inventory.yml"),
    ):
        if not args:
            Path("inventory.yml").unlink()
        assert run(["validate", "--format", "sarif", *args], {"PATH": "/usr/bin:/bin"}) == 3
        results = checked(json.loads(capsys.readouterr().out))
        assert results
        for result in results:
            place = result["locations"][0]["physicalLocation"]
            assert place["artifactLocation"] == {"uri": name, "uriBaseId": "%SRCROOT%"}


def test_an_expired_pin_is_an_error_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(EXPIRED, encoding="utf-8")
    for form in ("text", "json", "sarif"):
        assert run(["validate", "-i", str(inventory), "--format", form], {}) == 3
        out, err = capsys.readouterr()
        assert ("expired-pin" in out) or "ended on 2020-01-01" in err
    assert run(["plan", "-i", str(inventory)], {"GLM_API_KEY": "x"}) == 3
    assert "ended on 2020-01-01" in capsys.readouterr().err


def _document(capsys: pytest.CaptureFixture[str], inventory: Path, form: str) -> Any:
    assert run(["validate", "-i", str(inventory), "--format", form], {}) == 3
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("keys", "omitted"), [(1000, 0), (1001, 1), (3000, 2000)])
def test_documents_hold_a_thousand_diagnostics_and_count_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: int, omitted: int
) -> None:
    inventory = tmp_path / "inventory.yml"
    empty = ", ".join(f"K{number}: " for number in range(keys))
    inventory.write_text(f"all: {{hosts: {{h: {{provider: glm, env: {{{empty}}}}}}}}}\n", "utf-8")
    document = _document(capsys, inventory, "json")
    check_document("validate", document)
    assert len(document["diagnostics"]) == keys - omitted
    assert document["diagnostics_omitted"] == omitted
    log = _document(capsys, inventory, "sarif")
    assert len(checked(log)) == keys - omitted
    [run] = log["runs"]
    assert run.get("properties") == ({"omitted": omitted} if omitted else None)
    words = f"{omitted} more diagnostics are left out: correct these first"
    assert run.get("invocations") == (
        [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "warning", "message": {"text": words}}],
            }
        ]
        if omitted
        else None
    )
