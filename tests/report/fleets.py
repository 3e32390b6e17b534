"""A fleet as large as those for which output must fit on a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.planning.host_plan import plan_host
from aegis_provision.providers.recipes import resolve_providers
from aegis_provision.providers.session_variables import resolve_env, session_specs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.inventory.host import Inventory
    from aegis_provision.planning.plan import HostPlan

FLEET = """\
all:
  vars: {provider: openrouter, user: deploy, jump: none, become_user: aegis,
         config_path: /c, read_via: explicit}
  children:
    builders:
      hosts:
        build-[001:120].example.com:
        build-017.example.com: {provider: glm}
        build-018.example.com: {provider: glm}
        build-044.example.com: {provider: lm-studio}
        build-045.example.com: {provider: glm, model: glm-4.5-air}
        build-103.example.com: {provider: ollama}
    gpu:
      vars: {provider: ollama, model: "qwen2.5-coder:32b", env: {ANTHROPIC_MODEL: x}}
      hosts:
        gpu-[01:50].example.com:
        gpu-08.example.com: {provider: glm, port: 2222, jump: [a, b]}
        gpu-21.example.com: {provider: glm}
        gpu-33.example.com: {provider: lm-studio}
    eu:
      hosts:
        eu-[01:30].example.com:
        eu-02.example.com: {provider: azure-openai}
        eu-14.example.com: {provider: azure-openai}
        eu-30.example.com: {provider: glm}
"""
PINS = 11


def inventory(text: str = FLEET) -> Inventory:
    found, _ = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert found is not None
    return found


ENVIRON = {
    "OPENROUTER_API_KEY": "a-token-of-openrouter",
    "GLM_API_KEY": "a-token-of-glm",
    "AZURE_OPENAI_API_KEY": "a-token-of-azure",
    "AZURE_OPENAI_BASE_URL": "https://ours.openai.azure.com/openai/v1",
}


def plans(text: str = FLEET, contents: Mapping[str, bytes] | None = None) -> list[HostPlan]:
    """Return the plan of the inventory ``text`` for hosts whose files hold ``contents``.

    Without those they have nothing of ours yet, and every seventh has no token for its API.
    """
    found = inventory(text)
    recipes, _ = resolve_providers(found)
    specs, _ = session_specs(found, recipes)
    made = []
    for number, host in enumerate(found.hosts.values()):
        content = b'{"port": 9100, "authToken": "x"}' if number % 7 else b'{"port": 9100}'
        facts = RemoteFile((contents or {}).get(host.name, content), 0o600, 1, 1)
        actual = RemoteState(f"/opt/{host.name}/config.json", facts, RemoteDirectory(0o700, 1, 1))
        made.append(plan_host(host, resolve_env(specs[host.name], ENVIRON), actual))
    return made


def written(made: Iterable[HostPlan]) -> dict[str, bytes]:
    """Return what hosts have once the plans ``made`` are carried out."""
    writes = {plan.host: plan.write for plan in made}
    return {host: write.content or b"" for host, write in writes.items() if write is not None}
