"""Logging in: keys offered one by one, then the password, and why none of it is taken.

The order of the methods is that of OpenSSH's client: keys, the server's questions, the password.
"""

from __future__ import annotations

import re
import time
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.humanize import listed
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.algorithms import KEYS, chosen
from aegis_provision.transport.ssh.identities import describe_certificate, find_identities
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.public_keys import plain_type
from aegis_provision.transport.ssh.ssh_agent import AgentError, AgentRefusedError, SshAgent
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.identities import Identities, Offer
    from aegis_provision.transport.ssh.paramiko_internals import AuthAnswer, Connection
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop
    from aegis_provision.transport.ssh.ssh_agent import AgentKey

_STEP = "login"
_MOST_ROUNDS = 8
_MOST_METHODS = 5
_METHOD = re.compile(r"[a-z0-9@.-]{1,64}")
_PASSWORD_METHODS = ("keyboard-interactive", "password")


@dataclass(slots=True)
class Progress:
    """What became of a login so far, over all connections that it takes.

    ``refused`` holds the keys that the host does not take, ``granted`` those that it took and
    wants more beside; ``password_used`` says that the password was sent. ``accepted`` is the host's
    key, if it was new and taken on trust.
    """

    refused: set[bytes] = field(default_factory=set)
    granted: list[bytes] = field(default_factory=list)
    password_used: bool = False
    accepted: AcceptedKey | None = None


class KeysLeftError(Exception):
    """The host hung up, as after too many failures, and there is more to try.

    ``refusal`` is what to raise if no further connection is made.
    """

    def __init__(self, refusal: Unreachable) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def log_in(
    connection: Connection,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
    progress: Progress | None = None,
) -> str:
    """Log in at ``hop``; return what an operator knows the key by that the host took.

    Raises :class:`Unreachable`, and :class:`KeysLeftError` where another connection could go on;
    ``progress`` is what earlier ones came to.
    """
    named_by = "SSH_AUTH_SOCK" if hop.identity_agent == options.agent_socket else "IdentityAgent"
    seconds = deadline.step_timeout(options.timeout)
    agent, keys = open_agent(hop.identity_agent, seconds, named_by)
    try:
        found = find_identities(hop, keys, options)
        if isinstance(agent, str) and agent:
            found.unusable.append(agent)
        given = progress or Progress()
        return _Attempt(connection, hop, options, deadline, agent, found, given).run()
    finally:
        if isinstance(agent, SshAgent):
            agent.close()


def open_agent(
    path: str | None, seconds: float, named_by: str = "SSH_AUTH_SOCK"
) -> tuple[SshAgent | str, tuple[AgentKey, ...]]:
    """Return the agent at ``path`` and its keys, or why there is none: ``""`` if none was named.

    Raises ``OSError`` where this machine has no file left for it.
    """
    if path is None:
        return "", ()
    try:
        agent = SshAgent(path, seconds)
    except TimeoutError:
        return "the ssh agent does not answer", ()
    except (OSError, ValueError) as problem:
        if isinstance(problem, OSError):
            raise_shortage(problem)
        return f"there is no ssh agent where {named_by} says", ()
    try:
        return agent, agent.keys()
    except TimeoutError:
        agent.close()
        return "the ssh agent does not answer", ()
    except (OSError, AgentError) as problem:
        agent.close()
        if isinstance(problem, OSError):
            raise_shortage(problem)
        return "the ssh agent gives no proper answer", ()


class _LostError(Exception):
    """The host closed the connection."""


@dataclass(slots=True)
class _Outcome:
    """What the host said in one connection, for the error if the login fails.

    ``methods`` are those that may go on, all until it says which; ``answers`` counts what it
    refused. ``unsigned`` says that the agent would not sign, ``was_asked`` that we asked for the
    host's questions, ``questions`` that it asked for something else than a password, ``expired``
    that it wants another password.
    """

    methods: tuple[str, ...] = ("publickey", *_PASSWORD_METHODS)
    answers: int = 0
    unsigned: bool = False
    was_asked: bool = False
    questions: bool = False
    expired: bool = False


