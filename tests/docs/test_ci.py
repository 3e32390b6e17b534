"""The jobs in docs/ci.md, run step by step as a runner would, on a fleet of our own."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs

import pytest
import yaml

from aegis_provision.version import __version__
from tests.docs.transcripts import blocks
from tests.fleet.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    "pip": f'test "$*" = "install aegis-provision=={__version__}"',
    "python": f'exec "{sys.executable}" "$@"',
    "gh": r"""
comments=repos/o/r/issues/7/comments ours=https://forge.example/comments/2
case "$*" in
"api --paginate $comments --jq "*'.user.login == "github-actions[bot]" '*'startswith("## Plan: ")'*)
  test ! -s "$POSTED" || echo "$ours"; exit;;
"api --silent --method POST $comments --field body=@plan.md") test ! -s "$POSTED";;
"api --silent --method PATCH $ours --field body=@plan.md") test -s "$POSTED";;
*) exit 9;;
esac && cat plan.md > "$POSTED"
""",
}
TOKEN = "review-token-0123"


class GitLab(BaseHTTPRequestHandler):
    """The few paths of a forge's API that a job asks for; ``notes`` are its comments."""

    notes: ClassVar[list[dict[str, Any]]] = []

    def _answer(self, content: object) -> None:
        allowed = self.headers["PRIVATE-TOKEN"] == TOKEN
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(json.dumps(content if allowed else {}).encode())

    def _body(self) -> str:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        return parse_qs(form, keep_blank_values=True)["body"][0]

    def do_GET(self) -> None:
        self._answer({"id": 42} if self.path == "/user" else self.notes[::-1])

    def do_POST(self) -> None:
        note = {"id": len(self.notes), "author": {"id": 42}, "body": self._body()}
        self.notes.append(note)
        self._answer(note)

    def do_PUT(self) -> None:
        note = self.notes[int(self.path.rpartition("/")[2])]
        note["body"] = self._body()
        self._answer(note)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def gitlab_api() -> Iterator[str]:
    others = {"id": 0, "author": {"id": 7}, "body": "## Plan: mine"}
    GitLab.notes = [others, {"id": 1, "author": {"id": 42}, "body": "hello"}]
    with serving(HTTPServer(("127.0.0.1", 0), GitLab)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


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
            "secrets.FLEET_RECORD_KEY": base64.b64encode(bytes(range(32))).decode(),
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
            "GITHUB_REPOSITORY": "o/r",
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

    def gitlab(self, name: str, api: str = "") -> CommandResult:
        job = GITLAB[name]
        script = "\n".join([*GITLAB["default"]["before_script"], *job["script"]])
        variables = {
            **GITLAB["variables"],
            "CI_PROJECT_DIR": str(self.operator.work),
            "CI_API_V4_URL": api,
            "CI_PROJECT_ID": "1",
            "CI_MERGE_REQUEST_IID": "7",
            "REVIEW_TOKEN": TOKEN,
            "FLEET_SSH_KEY": str(self.key),
            "OPENROUTER_API_KEY": self.values["secrets.OPENROUTER_API_KEY"],
            "FLEET_RECORD_KEY": self.values["secrets.FLEET_RECORD_KEY"],
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
    *_, kept = GITHUB["jobs"]["apply"]["steps"]
    assert kept["with"]["path"].split() == ["run.html", "state/aegis-provision/runs"]
    assert_records_undo(runner, work / "state/aegis-provision/runs")
    everything = summary + runner.posted.read_text() + str(applied) + str(planned)
    for name, secret in runner.values.items():
        assert not name.startswith("secrets.") or secret not in everything


def assert_records_undo(runner: Runner, records: Path) -> None:
    """Roll back elsewhere, by the artifact and the key."""
    state = runner.operator.root / "elsewhere" / "aegis-provision"
    shutil.copytree(records, state / "runs")
    key = state / "hmac.key"
    key.write_bytes(base64.b64decode(runner.values["secrets.FLEET_RECORD_KEY"]))
    script = 'eval "$(ssh-agent -s)" && trap "ssh-agent -k" EXIT; ssh-add "$KEY"\n'
    script += 'chmod -R go= "$XDG_STATE_HOME"; aegis-provision rollback --yes'
    environ = {"XDG_STATE_HOME": str(state.parent), "KEY": str(runner.key), **GITHUB["env"]}
    undone = runner.run(script, environ)
    assert undone.code == 0, undone
    assert not any("defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc")


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


def test_the_jobs_for_gitlab_do_the_same(runner: Runner, gitlab_api: str) -> None:
    for job in ("validate", "plan", "plan", "apply"):
        ended = runner.gitlab(job, gitlab_api)
        assert ended.code == 0, ended
        assert TOKEN not in str(ended)
    others, hello, ours = [note["body"] for note in GitLab.notes]
    assert (others, hello) == ("## Plan: mine", "hello")
    assert ours.startswith("## Plan: 3 hosts to write\n")
    assert all("defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc")


def test_a_comment_is_kept_up_to_date_also_where_there_is_no_plan(
    runner: Runner, gitlab_api: str
) -> None:
    runner.github("plan")
    (runner.operator.work / "inventory.yml").write_text("all: {hosts: {a: {provider: no}}}")
    planned = runner.github("plan")
    assert [result.code for result in planned.values()] == [0, 3, 0]
    assert runner.posted.read_text() == "## Plan: none, the job's log says why\n"
    assert runner.gitlab("plan", gitlab_api).code == 3
    assert GitLab.notes[2]["body"] == runner.posted.read_text()


def test_an_unreachable_host_does_not_hold_up_the_others(runner: Runner) -> None:
    work = runner.operator.work
    inventory = work / "inventory.yml"
    inventory.write_text(inventory.read_text().replace("    b: {", "    b: {port: 1, "))
    applied = runner.github("apply")
    assert {name: result.code for name, result in applied.items()} == {
        "Install": 0,
        "Plan and apply": 5,
        "Show how it ended": 0,
    }
    summary = runner.summary.read_text()
    assert "## Plan: 2 hosts to write, 1 can't be planned\n" in summary
    assert "## Apply: all hosts ended well\n" in summary
    written = ["defaultSessionEnv" in runner.operator.file_of(h).read_text() for h in "abc"]
    assert written == [True, False, True]
    runner.operator.furnish("c")
    runner.operator.furnish("a", content="{")
    stopped = runner.gitlab("apply")
    assert stopped.code == 4
    assert "Recap" not in stopped.out
    assert "defaultSessionEnv" not in runner.operator.file_of("c").read_text()


def test_a_job_for_forks_has_nothing_to_lose() -> None:
    text = str(GITHUB["jobs"]["validate"]) + str(GITLAB["validate"])
    assert "secrets" not in text
    assert "FLEET_SSH_KEY" not in text
    assert "pull_request_target" not in str(GITHUB)
    own = "head.repo.full_name == github.repository"
    for name in ("plan", "apply"):
        assert GITHUB["jobs"][name]["environment"]
        assert own in GITHUB["jobs"][name]["if"] or "push" in GITHUB["jobs"][name]["if"]
    # A fork that is gone is no repository, and 'null == false' would hold.
    assert ".fork" not in str(GITHUB)


def test_a_workflow_trusts_no_name_no_moving_tag_and_gives_no_more_than_is_needed() -> None:
    assert GITHUB["permissions"] == {}
    writes = {
        (name, scope)
        for name, job in GITHUB["jobs"].items()
        for scope, access in job["permissions"].items()
        if access != "read"
    }
    assert writes == {("validate", "security-events"), ("plan", "pull-requests")}
    for step in (step for job in GITHUB["jobs"].values() for step in job["steps"]):
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40}", step["uses"])
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    for job in (GITLAB["validate"], GITLAB["plan"], GITLAB["apply"]):
        named = re.findall(r"\$\{?(CI_\w+)", str(job["script"]))
        assert not [name for name in named if re.search("TITLE|BRANCH|MESSAGE|REF|LABEL", name)]
