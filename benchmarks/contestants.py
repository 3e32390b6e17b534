"""The programs that are compared: how each is called, and what it must have done."""

from __future__ import annotations

import json
import os
import shutil
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

State = Literal["right", "changed"]


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program. ``needs`` says what the hosts' files must hold before it starts.

    Afterwards they must all hold the right content, also if they did before, and be 0600 where
    the program ``sets_mode``. ``afterwards`` ends what the program left running. ``slow`` ones are
    measured less often.
    """

    name: str
    argv: Sequence[str]
    needs: State
    sets_mode: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    afterwards: Callable[[], None] = _nothing
    slow: bool = False


def contestants(bed: Bed, environment: Path) -> dict[str, Contestant]:
    """Return all contestants by name; ``environment`` holds those that are not ours to install."""
    theirs = str(environment / "bin" / "python")
    found = [
        _ours(bed, "plan", "plan", "right"),
        _ours(bed, "apply", "apply", "changed"),
        _ours(bed, "apply, unchanged", "apply", "right"),
    ]
    for library, python in (
        ("paramiko", sys.executable),
        ("asyncssh", sys.executable),
        ("openssh", sys.executable),
        ("parallel_ssh", theirs),
    ):
        title = library.replace("_", "-")
        found.append(_loop(bed, python, library, f"{title} read", "right", ()))
        write = ("--content", str(bed.right_file))
        found.append(_loop(bed, python, library, f"{title} write", "changed", write))
    found += _pyinfra(bed, environment)
    found += _ansible(bed, environment, "ansible", {})
    found += _ansible(bed, environment, "mitogen", _mitogen(environment))
    return {item.name: item for item in found}


def our_argv(bed: Bed, verb: str) -> tuple[str, ...]:
    """Return our own command line; ``plan`` fails where a host would change or is out of reach."""
    return (
        *(sys.executable, "-m", "aegis_provision", verb),
        *("-i", str(bed.inventory), "--ssh-config", "none", "--known-hosts", str(bed.known_hosts)),
        *("--forks", str(FORKS), "--yes" if verb == "apply" else "--detailed-exitcode"),
    )


def _ours(bed: Bed, name: str, verb: str, needs: State) -> Contestant:
    return Contestant(name, our_argv(bed, verb), needs, environ=bed.variables)


def _loop(
    bed: Bed, python: str, library: str, name: str, needs: State, more: Sequence[str]
) -> Contestant:
    argv = (
        *(python, "-m", f"benchmarks.loops.{library}_loop", "--forks", str(FORKS)),
        *("--list", str(bed.list_file), "--port", str(bed.port), "--user", bed.user),
        *("--key", str(bed.key), "--known-hosts", str(bed.known_hosts), *more),
    )
    return Contestant(name, argv, needs, sets_mode=False)


def _pyinfra(bed: Bed, environment: Path) -> list[Contestant]:
    work = bed.directory / "pyinfra"
    work.mkdir()
    hosts = []
    for host in bed.hosts:
        # paramiko goes through all lines of the file for each host: it gets one of a line.
        known_hosts = host.path.with_name("known_hosts")
        known_hosts.write_text(bed.known_hosts_line(host), encoding="utf-8")
        data = {
            "ssh_hostname": host.address,
            "ssh_port": bed.port,
            "ssh_user": bed.user,
            "ssh_key": str(bed.key),
            "ssh_known_hosts_file": str(known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "config_path": str(host.path),
        }
        hosts.append((host.name, data))
    inventory, deploy = work / "inventory.py", work / "deploy.py"
    inventory.write_text(f"hosts = {hosts!r}\n", encoding="utf-8")
    deploy.write_text(
        "from pyinfra import host\n"
        "from pyinfra.operations import files\n"
        f"files.put(src={str(bed.right_file)!r}, dest=host.data.config_path, mode='600')\n",
        encoding="utf-8",
    )
    argv = (str(environment / "bin" / "pyinfra"), "-y", str(inventory), str(deploy))
    return [
        Contestant("pyinfra", argv, "changed", slow=True),
        Contestant("pyinfra, unchanged", argv, "right", slow=True),
    ]


def _mitogen(environment: Path) -> dict[str, str]:
    """Return what makes Ansible go by mitogen (its documentation, "Installation")."""
    [plugins] = environment.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy")
    return {"strategy_plugins": str(plugins), "strategy": "mitogen_linear"}


def _ansible(
    bed: Bed, environment: Path, name: str, further: Mapping[str, str]
) -> list[Contestant]:
    work = bed.directory / name
    sockets = bed.directory / f"cp-{name[0]}"
    for directory in (work, sockets):
        directory.mkdir(mode=0o700)
    inventory = {
        "all": {
            "vars": {
                "ansible_port": bed.port,
                "ansible_user": bed.user,
                "ansible_ssh_private_key_file": str(bed.key),
                "ansible_python_interpreter": sys.executable,
                "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={bed.known_hosts} "
                "-o IdentitiesOnly=yes -o IdentityAgent=none",
                "ansible_control_path": f"{sockets}/{{{{ inventory_hostname }}}}",
            },
            "hosts": {
                host.name: {"ansible_host": host.address, "config_path": str(host.path)}
                for host in bed.hosts
            },
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
    settings = {
        "forks": str(ANSIBLE_FORKS),
        "home": str(work / "home"),
        "local_tmp": str(work / "local"),
        "remote_tmp": str(work / "remote"),
        **further,
    }
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    (work / "ansible.cfg").write_text(
        f"[defaults]\n{lines}[connection]\npipelining = True\n", encoding="utf-8"
    )
    argv = (
        *(str(environment / "bin" / "ansible-playbook"), "-i", str(work / "inventory.yml")),
        str(work / "play.yml"),
    )
    environ = {"ANSIBLE_CONFIG": str(work / "ansible.cfg")}

    def close_masters() -> None:
        _close_masters(sockets)

    states: tuple[tuple[str, State], ...] = ((name, "changed"), (f"{name}, unchanged", "right"))
    return [
        Contestant(each, argv, needs, environ=environ, afterwards=close_masters, slow=True)
        for each, needs in states
    ]


def _close_masters(sockets: Path) -> None:
    """End the connections that Ansible leaves open for a minute: each round begins cold."""
    for socket in sockets.iterdir():
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "any"],
            check=False,
            capture_output=True,
        )


def install_rivals(environment: Path, requirements: Path) -> None:
    """Install what is compared with into ``environment``, unless just that is there."""
    installed = environment / requirements.name
    wanted = requirements.read_bytes()
    if installed.exists() and installed.read_bytes() == wanted:
        return
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    argv = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*argv, "-r", str(requirements)], check=True)
    installed.write_bytes(wanted)


def versions(environment: Path) -> dict[str, str]:
    """Return the versions of all that is compared."""
    code = (
        "import importlib.metadata as m, sys; "
        "print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep='\\n')"
    )
    found: dict[str, str] = {}
    theirs = ("ansible-core", "mitogen", "parallel-ssh", "pyinfra")
    asked = ((str(environment / "bin" / "python"), theirs), (sys.executable, _OURS))
    for python, names in asked:
        done = subprocess.run(
            [python, "-c", code, *names], capture_output=True, text=True, check=True
        )
        for line in done.stdout.splitlines():
            package, _, found[package] = line.partition(" ")
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True)
    found["OpenSSH"] = ssh.stderr.strip().partition(",")[0].removeprefix("OpenSSH_")
    return found


_OURS = ("aegis-provision", "paramiko", "asyncssh")


def base_environ(home: Path) -> dict[str, str]:
    """Return what every program gets: nothing that leads to the user's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
