"""What a file of a directory holds whose name does not tell."""

from __future__ import annotations

import pytest

from aegis_provision.inventory.files import content_of


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("web:\n  hosts:\n    w1:\n", "inventory"),
        ("web:\n  children: {a: }\n", "inventory"),
        ("web: {vars: {provider: glm}}\n", "inventory"),
        ("all:\n", "inventory"),
        ("providers: {own: {extends: glm}}\n", "inventory"),
        ("web: {hots: {w1: }}\nother:\n", "inventory"),
        ('{"all": {"hosts": {"h": null}}}', "inventory"),
        # Broken, and yet begun as one.
        ("web:\n  hosts: [\n", "inventory"),
        ("---\n# x\n'web': # y\n  hosts: {\n", "inventory"),
        ('{"all": [', "inventory"),
        ("\n  \nweb:\n  hosts: [\n", "inventory"),
        ("web: {hosts: {h: }}\nx: [h]\n", "other"),
        ("web: {hosts: {h: }}\nx: text\n", "other"),
        ("[web]\nw1\n", "ini"),
        ("w1 a=b\nw2\n", "ini"),
        ("w1\nw2\n", "ini"),
        ("", "other"),
        ("# nothing\n", "other"),
        ("Read this first.\n", "other"),
        ("Note: read this: first\n", "other"),
        ("a: 1\nall: {hosts: {h: }}\n", "other"),
        ("a: {b: c}\n", "other"),
        ("web: {hostnames: {w1: }}\n", "other"),
        ("a:\n", "other"),
        ("{}\n", "other"),
        ("- hosts: all\n", "other"),
        (".PHONY: all\nall: x\n\tmake\n", "other"),
        ("\xff", "other"),
    ],
)
def test_what_a_file_holds(text: str, content: str) -> None:
    assert content_of("hosts", text.encode("latin-1")) == content
