"""What can go wrong, as one tree. A host's failure is a value; these stop a whole command.

- :class:`Error`

  - :class:`InputError`: what was handed in is wrong, and nothing was connected to

    - :class:`InvalidInputError`: with every diagnostic and its place in the files
    - :class:`NoSuchRunError`: no recorded run has this name
    - :class:`StateDirError`: the state directory can't be used

  - :class:`MissingExtraError`: an optional package is not installed
  - :class:`CommandNotStartedError`: a command to run here can't be started

    - :class:`CommandNotFoundError`: there is no such program

  - :class:`RefusedError`: a whole run was refused before any write
  - :class:`TransportError`: a host could not be worked on

    - :class:`Unreachable`: there is no working session
    - :class:`WriteRefused`: nothing was written, because of the host's state

      - :class:`Locked`: another run is writing there

    - :class:`WriteFailed`: the write failed half-way

A :class:`TransportError` never leaves an operation: it becomes the host's plan or result.
None of them ever holds a secret.
"""

from __future__ import annotations

import errno
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.documents.diagnostic import Diagnostic

USE_XDG_STATE_HOME = "set XDG_STATE_HOME to a directory of yours that can be written"
"""What helps wherever the state directory can't be used."""

_SHOWN = 3


class Error(Exception):
    """The root: ``message`` says what failed and why, ``hint`` what to do next.

    ``reasons`` are for what fails for several reasons at once, each a line of its own.
    ``command`` is the command line that the hint ends in, as the command's name and its
    arguments; empty for none.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        reasons: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> None:
        """Keep the parts; ``str()`` gives the message."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reasons = tuple(reasons)
        self.command = tuple(command)


class InputError(Error):
    """What was handed in is wrong: a file, a pattern, a name. Nothing was connected to."""


class InvalidInputError(InputError):
    """The input has errors; ``diagnostics`` holds all of them, warnings too."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Keep the diagnostics; ``str()`` gives the first ones and counts the rest."""
        self.diagnostics = tuple(diagnostics)
        errors = [item for item in self.diagnostics if item.is_error]
        lines = [f"{item.place}: {item.message}" if item.place else item.message for item in errors]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        super().__init__("\n".join([*lines[:_SHOWN], *more]))

    def __reduce__(self) -> tuple[type[InvalidInputError], tuple[Sequence[Diagnostic]]]:
        # A process pool pickles what a call raises, and makes it again out of its arguments.
        return type(self), (self.diagnostics,)


class NoSuchRunError(InputError):
    """No recorded run has the name that was asked for."""


class StateDirError(InputError):
    """The operator's state directory can't be used."""

    def __init__(self, message: str, hint: str = USE_XDG_STATE_HOME) -> None:
        """Keep both parts; by default the hint names the variable that leads elsewhere."""
        super().__init__(message, hint)


class MissingExtraError(Error):
    """An optional package that a command needs is not installed."""


class CommandNotStartedError(Error):
    """A command that was to run on the operator's machine can't be started."""


class CommandNotFoundError(CommandNotStartedError):
    """There is no such program."""


class RefusedError(Error):
    """A whole run was refused before any write."""


class TransportError(Error):
    """A host could not be worked on. ``step`` failed for ``reason``; ``hint`` says what to try."""

    def __init__(self, step: str, reason: str, hint: str = "") -> None:
        """Keep the three parts; ``str()`` gives ``step: reason``."""
        super().__init__(f"{step}: {reason}", hint)
        self.step = step
        self.reason = reason

    def __reduce__(self) -> tuple[type[TransportError], tuple[str, str, str], dict[str, object]]:
        # It may come from another process, and is made again out of its arguments.
        return type(self), (self.step, self.reason, self.hint), self.__dict__


class Stage(StrEnum):
    """How far a connection came before it failed, in this order."""

    NAME = "name"
    PORT = "port"
    HOST_KEY = "host_key"
    AUTH = "auth"
    BECOME = "become"
    SFTP = "sftp"


