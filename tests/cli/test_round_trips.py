"""How often a host's answer is waited for, counted by a way to it that takes its time.

The bounds are those of docs/performance.md.
"""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run
from aegis_provision.transport.become import SERVERS
from tests.fleet.agent import running_agent
from tests.fleet.clients import need
from tests.fleet.hosts import OLD_ENV, PROVIDERS
from tests.fleet.long_way import LongWay, long_way
from tests.fleet.openssh import make_key, running_sshd
from tests.fleet.program import run_program
from tests.fleet.users import sudoers, user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.fleet.openssh import Sshd

ROUND_TRIP = 0.1  # seconds: much longer than what either side does in between
PLAN, APPLY = 8, 14
_TRIES = 4
PASSWORD = "password-not-real"
_PLAN_NEW, _APPLY_NEW = 7, 13  # where there is no file yet; root needs one less
_BASTION = 4  # to log in there, and to be led on
_NOT_TAKEN, _ASKED_FIRST = 1, 1  # keys, where several may be the right one
_METHOD_REFUSED = 1  # keyboard-interactive, which goes before the password
_QUESTIONS = 2  # that there is one; that there are no more (PAM)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs commands on one host, far away, whose file is at ``path``."""

    home: Path
    sshd: Sshd
    way: LongWay
    path: Path
    key: Path
    environ: dict[str, str]

    def count(
        self,
        most: int,
        *args: str,
        start: Callable[[], object] = lambda: None,
        own_python: bool = False,
        near: bool = False,
        **common: object,
    ) -> list[int]:
        """Run a command; return the round trips of each connection that it took.

        ``start`` makes what it begins with. ``common`` are settings of the host. With an
        ``own_python`` everything is loaded anew; ``near`` is one more host, not far away. What a
        busy machine sends half a way late counts as one more: so more than ``most`` are counted
        again.
        """
        trips: list[int] = []
        for _ in range(_TRIES):
            start()
            trips = self._count(args, own_python=own_python, near=near, common=common)
            if trips <= [most]:
                break
        return trips

    def _count(
        self, args: Sequence[str], *, own_python: bool, near: bool, common: Mapping[str, object]
    ) -> list[int]:
        inventory = self.home / "inventory.yml"
        settings = {
            "provider": "gateway",
            "address": "127.0.0.1",
            "port": self.way.port,
            "user": self.sshd.user,
            "config_path": str(self.path),
            "identity_file": str(self.key),
            **common,
        }
        everything = {"vars": {k: v for k, v in settings.items() if v is not None}}
        hosts: dict[str, dict[str, object]] = {"far": {}}
        if near:
            hosts["near"] = {"port": self.sshd.port, "config_path": f"{self.path}.near"}
        document = {"providers": PROVIDERS, "all": {**everything, "hosts": hosts}}
        inventory.write_text(json.dumps(document))
        self.way.trips.clear()
        known = str(self.sshd.known_hosts)
        where = ("-i", str(inventory), "--ssh-config", "none", "--known-hosts", known)
        if own_python:
            done = run_program([*args, *where], self.home, self.environ, own_python=True)
            assert done.returncode == 0, done.stderr
        else:
            assert run([*args, *where], self.environ) == 0
        return self.way.round_trips

    def clear(self) -> None:
        """Let there be no file on the host, nor anything of ours."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.path.parent / ".aegis-provision", ignore_errors=True)

    def put(self, name: str) -> None:
        """Let the host's file name another model than it should."""
        env = {**OLD_ENV, "ANTHROPIC_DEFAULT_MODEL": name}
        self.path.write_text(json.dumps({"defaultSessionEnv": env}))
        self.path.chmod(0o600)


