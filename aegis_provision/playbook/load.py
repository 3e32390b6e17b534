"""Reads the text of a playbook: its plays, or all that is wrong with it.

Values may be durations (``30s``, ``5m``, ``1h``, or bare seconds); Ansible's keys that have no
place here are refused with a hint.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Generic, TypeVar

from aegis_provision.aegis.session_api import normal_prompt, prompt_problem
from aegis_provision.documents.described_document import check_described, read_described
from aegis_provision.documents.diagnostic import error, warning
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence, plain_value
from aegis_provision.documents.quoting import quote
from aegis_provision.playbook.host_counts import (
    HOW_TO_WRITE_MAX_FAIL,
    HOW_TO_WRITE_SERIAL,
    batch_size,
    host_count,
)
from aegis_provision.playbook.plays import (
    Gates,
    OnFailure,
    Play,
    Playbook,
    Restart,
    Sessions,
    Unverified,
    Verify,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span
    from aegis_provision.playbook.host_counts import HostCount

_NOTHING_ELSE = "a playbook here is a rollout and nothing else: the inventory says what a host is"
_IN_THE_INVENTORY = "set it in the inventory, where it holds for every run"

_INSTEAD_OF_ANSIBLE_KEY = {
    **dict.fromkeys(
        (
            "tasks",
            "pre_tasks",
            "post_tasks",
            "handlers",
            "roles",
            "collections",
            "gather_facts",
            "gather_subset",
            "environment",
            "module_defaults",
            "strategy",
            "tags",
            "when",
            "no_log",
            "run_once",
        ),
        _NOTHING_ELSE,
    ),
    **dict.fromkeys(
        (
            "vars",
            "vars_files",
            "vars_prompt",
            "become",
            "become_user",
            "become_method",
            "remote_user",
            "user",
            "port",
            "connection",
            "provider",
            "model",
            "env",
            "service",
            "restart_command",
        ),
        _IN_THE_INVENTORY,
    ),
    "import_playbook": "one file holds all plays of a run",
    "max_fail_percentage": 'write a share instead: "max_fail: 10%"',
    "any_errors_fatal": 'no failure is allowed anyway unless "max_fail" says so',
    "throttle": 'say --forks, or make batches smaller with "serial"',
    "forks": "say --forks",
    "limit": "say --limit, or put it into 'hosts'",
    "order": "hosts are worked on in the order of the inventory",
    "probe": 'write "preflight: {probe: true}" or "verify: {probe: true}"',
    "health": 'write "verify: {health: true}"',
    "session": 'write "verify: {session: true}"',
    "prompt": 'write "verify: {session: true, prompt: Say ok}"',
    "timeout": 'write "verify: {health: true, timeout: 60s}"',
}

LONGEST_DURATION = 24 * 60 * 60
"""Seconds: nothing in a run waits for more than a day."""

_HOW_TO_WRITE_DURATION = "write 30s, 5m or 1h, or seconds as a bare number"

_DURATION = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}

_Word = TypeVar("_Word", bound="StrEnum")
_Value = TypeVar("_Value")
_Default = TypeVar("_Default")


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` means.

    Raises :class:`ValueError` whose text says what ``text`` is instead, such as
    ``is no duration: "soon"``.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if text.startswith("-"):
            raise ValueError("is negative, and time does not run backwards")
        raise ValueError(f"is no duration: {quote(text)}")
    seconds = int(match["number"]) * _SECONDS[match["unit"]]
    if seconds > LONGEST_DURATION:
        raise ValueError(f"is {text}, and 24h is the longest")
    return float(seconds)


@dataclass(frozen=True, slots=True)
class _Form(Generic[_Value]):
    """What a scalar has to be: in words, as a function, and how to write it."""

    noun: str
    parse: Callable[[str], _Value]
    hint: str


_SERIAL_FORM = _Form("a number of hosts or a share of them", batch_size, HOW_TO_WRITE_SERIAL)
_MAX_FAIL_FORM = _Form("a number of hosts or a share of them", host_count, HOW_TO_WRITE_MAX_FAIL)
_DURATION_FORM = _Form("a duration", parse_duration, _HOW_TO_WRITE_DURATION)
_HOW_TO_BEGIN = "begin each play with '- hosts: ...', or '- name: ...'"


def load_playbook(name: str, data: bytes) -> tuple[Playbook | None, tuple[Diagnostic, ...]]:
    """Return the playbook in the file called ``name``, and everything that is wrong with it.

    The playbook is ``None`` where there is no play to schedule. With errors among the diagnostics
    it may be incomplete: good for finding more of them, and for nothing else.
    """
    node, found = read_described(name, data, _HOW_TO_BEGIN)
    if node is None:
        return None, found
    reader = _Reader()
    plays = reader.plays(node)
    told = (*found, *reader.diagnostics)
    diagnostics = check_described(node, told, schema="playbook", noun="a playbook")
    return Playbook(name, plays) if plays else None, diagnostics


@dataclass(slots=True)
class _Reader:
    """Reads plays and gathers what is wrong with their values.

    What the schema can say as well (unknown keys, words that are none of the allowed) is left
    to it: a value that it refuses counts here as one that is not there.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def plays(self, node: Node) -> tuple[Play, ...]:
        """Return the plays that name their hosts."""
        if not isinstance(node, Sequence):
            self._refuse(
                "wrong-type", "a playbook is a list of plays", node.span, _not_a_list(node)
            )
            return ()
        if not node.items:
            self._refuse("no-plays", "a playbook without a play does nothing", node.span,
                         _HOW_TO_BEGIN)  # fmt: skip
        return tuple(play for item in node.items if (play := self._play(item)) is not None)

    def _play(self, node: Node) -> Play | None:
        if not isinstance(node, Mapping):
            self._refuse("wrong-type", "a play is a mapping, and this is none", node.span,
                         _HOW_TO_BEGIN)  # fmt: skip
            return None
        for entry in node:
            if hint := _INSTEAD_OF_ANSIBLE_KEY.get(entry.key.text):
                self._refuse("not-in-a-playbook", f'"{entry.key.text}" has no place in a playbook',
                             entry.key.span, hint)  # fmt: skip
        written, restart = node.entry("hosts"), node.entry("restart")
        hosts = self._hosts(written)
        name = _text(node.entry("name")) or hosts or ""
        default = Play(name, hosts or "")
        play = Play(
            name,
            hosts or "",
            span=node.span,
            serial=self._serial(node.entry("serial")) or default.serial,
            max_fail=self._value(node.entry("max_fail"), _MAX_FAIL_FORM, default.max_fail),
            pause=self._duration(node.entry("pause"), default.pause),
            gates=self._gates(node),
            hosts_span=written.value.span if written is not None else None,
            restart_span=restart.value.span if restart is not None else None,
        )
        return play if hosts is not None else None

    def _hosts(self, entry: Entry | None) -> str | None:
        if entry is None:
            return None
        if isinstance(entry.value, Sequence):
            self._refuse("wrong-type", '"hosts" is one pattern, and this is a list',
                         entry.value.span, "put commas between the terms: a,b,!c")  # fmt: skip
            return None
        if isinstance(entry.value, Scalar) and entry.value.value in {None, ""}:
            self._refuse("wrong-type", '"hosts" must be a host pattern, and this is empty',
                         _span(entry), "'all' is everyone; a pattern that begins with '!', '&', "
                         "'*' or '@' needs quotes")  # fmt: skip
            return None
        return _text(entry)

    def _serial(self, entry: Entry | None) -> tuple[HostCount, ...]:
        if entry is None:
            return ()
        if not isinstance(entry.value, Sequence):
            size = self._value(entry, _SERIAL_FORM, None)
            return (size,) if size is not None else ()
        if not entry.value.items:
            self._refuse("bad-value", '"serial" is a list without a batch', entry.value.span,
                         HOW_TO_WRITE_SERIAL)  # fmt: skip
        sizes = (
            self._value(Entry(entry.key, item), _SERIAL_FORM, None) for item in entry.value.items
        )
        return tuple(size for size in sizes if size is not None)

    def _duration(self, entry: Entry | None, default: float, *, at_once: str = "") -> float:
        """Return the seconds of ``entry``. ``at_once`` says what to write instead of no time."""
        seconds = self._value(entry, _DURATION_FORM, default)
        if entry is not None and seconds == 0 and at_once:
            self._refuse("bad-value", f'"{entry.key.text}" leaves no time at all',
                         entry.value.span, at_once)  # fmt: skip
        return seconds

    def _gates(self, node: Mapping) -> Gates:
        default = Gates()
        restart = _word(Restart, node.entry("restart"), default.restart)
        on_failure = _word(OnFailure, node.entry("on_failure"), default.on_failure)
        sessions, wait, idle_after = self._sessions(node.entry("sessions"), default)
        unverified = _word(Unverified, node.entry("unverified"), Unverified.STOP)
        verify = self._verify(node.entry("verify"), restart)
        preflight = self._parts(node.entry("preflight"), "{probe: true}")
        rollback = node.entry("on_failure")
        if rollback is not None and on_failure is OnFailure.ROLLBACK and _cannot_fail(node):
            self._warn("nothing-to-fail", '"on_failure: rollback" has nothing to wait for',
                       rollback.value.span,
                       "a host rolls back where its restart or verify fails: add one of them",
                       )  # fmt: skip
        return Gates(
            restart=restart,
            verify=verify,
            on_failure=on_failure,
            sessions=sessions,
            sessions_wait=wait,
            idle_after=idle_after,
            probe_first=_flag(_inside(preflight, "probe")),
            go_on=unverified is Unverified.GO_ON,
        )

    def _sessions(self, entry: Entry | None, default: Gates) -> tuple[Sessions, float, float]:
        """Return the policy, how long to wait, and when an idle session counts no more."""
        if entry is None:
            return default.sessions, default.sessions_wait, default.idle_after
        if not isinstance(entry.value, Mapping):
            if _text(entry) is None:
                self._refuse("wrong-type", '"sessions" must be one of: wait, refuse, ignore',
                             _span(entry), "or, to wait for no more than 2m: {wait: 2m}",
                             )  # fmt: skip
            policy = _word(Sessions, entry, default.sessions)
            return policy, default.sessions_wait, default.idle_after
        wait = self._duration(
            entry.value.entry("wait"),
            default.sessions_wait,
            at_once="to leave such a host alone, write 'sessions: refuse'",
        )
        idle_after = self._duration(entry.value.entry("idle_after"), default.idle_after)
        return Sessions.WAIT, wait, idle_after

    def _verify(self, entry: Entry | None, restart: Restart) -> Verify | None:
        parts = self._parts(entry, "{health: true}")
        health, probe = _inside(parts, "health"), _inside(parts, "probe")
        timeout = self._duration(
            _inside(parts, "timeout"),
            Verify().timeout,
            at_once="give it as long as Aegis takes to start",
        )
        session = _inside(parts, "session")
        prompt = self._prompt(_inside(parts, "prompt"), asked=_flag(session))
        verify = Verify(_flag(health), _flag(probe), timeout, _flag(session), prompt)
        if not (verify.health or verify.probe or verify.session):
            if parts is not None and _is_sound(parts):
                self._warn("verifies-nothing", '"verify" asks nothing', parts.span,
                           "write 'health: true', 'probe: true', or both")  # fmt: skip
            return None
        if verify.health and health is not None and restart is Restart.NEVER:
            self._warn("health-without-restart", '"health" asks whether Aegis runs with the new '
                       "file, and this play restarts nothing", health.value.span,
                       "add 'restart: changed', or leave health out")  # fmt: skip
        if verify.session and session is not None and restart is Restart.NEVER:
            self._warn("session-without-restart", '"session" asks whether sessions start with the '
                       "new file, and this play restarts nothing", session.value.span,
                       "add 'restart: changed', or leave session out")  # fmt: skip
        return verify

    def _prompt(self, entry: Entry | None, *, asked: bool) -> str:
        """Return what the session is sent, empty for nothing; ``asked`` says that there is one."""
        if entry is None:
            return ""
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if not isinstance(value, str) or not value.strip():
            self._refuse("wrong-type", '"prompt" must be text, what the session is sent',
                         _span(entry), "write prompt: Say ok, or leave it out")  # fmt: skip
            return ""
        text = normal_prompt(value).strip()
        if problem := prompt_problem(text):
            self._refuse("bad-value", f'"prompt" {problem}', _span(entry),
                         "write what a person would type")  # fmt: skip
            return ""
        if not asked:
            self._refuse("prompt-without-session", '"prompt" has no session to go to',
                         _span(entry), "add 'session: true', or leave prompt out")  # fmt: skip
            return ""
        return text

    def _value(
        self, entry: Entry | None, form: _Form[_Value], default: _Default
    ) -> _Value | _Default:
        """Return what a scalar of this form means; a refusal is a diagnostic, and ``default``."""
        if entry is None:
            return default
        if not isinstance(entry.value, Scalar) or not _is_number_or_text(entry.value):
            self._refuse("wrong-type", f'"{entry.key.text}" must be {form.noun}', _span(entry),
                         form.hint)  # fmt: skip
            return default
        try:
            return form.parse(entry.value.text)
        except ValueError as problem:
            self._refuse("bad-value", f'"{entry.key.text}" {problem}', _span(entry), form.hint)
            return default

    def _parts(self, entry: Entry | None, example: str) -> Mapping | None:
        """Return the mapping that ``entry`` holds, ``None`` where there is none."""
        if entry is not None and isinstance(entry.value, Mapping):
            return entry.value
        if entry is not None:
            self._refuse("wrong-type", f'"{entry.key.text}" must be a mapping', _span(entry),
                         f"write {entry.key.text}: {example}")  # fmt: skip
        return None

    def _refuse(self, code: str, message: str, span: Span, hint: str) -> None:
        self.diagnostics.append(error(code, message, span, hint=hint))

    def _warn(self, code: str, message: str, span: Span, hint: str) -> None:
        self.diagnostics.append(warning(code, message, span, hint=hint))


