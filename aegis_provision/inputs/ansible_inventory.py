"""Asks Ansible for an inventory: its own programs list it, and resolve its variables.

``ansible`` runs one task on the control node, which connects nowhere, and ``ansible-inventory``
lists groups. Both get the operator's environment and directory: ``ansible.cfg``, vault passwords
and plugins are found as ever.
"""

from __future__ import annotations

import locale
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.diagnostic import Diagnostic, error, note, warning
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import counted, group_pairs
from aegis_provision.inputs.bounded_process import (
    Finished,
    readable_errors,
    run_bounded,
)
from aegis_provision.inputs.inventory_names import ANSIBLE_PREFIX
from aegis_provision.inventory.ansible_output import (
    AnsibleOutputError,
    ResolvedVariables,
    document,
    read_listed,
    read_resolved,
    task_arguments,
)
from aegis_provision.inventory.files import InputFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST = 120.0
"""How many seconds Ansible has for an inventory, all of its programs together."""

LARGEST_OUTPUT = 256 * 1024 * 1024
"""How much one program may print: the variables of others are in it."""

_LIST, _RUN = "ansible-inventory", "ansible"
_DEBUG = "ansible.builtin.debug"
_FORKS = "20"
_LONGEST_PATTERN = 64 * 1024
_HOST_VARS = "host_vars"
_ENDINGS = ("", ".yml", ".yaml", ".json")
# What an operator sets for their own runs, and what would get in the way of reading the answer.
# Passwords for logging in are not asked for: nothing is logged in to. That no inventory could be
# parsed at all is an error: Ansible would go on with what it had read so far.
_ENVIRON = {
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_LOAD_CALLBACK_PLUGINS": "false",
    "ANSIBLE_CALLBACKS_ENABLED": "minimal",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_DISPLAY_FAILED_STDERR": "false",
    "ANSIBLE_NO_LOG": "false",
    "ANSIBLE_TASK_TIMEOUT": "0",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
    "ANSIBLE_STRATEGY": "linear",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_VERBOSITY": "0",
    "ANSIBLE_DEBUG": "false",
    "ANSIBLE_LOG_PATH": os.devnull,
    "ANSIBLE_ASK_PASS": "false",
    "ANSIBLE_BECOME_ASK_PASS": "false",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_LOCALHOST_WARNING": "false",
}
_VAULT = "a vault's password is not asked for here: set ANSIBLE_VAULT_PASSWORD_FILE"
# What Ansible says of a vault, with and without a password: "no vault secrets found" looks like
# something that holds one.
_CLOSED = re.compile(r"no vault secrets (?:were )?found|vault password|Decryption failed")
_CLOSED_WORDS = "a vault stays closed: nothing that opens it was found"
_UNPARSED = re.compile(r"Unable to parse (.+) as an inventory source")
_TRACEBACK = "Traceback (most recent call last):"
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_PLACE = re.compile(r"Origin: |.*error appears to be in")
_SAYS = re.compile(r"\[?[A-Z]{4,}[\]!:]")


