"""An inventory of many hosts, each written out by name: the case that takes longest to read."""

from __future__ import annotations

_GROUPS = 100
_PROVIDERS = ("openrouter", "glm", "ollama", "gateway")
_PIN_EVERY = 10


def large_inventory(hosts: int) -> str:
    """Return an inventory of ``hosts`` hosts in 100 groups; every tenth of a group has a pin."""
    lines = [
        "providers:",
        "  gateway:",
        "    extends: openrouter",
        "    base_url: https://llm.example.com/v1",
        "    auth_token: ${GATEWAY_TOKEN}",
        "all:",
        "  vars:",
        "    user: deploy",
        "    become_user: aegis",
        "    config_path: /opt/aegis/aegis.config.json",
        "  children:",
    ]
    for group in range(_GROUPS):
        lines += [
            f"    site{group:02}:",
            "      vars:",
            f"        provider: {_PROVIDERS[group % len(_PROVIDERS)]}",
            f"        model: model-{group}",
            "      hosts:",
        ]
        for number in range(group, hosts, _GROUPS):
            settings = f"address: 10.{number // 65536}.{number // 256 % 256}.{number % 256}"
            if number // _GROUPS % _PIN_EVERY == 0:
                settings += ", provider: glm"
            lines.append(f"        host-{number:05}.example.com: {{{settings}}}")
    return "\n".join(lines) + "\n"
