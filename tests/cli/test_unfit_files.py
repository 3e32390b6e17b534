"""Pipes, devices, sockets and directories where files are expected: told at once, by name."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.operator import Operator

PIPE = "it is not a regular file but a pipe"


def _socket(path: Path) -> None:
    # A socket's whole path may have no more than some hundred bytes.
    with socket.socket(socket.AF_UNIX) as server, chdir(path.parent):
        server.bind(path.name)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, PIPE),
    "socket": (_socket, "it is not a regular file but a socket"),
    "device": (_device, "it is not a regular file but a device"),
    "directory": (Path.mkdir, "Is a directory"),
}


READ = {  # by path, from where commands are typed: a command that reads it, and its exit code
    "x.yml": ("validate x.yml", 3),
    "group_vars/all.yml": ("validate", 3),
    "x": ("hosts @x", 3),
    "x.plan": ("apply x.plan", 3),
    "tokens.env": ("plan --env-file tokens.env", 3),
    "known": ("plan --known-hosts known", 5),
    "../home/.ssh/config": ("plan --ssh-config ../home/.ssh/config", 5),
    "../home/.ssh/included": ("plan --ssh-config including", 5),
}
OTHERWISE = {  # a directory means something else there, and so does a pipe
    ("tokens.env", "pipe"),
    ("group_vars/all.yml", "directory"),
    ("known", "directory"),
    ("../home/.ssh/config", "directory"),
    ("../home/.ssh/included", "directory"),
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [(place, kind) for place in READ for kind in KINDS if (place, kind) not in OTHERWISE],
)
def test_a_file_of_the_operator(operator: Operator, place: str, kind: str) -> None:
    make, words = KINDS[kind]
    path = operator.work / place
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    (operator.work / "including").write_text("Include inc*\n")
    command, code = READ[place]
    result = operator.run(*command.split())
    assert result.code == code, result
    told = result.out + result.err
    if (path.name, kind) == ("included", "device"):  # which anybody may write
        words = "bad owner or permissions"
    assert words in told
    assert path.name in told
    assert "internal error" not in told


def test_a_link_that_leads_nowhere_and_a_directory_are_passed_over_by_include(
    operator: Operator,
) -> None:
    ssh = operator.root / "home" / ".ssh"
    (ssh / "included").mkdir(parents=True)
    (ssh / "inc2").symlink_to("nowhere")
    (operator.work / "including").write_text("Include inc*\n")
    assert operator.call("plan", "--ssh-config", "including").code == 0


def test_the_null_device_is_an_empty_ssh_config(operator: Operator) -> None:
    assert operator.call("plan", "--ssh-config", "/dev/null").code == 0


def test_the_null_device_is_an_empty_known_hosts(operator: Operator) -> None:
    result = operator.call("plan", "--known-hosts", "/dev/null", "--format", "json")
    assert result.code == 5
    assert "unknown" in result.out
    trusting = ("--known-hosts", "/dev/null", "--host-key", "accept-new")
    result = operator.call("plan", *trusting)
    assert result.code == 5
    assert "there is no file to save it in" in result.out
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["key", "key.pub", "key-cert.pub"])
def test_a_key(operator: Operator, kind: str, name: str) -> None:
    make, words = KINDS[kind]
    key = operator.work / "key"
    shutil.copy(operator.sshd.client_key, key)
    inventory = operator.work / "inventory.yml"
    inventory.write_text(inventory.read_text().replace(str(operator.sshd.client_key), str(key)))
    (operator.work / name).unlink(missing_ok=True)
    make(operator.work / name)
    result = operator.run("plan", "--format", "json")
    if name != "key":  # which itself is enough, as for OpenSSH's client
        assert result.code == 0
    else:
        assert result.code == 5
        assert f"can't be used: {words[:1].lower()}{words[1:]}" in result.out


def test_a_key_longer_than_any_is_not_read_to_its_end(operator: Operator) -> None:
    key = operator.work / "key"
    key.write_bytes(b"#" * (64 * 1024 + 1))
    inventory = operator.work / "inventory.yml"
    inventory.write_text(inventory.read_text().replace(str(operator.sshd.client_key), str(key)))
    assert "can't be used: it is larger than 64 KiB" in operator.call("plan").out


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_and_the_records_of_the_state_directory(operator: Operator, kind: str) -> None:
    make, words = KINDS[kind]
    assert operator.call("apply", "--yes", "-l", "a").code == 0
    state = operator.root / "home" / ".local" / "state" / "aegis-provision"
    (record,) = (state / "runs").iterdir()
    record.unlink()
    make(record)
    result = operator.run("history")
    assert result.code == 0
    assert f"the record can't be read: {words}" in result.out
    assert operator.run("history", "last").code == 3
    (state / "hmac.key").unlink()
    make(state / "hmac.key")
    result = operator.run("apply", "--yes")
    assert result.code == 6
    assert f"hmac.key can't be made or read: {words}" in result.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["aegis.config.json", ".aegis-provision/receipt.json"])
def test_files_of_a_host_that_is_this_machine(operator: Operator, kind: str, name: str) -> None:
    make, _ = KINDS[kind]
    there = operator.root / "hosts" / "here" / name
    there.parent.mkdir(parents=True, mode=0o700)
    make(there)
    path = operator.root / "hosts" / "here" / "aegis.config.json"
    (operator.work / "inventory.yml").write_text(
        f"all: {{hosts: {{here: {{provider: ollama, connection: local, config_path: {path}}}}}}}"
    )
    result = operator.run("status")
    assert "internal error" not in result.err
    assert result.code == (4 if name == "aegis.config.json" and kind != "device" else result.code)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_never_replaces_what_is_no_file(operator: Operator, kind: str) -> None:
    make, words = KINDS[kind]
    make(operator.work / "page")
    result = operator.call("apply", "--yes", "--report", "page")
    assert result.code == (64 if kind == "directory" else 3)
    if kind != "directory":
        assert result.err.endswith(
            f"error: --report: page can't be written: {words}\n"
            "  = name a file in a directory of yours\n"
        )
    assert not operator.file_of("a").read_text().count("defaultSessionEnv")


def test_a_trust_store_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        "import ssl; from aegis_provision.transport import http;"
        "print(len(http._ssl_context(ssl.get_default_verify_paths()).get_ca_certs()))"
    )
    environ = {"SSL_CERT_FILE": str(pipe), "SSL_CERT_DIR": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "0\n"
