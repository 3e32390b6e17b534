"""The private and undocumented parts of paramiko that we use, all of them, and why.

:data:`PRIVATE_PARTS` lists them: a test fails if one is gone. ``pyproject.toml`` allows the
versions of paramiko that have them.
"""

from __future__ import annotations

import queue
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import paramiko
from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_SUCCESS,
    cMSG_CHANNEL_CLOSE,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
    cMSG_SERVICE_REQUEST,
    cMSG_USERAUTH_INFO_RESPONSE,
    cMSG_USERAUTH_REQUEST,
)
from paramiko.packet import Packetizer

from aegis_provision.transport.ssh.algorithms import shown_type
from aegis_provision.transport.ssh.certificates import parse_certificate, read_key
from aegis_provision.transport.ssh.host_keys import ShownKey
from aegis_provision.transport.ssh.public_keys import is_too_short, plain_type, split_string
from aegis_provision.transport.ssh.signatures import is_signed
from aegis_provision.transport.ssh.ssh_agent import Session

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from paramiko.message import Message

_METHODS = ("publickey", "password", "keyboard-interactive")
_NO_MORE_METHODS = 14  # RFC 4253, section 11.1
_SIGNED, _SAME_PASSWORD = b"\1", b"\0"
_LONGEST_LIST = 4096
_MOST_PROMPTS = 16

# Why a channel is refused (RFC 4254, section 5.1).
PROHIBITED = 1
CONNECT_FAILED = 2
UNKNOWN_TYPE = 3

NO_BANNER = "Error reading SSH protocol banner"
"""How paramiko's text begins where a server hung up before its banner, or said something else."""

_BEFORE_BANNER = "Banner: "
_MOST_SAID = 1000
_ENDS_WITHIN = 0.5

PRIVATE_PARTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        paramiko.Transport,
        (
            "_channels",
            "_check_banner",
            "_log",
            "_next_channel",
            "_parse_channel_open_failure",
            "_auth_trigger",
            "_parse_channel_open_success",
            "_parse_debug",
            "_parse_disconnect",
            "_parse_ext_info",
            "_parse_request_failure",
            "_parse_request_success",
            "_send_user_message",
            "_verify_key",
            "H",
            "active",
            "auth_handler",
            "channel_events",
            "completion_event",
            "host_key_type",
            "packetizer",
            "preferred_keys",
            "run",
            "saved_exception",
            "server_extensions",
            "session_id",
            "sock",
        ),
    ),
    (Packetizer, ("complete_handshake",)),
    (
        paramiko.Channel,
        (
            "_event_pending",
            "eof_received",
            "event",
            "event_ready",
            "remote_chanid",
            "status_event",
        ),
    ),
)
"""Classes of paramiko, with the attributes and methods that we read, set or override."""


@dataclass(frozen=True, slots=True)
class _Shown:
    key: ShownKey
    blob: bytes
    signature: bytes


def _read_shown(blob: bytes, algorithm: str) -> ShownKey:
    """Return what a server shows for ``algorithm``. Raises ``ValueError``."""
    if split_string(blob)[0].decode("ascii") != shown_type(algorithm):
        raise ValueError("it is of another type than agreed upon")
    if plain_type(algorithm) == algorithm:
        key = read_key(blob)
        if is_too_short(key):
            raise ValueError("it is too short")
        return ShownKey(key)
    certificate = parse_certificate(blob)
    return ShownKey(certificate.key, certificate)


