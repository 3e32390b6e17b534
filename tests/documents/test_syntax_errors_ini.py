"""An inventory in INI format is told from YAML that is broken, with what converts it."""

from __future__ import annotations

import pytest

from aegis_provision.documents.nodes import Source, Span
from aegis_provision.documents.syntax_errors import conversion, ini_inventory, looks_like_ini
from aegis_provision.documents.yaml_reader import read_document


@pytest.mark.parametrize(
    "text",
    [
        "[gpu]\ng1\n",
        "[gpu]",
        "[all:vars]\nprovider=ollama\n[gpu]\ng1\n",
        "[gpu:children]\na\n",
        "[gpu:hosts]\na\n",
        "# a comment\n\n[gpu]\n",
        "; a comment\n[gpu]\n",
        "  # indented\n\t; too\n[gpu] # the big ones\n",
        "[gpu]\t; the big ones\n",
        "g1\ng2\n",
        "g1\n\n[gpu]\ng2\n",
        "g1 ansible_host=10.0.0.1\n",
        "g1 ansible_host=10.0.0.1 # one\n",
        "g1\tansible_user=u note='a b' other=\"c d\" empty=\n",
        "gpu-[01:08].example.com\nx\n",
        "g1:2222 a=b\n",
        "::1 a=b\n",
        "[prod-eu_1.x]\r\ng1\r\n",
        "[Größe]\n",
    ],
)
def test_it_is_ini(text: str) -> None:
    assert looks_like_ini(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# only a comment\n",
        "hello",
        "hello # there\n- x",
        "all:\n  hosts:\n",
        "all\n  hosts:\n    h1:\n",
        "- hosts: all\n",
        "-x a=b\n",
        "---\n[gpu]\n",
        "[a, b]\n",
        "[gpu]x\n",
        "[]\n",
        "[a b]\n",
        "[a:b]\n",
        "This is a note\n",
        "g1 host = x\n",
        "g1 =x\n",
        "{all: {hosts: {h: }}\n",
        "g1\nall:\n",
    ],
)
def test_it_is_not(text: str) -> None:
    assert not looks_like_ini(text)


def test_one_word_and_a_section_are_ini() -> None:
    assert looks_like_ini("g1\n[gpu]\n")
    assert not looks_like_ini("g1\n")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("hosts.ini", "hosts.ini"),
        ("my hosts.ini", "'my hosts.ini'"),
        ("a'b", "'a'\"'\"'b'"),
        ("$(x)/hosts", "'$(x)/hosts'"),
        ("-x", "./-x"),
    ],
)
def test_the_command_is_for_a_shell(name: str, written: str) -> None:
    assert conversion(name) == (
        f"convert it with: ansible-inventory -i {written} --list --yaml --export "
        "(vaulted files come out decrypted: look through the result before you keep it)"
    )


@pytest.mark.parametrize(
    ("text", "quotable"),
    [("[gpu]\nh pw=x\n", True), ("h1 pw=hunter2\n", False), ("# x\nh1 pw=hunter2\n", True)],
)
def test_a_line_with_variables_is_not_quoted(text: str, quotable: bool) -> None:
    source = Source("hosts.ini", text)
    found = ini_inventory(source)
    assert (found.quotable, found.span) == (quotable, Span(source, 1, 1, 1, 2))
    assert found.message == "this is an inventory in INI format, and only YAML is read"


def test_a_syntax_error_in_ini_text_is_reported_as_ini() -> None:
    for text in ("; a\nh1 a=b\n[gpu]\nx: y: z\n", "[gpu]\n}\n", "[gpu]\nh1\n\th2\n"):
        node, [found] = read_document(Source("hosts.ini", text))
        assert node is None
        assert found.code == "ini-inventory"