def read_ansible_inventory(
    sources: Sequence[str], rank: int, environ: Mapping[str, str], *, every_host: bool = False
) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Return what Ansible says of the inventories ``sources``, read together, or why it does not.

    Hosts without settings of ours are ours too with ``every_host``.
    What it says on its standard error is told, less what may be a secret.
    """
    return _Reader(sources, rank, environ, every_host=every_host).read()


class _Reader:
    def __init__(
        self, sources: Sequence[str], rank: int, environ: Mapping[str, str], *, every_host: bool
    ) -> None:
        self._every_host = every_host
        self._sources = sources
        self._rank = rank
        self._environ = {**environ, **_ENVIRON, **_utf8_locale(environ)}
        self._flags = [word for source in sources if source for word in ("-i", source)]
        self._until = time.monotonic() + LONGEST
        self._diagnostics: list[Diagnostic] = []

    def read(self) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
        """Ask both programs, in as few processes as possible."""
        names = [f"{ANSIBLE_PREFIX}{source}" for source in self._sources]
        for source in self._sources:
            if source and "," not in source and not Path(source).exists():
                words = (
                    f"the inventory {source} does not exist, so that Ansible is not asked for it"
                )
                return (), (error("no-inventory", words, hint="name another with -i ansible:PATH"),)
        try:
            resolved = self._resolve_all()
            listed = self._listed(resolved)
            if resolved.failures or resolved.unresolved:
                resolved = resolved.completed(
                    self._resolve_one_by_one(resolved, listed), _hosts(listed)
                )
        except _NotReadError as problem:
            return (), (*self._diagnostics, problem.diagnostic)
        failed = tuple(self._failures(resolved.failures))
        if failed:
            return (), (*self._diagnostics, *failed)
        if not resolved.hosts:
            return (), (*self._diagnostics, self._no_host())
        data = document(listed, resolved, self._host_vars(resolved.variables))
        file = InputFile("ansible", "", ", ".join(names), data, self._rank, printed=True)
        return (file,), tuple(self._diagnostics)

    def _no_host(self) -> Diagnostic:
        named = ", ".join(filter(None, self._sources)) or "the inventory of Ansible's configuration"
        return error(
            "no-hosts",
            f"Ansible finds no host in {named}",
            hint=f"see what it finds: {self._by_hand(_LIST, '--graph')}",
        )

    def _listed(self, resolved: ResolvedVariables) -> dict[str, Any]:
        """Return what the inventory holds. Raises :class:`_NotReadError`."""
        # As 'ansible' does, the other program then reads the group_vars of that directory too.
        beside = ["--playbook-dir", resolved.playbook_dir or "."]
        finished = self._run(_LIST, *self._flags, *beside, "--list", "--export")
        try:
            return read_listed(finished.output)
        except AnsibleOutputError as problem:
            hint = f"see what it prints: {self._by_hand(_LIST, '--list', '--export')}"
            raise _NotReadError(f"{_LIST} {problem}", hint) from None

    def _resolve_all(self) -> ResolvedVariables:
        """Return the variables of all hosts; with failures where the one task for all failed."""
        task = ["localhost", *self._flags, "-m", _DEBUG, "-a"]
        finished = self._run(
            _RUN, *task, task_arguments(every_host=self._every_host), may_fail=True
        )
        resolved = self._read(finished, "localhost")
        for source in _UNPARSED.findall(finished.complaints):
            self._diagnostics.append(self._unparsed(source))
        if finished.errors and not resolved.failures:
            self._diagnostics.append(note("ansible", f"{_RUN} says: {finished.errors}"))
        return resolved

    def _resolve_one_by_one(
        self, resolved: ResolvedVariables, listed: Mapping[str, object]
    ) -> ResolvedVariables:
        """Return the variables of single hosts, each by a task of its own: of those that need one.

        Where the one task for all failed, these tell which of the hosts can't be filled in.
        """
        hosts: Sequence[str] = resolved.unresolved
        if resolved.failures:
            hosts = () if self._every_host else _with_settings(listed)
        # To Ansible it is a list of names where there is a comma in it: a name may hold colons.
        pattern = "".join(f"{host}," for host in hosts)
        if not pattern or len(pattern) > _LONGEST_PATTERN:
            pattern = "all"
        arguments = task_arguments(of_each=True, every_host=self._every_host)
        task = [pattern, *self._flags, "-f", _FORKS, "-m", _DEBUG, "-a", arguments]
        return self._read(self._run(_RUN, *task, may_fail=True), hosts[0] if hosts else "all")

    def _read(self, finished: Finished, pattern: str) -> ResolvedVariables:
        """Return what the task printed. Raises :class:`_NotReadError`."""
        try:
            return read_resolved(finished.output)
        except AnsibleOutputError as problem:
            by_hand = self._by_hand(_RUN, pattern, "-m debug -a var=aegis")
            raise _NotReadError(f"{_RUN} {problem}", f"see what it prints: {by_hand}") from None

    def _unparsed(self, source: str) -> Diagnostic:
        return warning(
            "ansible",
            f"Ansible can't read {quote(source)}, so that hosts and groups of it are missing",
            hint="ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true makes that an error; see why: "
            + self._by_hand(_LIST, "--graph"),
        )

    def _run(self, program: str, *arguments: str, may_fail: bool = False) -> Finished:
        """Run one program. Raises :class:`_NotReadError`."""
        path = _find(program, self._environ)
        if path is None:
            words = f"{_named(self._sources)} needs {program}, which is neither on the PATH nor "
            raise _NotReadError(
                f"{words}beside {sys.executable}",
                "install Ansible (pip install ansible-core), or name an inventory of our own",
            )
        try:
            finished = run_bounded(
                [path, *arguments],
                self._environ,
                LONGEST,
                self._until,
                LARGEST_OUTPUT,
                without_source,
            )
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise _NotReadError(f"{path} can't be run: {reason}", "correct the PATH") from None
        if finished.problem and not (may_fail and b" => {" in finished.output):
            said = f"; it says: {finished.errors}" if finished.errors else ""
            hint = f"see that this works: {self._by_hand(_LIST, '--list')}"
            if _CLOSED_WORDS in finished.errors:
                hint += f"; {_VAULT}"
            raise _NotReadError(f"{program} {finished.problem}{said}", hint)
        return finished

    def _by_hand(self, *words: str) -> str:
        program, *arguments = words
        return " ".join([program, *self._flags, *arguments])

    def _failures(self, failures: Mapping[str, str]) -> Iterator[Diagnostic]:
        by_words = group_pairs(
            (readable_errors(words.encode(), self._environ, without_source), host)
            for host, words in failures.items()
        )
        for words, hosts in by_words.items():
            yield error(
                "ansible",
                f"Ansible can't fill in the variables of {counted(len(hosts), 'host')}: {words}",
                hint="see it with: "
                + self._by_hand(_RUN, hosts[0], "-m debug -a var=aegis")
                + (f"; {_VAULT}" if _CLOSED_WORDS in words else ""),
                hosts=tuple(hosts),
            )

    def _host_vars(self, hosts: Mapping[str, object]) -> dict[str, str]:
        """Return for each of ``hosts`` the file in which Ansible looks for its variables.

        That is the one which is there, else one that could be begun, beside the last inventory:
        its path is relative to that inventory's directory, wherever the operator is.
        """
        source = self._sources[-1]
        beside = Path(source) if source and "," not in source else Path()
        directory = (beside if beside.is_dir() else beside.parent) / _HOST_VARS
        try:
            present = {entry.name for entry in directory.iterdir()}
        except OSError:
            present = set()
        found = {}
        for host in hosts:
            names = [f"{host}{ending}" for ending in _ENDINGS]
            name = next((name for name in names if name in present), f"{host}.yml")
            below = name in present and (directory / name).is_dir()
            found[host] = f"{_HOST_VARS}/{name}" + ("/aegis.yml" if below else "")
        return found


def without_source(errors: str) -> str:
    """Return what Ansible says less the lines of files that it quotes: they may hold anything.

    ansible-core 2.19 numbers them, below a line that begins with ``Origin:``; before, they followed
    a line that says so. Its tracebacks are not told either, and of a closed vault only that it is.
    """
    told: list[str] = []
    quoting = False
    for line in errors.split("\n"):
        if line == _TRACEBACK:
            quoting = True
        elif _CLOSED.search(line):
            told.append(_CLOSED_WORDS)
            quoting = True
        elif _PLACE.match(line):
            told.append(line)
            quoting = True
        elif quoting and (_SAYS.match(line) or line.startswith("<<<")):
            quoting = False
        if not quoting:
            # What comes after a "keyword" looks like a key, and this is one of a play.
            told.append(line.replace("processing keyword ", "processing option "))
    return "\n".join(told)


class _NotReadError(Exception):
    """A program could not be run, or failed."""

    def __init__(self, words: str, hint: str) -> None:
        super().__init__(words)
        self.diagnostic = error("ansible", words, hint=hint)


def _named(sources: Sequence[str]) -> str:
    return ", ".join(f"-i {ANSIBLE_PREFIX}{source}" for source in sources)


def _hosts(listed: Mapping[str, Any]) -> list[str]:
    return [host for group in listed["groups"].values() for host in group["hosts"]]


def _with_settings(listed: Mapping[str, object]) -> list[str]:
    """Return the hosts that may have settings of ours, by what stands in the inventory."""
    groups, declared = listed["groups"], listed["declared"]
    if not isinstance(groups, dict) or not isinstance(declared, dict):
        return []
    chosen = {name for name, found in declared["hosts"].items() if "aegis" in found}
    pending = [name for name, found in declared["groups"].items() if "aegis" in found]
    if "all" in pending:
        return []
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in seen and name in groups:
            seen.add(name)
            chosen.update(groups[name]["hosts"])
            pending.extend(groups[name]["children"])
    return sorted(chosen)


def _find(program: str, environ: Mapping[str, str]) -> str | None:
    """Return the program on the PATH, else the one beside the interpreter."""
    found = shutil.which(program, path=environ.get("PATH", os.defpath))
    return found or shutil.which(program, path=str(Path(sys.executable).parent))


def _utf8_locale(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what makes the locale one of UTF-8: Ansible refuses to work in another."""
    chosen = next((environ[name] for name in _LOCALE if environ.get(name)), "")
    encoding = locale.normalize(chosen).partition(".")[2].lower().replace("-", "")
    return {} if encoding.startswith("utf8") else {"LC_ALL": "C.UTF-8"}
