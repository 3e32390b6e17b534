"""What sudo refuses, and the line of sudoers(5) that would allow it.

One place for SFTP under sudo and for a restart under sudo, so that both are told alike.
"""

from __future__ import annotations

import getopt
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# sudo's and sudo-rs' own words for a password that can't be typed, and for a missing rule.
_WANTS_PASSWORD = (
    "password is required",
    "a terminal is required",
    "no tty present",
    "must have a tty",
    "authentication is required",
)
_NOT_ALLOWED = ("not allowed", "not in the sudoers", "may not run", "i'm afraid i can't do that")
# sudoers(5), "Other special characters and reserved words", and its wildcards.
_SPECIAL = re.compile(r"[,:=\\*?\[\]!# ]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BEFORE_SUDO = frozenset({"exec", "command"})
_NOT_EXACT = re.compile(r"[$`<>*?\[~^\n]")
_ENDS_COMMAND = frozenset("();|&")
_OPTIONS = "nEHSkbBPu:"
_LONG_OPTIONS = (
    "non-interactive",
    "preserve-env",
    "set-home",
    "stdin",
    "reset-timestamp",
    "background",
    "bell",
    "preserve-groups",
    "user=",
)
# Where these commands lie on every system that has them.
_PLACES = {
    "systemctl": "/usr/bin/systemctl",
    "service": "/usr/sbin/service",
    "rc-service": "/sbin/rc-service",
}


@dataclass(frozen=True, slots=True)
class SudoCommand:
    """A command that runs under sudo, as ``user``; ``words`` are the command and its arguments."""

    words: tuple[str, ...]
    user: str = "root"

    def rule(self, login: str) -> str:
        """Return the line of sudoers that lets ``login`` run just this, without a password."""
        place = _PLACES.get(self.words[0], self.words[0])
        words = " ".join(_SPECIAL.sub(_escaped, word) for word in (place, *self.words[1:]))
        return f"{login} ALL=({self.user}) NOPASSWD: {words}"

    def hint(self, login: str) -> str:
        """Return what to do if sudo does not let ``login`` run this."""
        found = f"allow it with: {self.rule(login)}"
        name = self.words[0]
        if posixpath.isabs(_PLACES.get(name, name)):
            return found
        return f"{found} (with the whole path of {name})"


def _escaped(special: re.Match[str]) -> str:
    """Return a character as sudoers wants it; a backslash is one for its fnmatch(3) too."""
    return "\\" * 4 if special[0] == "\\" else f"\\{special[0]}"


def refusal(said: str, login: str, user: str) -> str:
    """Return why sudo did not run a command, by what it ``said``; empty if it refused nothing.

    ``login`` is who asked, ``user`` as whom it was to run.
    """
    lower = said.lower()
    if any(words in lower for words in _WANTS_PASSWORD):
        return f"sudo wants a password to become {user}"
    if any(words in lower for words in _NOT_ALLOWED):
        return f"sudo does not let {login} become {user}"
    return ""


def sudo_commands(command: str) -> tuple[SudoCommand, ...]:
    """Return what a command for /bin/sh runs under sudo, as far as that can be told exactly.

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
    return tuple(found for words in _commands(tokens) if (found := _under_sudo(words)) is not None)


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


def _under_sudo(words: Sequence[str]) -> SudoCommand | None:
    rest = list(words)
    while rest and (rest[0] in _BEFORE_SUDO or _ASSIGNMENT.match(rest[0])):
        del rest[0]
    if not rest or posixpath.basename(rest[0]) != "sudo":
        return None
    try:
        options, rest = getopt.getopt(rest[1:], _OPTIONS, list(_LONG_OPTIONS))
    except getopt.GetoptError:
        return None
    if not rest or _ASSIGNMENT.match(rest[0]):
        return None
    users = [value for name, value in options if name in {"-u", "--user"}]
    return SudoCommand(tuple(rest), *users[-1:])
