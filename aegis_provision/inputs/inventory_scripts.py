"""Runs an inventory script as Ansible does, within bounds of time and size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error, note
from aegis_provision.documents.json_reader import read_json
from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.inputs.bounded_process import run_bounded
from aegis_provision.inventory.addresses import is_address
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.script_output import hosts_to_ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LONGEST = 60.0
"""How many seconds a script has for ``--list``, and for all of its ``--host`` together."""

MOST_ASKED = 200
"""How many hosts a script is asked for one by one, where ``--list`` prints no ``_meta``."""


def run_script(
    path: Path, rank: int, environ: Mapping[str, str]
) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Run the script at ``path`` with ``--list``, and ``--host NAME`` where that has no ``_meta``.

    It runs once, in the directory of the operator and with their environment, without a terminal.
    Returns what it printed, or why there is nothing: it can't be run, fails, takes longer than
    :data:`LONGEST`, or prints too much. What it says on its standard error is told, less what may
    be a secret.
    """
    data, found = _run(path, ["--list"], environ, time.monotonic() + LONGEST)
    if data is None:
        return (), found
    files = [InputFile("inventory", "", str(path), data, rank, printed=True)]
    diagnostics = [*found]
    output, _ = read_json(str(path), data)  # what is wrong with it is told by who loads it
    hosts = hosts_to_ask(output) if output is not None else ()
    if len(hosts) > MOST_ASKED:
        words = f"{path} lists {len(hosts)} hosts without their variables"
        hint = 'let --list print them too, under "_meta": {"hostvars": {...}} (empty will do)'
        return (), (*diagnostics, error("script", words, hint=hint))
    until = time.monotonic() + LONGEST
    for host in filter(is_address, hosts):
        data, found = _run(path, ["--host", host], environ, until)
        diagnostics.extend(found)
        if data is None:
            break  # the others would most likely fail alike, one by one
        name = f"{path} --host {host}"
        files.append(InputFile("host_vars", host, name, data, rank, printed=True))
    return tuple(files), tuple(diagnostics)


def _run(
    path: Path, arguments: Sequence[str], environ: Mapping[str, str], until: float
) -> tuple[bytes | None, tuple[Diagnostic, ...]]:
    """Return what one call printed, ``None`` where it failed, and what is worth telling."""
    command = f"{path} {' '.join(arguments)}"
    try:
        words = [str(path.absolute()), *arguments]
        finished = run_bounded(words, environ, LONGEST, until, LARGEST_FILE)
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        said = f"the inventory {path} is executable and can't be run: {reason}"
        hint = "begin it with '#!' and its interpreter, or 'chmod -x' it if it is YAML"
        return None, (error("script", said, hint=hint),)
    errors = finished.errors
    if not finished.problem:
        notes = (note("script", f"{command} says: {errors}"),) if errors else ()
        return finished.output, notes
    said = f"{command} {finished.problem}" + (f"; it says: {errors}" if errors else "")
    hint = f"run it by hand and correct it: {command}"
    return None, (error("script", said, hint=hint),)
