"""The private parts of paramiko that we use are there, and only those are used."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import paramiko
import pytest
from paramiko.agent import AgentSSH
from paramiko.packet import Packetizer

from aegis_provision.transport.ssh import paramiko_internals
from aegis_provision.transport.ssh.paramiko_internals import PRIVATE_PARTS

PACKAGE = Path(paramiko_internals.__file__).parent
PARTS = [(owner, name) for owner, names in PRIVATE_PARTS for name in names]


@pytest.mark.parametrize(("owner", "name"), PARTS, ids=lambda part: getattr(part, "__name__", part))
def test_paramiko_has_the_private_part(owner: type, name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        instance = {
            paramiko.Transport: lambda: paramiko.Transport(ours),
            Packetizer: lambda: Packetizer(ours),
            paramiko.Channel: lambda: paramiko.Channel(0),
            AgentSSH: AgentSSH,
        }[owner]()
        assert hasattr(instance, name)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_uses_a_private_part(path: Path) -> None:
    named = {name for _, name in PARTS} - {"run", "active", "event"}
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in named
    }
    assert not used or path.stem == "paramiko_internals"
