"""The programs that are compared: how each is called, and what it must have done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.bed import Bed

FORKS = 32
ANSIBLE_FORKS = 50
_INSTALLED = ("ansible-playbook", "pyinfra")


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program. ``needs`` says what the hosts' files must hold before it starts.

    Afterwards they must all hold the right content, whatever it was before, and be 0600 where
    the program ``sets_mode``. ``afterwards`` ends what the program left running.
    """

    name: str
    argv: Sequence[str]
    needs: Literal["right", "changed"]
    sets_mode: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    afterwards: Callable[[], None] = _nothing


def contestants(bed: Bed, environment: Path) -> dict[str, Contestant]:
    """Return all contestants by name; ``environment`` holds Ansible and pyinfra."""
    found = (
        _ours(bed, "plan", "right"),
        _bare(bed, "read loop", "right", ()),
        _ours(bed, "apply", "changed"),
        _bare(bed, "write loop", "changed", ("--content", str(bed.right_file))),
        _pyinfra(bed, environment),
        _ansible(bed, environment),
    )
    return {item.name: item for item in found}


def our_argv(bed: Bed, verb: str) -> tuple[str, ...]:
    """Return our own command line; ``plan`` fails where a host would change or is out of reach."""
    return (
        *(sys.executable, "-m", "aegis_provision", verb),
        *("-i", str(bed.inventory), "--ssh-config", "none", "--known-hosts", str(bed.known_hosts)),
        *("--forks", str(FORKS), "--yes" if verb == "apply" else "--detailed-exitcode"),
    )


def _ours(bed: Bed, verb: str, needs: Literal["right", "changed"]) -> Contestant:
    return Contestant(verb, our_argv(bed, verb), needs, environ=bed.variables)


def _bare(
    bed: Bed, name: str, needs: Literal["right", "changed"], more: Sequence[str]
) -> Contestant:
    argv = (
        *(sys.executable, "-m", "benchmarks.bare_loop", "--forks", str(FORKS)),
        *("--address", bed.address, "--port", str(bed.port), "--user", bed.user),
        *("--key", str(bed.key), "--known-hosts", str(bed.known_hosts)),
        *("--paths", str(bed.paths_file), *more),
    )
    return Contestant(name, argv, needs, sets_mode=False)


def _pyinfra(bed: Bed, environment: Path) -> Contestant:
    work = bed.directory / "pyinfra"
    work.mkdir()
    hosts = [
        (
            name,
            {
                "ssh_hostname": bed.address,
                "ssh_port": bed.port,
                "ssh_user": bed.user,
                "ssh_key": str(bed.key),
                "ssh_known_hosts_file": str(bed.known_hosts),
                "ssh_strict_host_key_checking": "yes",
                "ssh_allow_agent": False,
                "ssh_look_for_keys": False,
                "config_path": str(path),
            },
        )
        for name, path in bed.hosts.items()
    ]
    inventory, deploy = work / "inventory.py", work / "deploy.py"
    inventory.write_text(f"hosts = {hosts!r}\n", encoding="utf-8")
    deploy.write_text(
        "from pyinfra import host\n"
        "from pyinfra.operations import files\n"
        f"files.put(src={str(bed.right_file)!r}, dest=host.data.config_path, mode='600')\n",
        encoding="utf-8",
    )
    argv = (str(environment / "bin" / "pyinfra"), "-y", str(inventory), str(deploy))
    return Contestant("pyinfra", argv, "changed")


def _ansible(bed: Bed, environment: Path) -> Contestant:
    work = bed.directory / "ansible"
    sockets = bed.directory / "cp"
    for directory in (work, sockets):
        directory.mkdir(mode=0o700)
    # Each host has a control socket of its own: they stand for hosts of their own, although
    # they share an address, and one shared connection would flatter Ansible.
    inventory = {
        "all": {
            "vars": {
                "ansible_host": bed.address,
                "ansible_port": bed.port,
                "ansible_user": bed.user,
                "ansible_ssh_private_key_file": str(bed.key),
                "ansible_python_interpreter": sys.executable,
                "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={bed.known_hosts} "
                "-o IdentitiesOnly=yes -o IdentityAgent=none",
                "ansible_control_path": f"{sockets}/{{{{ inventory_hostname }}}}",
            },
            "hosts": {name: {"config_path": str(path)} for name, path in bed.hosts.items()},
        }
    }
    task = {
        "ansible.builtin.copy": {
            "src": str(bed.right_file),
            "dest": "{{ config_path }}",
            "mode": "0600",
        }
    }
    play = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    (work / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    (work / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    (work / "ansible.cfg").write_text(
        "[defaults]\n"
        f"forks = {ANSIBLE_FORKS}\n"
        f"home = {work / 'home'}\n"
        f"local_tmp = {work / 'local'}\n"
        f"remote_tmp = {work / 'remote'}\n"
        "[connection]\n"
        "pipelining = True\n",
        encoding="utf-8",
    )
    argv = (
        *(str(environment / "bin" / "ansible-playbook"), "-i", str(work / "inventory.yml")),
        str(work / "play.yml"),
    )
    return Contestant(
        "ansible",
        argv,
        "changed",
        environ={"ANSIBLE_CONFIG": str(work / "ansible.cfg")},
        afterwards=lambda: _close_masters(sockets, bed.address),
    )


def _close_masters(sockets: Path, address: str) -> None:
    """End the connections that Ansible leaves open for a minute: each round begins cold."""
    for socket in sockets.iterdir():
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", address],
            check=True,
            capture_output=True,
        )


def install_rivals(environment: Path, requirements: Path) -> None:
    """Install Ansible and pyinfra into ``environment``, unless they are there."""
    if all((environment / "bin" / program).exists() for program in _INSTALLED):
        return
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    argv = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*argv, "-r", str(requirements)], check=True)


def base_environ(home: Path) -> dict[str, str]:
    """Return what every program gets: nothing that leads to the user's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
