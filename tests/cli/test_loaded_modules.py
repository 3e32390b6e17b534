"""What a command does not need is not loaded: to start is a part of what every run costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.program import PROGRAM

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

ALWAYS = """
decimal fractions unittest asyncio invoke multiprocessing http ssl jsonschema referencing
rich.live rich.table rich.progress click.shell_completion
aegis_provision.cli.completion_cache aegis_provision.diagnosis.checks
aegis_provision.inventory.script_output aegis_provision.inventory.ansible_hosts
aegis_provision.providers.probe_verdict aegis_provision.report.live_view
aegis_provision.report.session_report aegis_provision.report.status_report
aegis_provision.transport.http_messages aegis_provision.transport.ssh.port_forward
aegis_provision.aegis.yaml_values
aegis_provision.inputs.env_file aegis_provision.workers.process_pool aegis_provision.demo
"""
OFFLINE = "paramiko cryptography importlib.resources aegis_provision.transport.ssh.handshake"
LOADED = """
import os, sys
from aegis_provision.cli.main import main
told = set(sys.argv.pop(1).split())
leave = os._exit
def say(code):
    print(code, *sorted(name for name in told if sys.modules.get(name)), file=sys.stderr)
    leave(code)
os._exit = say
main()
"""


@pytest.mark.parametrize(
    ("command", "spared"), [("validate", f"{ALWAYS} {OFFLINE}"), ("plan", ALWAYS)]
)
def test_what_is_not_needed_is_not_loaded(operator: Operator, command: str, spared: str) -> None:
    operator.furnish("a")
    done = operator.execute(PROGRAM[0], "-c", LOADED, spared, command)
    code, *loaded = done.stderr.splitlines()[-1].split()
    assert (code, loaded) == ("0", []), done.stderr