def _is_sound(verify: Mapping) -> bool:
    """Tell whether nothing is wrong with what ``verify`` asks: it just asks for nothing."""
    return all(
        entry.key.text == "timeout"
        or (entry.key.text in {"health", "probe", "session"} and plain_value(entry.value) is False)
        for entry in verify
    )


def _cannot_fail(play: Mapping) -> bool:
    restart = play.entry("restart")
    never = restart is None or _text(restart) == Restart.NEVER
    return never and play.entry("verify") is None


def _not_a_list(node: Node) -> str:
    if isinstance(node, Mapping) and node.entry("hosts") is not None:
        return "put '- ' before the play's first key, and indent the others alike"
    if isinstance(node, Mapping) and (node.entry("all") or node.entry("providers")):
        return "this looks like an inventory, which goes to -i"
    return _HOW_TO_BEGIN


def _span(entry: Entry) -> Span:
    """Return where a value stands; of an empty one its key's place, as the schema's check does."""
    empty = isinstance(entry.value, Scalar) and entry.value.text == ""
    return entry.key.span if empty else entry.value.span


def _is_number_or_text(node: Scalar) -> bool:
    return isinstance(node.value, str | int | float) and not isinstance(node.value, bool)


def _text(entry: Entry | None) -> str | None:
    """Return text in one line, ``None`` where there is none."""
    if entry is None or not isinstance(entry.value, Scalar):
        return None
    return " ".join(entry.value.value.split()) if isinstance(entry.value.value, str) else None


def _word(words: type[_Word], entry: Entry | None, default: _Word) -> _Word:
    text = _text(entry)
    return words(text) if text in set(words) else default


def _flag(entry: Entry | None) -> bool:
    return entry is not None and isinstance(entry.value, Scalar) and entry.value.value is True


def _inside(parts: Mapping | None, name: str) -> Entry | None:
    return parts.entry(name) if parts is not None else None
