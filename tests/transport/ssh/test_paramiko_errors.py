"""Every exception of paramiko's has a text of ours; none comes through as it is."""

from __future__ import annotations

import errno
import inspect
import socket

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko import ssh_exception

from aegis_provision.errors import Unreachable
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.ssh.paramiko_errors import explain, map_paramiko_errors

SECRET = "canary-7f3a"
KEY = paramiko.ECDSAKey.generate()

MAPPED: dict[type[Exception], tuple[Exception, str]] = {
    ssh_exception.SSHException: (
        ssh_exception.SSHException(SECRET),
        "what the host sends is not proper SSH",
    ),
    ssh_exception.AuthenticationException: (
        ssh_exception.AuthenticationException(SECRET),
        "the host refused the login",
    ),
    ssh_exception.PasswordRequiredException: (
        ssh_exception.PasswordRequiredException(SECRET),
        "the key has a passphrase",
    ),
    ssh_exception.BadAuthenticationType: (
        ssh_exception.BadAuthenticationType(SECRET, ["password"]),
        "the host refused the login",
    ),
    ssh_exception.PartialAuthentication: (
        ssh_exception.PartialAuthentication(["password"]),
        "the host wants more than a key",
    ),
    ssh_exception.UnableToAuthenticate: (
        ssh_exception.UnableToAuthenticate(SECRET),
        "the host refused the login",
    ),
    ssh_exception.ChannelException: (
        ssh_exception.ChannelException(1, SECRET),
        "the host refused to open a channel",
    ),
    ssh_exception.IncompatiblePeer: (
        ssh_exception.IncompatiblePeer(SECRET),
        "the host offers no modern algorithm",
    ),
    ssh_exception.MessageOrderError: (
        ssh_exception.MessageOrderError(SECRET),
        "what the host sends is not proper SSH",
    ),
    ssh_exception.NoValidConnectionsError: (
        ssh_exception.NoValidConnectionsError(
            {("127.0.0.1", 22): ConnectionRefusedError(errno.ECONNREFUSED, SECRET)}
        ),
        "nothing listens there",
    ),
    # These are never raised by what is used of the library: its client, its ssh config and its
    # proxy commands are not.
    ssh_exception.BadHostKeyException: (
        ssh_exception.BadHostKeyException(SECRET, KEY, KEY),
        "what the host sends is not proper SSH",
    ),
    ssh_exception.ProxyCommandFailure: (
        ssh_exception.ProxyCommandFailure(SECRET, SECRET),
        "what the host sends is not proper SSH",
    ),
    ssh_exception.CouldNotCanonicalize: (
        ssh_exception.CouldNotCanonicalize(SECRET),
        "what the host sends is not proper SSH",
    ),
    ssh_exception.ConfigParseError: (
        ssh_exception.ConfigParseError(SECRET),
        "what the host sends is not proper SSH",
    ),
}


def test_no_exception_of_the_library_is_forgotten() -> None:
    public = {
        kind
        for _, kind in inspect.getmembers(ssh_exception, inspect.isclass)
        if kind.__module__ == ssh_exception.__name__
    }
    assert set(MAPPED) == public


@pytest.mark.parametrize("kind", MAPPED, ids=lambda kind: kind.__name__)
def test_each_exception_of_the_library_has_words_of_ours(kind: type[Exception]) -> None:
    problem, reason = MAPPED[kind]
    words, hint = explain(problem)
    assert words == reason
    assert hint
    assert SECRET not in words + hint
    assert kind.__name__ not in words + hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Error reading SSH protocol banner", "the host closed the connection before it said"),
        (
            "Error reading SSH protocol banner[Errno 104] Connection reset by peer",
            "the host closed the connection before it said",
        ),
        ("Error reading SSH protocol bannertimed out", "no answer in time"),
        (
            "Error reading SSH protocol banner'utf-8' codec can't decode byte 0xff",
            "what answers there is no SSH server",
        ),
        (
            'Indecipherable protocol version "Timeout, EOF, closed"',
            "what answers there is no SSH server",
        ),
        ("Timeout opening channel.", "no answer in time"),
        ("No existing session", "the host closed the connection"),
        ("Channel closed.", "the host closed the connection"),
        ("Negotiation failed.", "the host closed the connection"),
        ("Mismatched MAC", "what the host sends is not proper SSH"),
    ],
)
def test_where_the_library_has_only_texts_their_beginning_counts(text: str, reason: str) -> None:
    assert explain(paramiko.SSHException(text))[0].startswith(reason)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "the name is not known"),
        (socket.gaierror(socket.EAI_MEMORY, "x"), "this machine has no memory left"),
        (TimeoutError(), "no answer in time"),
        (EOFError(), "the host closed the connection"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "the host closed the connection"),
        (OSError("Socket is closed"), "the host closed the connection"),
        (OSError(errno.EMFILE, "x"), "too many files are open here"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to the host"),
        (PermissionError(errno.EACCES, "x", "/a/file"), "/a/file: permission denied"),
        (ValueError("x"), "what the host sends is not proper SSH"),
    ],
)
def test_the_systems_errors(problem: Exception, reason: str) -> None:
    assert explain(problem)[0] == reason


@given(st.sampled_from(sorted(errno.errorcode)))
def test_every_error_number_has_a_reason(number: int) -> None:
    reason, _ = explain(OSError(number, "x"))
    assert reason
    assert errno.errorcode[number] not in reason


@pytest.mark.parametrize("problem", [ValueError(SECRET), KeyError(SECRET), TypeError(SECRET)])
def test_any_exception_of_the_library_is_the_hosts_failure(problem: Exception) -> None:
    with pytest.raises(Unreachable) as caught, map_paramiko_errors("login"):
        raise problem
    assert str(caught.value) == "login: what the host sends is not proper SSH"
    assert SECRET not in caught.value.hint


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ValueError, match=SECRET), map_errors("known_hosts"):
        raise ValueError(SECRET)


@pytest.mark.parametrize("around", [map_errors, map_paramiko_errors])
def test_what_has_its_words_already_keeps_them(around: type) -> None:
    with pytest.raises(Unreachable) as caught, around("session"):
        raise Unreachable("deadline", "passed", "raise it")
    assert str(caught.value) == "deadline: passed"
