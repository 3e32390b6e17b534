"""The private and undocumented parts of paramiko that we use, all of them, and why.

:data:`PRIVATE_PARTS` lists them: a test fails if one is gone. ``pyproject.toml`` allows the
versions of paramiko that have them.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.common import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_SERVICE_ACCEPT,
    MSG_UNIMPLEMENTED,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_SUCCESS,
    cMSG_CHANNEL_CLOSE,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
    cMSG_SERVICE_REQUEST,
    cMSG_UNIMPLEMENTED,
    cMSG_USERAUTH_INFO_RESPONSE,
    cMSG_USERAUTH_REQUEST,
)
from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import MessageOrderError

from aegis_provision.transport.ssh.algorithms import shown_type
from aegis_provision.transport.ssh.certificates import parse_certificate, read_key
from aegis_provision.transport.ssh.host_keys import ShownKey
from aegis_provision.transport.ssh.public_keys import is_too_short, plain_type, split_string
from aegis_provision.transport.ssh.signatures import is_signed
from aegis_provision.transport.ssh.ssh_agent import Session
from aegis_provision.transport.ssh.version_exchange import VERSION
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from _typeshed import ReadableBuffer
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
ANSWERS_WITHIN = 2.0
"""Seconds within which a far side that was silent for a whole timeout answers, or is lost."""

_KEY_EXCHANGE = range(30, 50)  # RFC 4253, section 12
_READ_SIZE = 64 * 1024
_LONGEST_READ = 1.0
_REST_WITHIN, _REST_WITHIN_SHORT = 5.0, 0.5
_SENDS_WITHIN = 30.0
_LONGEST_LINE = 64 * 1024
_CONDITION, _LOCK = "_cv", "_lock"
_FOREVER = 365 * 24 * 3600.0

PRIVATE_PARTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        paramiko.Transport,
        (
            "_channel_handler_table",
            "_channels",
            "_check_banner",
            "_enforce_strict_kex",
            "_expect_packet",
            "_expected_packet",
            "_handler_table",
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
            "_send_kex_init",
            "_send_message",
            "_send_user_message",
            "_verify_key",
            "H",
            "active",
            "auth_handler",
            "channel_events",
            "channels_seen",
            "clear_to_send",
            "clear_to_send_timeout",
            "completion_event",
            "host_key_type",
            "in_kex",
            "kex_engine",
            "local_version",
            "packetizer",
            "preferred_keys",
            "run",
            "saved_exception",
            "server_extensions",
            "session_id",
            "sock",
        ),
    ),
    (
        Packetizer,
        (
            "_check_keepalive",
            "need_rekey",
            "read_all",
            "readline",
            "start_handshake",
        ),
    ),
    (
        paramiko.Channel,
        (
            "_event_pending",
            "eof_received",
            "event",
            "event_ready",
            "in_buffer",
            "in_stderr_buffer",
            "out_buffer_cv",
            "remote_chanid",
            "status_event",
        ),
    ),
    (BufferedPipe, ("_cv", "_lock")),
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


class _NothingCameError(Exception):
    """No packet began in the time that there was."""


class _Packets(Packetizer):
    """paramiko's packets, read only while a caller waits for one.

    paramiko reads for ever, in a thread that wakes ten times a second to see whether to end.
    ``until`` (``time.monotonic``) is when the reader stops waiting for a packet to begin; the rest
    of one that has begun is waited for ``rest_within`` seconds longer, as nothing could be read
    after a half. It would try to send for ever too: here for ``sends_within`` seconds without a
    byte taken.
    """

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        super().__init__(cast("socket.socket", sock))
        self._sock = sock
        self._ahead = b""
        self._seconds = 0.0
        self.until = 0.0
        self.rest_within = _REST_WITHIN
        self.sends_within = _SENDS_WITHIN

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: who waits for the handshake has a bound."""

    def has_read_ahead(self) -> bool:
        """Tell whether something was read that no packet was made of yet."""
        return bool(self._ahead)

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return the next ``n`` bytes; ``check_rekey`` says that a packet begins with them."""
        while len(self._ahead) < n:
            # A sign of life that has to wait for new keys reads packets meanwhile, and reads ahead.
            came = self._receive(begins=check_rekey and not self._ahead)
            self._ahead += came
        data, self._ahead = self._ahead[:n], self._ahead[n:]
        return data

    def readline(self, timeout: float) -> str:
        """Return the next line, without its end. Raises ``TimeoutError`` after ``timeout``."""
        self.until = min(self.until, time.monotonic() + timeout)
        while b"\n" not in self._ahead:
            if len(self._ahead) > _LONGEST_LINE:
                raise ValueError("a line without end")
            try:
                came = self._receive(begins=True)
            except _NothingCameError:
                raise TimeoutError from None
            self._ahead += came
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line.removesuffix(b"\r").decode()

    def write_all(self, out: ReadableBuffer) -> None:
        """Send ``out``. Raises ``EOFError``, and ``TimeoutError`` if the far side takes nothing.

        Half a packet can't be taken back, so that closes the connection.
        """
        super().write_all(b"")  # notes when something was sent last
        unsent, until = memoryview(out), time.monotonic() + self.sends_within
        while unsent:
            try:
                sent = self._sock.send(bytes(unsent))
            except TimeoutError:
                sent = 0
                if time.monotonic() >= until:
                    self.close()
                    raise
            except OSError:
                raise EOFError from None
            else:
                until = time.monotonic() + self.sends_within
                if not sent:  # as a channel says that it is closed
                    raise EOFError
            if self.closed:
                raise EOFError
            unsent = unsent[sent:]

    def _receive(self, *, begins: bool) -> bytes:
        """Return what comes next; ``begins`` says that a packet may begin with it.

        Raises ``EOFError`` at the end, :class:`_NothingCameError` and ``OSError``.
        """
        until = self.until if begins else self.until + self.rest_within
        if not begins and time.monotonic() >= until:  # it may come byte by byte
            raise TimeoutError
        while True:
            self._bound(until - time.monotonic())
            try:
                data = self._sock.recv(_READ_SIZE)
            except TimeoutError:
                self._between_reads(until, begins=begins)
                continue
            except OSError:
                if self.closed:
                    raise EOFError from None
                raise
            if not data:
                raise EOFError
            return data

    def _bound(self, left: float) -> None:
        """Let the next read take the time that is ``left``, but no longer than a second."""
        seconds = min(_LONGEST_READ, max(0.001, left))
        if seconds != self._seconds:
            self._seconds = seconds
            self._sock.settimeout(seconds)

    def _between_reads(self, until: float, *, begins: bool) -> None:
        """See what there is to do besides reading, or whether the time is up."""
        if self.closed:
            raise EOFError
        if begins:
            if self.need_rekey():
                raise NeedRekeyException
            self._check_keepalive()  # type: ignore[attr-defined] # the stubs leave it out
        if time.monotonic() >= until:
            raise _NothingCameError if begins else TimeoutError


class OnData(Protocol):
    """What is set as an event when something comes (paramiko's ``BufferedPipe.set_event``)."""

    def set(self) -> None:
        """Take note that something came."""
        ...

    def clear(self) -> None:
        """Take note that it was read."""
        ...


class _Ignored:
    """An event without a waiter."""

    def set(self) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""


_MAKING = threading.Lock()


class _ReadingEvent:
    """An event in the place of one of paramiko's: who waits for it reads packets meanwhile.

    ``seconds`` bound a wait for which nothing is said: paramiko would wait forever. A thousand
    connections that rest have ten thousand of them, so it holds nothing but where several threads
    wait, on a connection that is read in the background.
    """

    __slots__ = ("_connection", "_inner", "_is_set", "_seconds")

    def __init__(self, connection: Connection, seconds: float | None = None) -> None:
        self._connection: Connection = weakref.proxy(connection)
        self._seconds = seconds
        self._is_set = False
        self._inner: threading.Event | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._inner is not None:
            self._inner.set()

    def clear(self) -> None:
        self._is_set = False
        if self._inner is not None:
            self._inner.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether it was set in time. Raises ``TimeoutError`` after ``seconds``."""
        seconds = self._seconds if timeout is None else timeout
        left = self._connection.read_until(self.is_set, _FOREVER if seconds is None else seconds)
        if not self._is_set and self._connection.reads_in_background:
            with _MAKING:
                inner = self._inner = self._inner or threading.Event()
            # Looked at after that: ``set`` looks for the inner event last.
            if not self._is_set:
                inner.wait(left)
        if not self._is_set and timeout is None:
            raise TimeoutError
        return self._is_set


class _ReadingCondition:
    """The condition of a channel, in the place of paramiko's: who waits reads packets meanwhile."""

    __slots__ = ("_connection", "_inner", "_mutex")

    def __init__(self, lock: threading.Lock, connection: Connection) -> None:
        self._connection: Connection = weakref.proxy(connection)
        self._mutex = lock
        self._inner: threading.Condition | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until something may have changed, or for ``timeout``; the lock is held."""
        if self._connection.reads_in_background:
            self._inner = self._inner or threading.Condition(self._mutex)
            return self._inner.wait(timeout)
        self._mutex.release()
        try:
            return self._connection.read_packet(_FOREVER if timeout is None else timeout)
        finally:
            self._mutex.acquire()

    def notify_all(self) -> None:
        """Wake who waits; the lock is held."""
        if self._inner is not None:
            self._inner.notify_all()

    notify = notify_all


class Connection(paramiko.Transport):
    """paramiko's connection, which asks for host keys and verifies them by our own rules.

    It has no thread of its own: the one thread that uses it reads what comes while it waits
    (:meth:`read_until`), and each packet costs no switch between two threads. Only where several
    threads share one is it read in the background.

    They may open channels over it at once. paramiko keeps one refusal for all of them,
    and what the server said of it only in its log: here each thread gets its own.

    ``server`` is what the far side is called. ``host_key_algorithms`` are what the server may show,
    certificates among them, in order. ``logged_in_with`` is what an operator knows the key by that
    the server took. ``too_many_tries`` says that it hung up because of too many failures.
    ``told_extensions`` is set once the server has said which extensions it has, or went on without.
    ``fell_silent`` says that it ended as nothing more came, in the middle of a packet.
    """

    server = ""
    fell_silent = False
    logged_in_with = ""
    too_many_tries = False
    keepalive_interval = 0.0
    host_key_algorithms: tuple[str, ...] = ()
    _shown: _Shown | None = None
    _authentication: Authentication | None = None

    if TYPE_CHECKING:  # the stubs leave these out
        agreed_on_strict_kex: bool
        _channel_handler_table: dict[int, Callable[[paramiko.Channel, Message], object]]
        _expected_packet: tuple[int, ...]
        _handler_table: dict[int, Callable[[Message], object]]

        def _enforce_strict_kex(self, kind: int) -> None: ...
        def _expect_packet(self, *kinds: int) -> None: ...
        def _send_kex_init(self) -> None: ...
        def _send_message(self, message: Message) -> None: ...

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        """Take ``sock`` over, through which our version was said."""
        super().__init__(sock, packetizer_class=_Packets)
        self.local_version = VERSION
        self.reads_in_background = False
        self._opening: float | None = None
        self._refusals: dict[int, ChannelRefusedError] = {}
        self._mine = threading.local()
        self._said = ""
        self._answered = _ReadingEvent(self)
        self.clear_to_send = cast("Any", _ReadingEvent(self))
        self.told_extensions = _ReadingEvent(self)

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
        if self.reads_in_background:
            self.join(_ENDS_WITHIN)
        else:
            self.read_until(lambda: False, _ENDS_WITHIN)
        return not self.is_active()

    def answers(self, seconds: float) -> bool:
        """Tell whether the server answers within ``seconds``, if only that it refuses to."""
        request = paramiko.Message()
        request.add_byte(cMSG_GLOBAL_REQUEST)
        request.add_string("keepalive@openssh.com")
        request.add_byte(b"\x01")  # it is to be answered
        self._answered.clear()
        self._send_user_message(request)
        return self._answered.wait(self.read_until(self._answered.is_set, seconds))

    def lost_bastion(self) -> str | None:
        """Return which bastion was lost, if that ended this connection, else ``None``."""
        if not isinstance(self.sock, paramiko.Channel) or self.sock.eof_received:
            return None
        bastion = self.sock.get_transport()
        if not isinstance(bastion, Connection) or not bastion.ends():
            return None
        return bastion.lost_bastion() or bastion.server

    def silent_bastion(self, seconds: float) -> str | None:
        """Return which bastion does not answer any more, asked for ``seconds``; else ``None``.

        Its connection is closed, so that all who go through it are told the same at once.
        """
        bastion = self.sock.get_transport() if isinstance(self.sock, paramiko.Channel) else None
        if not isinstance(bastion, Connection):
            return None
        if bastion.is_active():
            if bastion.answers(seconds):
                return None
            outer = bastion.silent_bastion(seconds)
            bastion.close()
            return outer or bastion.server
        return bastion.lost_bastion() or bastion.server

    # Reading.

    def start_client(
        self, event: threading.Event | None = None, timeout: float | None = None
    ) -> None:
        """Exchange versions and keys. Raises what that failed on, and ``TimeoutError``."""
        self.active = True
        self.completion_event = event or cast("threading.Event", _ReadingEvent(self))
        seconds = _FOREVER if timeout is None else timeout
        self._packets.sends_within = min(_SENDS_WITHIN, seconds)
        until = time.monotonic() + seconds
        self._reading(self._begin, seconds)
        if not self.completion_event.is_set():
            self.read_until(self.completion_event.is_set, until - time.monotonic())
        if not self.active:
            problem = self.get_exception()
            raise problem if problem is not None else paramiko.SSHException("Negotiation failed.")
        if not self.completion_event.is_set():
            raise TimeoutError

    def _begin(self) -> None:
        self._check_banner()
        self._send_kex_init()
        self._expect_packet(MSG_KEXINIT)

    def read_in_background(self) -> None:
        """Read in a thread from now on, so that several threads may use the connection."""
        if not self.reads_in_background:
            self.reads_in_background = True
            self.start()

    def run(self) -> None:
        """Read until the connection ends."""
        while self.active:
            self._reading(self._take_packet, _FOREVER)

    def read_until(self, done: Callable[[], bool], seconds: float) -> float:
        """Read until ``done``, the end of the connection, or for ``seconds``; return those left.

        Where it is read in the background, nothing is done here.
        """
        if self.reads_in_background:
            return seconds
        until = time.monotonic() + seconds
        while self.active and not done():
            left = until - time.monotonic()
            if left <= 0:
                return 0.0
            self.read_packet(left)
        return max(0.0, until - time.monotonic())

    def read_packet(self, seconds: float) -> bool:
        """Read one packet, if one comes within ``seconds``, and do what it asks for.

        Returns whether the connection is still there.
        """
        self._reading(self._take_packet, seconds)
        return self.active

    # Resting: see :mod:`~aegis_provision.transport.ssh.idle_connections`.

    def set_keepalive(self, interval: float) -> None:
        """Give the far side a sign of life after ``interval`` seconds without anything else."""
        self.keepalive_interval = interval
        super().set_keepalive(interval)

    def descriptor(self) -> int | None:
        """Return the descriptor that tells when something comes, if there is one."""
        return None if isinstance(self.sock, paramiko.Channel) else self.sock.fileno()

    def call_on_data(self, event: OnData | None) -> None:
        """Have ``event`` set when something comes through the bastion, or nothing."""
        if isinstance(self.sock, paramiko.Channel):
            self.sock.in_buffer.set_event(cast("threading.Event", event or _Ignored()))

    def read_what_came(self) -> None:
        """Read what has come, and wait for nothing but the rest of a packet, shortly."""
        packets = self._packets
        packets.rest_within = _REST_WITHIN_SHORT
        while self.read_packet(0.0) and packets.has_read_ahead():
            continue
        packets.rest_within = _REST_WITHIN

    def give_sign_of_life(self) -> None:
        """Send what the far side may ignore, so that it and all on the way know of us."""
        self._reading(lambda: self.global_request("keepalive@lag.net", wait=False), 0.0)

    @property
    def _packets(self) -> _Packets:
        return cast("_Packets", self.packetizer)

    def _reading(self, step: Callable[[], object], seconds: float) -> None:
        """Do ``step``, which waits for ``seconds``; what it fails on ends the connection."""
        self._packets.until = time.monotonic() + seconds
        try:
            step()
        except _NothingCameError:
            pass
        except Exception as problem:  # noqa: BLE001 - one host's garbage may raise anything
            self._end(problem)

    def _take_packet(self) -> None:
        if self.packetizer.need_rekey() and not self.in_kex:
            self._send_kex_init()
        try:
            kind, message = self.packetizer.read_message()
        except NeedRekeyException:
            return
        if kind in {MSG_IGNORE, MSG_DEBUG}:
            self._enforce_strict_kex(kind)
        elif kind == MSG_DISCONNECT:
            self._parse_disconnect(message)
            self._end(None)
        else:
            self._handle(kind, message)

    def _handle(self, kind: int, message: Message) -> None:
        """Hand a packet to what it is for. May raise anything: a host decides what is in it."""
        expected, self._expected_packet = self._expected_packet, ()
        if expected and kind not in expected:
            problem = MessageOrderError if self.agreed_on_strict_kex else paramiko.SSHException
            raise problem(f"Packet {kind} is out of turn")
        if expected and kind in _KEY_EXCHANGE:
            cast("Any", self.kex_engine).parse_next(kind, message)
        elif kind in self._handler_table:
            self._handler_table[kind](message)
        elif kind in self._channel_handler_table:
            self._hand_to_channel(kind, message)
        elif self._authentication is not None and kind in self._authentication.handlers:
            self._authentication.handlers[kind](message)
        elif kind != MSG_UNIMPLEMENTED:
            answer = paramiko.Message()
            answer.add_byte(cMSG_UNIMPLEMENTED)
            answer.add_int(message.seqno)
            self._send_message(answer)

    def _hand_to_channel(self, kind: int, message: Message) -> None:
        number = message.get_int()
        channel = self._channels.get(number)  # type: ignore[attr-defined] # see above
        if channel is not None:
            self._channel_handler_table[kind](channel, message)
        elif number not in self.channels_seen:
            raise paramiko.SSHException("Packet for an unknown channel")

    def _end(self, problem: Exception | None) -> None:
        """Close the connection for ``problem``, and wake all who wait for something of it.

        If the bastion before it was lost first, not even that can be sent.
        """
        self.saved_exception = problem
        self.fell_silent = isinstance(problem, TimeoutError)
        self.active = False
        for channel in self._channels.values():  # type: ignore[attr-defined] # see above
            with suppress(EOFError, OSError):
                channel._unlink()  # noqa: SLF001
        for close in (self.packetizer.close, self.sock.close):
            with suppress(EOFError, OSError):
                close()
        if self._authentication is not None:
            self._authentication.abort()
        self.clear_to_send.set()
        for event in (self.completion_event, *tuple(self.channel_events.values())):
            if event is not None:
                event.set()

    def open_channel(self, *args: Any, **kwargs: Any) -> paramiko.Channel:
        """Open a channel as paramiko does; the calling thread itself reads the answer."""
        timeout = kwargs.get("timeout")
        self._opening = self.channel_timeout if timeout is None else timeout
        try:
            channel = super().open_channel(*args, **kwargs)
        finally:
            self._opening = None
        if not self.reads_in_background:
            self._read_while_waiting(channel)
        return channel

    def _read_while_waiting(self, channel: paramiko.Channel) -> None:
        """Let who waits for something on ``channel`` read packets meanwhile."""
        for pipe in (channel.in_buffer, channel.in_stderr_buffer):
            setattr(pipe, _CONDITION, _ReadingCondition(getattr(pipe, _LOCK), self))
        channel.out_buffer_cv = cast("Any", _ReadingCondition(channel.lock, self))
        channel.status_event = cast("Any", _ReadingEvent(self, _FOREVER))

    def _send_user_message(self, data: Message) -> None:
        """Send a message, once no exchange of keys is going on."""
        if not self.clear_to_send.is_set():
            self.clear_to_send.wait(self.clear_to_send_timeout)
        super()._send_user_message(data)  # type: ignore[misc] # the stubs leave it out
        if self._opening is not None and not self.reads_in_background:
            number, seconds = self._mine.number, self._opening
            self._opening = None
            self.read_until(lambda: number not in self.channel_events, seconds)
            if self.active and number in self.channel_events:
                # As paramiko says it, which would wait for as long again, and read nothing.
                raise paramiko.SSHException("Timeout opening channel.")

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
        self._send_user_message(message)

    def authenticated_now(self) -> None:
        """Go on as one who was let in."""
        self._auth_trigger()  # type: ignore[attr-defined] # the stubs leave it out

    def _parse_disconnect(self, m: Message) -> None:
        code, text = m.get_int(), m.get_string()
        self.too_many_tries = code == _NO_MORE_METHODS or b"Too many auth" in text

    def abort(self) -> None:
        """Close a connection whose handshake failed."""
        self.close()

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
        words = answer.get_string()[:_MOST_SAID].decode(errors="replace")
        if number in self.channel_events:  # else it was not asked for
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
        self._send_user_message(closing)

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
    def handlers(self) -> dict[int, Callable[[Message], None]]:
        """Return what takes each kind of packet."""
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
        left = self._connection.read_until(lambda: not self._answers.empty(), seconds)
        try:
            answer = self._answers.get(timeout=left)
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


def open_session(transport: Connection, seconds: float) -> paramiko.Channel:
    """Return a channel for one command or subsystem, each step of which takes ``seconds`` at most.

    Raises what paramiko raises, and ``TimeoutError``.
    """
    channel = transport.open_session(timeout=seconds)
    channel.settimeout(seconds)
    channel.event = cast("Any", _ReadingEvent(transport, seconds))
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


def was_taken(channel: paramiko.Channel, seconds: float) -> bool:
    """Wait for the answer to what :func:`begin` asked for, and tell whether it was yes.

    Raises ``TimeoutError`` if none comes within ``seconds``.
    """
    if not channel.event.wait(seconds):
        raise TimeoutError
    return channel.event_ready


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