_STAGE_OF = {
    "ssh config": Stage.NAME,
    "connect": Stage.PORT,
    "bastion": Stage.PORT,
    "handshake": Stage.PORT,
    "known_hosts": Stage.HOST_KEY,
    "host key": Stage.HOST_KEY,
    "login": Stage.AUTH,
    "sudo": Stage.BECOME,
    "doas": Stage.BECOME,
    "session": Stage.SFTP,
    "sftp": Stage.SFTP,
}


class Passing(Enum):
    """How soon what keeps us from connecting may be over by itself."""

    SOON = "in a moment, or not for long"
    SLOWLY = "perhaps; to find out takes a whole timeout"
    UNSAID = "perhaps; the server hung up and did not say why"
    WHEN_LEFT_ALONE = "when the server has fewer connections to take"
    WITH_ROOM_HERE = "when this machine, not the host, has files, memory or threads to spare again"


class Unreachable(TransportError):
    """No working session: name, connection, host key, login, become, SFTP or the clock failed.

    ``step`` is for people; ``stage`` says for programs how far the connection came, where it
    failed on its way. ``passing`` says that it may be over soon, so that it is worth it to connect
    again; ``None`` that it is not.
    """

    def __init__(
        self,
        step: str,
        reason: str,
        hint: str = "",
        *,
        stage: Stage | None = None,
        passing: Passing | None = None,
    ) -> None:
        """Keep the parts; where the step tells the stage, it need not be said."""
        super().__init__(step, reason, hint)
        self.stage = stage or _STAGE_OF.get(step)
        self.passing = passing


class WriteRefused(TransportError):
    """Nothing was written, because of the host's state: a moved file, a lock, a foreign owner."""


class Locked(WriteRefused):
    """Nothing was written, because another run is writing there."""


class WriteFailed(TransportError):
    """The write failed half-way; the old file is whole unless ``reason`` says otherwise."""


class ShortageError(Exception):
    """This machine had no room to work on a host, and waiting did not help: no host's failure.

    ``lacking`` says of what it is short.
    """

    def __init__(self, lacking: str) -> None:
        """Keep what is lacking."""
        super().__init__(lacking)
        self.lacking = lacking


_SHORT_OF_FILES = "too many files are open here"
_SHORT_OF_MEMORY = "this machine has no memory left"
_SHORT_OF_THREADS = "this machine starts no further thread or process"
_SHORTAGES = {
    errno.EMFILE: _SHORT_OF_FILES,
    errno.ENFILE: _SHORT_OF_FILES,
    errno.ENOMEM: _SHORT_OF_MEMORY,
    errno.ENOBUFS: _SHORT_OF_MEMORY,
    errno.EAGAIN: _SHORT_OF_THREADS,
}
_WORDS_OF_SHORTAGES = {
    # CPython's, where pthread_create(3) fails.
    "can't start new thread": _SHORT_OF_THREADS,
    # Those of dlopen(3), with which a module is loaded, by glibc and musl.
    "failed to map segment": _SHORT_OF_MEMORY,
    "cannot allocate memory": _SHORT_OF_MEMORY,
    "out of memory": _SHORT_OF_MEMORY,
    "too many open files": _SHORT_OF_FILES,
    "error 24": _SHORT_OF_FILES,
    "error 12": _SHORT_OF_MEMORY,
}


def shortage_of(problem: BaseException) -> str | None:
    """Return what this machine lacked, if that is why ``problem`` was raised, wherever it was."""
    match problem:
        case ShortageError():
            return problem.lacking
        case MemoryError():
            return _SHORT_OF_MEMORY
        case OSError(errno=int(number)):
            return _SHORTAGES.get(number)
        case RuntimeError() | ImportError():
            words = str(problem).lower()
            return next((told for said, told in _WORDS_OF_SHORTAGES.items() if said in words), None)
    return None
