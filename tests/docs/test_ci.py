"""The jobs in docs/ci.md, run step by step as a runner would, on a fleet of our own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.docs.transcripts import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fleet.operator import CommandResult, Operator

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {
    block.directive[1]: yaml.safe_load(block.text)
    for block in blocks((ROOT / "docs" / "ci.md").read_text(encoding="utf-8"))
    if block.directive is not None and block.directive[0] == "workflow"
}
GITHUB, GITLAB = WORKFLOWS["github"], WORKFLOWS["gitlab"]
_EXPRESSION = re.compile(r"\$\{\{ *([\w.]+) *\}\}")
_STAND_INS = {
    "aegis-provision": f'exec "{sys.executable}" -m aegis_provision "$@"',
    "pip": 'test "$*" = "install aegis-provision"',
    "gh": 'test "$1 $2" = "pr comment" && cat "$5" >> "$POSTED"',
    # What curl is given by names alone: the token is in no argument.
    "curl": 'case "$*" in *review-token*) exit 9;; esac; cat plan.md >> "$POSTED"',
}


class Runner:
    """What a forge's runner is to a job: a checkout, programs, values for its expressions."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        programs = operator.root / "bin"
        programs.mkdir()
        for name, line in _STAND_INS.items():
            (programs / name).write_text(f"#!/bin/bash\n{line}\n")
            (programs / name).chmod(0o755)
        self.posted = operator.root / "posted.md"
        self.summary = operator.root / "summary.md"
        for file in (self.posted, self.summary):
            file.touch()
        key = operator.sshd.client_key
        self.key = operator.root / "key-of-the-forge"
        shutil.copy(key, self.key)
        self.values = {
            "secrets.FLEET_SSH_KEY": Path(key).read_text(),
            "secrets.OPENROUTER_API_KEY": operator.environ.pop("OPENROUTER_API_KEY"),
            "github.token": "token-of-the-job",
            "github.event.number": "7",
            "github.workspace": str(operator.work),
        }
        shutil.copy(operator.sshd.known_hosts, operator.work / "known_hosts")
        self.environ = {
            **operator.environ,
            "PATH": f"{programs}:{operator.environ['PATH']}",
            "POSTED": str(self.posted),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        del self.environ["AEGIS_PROVISION_KNOWN_HOSTS"]

    def filled_in(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self.values[match[1]], text)

    def run(self, script: str, *environs: Mapping[str, str]) -> CommandResult:
        from tests.fleet.operator import CommandResult

        environ = dict(self.environ)
        for more in environs:
            environ |= {name: self.filled_in(str(value)) for name, value in more.items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.filled_in(script)],
            cwd=self.operator.work,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def github(self, name: str) -> dict[str, CommandResult]:
        """Run a job's steps; once one failed, those alone that run always or at failure."""
        job = GITHUB["jobs"][name]
        ended: dict[str, CommandResult] = {}
        failed = False
        for step in job["steps"]:
            condition = step.get("if", "success()")
            runs = "always()" in condition or ("failure()" in condition) == failed
            if "run" in step and runs:
                result = self.run(
                    step["run"], GITHUB["env"], job.get("env", {}), step.get("env", {})
                )
                ended[step["name"]] = result
                failed = failed or result.code != 0
        return ended

    def gitlab(self, name: str) -> CommandResult:
        job = GITLAB[name]
        script = "\n".join([*GITLAB["default"]["before_script"], *job["script"]])
        variables = {
            **GITLAB["variables"],
            "CI_PROJECT_DIR": str(self.operator.work),
            "CI_API_V4_URL": "https://forge.example",
            "CI_PROJECT_ID": "1",
            "CI_MERGE_REQUEST_IID": "7",
            "REVIEW_TOKEN": "review-token",
            "FLEET_SSH_KEY": str(self.key),
            "OPENROUTER_API_KEY": self.values["secrets.OPENROUTER_API_KEY"],
        }
        own = {
            key: value.replace("$CI_PROJECT_DIR", variables["CI_PROJECT_DIR"])
            for key, value in job.get("variables", {}).items()
        }
        return self.run(script, variables, own)


@pytest.fixture
def runner(operator: Operator) -> Runner:
    (operator.work / "playbook.yml").write_text("- {hosts: all, serial: 2}\n")
    inventory = operator.work / "inventory.yml"
    lines = inventory.read_text().splitlines(keepends=True)
    inventory.write_text("".join(line for line in lines if "identity_file" not in line))
    return Runner(operator)


def test_a_change_goes_from_the_pull_request_to_the_fleet(runner: Runner) -> None:
    work = runner.operator.work
    assert all(result.code == 0 for result in runner.github("validate").values())
    planned = runner.github("plan")
    assert [name for name, result in planned.items() if result.code] == [], planned
    assert runner.posted.read_text().startswith("## Plan: 3 hosts to write\n")
    assert (work / "plan.html").exists()
    assert not any("defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc")
    applied = runner.github("apply")
    assert [name for name, result in applied.items() if result.code] == [], applied
    summary = runner.summary.read_text()
    assert "## Plan: 3 hosts to write\n" in summary
    assert "## Apply: all hosts ended well\n" in summary
    assert all("defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc")
    assert list((work / "state" / "aegis-provision").rglob("*"))
    everything = summary + runner.posted.read_text() + str(applied) + str(planned)
    for secret in ("secrets.FLEET_SSH_KEY", "secrets.OPENROUTER_API_KEY"):
        assert runner.values[secret] not in everything


def test_what_is_wrong_is_told_and_stops_the_job(runner: Runner) -> None:
    work = runner.operator.work
    good = (work / "inventory.yml").read_text()
    (work / "inventory.yml").write_text(good.replace("openrouter", "opnrouter"))
    ended = runner.github("validate")
    assert [result.code for result in ended.values()] == [0, 3, 3]
    assert 'no provider is called "opnrouter"' in ended["Say what is wrong"].err
    assert '"ruleId": "unknown-provider"' in (work / "fleet.sarif").read_text()
    assert runner.gitlab("validate").code == 3
    (work / "inventory.yml").write_text(good)
    runner.operator.furnish("b", content="{")
    planned = runner.github("plan")
    assert {name: result.code for name, result in planned.items()} == {
        "Install": 0,
        "Plan": 4,
        "Comment": 0,
    }
    assert "1 can't be planned" in runner.posted.read_text()


def test_the_jobs_for_gitlab_do_the_same(runner: Runner) -> None:
    for job in ("validate", "plan", "apply"):
        ended = runner.gitlab(job)
        assert ended.code == 0, ended
    assert runner.posted.read_text().startswith("## Plan: 3 hosts to write\n")
    assert all("defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc")


def test_a_job_for_forks_has_nothing_to_lose() -> None:
    text = str(GITHUB["jobs"]["validate"]) + str(GITLAB["validate"])
    assert "secrets" not in text
    assert "FLEET_SSH_KEY" not in text
    assert "pull_request_target" not in str(GITHUB)
    for name in ("plan", "apply"):
        assert GITHUB["jobs"][name]["environment"]
        assert "fork" in GITHUB["jobs"][name]["if"] or "push" in GITHUB["jobs"][name]["if"]
