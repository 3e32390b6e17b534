"""What ``doctor`` found, as an operator reads it: golden text."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import ClaudeCode
from aegis_provision.diagnosis.checks import Check, CheckResult, HostChecks, rests_on
from aegis_provision.diagnosis.host_checks import checks_of
from aegis_provision.diagnosis.host_facts import ApiFacts, Fault, LockFacts
from aegis_provision.report.doctor_report import check_content, doctor_lines
from tests.diagnosis.host_facts import HEALTH, STARTED, api, content, facts, file, with_file
from tests.golden.compare import assert_golden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.diagnosis.host_facts import HostFacts

ASKED = tuple(
    Check(name, CheckResult.NOT_CHECKED, "asked with --probe") for name in ("token", "model")
)
NO_COMMANDS = "the host runs no commands for this login"


def _named(name: str, seen: HostFacts) -> HostChecks:
    host = replace(seen.host, name=name)
    provider = (Check("provider", CheckResult.OK, "https://llm.example.com answers"), *ASKED)
    return checks_of(replace(seen, host=host, provider=provider))


def _refused_keys(name: str) -> Fault:
    tried = "/home/anna/.ssh/id_ed25519, 2 of the agent's"
    return Fault(
        "auth",
        f"the host took none of the keys offered as deploy at {name}.example.com (tried: {tried})",
        "add the key with ssh-add, or set 'user' or 'identity_file'",
    )


def _unknown_key(digest: str) -> Fault:
    return Fault(
        "host_key",
        f"the key of [10.0.3.{len(digest)}]:2222 is not known (ssh-ed25519 SHA256:{digest})",
        "compare it with the host's own, then add it with ssh-keyscan, or take it with --host-key "
        "accept-new",
    )


SUDO = Fault(
    "become",
    "sudo wants a password to become aegis",
    "allow it with: deploy ALL=(aegis) NOPASSWD: /usr/lib/openssh/sftp-server",
)


def _fleet() -> list[HostChecks]:
    """Return a fleet of 60 with ten different faults."""
    old = ClaudeCode(available=True, healthy=False, version="2.0.1", minimum="2.1.80")
    names = [f"build-{number:02}" for number in range(1, 31)]
    names += [f"gpu-{number:02}" for number in range(1, 31)]
    broken = {
        "build-03": facts(fault=Fault("name", "the name is not known", "set 'address'")),
        "build-04": facts(fault=Fault("port", "nothing listens there", "check the port")),
        "build-11": facts(fault=_refused_keys("build-11")),
        "build-12": facts(fault=_refused_keys("build-12")),
        "build-20": facts(fault=_unknown_key("abc")),
        "build-21": facts(fault=_unknown_key("abcd")),
        "gpu-01": facts(fault=SUDO),
        "gpu-02": with_file(file(mode=0o644)),
        "gpu-05": with_file(file(content(port="x"))),
        "gpu-06": facts(api=api(is_open=True)),
        "gpu-07": facts(lock=LockFacts("ben@laptop", "2026-11-30 10:00:00 UTC", 400)),
        "gpu-09": with_file(file(at=int(STARTED) + 900)),
        "gpu-10": with_file(file(at=int(STARTED) + 900)),
        "gpu-20": facts(api=ApiFacts("127.0.0.1:9100", replace(HEALTH, claude=old), False, "x")),
        "gpu-30": facts(clock=NO_COMMANDS),
    }
    return [_named(name, broken.get(name, facts())) for name in names]


def _text(hosts: Sequence[HostChecks], *, every_host: bool = False) -> str:
    lines = doctor_lines(hosts, width=100, every_host=every_host)
    return "".join(f"{line.plain}\n" for line in lines)


def test_a_fleet_of_sixty_with_ten_faults_reads_as_one_screen() -> None:
    text = _text(_fleet())
    assert_golden("doctor/sixty_hosts.txt", text)
    assert sum(max(1, ceil(len(line) / 100)) for line in text.splitlines()) <= 60
    assert text.count("    fail  ") == 9


def test_one_host_in_full() -> None:
    [host] = [host for host in _fleet() if host.host == "gpu-09"]
    assert_golden("doctor/one_host.txt", _text([host], every_host=True))


def test_no_host_is_no_finding() -> None:
    assert _text([]) == "Doctor: 0 hosts\n"


def _groups(**messages: str) -> list[str]:
    """Return the titles of the groups that hosts with these messages form."""
    hosts = [
        HostChecks(name.replace("_", "-"), (Check("file", CheckResult.FAIL, message),))
        for name, message in messages.items()
    ]
    return [line for line in _text(hosts).splitlines() if line.startswith("x ")]


def test_hosts_with_the_same_fault_are_one_group_whatever_their_names_are() -> None:
    folded = _text(
        [
            HostChecks(name, (Check("file", CheckResult.FAIL, text),))
            for name, text in (("a-1", "a-1: 3 bytes"), ("a-2", "a-2: 44 bytes"))
        ]
    )
    assert folded.splitlines()[:2] == ["x 2 hosts: a-1, a-2", "    fail  file (a-1): a-1: 3 bytes"]
    for text in ("it takes none: set api_token", "it is a link", "an x is an x; db, api and file"):
        assert _groups(**dict.fromkeys(("a", "e", "x", "db", "api", "file"), text)) == [
            "x 6 hosts: a, e, x, db, api, file"
        ]
    names = ("a", "db", "gate-1")
    assert _groups(**{name.replace("-", "_"): f"{name}.example.com: no" for name in names}) == [
        "x 3 hosts: a, db, gate-1"
    ]


def test_hosts_whose_texts_differ_in_more_than_numbers_stand_apart() -> None:
    assert len(_groups(a_1="no permission", a_2="it is a link")) == 2
    assert len(_groups(a="b is in the way of a", c="d is in the way of c")) == 2
    assert len(_groups(h1="it answers (502)", h2="it answers (503)")) == 2
    assert len(_groups(h1="it answers 502", h2="it answers 503")) == 2
    assert len(_groups(h1="its mode is bad (0644)", h2="its mode is bad (0666)")) == 1


def test_what_a_check_rests_on_is_told_from_its_field_alone() -> None:
    checks = (
        Check("provider", CheckResult.FAIL, "it is down"),
        rests_on("token", "provider"),
        Check("model", CheckResult.NOT_CHECKED, "rests on provider, says the host"),
    )
    text = _text([HostChecks("a", checks)])
    assert "    1 further check rests on provider" in text
    assert "    model: rests on provider, says the host" in text
    [_, token, model] = check_content(checks)
    assert (token["message"], token["rests_on"]) == ("rests on provider", "provider")
    assert model["rests_on"] == ""


def test_text_from_a_host_drives_no_terminal() -> None:
    host = HostChecks("a", (Check("file", CheckResult.FAIL, "x\x1b[2J", "y\x07"),))
    assert "\x1b" not in _text([host]) + _text([host], every_host=True)