class ChannelRefusedError(paramiko.ChannelException):
    """The server refused a channel: ``code`` says why, and so do its ``words``, never shown."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, "refused")
        self.words = words


class TurnedAwayError(paramiko.SSHException):
    """The server hung up before its banner; ``said`` is what it said instead, never shown."""

    def __init__(self, said: str) -> None:
        super().__init__("turned away")
        self.said = said


class Connection(paramiko.Transport):
    """paramiko's connection, which asks for host keys and verifies them by our own rules.

    Several threads may open channels over it at once. paramiko keeps one refusal for all of them,
    and what the server said of it only in its log: here each thread gets its own.

    ``server`` is what the far side is called. ``host_key_algorithms`` are what the server may show,
    certificates among them, in order. ``logged_in_with`` is what an operator knows the key by that
    the server took. ``too_many_tries`` says that it hung up because of too many failures.
    ``told_extensions`` is set once the server has said which extensions it has, or went on without.
    """

    server = ""
    logged_in_with = ""
    too_many_tries = False
    host_key_algorithms: tuple[str, ...] = ()
    _shown: _Shown | None = None
    _authentication: Authentication | None = None

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        """Take ``sock`` over."""
        super().__init__(sock)
        self._refusals: dict[int, ChannelRefusedError] = {}
        self._mine = threading.local()
        self._said = ""
        self._answered = threading.Event()
        self.told_extensions = threading.Event()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms to ask for, where paramiko would put all certificates last."""
        return self.host_key_algorithms

    def shown_key(self) -> ShownKey:
        """Return what the server showed. Raises ``paramiko.SSHException`` if nothing yet."""
        if self._shown is None:
            raise paramiko.SSHException("No existing session")
        return self._shown.key

    def ends(self) -> bool:
        """Tell whether the connection was lost; it may take a moment to say so."""
        self.join(_ENDS_WITHIN)
        return not self.is_active()

    def answers(self, seconds: float) -> bool:
        """Tell whether the server answers within ``seconds``, if only that it refuses to."""
        request = paramiko.Message()
        request.add_byte(cMSG_GLOBAL_REQUEST)
        request.add_string("keepalive@openssh.com")
        request.add_byte(b"\x01")  # it is to be answered
        self._answered.clear()
        self._send_user_message(request)  # type: ignore[attr-defined] # the stubs leave it out
        return self._answered.wait(seconds)

    def lost_bastion(self) -> str | None:
        """Return which bastion was lost, if that ended this connection, else ``None``."""
        if not isinstance(self.sock, paramiko.Channel) or self.sock.eof_received:
            return None
        bastion = self.sock.get_transport()
        if not isinstance(bastion, Connection) or not bastion.ends():
            return None
        return bastion.lost_bastion() or bastion.server

    def run(self) -> None:
        """Serve the connection until it ends, even if the bastion before it was lost first.

        In that case paramiko would raise out of its thread, onto the operator's terminal, and
        leave the threads that wait for an answer waiting.
        """
        try:
            super().run()
        except (EOFError, OSError) as lost:
            self.saved_exception = lost
            self.active = False
            if self._authentication is not None:
                self._authentication.abort()
            for event in (self.completion_event, *self.channel_events.values()):
                if event is not None:
                    event.set()

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        self.verify_shown_key(host_key, sig)

    def verify_shown_key(self, host_key: bytes, sig: bytes) -> None:
        """Keep what the server shows, if it has the key to it; raise ``SSHException`` if not.

        It has to be of the type, and the signature of the algorithm, that was agreed upon; in a
        later exchange of keys the server has to show the same again.
        """
        algorithm, exchange = self.host_key_type or "", self.H or b""
        try:
            key = _read_shown(host_key, algorithm)
        except ValueError as problem:
            raise paramiko.SSHException(f"Host key: {problem}") from None
        if not is_signed(exchange, sig, key.key.blob, {plain_type(algorithm)}):
            raise paramiko.SSHException("Host key: its signature is wrong")
        if self._shown is not None and self._shown.blob != host_key:
            raise paramiko.SSHException("Host key: it is another than before")
        self._shown = self._shown or _Shown(key, host_key, sig)

    def agent_session(self) -> Session:
        """Return what ties an agent's connection to this one."""
        if self._shown is None or self.session_id is None:
            raise paramiko.SSHException("No existing session")
        return Session(self._shown.blob, self.session_id, self._shown.signature)

    def signature_algorithms(self, seconds: float) -> frozenset[str]:
        """Return the algorithms that the server takes, none where it does not say.

        What it says comes right after the exchange of keys, before any answer (RFC 8308, section
        2.4). Raises ``TimeoutError`` where neither comes.
        """
        if not self.told_extensions.wait(seconds):
            raise TimeoutError
        extensions = self.server_extensions  # type: ignore[attr-defined] # the stubs leave it out
        said: bytes = extensions.get("server-sig-algs", b"")
        return frozenset(said.decode("ascii", "replace").split(",")) - {""}

    def begin_authentication(self) -> None:
        """Ask the server for its service that lets users in, whose answer nothing rests on."""
        found = self._authentication = Authentication(self)
        self.auth_handler = cast("Any", found)  # in the place of paramiko's own
        found.request_service()

    @property
    def authentication(self) -> Authentication:
        """What logs in, once it was begun."""
        if self._authentication is None:
            raise paramiko.SSHException("No existing session")
        return self._authentication

    def send(self, message: Message) -> None:
        """Send a message, once no exchange of keys is going on."""
        self._send_user_message(message)  # type: ignore[attr-defined] # the stubs leave it out

    def authenticated_now(self) -> None:
        """Go on as one who was let in."""
        self._auth_trigger()  # type: ignore[attr-defined] # the stubs leave it out

    def _parse_disconnect(self, m: Message) -> None:
        code, text = m.get_int(), m.get_string()
        self.too_many_tries = code == _NO_MORE_METHODS or b"Too many auth" in text

    def abort(self) -> None:
        """Close a connection whose handshake failed.

        paramiko leaves the handshake's timer running, and the process would wait for it.
        """
        self.close()
        self.packetizer.complete_handshake()

    def _log(self, _level: int, msg: str | list[str], *_args: object) -> None:
        """Drop what paramiko would log: what is worth knowing it raises.

        But what a server says in place of its banner is in the log alone.
        """
        if isinstance(msg, str) and msg.startswith(_BEFORE_BANNER):
            self._said = f"{self._said}{msg.removeprefix(_BEFORE_BANNER)}\n"[:_MOST_SAID]

    def _check_banner(self) -> None:
        try:
            super()._check_banner()  # type: ignore[misc] # paramiko's own step
        except paramiko.SSHException as problem:
            hung_up = str(problem) == NO_BANNER or str(problem).startswith(f"{NO_BANNER}[Errno")
            if self._said and hung_up:
                raise TurnedAwayError(self._said) from None
            raise

    def take_refusal(self) -> ChannelRefusedError | None:
        """Return why the server refused the channel that this thread asked for last."""
        return self._refusals.pop(self._mine.number, None)

    def _next_channel(self) -> int:
        number: int = super()._next_channel()  # type: ignore[misc] # the stubs leave it out
        self._mine.number = number
        return number

    def _parse_request_failure(self, m: Message) -> None:
        self._answered.set()
        super()._parse_request_failure(m)  # type: ignore[misc] # paramiko's own handler

    def _parse_request_success(self, m: Message) -> None:
        self._answered.set()
        super()._parse_request_success(m)  # type: ignore[misc] # paramiko's own handler

    def _parse_channel_open_failure(self, m: Message) -> None:
        answer = paramiko.Message(m.asbytes())
        number, code = answer.get_int(), answer.get_int()
        words = answer.get_string().decode(errors="replace")
        self._refusals[number] = ChannelRefusedError(code, words)
        super()._parse_channel_open_failure(m)  # type: ignore[misc] # paramiko's own handler

    def _parse_channel_open_success(self, m: Message) -> None:
        """Close a channel that came too late; paramiko would leave it open."""
        answer = paramiko.Message(m.asbytes())
        number, theirs = answer.get_int(), answer.get_int()
        if self._channels.get(number) is not None:  # type: ignore[attr-defined] # see above
            super()._parse_channel_open_success(m)  # type: ignore[misc] # see above
            return
        closing = paramiko.Message()
        closing.add_byte(cMSG_CHANNEL_CLOSE)
        closing.add_int(theirs)
        self._send_user_message(closing)  # type: ignore[attr-defined] # see above

    def _parse_ext_info(self, msg: Message) -> None:
        super()._parse_ext_info(msg)  # type: ignore[misc] # paramiko's own handler
        self.told_extensions.set()

    def _parse_debug(self, m: Message) -> None:
        """Drop what a server says for its own debugging."""


