"""sudo and doas: what they refuse, the line that would allow it, what a command runs under them.

For SFTP under one of them and for a restart under one of them the message is the same.
"""

from __future__ import annotations

import getopt
import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.inventory.host import BecomeMethod

# sudo's and sudo-rs' own words for a password that can't be typed, and for a missing rule; those of
# doas in OpenBSD and in opendoas.
_WANTS_PASSWORD = {
    "sudo": (
        "password is required",
        "a terminal is required",
        "no tty present",
        "must have a tty",
        "authentication is required",
    ),
    "doas": ("authentication required", "authorization required", "a tty is required"),
}
_NOT_ALLOWED = {
    "sudo": ("not allowed", "not in the sudoers", "may not run", "i'm afraid i can't do that"),
    "doas": ("doas: operation not permitted", "doas is not enabled"),
}
# How their own lines begin; others come from the command that they run.
_OWN_LINES = {
    "sudo": re.compile(r"sudo(?:-rs)?: |Sorry, user |I'm sorry |\S+ is not in the sudoers"),
    "doas": re.compile(r"doas: "),
}
# sudoers(5), "Other special characters and reserved words", and its wildcards.
_SPECIAL = re.compile(r"[,:=\\*?\[\]!# ]")
# doas.conf(5): what a word is made of that needs no quotes, and the words that mean something.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_KEYWORDS = frozenset(
    "permit deny as cmd args nopass nolog persist keepenv setenv".split()  # noqa: SIM905 - readable
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BEFORE = frozenset({"exec", "command"})
_NOT_EXACT = re.compile(r"[$`<>*?\[~^\n]")
_ENDS_COMMAND = frozenset("();|&")
_OPTIONS: Mapping[BecomeMethod, tuple[str, tuple[str, ...]]] = {
    "sudo": (
        "nEHSkbBPu:",
        (
            "non-interactive",
            "preserve-env",
            "set-home",
            "stdin",
            "reset-timestamp",
            "background",
            "bell",
            "preserve-groups",
            "user=",
        ),
    ),
    "doas": ("nu:", ()),
}
# Where these commands lie on every system that has them.
_COMMAND_PATHS = {
    "systemctl": "/usr/bin/systemctl",
    "service": "/usr/sbin/service",
    "rc-service": "/sbin/rc-service",
}


@dataclass(frozen=True, slots=True)
class BecomeCommand:
    """A command that runs under ``method`` as ``user``: ``words`` are it and its arguments."""

    words: tuple[str, ...]
    user: str = "root"
    method: BecomeMethod = "sudo"

    def rule(self, login: str) -> str:
        """Return the line of sudoers or doas.conf that lets ``login`` run just this.

        doas compares a command as it was typed, sudo by its path.
        """
        if self.method == "doas":
            command, *arguments = map(_quoted, self.words)
            limits = ["args", *arguments] if arguments else []
            words = ["permit", "nopass", _quoted(login), "as", _quoted(self.user), "cmd", command]
            return " ".join([*words, *limits])
        path = _COMMAND_PATHS.get(self.words[0], self.words[0])
        escaped = " ".join(_SPECIAL.sub(_escaped, word) for word in (path, *self.words[1:]))
        return f"{login} ALL=({self.user}) NOPASSWD: {escaped}"

    def hint(self, login: str) -> str:
        """Return what to do if ``login`` may not run this."""
        if self.method == "doas":
            return f"allow it in doas.conf with: {self.rule(login)}"
        found = f"allow it with: {self.rule(login)}"
        name = self.words[0]
        if posixpath.isabs(_COMMAND_PATHS.get(name, name)):
            return found
        return f"{found} (with the whole path of {name})"


def _escaped(special: re.Match[str]) -> str:
    """Return a character as sudoers wants it; a backslash is one for its fnmatch(3) too."""
    return "\\" * 4 if special[0] == "\\" else f"\\{special[0]}"


def _quoted(word: str) -> str:
    """Return a word as doas.conf wants it."""
    if _PLAIN.fullmatch(word) and word not in _KEYWORDS:
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def refusal(output: str, login: str, user: str, method: BecomeMethod = "sudo") -> str:
    """Return why ``method`` did not run a command, by its ``output``; empty if it refused nothing.

    ``login`` is who asked, ``user`` as whom it was to run.
    """
    lower = output.lower()
    if any(words in lower for words in _WANTS_PASSWORD[method]):
        return f"{method} wants a password to become {user}"
    if any(words in lower for words in _NOT_ALLOWED[method]):
        return f"{method} does not let {login} become {user}"
    return ""


def own_lines(output: str, method: BecomeMethod) -> str:
    """Return those lines of a command's ``output`` that ``method`` itself has written."""
    lines = output.splitlines()
    return "\n".join(line for line in lines if _OWN_LINES[method].match(line.strip()))


def become_commands(command: str) -> tuple[BecomeCommand, ...]:
    """Return what a command for /bin/sh runs under sudo or doas, where that can be told exactly.

    What the shell would still change (a variable, a pattern, a redirection), options that ask for
    a shell, a group or an environment: nothing is said of these.
    """
    if _NOT_EXACT.search(command):
        return ()
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return ()
    return tuple(found for words in _commands(tokens) if (found := _as_other(words)) is not None)


def _commands(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each simple command."""
    words: list[str] = []
    for token in tokens:
        if token and _ENDS_COMMAND.issuperset(token):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _as_other(words: Sequence[str]) -> BecomeCommand | None:
    rest = list(words)
    while rest and (rest[0] in _BEFORE or _ASSIGNMENT.match(rest[0])):
        del rest[0]
    name = posixpath.basename(rest[0]) if rest else ""
    method = next((item for item in _OPTIONS if item == name), None)
    if method is None:
        return None
    short, long = _OPTIONS[method]
    try:
        options, rest = getopt.getopt(rest[1:], short, list(long))
    except getopt.GetoptError:
        return None
    if not rest or (method == "sudo" and _ASSIGNMENT.match(rest[0])):
        return None
    users = [value for name, value in options if name in {"-u", "--user"}]
    return BecomeCommand(tuple(rest), users[-1] if users else "root", method)
