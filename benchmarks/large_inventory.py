"""Inventories of many hosts: a fleet in ranges and nested groups, and hosts written out by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_GROUPS = 100
_PROVIDERS = ("openrouter", "glm", "ollama", "gateway")
_PIN_EVERY = 10
_HEAD = (
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
    "    provider: openrouter",
    "  children:",
)
_REGIONS = _SITES = 10
_IN_RACK, _PINS_IN_RACK, _FILES_OF_SITE = 100, 5, 2


def large_inventory(hosts: int) -> str:
    """Return an inventory of ``hosts`` hosts in 100 groups; every tenth of a group has a pin."""
    lines = list(_HEAD)
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


def write_fleet(directory: Path, racks_of_site: int) -> Path:
    """Lay out an inventory of 10,000 hosts for each of ``racks_of_site``; return its main file.

    Ten regions have ten sites each, a site has racks, and a rack a range of 100 hosts, five of them
    pinned. Two hosts of each site have a file of ``host_vars``.
    """
    lines = list(_HEAD)
    variables = directory / "host_vars"
    variables.mkdir(parents=True)
    for region in range(_REGIONS):
        provider = _PROVIDERS[region % len(_PROVIDERS)]
        lines += [
            f"    region{region}:",
            f"      vars: {{provider: {provider}, model: model-{region}}}",
            "      children:",
        ]
        for site in range(_SITES):
            place = f"{region}{site}"
            lines += [f"        site{place}:", f"          vars: {{port: {2200 + site}}}"]
            lines.append("          children:")
            for rack in range(racks_of_site):
                lines += _rack(f"r{place}{rack:02}")
            for number in range(1, _FILES_OF_SITE + 1):
                host = _host(f"r{place}00", number)
                text = f"address: 10.{region}.{site}.{number}\nenv: {{SITE: s{place}}}\n"
                (variables / f"{host}.yml").write_text(text, encoding="utf-8")
    inventory = directory / "inventory.yml"
    inventory.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return inventory


def _rack(name: str) -> list[str]:
    lines = [f"            {name}:", "              hosts:"]
    lines.append(f"                {name}-[001:{_IN_RACK}].example.com:")
    pinned = range(7, _IN_RACK, _IN_RACK // _PINS_IN_RACK)
    return [*lines, *(f"                {_host(name, at)}: {{provider: glm}}" for at in pinned)]


def _host(rack: str, number: int) -> str:
    return f"{rack}-{number:03}.example.com"