@contextmanager
def far_away(
    directory: Path, *settings: str, authorized: Sequence[Path] = (), path: Path | None = None
) -> Iterator[Operator]:
    """Run a host a long way off, out of ``directory``, with ``settings`` of sshd."""
    key = make_key(directory / "rsa", kind="rsa")
    public = [each.with_suffix(".pub") for each in (key, *authorized)]
    (directory / "host").mkdir()
    with (
        running_sshd(directory / "sshd", authorized=public, settings=settings) as sshd,
        long_way(sshd.port, ROUND_TRIP) as way,
    ):
        with sshd.known_hosts.open("a") as known:
            known.write(f"[127.0.0.1]:{way.port} {sshd.host_key.read_text()}")
        environ = {
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "XDG_STATE_HOME": str(directory / "state"),
            "GATEWAY_TOKEN": "gateway-token-not-real",
            "LOGIN_PASSWORD": PASSWORD,
        }
        file = path or directory / "host" / "aegis.config.json"
        yield Operator(directory, sshd, way, file, key, environ)


def test_plan_and_apply_wait_no_more_often_than_they_must(tmp_path: Path) -> None:
    authority, others, certified = (
        make_key(tmp_path / name) for name in ("authority", "others", "certified")
    )
    own = make_key(tmp_path / "own")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "x", "-n", getpass.getuser()]
    subprocess.run([*sign, str(certified.with_suffix(".pub"))], check=True)
    trusted = f"TrustedUserCAKeys {authority.with_suffix('.pub')}"
    with far_away(tmp_path, trusted, authorized=[own]) as operator:
        count = operator.count
        assert count(_PLAN_NEW, "plan") <= [_PLAN_NEW]
        assert count(_APPLY_NEW, "apply", "--yes", start=operator.clear) <= [_APPLY_NEW]
        assert count(PLAN, "plan") == [PLAN], "nothing to change"
        over = partial(count, APPLY, "apply", "--yes", start=lambda: operator.put("old"))
        assert over() == [APPLY], "over a file, with a receipt beside it"
        assert over(own_python=True) == [APPLY], "while it is being loaded"
        assert over("--workers", "2", near=True) == [APPLY], "by another process"
        assert count(PLAN, "plan", identity_file=str(certified)) == [PLAN]
        with running_agent(operator.home / "host") as agent:
            for key in (others, own, authority):
                agent.add(key)
            operator.environ["SSH_AUTH_SOCK"] = agent.socket
            several = PLAN + _NOT_TAKEN + _ASKED_FIRST
            assert count(several, "plan", identity_file=None) == [several]
        with running_agent(operator.home) as agent:
            agent.add(own)
            operator.environ["SSH_AUTH_SOCK"] = agent.socket
            assert count(PLAN, "plan", identity_file=None) == [PLAN]
            bastion = f"{operator.sshd.user}@127.0.0.1:{operator.way.port}"
            led: dict[str, Any] = {"jump": [bastion], "port": operator.sshd.port}
            behind = count(PLAN + _BASTION, "plan", identity_file=None, **led)
            assert behind == [PLAN + _BASTION]


@pytest.mark.root
def test_a_password_costs_few_more_and_another_user_none(tmp_path: Path, public_path: Path) -> None:
    with user("asked") as asked, user("sends") as sends, user("aegis") as aegis:
        words = "".join(f"{name}:{PASSWORD}\n" for name in (asked, sends))
        subprocess.run([need("chpasswd", "passwd")], input=words, text=True, check=True)
        settings = (
            *(f"Match User {sends}", "PasswordAuthentication yes"),
            *("KbdInteractiveAuthentication no", "Match all"),
            *("UsePAM yes", "KbdInteractiveAuthentication yes"),
        )
        with far_away(tmp_path, *settings, path=public_path / "aegis.config.json") as operator:
            login: dict[str, Any] = {"identity_file": None, "password": "${LOGIN_PASSWORD}"}
            for name, more in ((sends, _METHOD_REFUSED), (asked, _QUESTIONS)):
                shutil.chown(public_path, name)
                most = _PLAN_NEW + more
                assert operator.count(most, "plan", **login, user=name) == [most]
            shutil.chown(public_path, aegis)
            with sudoers(f"{asked} ALL=({aegis}) NOPASSWD: {SERVERS[0]}"):
                login |= {"user": asked, "become_user": aegis}
                most = _APPLY_NEW + _QUESTIONS
                applied = operator.count(most, "apply", "--yes", start=operator.clear, **login)
                assert applied == [most]
                most = PLAN + _QUESTIONS
                assert operator.count(most, "plan", **login) == [most]