@dataclass(slots=True)
class _Attempt:
    """One connection's part of a login; ``granted`` are the keys that the host took in it."""

    connection: Connection
    hop: Hop
    options: ConnectOptions
    deadline: Deadline
    agent: SshAgent | str
    found: Identities
    progress: Progress
    outcome: _Outcome = field(default_factory=_Outcome)
    granted: set[bytes] = field(default_factory=set)

    def run(self) -> str:
        """Return what opened the host. Raises as :func:`log_in`."""
        if not any(map(self._is_left, self.hop.methods)):
            raise self._no_key()
        try:
            with map_paramiko_errors(_STEP):
                self.connection.begin_authentication()
            name = self._go_through_methods()
        except _LostError:
            refusal = self._hung_up()
            if self.outcome.answers and (self._pending() or self._has_password()):
                raise KeysLeftError(refusal) from None
            raise refusal from None
        if name is None:
            raise self._refused()
        return name

    def _go_through_methods(self) -> str | None:
        steps = {
            "publickey": self._offer_keys,
            "keyboard-interactive": self._answer_questions,
            "password": self._send_password,
        }
        for _ in range(_MOST_ROUNDS):
            left = [name for name in self.hop.methods if self._is_left(name)]
            if not left:
                return None
            opened = steps[left[0]]()
            if opened is not None:
                return opened
        return None

    def _is_left(self, method: str) -> bool:
        """Tell whether the host may let us in by ``method``, and we have something for it."""
        if method not in self.outcome.methods:
            return False
        if method == "publickey":
            return bool(self._pending())
        asked = method == "keyboard-interactive" and self.outcome.was_asked
        return self._has_password() and not asked

    def _pending(self) -> list[Offer]:
        """Return what to offer now: what was granted before goes first."""
        out = self.progress.refused | self.granted
        left = [offer for offer in self.found.offers if offer.public.blob not in out]
        order = {blob: index for index, blob in enumerate(self.progress.granted)}
        return sorted(left, key=lambda offer: order.get(offer.public.blob, len(order)))

    def _has_password(self) -> bool:
        return self.hop.password is not None and not self.progress.password_used

    def _offer_keys(self) -> str | None:
        """Offer keys as long as the host wants any; return the name of the one that opened it."""
        while "publickey" in self.outcome.methods and (pending := self._pending()):
            offer, blob = pending[0], pending[0].public.blob
            answer = self._offer(offer, alone=len(pending) == 1)
            if answer is None:
                self.progress.refused.add(blob)
            elif answer.kind == "success":
                self.options.taken_keys.note(self.hop.user, blob)
                return offer.name
            elif answer.partial:
                self.granted.add(blob)
                if blob not in self.progress.granted:
                    self.progress.granted.append(blob)
            elif "publickey" in answer.methods:
                self._note_refused(blob)
        return None

    def _note_refused(self, blob: bytes) -> None:
        self.progress.refused.add(blob)
        self.options.taken_keys.note_refused(self.hop.user, self.hop.key_name, blob)

    def _offer(self, offer: Offer, *, alone: bool) -> AuthAnswer | None:
        """Return what the host says to one key, ``None`` where it could not be offered.

        Where it is likely that the host takes the key, it is signed with at once. Otherwise the
        host is asked first, so that no device is touched, and no use confirmed, for nothing.
        """
        user, blob = self.hop.user, offer.public.blob
        algorithm = self._algorithm(offer)
        if algorithm is None:
            return None

        def ask(signature: bytes | None) -> AuthAnswer:
            login = self.connection.authentication
            return self._ask(
                lambda: login.public_key(user, algorithm, blob, signature, self._seconds()), blob
            )

        likely = offer.named or alone or blob in self.options.taken_keys.first(user)
        if offer.on_device or not likely:
            answer = ask(None)
            if answer.kind != "key":
                return answer
        data = self.connection.authentication.signed_data(user, algorithm, blob)
        signature = self._sign(data, offer, plain_type(algorithm))
        return None if signature is None else ask(signature)

    def _algorithm(self, offer: Offer) -> str | None:
        """Return the algorithm that a key signs by, ``None`` for none that the host takes too."""
        accepted = chosen("PubkeyAcceptedAlgorithms", self.hop.pubkey_accepted_algorithms, KEYS)
        if not offer.has_choice:
            return offer.algorithm(accepted, ())
        with map_paramiko_errors(_STEP):
            return offer.algorithm(accepted, self.connection.signature_algorithms(self._seconds()))

    def _sign(self, data: bytes, offer: Offer, algorithm: str) -> bytes | None:
        if offer.private is not None:
            return offer.private.sign(data, algorithm)
        if not isinstance(self.agent, SshAgent):
            return None
        # To touch a device may take as long as the host's deadline allows.
        seconds = self.deadline.remaining() if offer.on_device else self._seconds()
        session = self.connection.agent_session()
        try:
            return self.agent.sign(offer.agent_blob, data, algorithm, session, seconds)
        except AgentRefusedError:
            self.outcome.unsigned = True
        except (AgentError, OSError):
            self.agent.close()
            self.agent = "the ssh agent stopped answering"
            self.found.unusable.append(self.agent)
        return None

    def _answer_questions(self) -> str | None:
        """Answer the host's questions, if they are for the password; return what opened it."""
        login = self.connection.authentication
        self.outcome.was_asked = True
        answer = self._ask(lambda: login.keyboard_interactive(self.hop.user, self._seconds()))
        for _ in range(_MOST_ROUNDS):
            replies = None if answer.kind != "questions" else self._replies(answer.prompts)
            if replies is None:
                break
            answer = self._ask(partial(self._reply, replies))
        self.outcome.questions = answer.kind == "questions"
        return self._password_name() if answer.kind == "success" else None

    def _send_password(self) -> str | None:
        """Send the password, which happens once; return what opened the host."""
        login, password = self.connection.authentication, self.hop.password
        if password is None:
            return None
        self.progress.password_used = True
        answer = self._ask(
            lambda: login.password(self.hop.user, password.reveal(), self._seconds())
        )
        self.outcome.expired = answer.kind == "questions"
        if "password" in answer.methods:
            self.outcome.questions = False
        return self._password_name() if answer.kind == "success" else None

    def _password_name(self) -> str:
        return f"the password in {self.hop.password.origin}" if self.hop.password else ""

    def _reply(self, replies: list[str]) -> AuthAnswer:
        return self.connection.authentication.reply(replies, self._seconds())

    def _replies(self, prompts: tuple[tuple[str, bool], ...]) -> list[str] | None:
        """Return the answers to the host's questions, ``None`` where one is no password's.

        Only a single question counts as one for the password, and only if the answer
        would not be echoed.
        """
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1] or self.hop.password is None:
            return None
        if self.progress.password_used:
            return None
        self.progress.password_used = True
        return [self.hop.password.reveal()]

    def _seconds(self) -> float:
        return self.deadline.step_timeout(self.options.timeout)

    def _ask(self, request: Callable[[], AuthAnswer], blob: bytes | None = None) -> AuthAnswer:
        """Return the host's answer; what it says of methods counts from now on.

        ``blob`` is the key that it is about. Raises :class:`Unreachable` and ``_LostError``.
        """
        answer = None
        with map_paramiko_errors(_STEP):
            try:
                answer = request()
            except (EOFError, OSError):
                if self.connection.is_active() or self.connection.fell_silent:
                    raise
        if answer is None:
            if self.connection.too_many_tries and blob is not None:
                self._note_refused(blob)
                self.outcome.answers += 1
            raise _LostError
        if answer.kind == "failure":
            self.outcome.answers += not answer.partial
            self.outcome.methods = answer.methods
        return answer

    # Why the host can't be logged in to.

    def _where(self) -> str:
        return f"as {self.hop.user} at {self.hop.key_name}"

    def _tried(self) -> str:
        tried = [*self.found.tried]
        if self.progress.password_used:
            tried.append(self._password_name())
        return f"(tried: {', '.join(tried)})"

    def _unusable(self) -> str:
        now = time.time()
        certificates = (describe_certificate(offer, now) for offer in self.found.offers)
        told = [*self.found.unusable, *(item for item in certificates if item)]
        return "".join(f"; {reason}" for reason in told)

    def _add(self) -> str:
        agent = "" if isinstance(self.agent, SshAgent) else "start an ssh agent, "
        return f"{agent}add the key with ssh-add, or set 'user' or 'identity_file'"

    def _no_key(self) -> Unreachable:
        if "publickey" not in self.hop.methods:
            return Unreachable(
                _STEP,
                f"the ssh config leaves out keys, and nothing else is left {self._where()}",
                "look at PubkeyAuthentication and PreferredAuthentications, or set 'password'",
            )
        reason = f"there is no key to log in with {self._where()}{self._unusable()}"
        return Unreachable(_STEP, reason, self._add())

    def _hung_up(self) -> Unreachable:
        return Unreachable(
            _STEP,
            f"the host hung up during the login {self._where()} {self._tried()}{self._unusable()}",
            "after too many keys sshd does that: name the right one with 'identity_file'; "
            "otherwise look at sshd's log on the host",
        )

    def _refused(self) -> Unreachable:
        outcome, where = self.outcome, self._where()
        if outcome.expired:
            return Unreachable(
                _STEP, f"the password has expired {where}", "log in with ssh and change it"
            )
        if outcome.questions:
            return Unreachable(
                _STEP,
                f"the host asks for something else than a password {where}",
                "only one hidden question is answered, with the password; use a key",
            )
        if self.progress.password_used:
            return Unreachable(
                _STEP,
                f"the host did not let us in {where} {self._tried()}{self._unusable()}",
                "check the password and the user; sshd's log on the host says more",
            )
        if outcome.unsigned and not outcome.answers:
            return Unreachable(
                _STEP, f"the agent would not sign with its key {where}", "is the agent locked?"
            )
        wanted = [name for name in outcome.methods if _METHOD.fullmatch(name)]
        if wanted and "publickey" not in wanted:
            return Unreachable(
                _STEP,
                f"the host wants {listed(wanted, between=' or ', most=_MOST_METHODS)} {where}",
                "set 'password' in the inventory, or change AuthenticationMethods in its "
                "sshd_config: a key alone may do",
            )
        return Unreachable(
            _STEP,
            f"the host took none of the keys offered {where} {self._tried()}{self._unusable()}",
            self._add(),
        )
