"""What every command prints, to the letter: ``tests/golden/cli`` holds it."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.golden.compare import assert_golden

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

INVENTORY = """\
providers:
  gateway:
    extends: openrouter
    base_url: https://llm.example.com/v1
    auth_token: ${GATEWAY_TOKEN}
all:
  vars:
    provider: openrouter
  children:
    builders:
      hosts:
        build-[01:05]: {env: {EDITOR_OF_MINE: null}}
    gpu:
      vars: {provider: ollama, model: "qwen2.5-coder:32b", env: {ANTHROPIC_MODEL: x}}
      hosts:
        gpu-01:
        gpu-02: {provider: glm}
    edge:
      children:
        lab:
          hosts:
            lab-01: {provider: gateway, timeout_ms: 900}
"""
HOSTS = (*(f"build-0{number}" for number in range(1, 6)), "gpu-01", "gpu-02", "lab-01")
FILES = {
    "build-01": '{"authToken": "a", "port": 9100}',
    "build-02": '{"authToken": "a", "port": 9100}',
    "build-03": (
        '{"authToken": "a", "defaultSessionEnv": {"ANTHROPIC_BASE_URL": "https://old.example.com",'
        ' "ANTHROPIC_AUTH_TOKEN": "old", "ANTHROPIC_DEFAULT_MODEL": "openai/gpt-4.1-mini",'
        ' "EDITOR_OF_MINE": "vi", "API_TIMEOUT_MS": "60000"}}'
    ),
    "build-04": '{"authToken": ',
    "gpu-01": '{"authToken": "a", "port": "9100"}',
    "gpu-02": '{"authToken": "a"}',
}
COMMANDS = {
    "init": [
        ["init"],
        ["validate", "-i", "inventory.yml", "playbook.yml"],
        ["init"],
        ["init", "inventory.yml"],
        ["init", "my fleet"],
        ["init", "--playbook", "one-provider"],
        ["validate", "-i", "inventory.yml", "one-provider.yml"],
        ["init", "--playbook", "one-provider"],
        ["init", "--playbook", "one-providr"],
    ],
    "validate": [["validate"], ["validate", "-q"], ["validate", "--format", "json"]],
    "hosts": [
        ["hosts"],
        ["hosts", "gpu:lab"],
        ["hosts", "--graph"],
        ["hosts", "--graph", "--limit", "build-0?:!build-04"],
        ["hosts", "--host", "gpu-02"],
        ["hosts", "--host", "lab-01"],
        ["hosts", "gpu", "--format", "json"],
        ["hosts", "--host", "gpu-01", "--format", "json"],
        ["hosts", "--host", "build-03", "--format", "json"],
        ["hosts", "--host", "gpu-03"],
        ["hosts", "gpus"],
    ],
    "explain": [
        ["explain", "gpu-02", "--quiet"],
        ["explain", "lab-01", "timeout_ms", "-q"],
        ["explain", "gpu-01", "ANTHROPIC_MODEL", "-q"],
        ["explain", "build-03", "EDITOR_OF_MINE", "-q"],
        ["explain", "gpu-02", "model", "--format", "json", "-q"],
        ["explain", "gpu-02", "modle", "-q"],
        ["explain", "gpu-20", "-q"],
    ],
    "pin": [
        ["pin", "build-03", "glm", "--until", "2099-12-31", "--reason", "a trial"],
        ["pin", "build-01:build-02:gpu-01", "gateway", "--dry-run"],
        ["pin", "gpu-02", "ollama", "--format", "json"],
        ["pin", "gpu-02", "ollama"],
        ["validate"],
        ["pin", "lab-01", "openrouter", "--timeout-ms", "900"],
        ["unpin", "build-03:build-04:gpu-02"],
        ["pin", "lab-01", "gatewya"],
        ["pin", "build-09", "glm"],
    ],
    "providers": [
        ["providers"],
        ["providers", "gateway"],
        ["providers", "glm", "--format", "json"],
        ["providers", "azure"],
    ],
    "render": [
        ["render", "gpu-01"],
        ["render", "lab-01", "--reveal"],
        ["render", "--provider", "lm-studio"],
        ["render", "--provider", "azure-openai"],
        ["render", "gpu-99"],
        ["render"],
    ],
    "plan": [
        ["plan"],
        ["plan", "-v", "--limit", "build-01:build-02", "--forks", "1"],
        ["plan", "-q", "--detailed-exitcode", "--limit", "gpu-02"],
        ["plan", "--format", "json", "--limit", "build-03:build-04:lab-01"],
        ["plan", "--format", "markdown", "--limit", "!build-05", "--report", "plan.html"],
        ["plan", "--limit", "gpu-02", "--report", "no-such-directory/plan.html"],
        ["plan", "--limit", "gpu-02:!gpu-02"],
        ["plan", "--limit", "bulid-01"],
    ],
    "apply": [
        ["apply", "--check", "--diff", "--limit", "build-03:gpu-02"],
        ["apply", "--list-hosts"],
        ["apply", "--limit", "build-01"],
        ["apply", "--limit", "build-01", "--format", "json"],
        ["apply", "--yes", "--quiet"],
        ["apply", "--yes", "--quiet", "--format", "markdown"],
        ["apply", "--limit", "gpu-02"],
        ["apply", "--limit", "gpu-02:build-04", "--format", "json"],
    ],
    "import": [
        ["import", "--limit", "gpu-0?:lab-01", "--out", "new.yml"],
        ["apply", "--yes", "--quiet"],
        ["import", "--out", "new.yml"],
        ["import", "--out", "new.yml"],
        ["import", "--out", "new.yml", "--force", "--format", "json", "--limit", "gpu"],
        ["import"],
    ],
    "status": [
        ["status"],
        ["apply", "--yes", "--quiet", "--format", "json", "--limit", "build-03:gpu-02"],
        ["status", "-q", "--limit", "!build-04:!gpu-01:!lab-01"],
        ["status", "-q", "-v", "--limit", "build-03"],
        ["status", "--by", "provider"],
        ["status", "-q", "--by", "secret"],
        ["status", "-q", "--format", "json", "--limit", "build-03:build-04"],
        ["status", "-q", "--detailed-exitcode", "--limit", "build-01"],
        ["status", "--format", "markdown", "-q"],
        ["status", "--format", "markdown", "--by", "provider"],
        ["status", "--by", "weather"],
    ],
    "doctor": [
        ["doctor", "--env-file", "on-loopback.env"],
        ["doctor", "gpu:build-01", "-q", "--limit", "!gpu-02", "--env-file", "on-loopback.env"],
        ["doctor", "nobody"],
    ],
    "usage": [
        ["plann"],
        ["frobnicate"],
        ["plan", "--forks", "0"],
        ["plan", "--limt", "x"],
        ["apply", "--format", "xml"],
        ["render", "a", "--provider", "glm"],
        ["hosts", "--graph", "--host", "a"],
        ["-i", "inventory.yml", "plan"],
    ],
}


@pytest.fixture
def staged(operator: Operator) -> Operator:
    """An operator with a fleet in which every kind of plan occurs."""
    for host in HOSTS:
        operator.furnish(host, content=FILES.get(host))
        if os.geteuid() == 0:
            # A directory of root's would earn a warning that other users never see.
            os.chown(operator.file_of(host).parent, 4242, 4242)
            if host in FILES:
                os.chown(operator.file_of(host), 4242, 4242)
        # Beside the inventory: paths of other lengths must not move columns in it.
        variables = operator.work / "host_vars" / f"{host}.yml"
        variables.parent.mkdir(exist_ok=True)
        port = 1 if host == "lab-01" else operator.sshd.port
        variables.write_text(f"port: {port}\nconfig_path: {operator.file_of(host)}\n")
    groups = operator.work / "group_vars"
    groups.mkdir()
    (groups / "all.yml").write_text(
        f"address: {operator.sshd.address}\nuser: {operator.sshd.user}\n"
        f"identity_file: {operator.sshd.client_key}\n"
        # Only root gets as far as pytest's directories, not even the users who own some here.
        "trust_directory: true\n"
    )
    # What connects to a provider stays on this machine.
    env = operator.work / "on-loopback.env"
    env.touch(mode=0o600)
    url = f"http://127.0.0.1:{operator.sshd.port}/v1"
    recipes = ("OPENROUTER", "GLM", "OLLAMA", "GATEWAY")
    env.write_text("".join(f"{recipe}_BASE_URL={url}\n" for recipe in recipes))
    (operator.work / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    operator.environ |= {"GATEWAY_TOKEN": "token-of-the-gateway", "GLM_API_KEY": "token-of-glm"}
    operator.environ["AEGIS_PROVISION_FORKS"] = "1"
    return operator


@pytest.mark.parametrize("name", COMMANDS)
def test_output(staged: Operator, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    if name == "init":
        shutil.rmtree(staged.work)
        staged.work.mkdir()
    told = []
    for command in COMMANDS[name]:
        result = staged.call(*command)
        told.append(" ".join(["$ aegis-provision", *command]) + f"\n{result.out}")
        told.append(f"--- stderr\n{result.err}" if result.err else "")
        told.append(f"--- exit {result.code}\n\n")
    assert_golden(f"cli/{name}.txt", neutral(staged, "".join(told)))


def neutral(operator: Operator, text: str) -> str:
    """Put fixed words in the place of what differs from run to run."""
    text = text.replace(str(operator.root), "/operator").replace(
        str(operator.sshd.client_key), "/keys/client_key"
    )
    text = re.sub(rf"\b{operator.sshd.port}\b", "PORT", text)
    text = re.sub(rf"(user\W+){operator.sshd.user}\b", r"\1USER", text)
    text = re.sub(rf"\b(?:4242:4242|{os.geteuid()}:{os.getegid()})(?=[\"\n])", "UID:GID", text)
    text = re.sub(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}([ T])[0-9:]{8}", r"DATE\1TIME", text)
    return re.sub(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", "RUN", text)
