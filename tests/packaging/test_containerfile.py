"""The Containerfile: its steps, run here, and the program in what a container would be."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.test_ci import GITHUB
from tests.fleet.clients import need
from tests.fleet.operator import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.openssh import Sshd

CHECKOUT = Path(__file__).resolve().parents[2]
STEPS = re.findall(
    r"^([A-Z]+) ((?:.*\\\n)*.*)$", (CHECKOUT / "Containerfile").read_text("utf-8"), re.MULTILINE
)
UID = 10001

pytestmark = [pytest.mark.root, pytest.mark.slow]


def steps(keyword: str) -> list[str]:
    return [text.replace("\\\n", " ") for name, text in STEPS if name == keyword]


def context() -> list[str]:
    """Return what a builder gets to see of the checkout: all else may hold secrets."""
    lines = (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert (patterns[0], patterns[-1]) == ("*", "**/__pycache__")
    assert all(pattern.startswith("!") for pattern in patterns[1:-1])
    return [pattern.removeprefix("!") for pattern in patterns[1:-1]]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """Yield what the image's /opt would be. Nothing is fetched: what it needs is installed here."""
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        opt = Path(name)
        opt.chmod(0o755)
        source = opt / "src"
        for part in context():
            here, there = CHECKOUT / part, source / part
            there.parent.mkdir(parents=True, exist_ok=True)
            if here.is_dir():
                shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(here, there)
        installed = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        for step in steps("RUN"):
            done = subprocess.run(
                ["sh", "-ec", step.replace("/opt/", f"{opt}/")],
                cwd=source,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
                    "PYTHONPATH": str(installed),
                    "PIP_NO_BUILD_ISOLATION": "0",
                    "PIP_NO_DEPS": "1",
                    "PIP_NO_INDEX": "1",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(source)
        (opt / "packages.pth").write_text(f"{installed}\n")
        [packages] = opt.glob("aegis-provision/lib/python*/site-packages")
        (opt / "packages.pth").rename(packages / "packages.pth")
        assert not (packages / "pip").exists()
        yield opt


def reachable_python() -> str:
    """Return what lets any uid run this Python in a mount namespace, also from root's home.

    Its directory is mounted again, at the same place, in one that can be looked into.
    """
    home = Path(sys.base_prefix)
    closed = [path for path in home.parents if not path.stat().st_mode & 0o001]
    if not closed:
        return ""
    line = "mount --bind {0} /mnt && mount -t tmpfs -o mode=755 none {1} && "
    line += "mkdir -p {0} && mount --bind /mnt {0} && "
    return line.format(shlex.quote(str(home)), shlex.quote(str(closed[-1])))


def in_container(
    image: Path, work: Path, writable: Path, *words: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the image's program: its environment, its uid, a read-only root, no home.

    Where the first of ``words`` is a path, that program is run instead.
    """
    own = dict(pair.split("=", 1) for text in steps("ENV") for pair in shlex.split(text))
    own = {name: value.replace("/opt/", f"{image}/") for name, value in own.items()}
    [user], [entry] = steps("USER"), steps("ENTRYPOINT")
    script = (
        "mount --make-rprivate / && {2}mount --bind {0} {0} && mount -o remount,ro,bind / && "
        # By name again: as it was inherited it is a directory of the root that can't be written.
        'cd "$PWD" && exec setpriv --reuid {1} --regid {1} --clear-groups "$@"'
    ).format(shlex.quote(str(writable)), user.partition(":")[0], reachable_python())
    program = [] if words[0].startswith("/") else [entry.strip('[]"')]
    return subprocess.run(
        [need("unshare", "util-linux"), "--mount", "sh", "-c", script, "sh", *program, *words],
        cwd=work,
        env={**own, "XDG_STATE_HOME": str(writable), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_rolls_out_with_a_read_only_root_and_without_a_home(image: Path, sshd: Sshd) -> None:
    assert int(steps("USER")[0].partition(":")[0]) == UID
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        work = Path(name)
        work.chmod(0o755)
        state, file, key = work / "state", work / "host" / "aegis.config.json", work / "key"
        state.mkdir(mode=0o700)
        file.parent.mkdir()
        file.write_text('{"authToken": "0123456789abcdef"}')
        shutil.copy(sshd.client_key, key)
        key.chmod(0o400)
        for path in (state, key):
            os.chown(path, UID, UID)
        known = work / "known_hosts"
        shutil.copyfile(sshd.known_hosts, known)
        (work / "inventory.yml").write_text(
            "all:\n"
            f"  vars: {{provider: ollama, address: {sshd.address}, port: {sshd.port}}}\n"
            f"  hosts: {{h: {{user: {sshd.user}, identity_file: {key}, config_path: {file}}}}}\n"
        )
        environ = {"AEGIS_PROVISION_KNOWN_HOSTS": str(known)}
        for words, said in (
            (["--version"], "aegis-provision "),
            (["validate"], "Valid: 1 host"),
            (["plan"], "Plan: 1 to update"),
            (["apply", "--yes"], "Recap: 1 written, restart pending"),
            (["status"], "restart pending"),
            (["history"], "apply"),
            (["rollback", "--yes"], "Recap: 1 rolled back"),
        ):
            done = in_container(image, work, state, *words, **environ)
            assert said in done.stdout, done.stderr
            assert done.returncode == 0
        refused = in_container(image, work, state, "pin", "h", "glm", **environ)
        assert refused.returncode == 3
        assert "read-only" in refused.stderr


def test_the_jobs_for_github_run_in_a_bare_container(image: Path, sshd: Sshd) -> None:
    """No home, no entry in passwd, nothing to write to but the checkout and /tmp, no input."""
    scripts = {
        step["name"]: step["run"]
        for name in ("plan", "apply")
        for step in GITHUB["jobs"][name]["steps"]
        if step.get("name", "").startswith("Plan")
    }
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        work, file = Path(name) / "checkout", Path(name) / "host" / "aegis.config.json"
        Path(name).chmod(0o755)
        for path in (work, file.parent):
            path.mkdir()
        file.write_text('{"authToken": "0123456789abcdef"}')
        shutil.copyfile(sshd.known_hosts, work / "known_hosts")
        (work / "playbook.yml").write_text("- {hosts: all}\n")
        (work / "inventory.yml").write_text(
            "all:\n"
            f"  vars: {{provider: openrouter, address: {sshd.address}, port: {sshd.port}}}\n"
            f"  hosts: {{h: {{user: {sshd.user}, config_path: {file}}}}}\n"
        )
        os.chown(work, UID, UID)
        environ = {
            **{key: value for key, value in GITHUB["env"].items() if "${{" not in value},
            "FLEET_SSH_KEY": sshd.client_key.read_text(),
            "FLEET_RECORD_KEY": base64.b64encode(bytes(32)).decode(),
            "GITHUB_STEP_SUMMARY": str(work / "summary.md"),
            "XDG_STATE_HOME": str(work / "state"),
        }
        bash = [need("bash", "bash"), "--noprofile", "--norc", "-e", "-c"]
        done = in_container(image, work, Path("/tmp"), *bash, scripts["Plan"], **environ)
        assert done.returncode == 0, done.stderr
        assert "## Plan: 1 host to write\n" in (work / "plan.md").read_text("utf-8")
        assert "defaultSessionEnv" not in file.read_text()
        environ["OPENROUTER_API_KEY"] = TOKEN
        script = scripts["Plan and apply"]
        done = in_container(image, work, Path("/tmp"), *bash, script, **environ)
        assert done.returncode == 0, done.stderr
        assert "## Apply: all hosts ended well\n" in (work / "run.md").read_text("utf-8")
        assert TOKEN in file.read_text()
        for kept in (path for path in work.rglob("*") if path.is_file()):
            assert TOKEN.encode() not in kept.read_bytes(), kept
