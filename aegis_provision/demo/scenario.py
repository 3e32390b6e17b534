"""What the demo shows: its hosts and their files, its inventory, and the commands that run."""

from __future__ import annotations

import json
import shlex
from dataclasses import field
from itertools import cycle, islice
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_PATH = "/opt/aegis/aegis.config.json"
FEWEST_HOSTS = 6
MOST_HOSTS = 99
LOGIN = "demo"

VARIABLES: Mapping[str, str] = {
    "OPENROUTER_API_KEY": "demo-openrouter-token-not-real",
    "GLM_API_KEY": "demo-glm-token-not-real",
    "GATEWAY_TOKEN": "demo-gateway-token-not-real",
    "AZURE_OPENAI_API_KEY": "demo-azure-token-not-real",
}
"""What an operator would have in the environment. No token in it opens anything."""


@dataclass(frozen=True, slots=True)
class DemoHost:
    """One host as the demo finds it: ``content`` of its file (``None``: none yet), and its mode."""

    name: str
    content: str | None = field(repr=False)
    mode: int = 0o600


def _file(values: Mapping[str, str] | None, **foreign: object) -> str:
    content = dict(foreign)
    if values is not None:
        content["defaultSessionEnv"] = values
    return json.dumps(content, indent=2) + "\n"


_OLD_OPENROUTER = {
    "ANTHROPIC_BASE_URL": "https://openrouter.ai/api/v1",
    "ANTHROPIC_AUTH_TOKEN": "demo-last-years-token",
    "ANTHROPIC_DEFAULT_MODEL": "openai/gpt-4o-mini",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "openai/gpt-4.1-mini",
    "API_TIMEOUT_MS": "60000",
}
_RIGHT_OPENROUTER = {
    **_OLD_OPENROUTER,
    "ANTHROPIC_AUTH_TOKEN": VARIABLES["OPENROUTER_API_KEY"],
    "ANTHROPIC_DEFAULT_MODEL": "openai/gpt-4.1-mini",
}
_RIGHT_OLLAMA = {
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:11434/v1",
    "ANTHROPIC_AUTH_TOKEN": "ollama-local",
    "ANTHROPIC_DEFAULT_MODEL": "qwen2.5-coder:32b",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "qwen2.5-coder:7b",
    "API_TIMEOUT_MS": "120000",
}
_BUILDER_FILES = (
    _file(
        _OLD_OPENROUTER,
        authToken="demo-server-token-1",
        port=9100,
        allowedWorkDirs=["/srv/work"],
        webhooks=["https://hooks.example.com/aegis"],
    ),
    _file(_RIGHT_OPENROUTER, authToken="demo-server-token-2", port=9100),
    None,
)
_OTHERS = (
    DemoHost("canary-01", _file(None, port=9100, stateDir="/var/lib/aegis")),
    DemoHost("gpu-01", _file(_RIGHT_OLLAMA, authToken="demo-server-token-3")),
    DemoHost("gpu-02", _file(_RIGHT_OLLAMA, authToken="demo-server-token-4")),
    DemoHost("eu-01", _file(_OLD_OPENROUTER, authToken="demo-server-token-5"), mode=0o644),
    DemoHost("desk-01", None),
)


def demo_hosts(count: int) -> tuple[DemoHost, ...]:
    """Return ``count`` hosts in inventory order; at least :data:`FEWEST_HOSTS` of them.

    Only the group of builders grows: it takes turns with a file to update, one that is right
    already, and none at all. Raises :class:`ValueError` for a count that is out of bounds.
    """
    if not FEWEST_HOSTS <= count <= MOST_HOSTS:
        raise ValueError(f"the demo has {FEWEST_HOSTS} to {MOST_HOSTS} hosts, not {count}")
    builders = count - len(_OTHERS)
    files = islice(cycle(_BUILDER_FILES), builders)
    return (
        *(DemoHost(f"build-{number:02}", content) for number, content in enumerate(files, 1)),
        *_OTHERS,
    )


def inventory_text(count: int) -> str:
    """Return the inventory of ``demo_hosts(count)``, with comments."""
    builders = count - len(_OTHERS)
    entry = "build-01:" if builders == 1 else f"build-[01:{builders:02}]:"
    return _INVENTORY.replace("BUILDERS", f"{entry:<34}", 1)


PLAYBOOK_TEXT = """\
# In which order, and how many at once. What a host should be stands in inventory.yml alone.

- name: Canary
  hosts: canary
  # Aegis does not run on the demo's hosts. On yours: restart: changed, verify: {health: true} and
  # on_failure: rollback.
  restart: never

- name: Everyone else
  hosts: all:!canary
  serial: [1, 50%]                          # one host, then half of these hosts at a time
  restart: never
  max_fail: 10%                             # of all hosts; above it nothing new begins
"""
"""The rollout that the demo shows."""