@dataclass(frozen=True, slots=True)
class AuthAnswer:
    """What a server says to a request to be let in (RFC 4252, RFC 4256).

    ``methods`` are those that may go on after a failure, and ``partial`` says that the request
    itself was granted. ``prompts`` are questions, each with whether its answer may be seen.
    """

    kind: Literal["success", "failure", "key", "questions"]
    methods: tuple[str, ...] = ()
    partial: bool = False
    prompts: tuple[tuple[str, bool], ...] = ()


class Authentication:
    """The client's side of logging in, in the place of paramiko's own.

    paramiko's asks for the service anew with each key, signs in its own thread, where an agent's
    refusal ends the connection, and neither asks before it signs nor answers only some questions.
    It also waits for the service; here the first request to be let in goes with the one for the
    service, which saves a round trip. Methods that return the server's answer raise
    ``TimeoutError``, ``EOFError`` once the connection is lost, and what paramiko raises.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection = weakref.proxy(connection)
        self._answers: queue.SimpleQueue[AuthAnswer | None] = queue.SimpleQueue()
        self._method = ""
        self._let_in = False

    # What paramiko asks of it.

    def is_authenticated(self) -> bool:
        """Tell whether the server let us in."""
        return self._let_in

    def get_username(self) -> None:
        """Return nothing: only paramiko's server needs the name."""

    def abort(self) -> None:
        """Tell the thread that waits for an answer that the connection is lost."""
        self._connection.told_extensions.set()
        self._answers.put(None)

    @property
    def _handler_table(self) -> dict[int, Callable[[Message], None]]:
        return {
            MSG_SERVICE_ACCEPT: self._parse_accept,
            MSG_USERAUTH_SUCCESS: self._parse_success,
            MSG_USERAUTH_FAILURE: self._parse_failure,
            MSG_USERAUTH_BANNER: self._parse_banner,
            MSG_USERAUTH_INFO_REQUEST: self._parse_method_specific,
        }

    # What we ask of it.

    def request_service(self) -> None:
        """Ask for the service, and go on without waiting for the answer.

        A server that does not have it hangs up (RFC 4253, section 10).
        """
        self._connection.send(_message(cMSG_SERVICE_REQUEST, b"ssh-userauth"))

    def public_key(
        self, user: str, algorithm: str, blob: bytes, signature: bytes | None, seconds: float
    ) -> AuthAnswer:
        """Offer a public key; without a signature, ask whether it would be taken ("key")."""
        message = self._request(user, b"publickey")
        message.add_boolean(signature is not None)
        message.add_string(algorithm)
        message.add_string(blob)
        if signature is not None:
            message.add_string(signature)
        return self._ask("publickey", message, seconds)

    def signed_data(self, user: str, algorithm: str, blob: bytes) -> bytes:
        """Return what the signature is made of that goes with a public key."""
        message = paramiko.Message()
        message.add_string(self._connection.session_id or b"")
        message.add_bytes(self._request(user, b"publickey").asbytes())
        message.add_byte(_SIGNED)
        message.add_string(algorithm)
        message.add_string(blob)
        return message.asbytes()

    def password(self, user: str, password: str, seconds: float) -> AuthAnswer:
        """Send a password. The answer "questions" means that a new one is wanted."""
        message = self._request(user, b"password")
        message.add_byte(_SAME_PASSWORD)
        message.add_string(password)
        return self._ask("password", message, seconds)

    def keyboard_interactive(self, user: str, seconds: float) -> AuthAnswer:
        """Ask the server to ask us."""
        message = self._request(user, b"keyboard-interactive")
        message.add_string(b"")
        message.add_string(b"")
        return self._ask("keyboard-interactive", message, seconds)

    def reply(self, answers: Sequence[str], seconds: float) -> AuthAnswer:
        """Answer the server's questions."""
        message = paramiko.Message()
        message.add_byte(cMSG_USERAUTH_INFO_RESPONSE)
        message.add_int(len(answers))
        for answer in answers:
            message.add_string(answer)
        return self._ask("keyboard-interactive", message, seconds)

    def _request(self, user: str, method: bytes) -> paramiko.Message:
        return _message(cMSG_USERAUTH_REQUEST, user.encode(), b"ssh-connection", method)

    def _ask(self, method: str, message: paramiko.Message, seconds: float) -> AuthAnswer:
        self._method = method
        self._connection.send(message)
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if answer is None:
            problem = self._connection.get_exception()
            raise problem if problem is not None else EOFError
        return answer

    def _answer(self, *expected: str, answer: AuthAnswer) -> None:
        """Keep an answer, if it is one to what was asked."""
        if self._method in expected:
            self._method = ""
            self._answers.put(answer)

    def _parse_accept(self, _: Message) -> None:
        self._connection.told_extensions.set()

    def _parse_success(self, _: Message) -> None:
        if self._method in _METHODS:
            self._let_in = True
            self._connection.authenticated_now()
        self._answer(*_METHODS, answer=AuthAnswer("success"))

    def _parse_failure(self, m: Message) -> None:
        methods = tuple(m.get_string()[:_LONGEST_LIST].decode("ascii", "replace").split(","))
        answer = AuthAnswer("failure", methods, m.get_boolean())
        self._answer(*_METHODS, answer=answer)

    def _parse_banner(self, _: Message) -> None:
        """Drop what a server says to people before they are let in."""

    def _parse_method_specific(self, m: Message) -> None:
        if self._method == "publickey":
            self._answer("publickey", answer=AuthAnswer("key"))
        elif self._method == "password":
            self._answer("password", answer=AuthAnswer("questions"))
        elif self._method == "keyboard-interactive":
            for _ in ("name", "instruction", "language"):
                m.get_string()
            count = m.get_int()
            if count > _MOST_PROMPTS:
                raise paramiko.SSHException("too many questions")
            prompts = tuple(
                (m.get_string().decode(errors="replace"), m.get_boolean()) for _ in range(count)
            )
            self._answer("keyboard-interactive", answer=AuthAnswer("questions", prompts=prompts))


