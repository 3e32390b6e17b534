"""What may stand in the name of a host, an address, a bastion, and in settings like them."""

from __future__ import annotations

import pytest

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.inventory.addresses import is_port, parse_bastion
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory


@pytest.mark.parametrize(
    ("number", "is_one"), [(-1, False), (0, False), (1, True), (65_535, True), (65_536, False)]
)
def test_a_port(number: int, is_one: bool) -> None:
    assert is_port(number) is is_one


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gw", (None, "gw", None)),
        ("gw:22", (None, "gw", 22)),
        ("ada@gw.example.com:2222", ("ada", "gw.example.com", 2222)),
        ("fe80::1", (None, "fe80::1", None)),
        ("ada@fe80::1", ("ada", "fe80::1", None)),
        ("[fe80::1]:22", (None, "fe80::1", 22)),
        ("gw:65535", (None, "gw", 65_535)),
    ],
)
def test_a_bastion_is_taken_apart(text: str, parts: tuple[object, ...]) -> None:
    found = parse_bastion(text)
    assert found is not None
    assert (found.user, found.host, found.port) == parts


@pytest.mark.parametrize(
    "text",
    ["", "gw:0", "gw:65536", "gw:x", "-gw", "a b", "-u@gw", "u u@gw", "-u@fe80::1", "@gw", "gw:"],
)
def test_what_is_no_bastion(text: str) -> None:
    assert parse_bastion(text) is None


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("service: 'a b'", '"service" is no systemd unit'),
        ("restart_command: ' '", '"restart_command" is no command'),
        ('restart_command: "a\\nb"', '"restart_command" is no command'),
        ("api: ada@h:1", '"api" is not HOST:PORT'),
        ("api: h", '"api" is not HOST:PORT'),
        ("identity_file: ''", '"identity_file" names no file'),
        ("identity_file: '${HOME}/x'", "holds a '${'"),
        ("config_path: 'a/../b'", "holds '..'"),
    ],
)
def test_what_a_setting_may_not_be(setting: str, words: str) -> None:
    text = f"all: {{vars: {{provider: ollama}}, hosts: {{a: {{{setting}}}}}}}"
    _, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    [found] = [item for item in diagnostics if item.severity is Severity.ERROR]
    assert words in found.message
    assert found.hint


@pytest.mark.parametrize(
    "setting",
    ["service: aegis", "service: aegis.service", "restart_command: systemctl restart aegis",
     "api: 127.0.0.1:9100", "identity_file: ~/.ssh/id"],
)  # fmt: skip
def test_what_a_setting_may_be(setting: str) -> None:
    text = f"all: {{vars: {{provider: ollama}}, hosts: {{a: {{{setting}}}}}}}"
    _, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert diagnostics == ()


def test_a_name_of_a_host_and_of_a_group_is_warned_of_and_means_the_group() -> None:
    text = "all: {vars: {provider: ollama}, hosts: {a: , b: }, children: {a: {hosts: {b: }}}}"
    _, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    [found] = diagnostics
    assert (found.severity, found.code) == (Severity.WARNING, "same-name")
    assert found.message == '"a" is both a host and a group; in patterns it means the group'
    [related] = found.related
    assert related.message == "the group"