_INVENTORY = """\
# Which LLM provider each host of the demo should use.
# Where the hosts are, and with which key to log in, stands in ssh_config beside this file.

providers:
  gateway:                                  # a recipe of your own, built on another
    extends: openrouter
    base_url: https://llm.example.com/v1
    auth_token: ${GATEWAY_TOKEN}            # tokens are always references, never literals

all:
  vars:
    provider: openrouter                    # unless something nearer to the host says otherwise
    config_path: /opt/aegis/aegis.config.json

  children:
    builders:
      hosts:
        BUILDERS  # a range may stand for many hosts

    canary:
      vars:
        provider: gateway
      hosts:
        canary-01:

    gpu:
      vars:
        provider: ollama                    # a model that runs on the host itself
        model: "qwen2.5-coder:32b"
      hosts:
        gpu-01:
        gpu-02: {provider: glm}             # a pin: this host alone uses another provider

    eu:
      vars:
        provider: azure-openai
        base_url: https://demo.openai.azure.com/openai/v1
        model: team-gpt-4.1-mini            # for Azure: the deployment's name
        fast_model: team-gpt-4.1-nano
      hosts:
        eu-01:

    desk:
      vars:
        provider: lm-studio
        model: qwen2.5-coder-14b
        fast_model: qwen2.5-coder-3b
      hosts:
        desk-01:
"""

_WITH_INVENTORY = ("-i", "inventory.yml")
_PLAYBOOK = "playbook.yml"
_WITH_TOKENS = ("--env-file", "tokens.env")
_WITH_SSH = ("--ssh-config", "ssh_config", "--known-hosts", "known_hosts")
_WITH_BOTH = (*_WITH_TOKENS, *_WITH_SSH)


@dataclass(frozen=True, slots=True)
class Example:
    """A command line (without the program's name), and what it is good for."""

    words: str
    command: tuple[str, ...]

    def typed(self) -> str:
        """Return the line as one types it; a long one is broken, as shells allow."""
        line = shlex.join(["aegis-provision", *self.command])
        connection = f" {shlex.join(_WITH_SSH)}"
        return line.replace(connection, f" \\\n   {connection}")


STEPS = (
    Example(
        "'validate' checks inventory and playbook offline: it connects nowhere and needs no "
        "secrets.",
        ("validate", *_WITH_INVENTORY, _PLAYBOOK),
    ),
    Example(
        "'plan' reads every host and shows what would change. Tokens never show. gpu-02 is "
        "pinned to glm, so its group's model does not count there; others may read eu-01's "
        "file, which would end; canary-01's file has no authToken, which earns a warning.",
        ("plan", *_WITH_INVENTORY, *_WITH_BOTH),
    ),
    Example(
        "'apply' shows that plan, asks (here --yes answers) and writes, in the order and the "
        "batches of playbook.yml. Each file is replaced as a whole or not at all, and all that is "
        "not ours in it stays: authToken, port, webhooks. Aegis does not run on these hosts; on "
        "yours the playbook also restarts it, asks whether it is well, and goes back if not.",
        ("apply", _PLAYBOOK, "--yes", *_WITH_INVENTORY, *_WITH_BOTH),
    ),
    Example(
        "A second 'plan' finds nothing to change. If it did, --detailed-exitcode would make its "
        "exit code 2.",
        ("plan", "--detailed-exitcode", *_WITH_INVENTORY, *_WITH_BOTH),
    ),
    Example(
        "'status' tells whether what we wrote on a host was changed there, and what still "
        "waits for a restart: each write left a receipt beside the file, without any value in it.",
        ("status", *_WITH_INVENTORY, *_WITH_BOTH),
    ),
)
COMMANDS_TO_TRY = (
    Example("the tree of groups, with providers and pins:", ("hosts", *_WITH_INVENTORY, "--graph")),
    Example(
        "one host's settings, and who set them:", ("hosts", *_WITH_INVENTORY, "--host", "gpu-02")
    ),
    Example("the file a host would get:", ("render", "gpu-02", *_WITH_INVENTORY, *_WITH_TOKENS)),
    Example(
        "a part of the fleet, once you have edited inventory.yml (a pin, another model):",
        ("plan", "--limit", "gpu:canary", *_WITH_INVENTORY, *_WITH_BOTH),
    ),
    Example("plays and batches:", ("apply", _PLAYBOOK, "--list-hosts", *_WITH_INVENTORY)),
    Example("the same as JSON:", ("plan", "--format", "json", *_WITH_INVENTORY, *_WITH_BOTH)),
    Example("and to write it:", ("apply", *_WITH_INVENTORY, *_WITH_BOTH)),
)