def _message(kind: bytes, *strings: bytes) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(kind)
    for string in strings:
        message.add_string(string)
    return message


class _TimedEvent(threading.Event):
    """The event for the answer to a channel's request, for which paramiko would wait forever."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def wait(self, timeout: float | None = None) -> bool:
        """Return once the answer is there. Raises ``TimeoutError``."""
        if not super().wait(self._seconds if timeout is None else timeout):
            raise TimeoutError
        return True


def open_session(transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
    """Return a channel for one command or subsystem, each step of which takes ``seconds`` at most.

    Raises what paramiko raises, and ``TimeoutError``.
    """
    channel = transport.open_session(timeout=seconds)
    channel.settimeout(seconds)
    channel.event = _TimedEvent(seconds)
    return channel


def begin(channel: paramiko.Channel, kind: Literal["exec", "subsystem"], what: str) -> None:
    """Ask for a command or a subsystem in ``channel``, without waiting for the answer.

    What is sent next goes with it. If the server refuses, that ends the channel: see
    :func:`was_refused`.
    """
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_byte(b"\x01")  # it is to be answered
    message.add_string(what)
    channel._event_pending()  # type: ignore[attr-defined] # noqa: SLF001 - see PRIVATE_PARTS
    cast("Connection", channel.get_transport()).send(message)


def was_refused(channel: paramiko.Channel) -> bool:
    """Tell whether the server refused what :func:`begin` asked for, once the channel has ended.

    It can't be told where the connection was lost.
    """
    return not channel.event_ready


def open_connection(
    transport: Connection, host: str, port: int, seconds: float
) -> paramiko.Channel:
    """Return a TCP connection from the far side to ``host:port`` (RFC 4254, section 7.2).

    Raises :class:`ChannelRefusedError` if it is refused, what else paramiko raises, and
    ``TimeoutError``.
    """
    try:
        return transport.open_channel(
            "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds
        )
    except paramiko.SSHException:
        refusal = transport.take_refusal()
        if refusal is None:
            raise
        raise refusal from None


def wait_for_exit(channel: paramiko.Channel, seconds: float) -> bool:
    """Wait for the end of a channel's command, ``seconds`` at most; tell whether it has ended."""
    return channel.status_event.wait(seconds)
