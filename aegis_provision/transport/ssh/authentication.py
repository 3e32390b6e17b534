"""Logging in: keys offered one by one, and the reason if none of them is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.identities import identities, open_agent
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import Agent

if TYPE_CHECKING:
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.protocol import ConnectOptions
    from aegis_provision.transport.ssh.identities import Identities
    from aegis_provision.transport.ssh.jump_hosts import Hop

_STEP = "login"


def log_in(
    transport: paramiko.Transport,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> None:
    """Log in at ``hop`` with a key. Raises :class:`Unreachable`."""
    agent = open_agent(options.agent_socket, deadline.step_timeout(options.timeout))
    try:
        found = identities(hop, agent)
        outcome = _Outcome()
        for key in found.keys:
            transport.auth_timeout = deadline.step_timeout(options.timeout)
            outcome = _offer(transport, hop.user, key)
            if outcome.logged_in:
                return
            if not transport.is_active():
                break
    finally:
        if isinstance(agent, Agent):
            agent.close()
    raise _refused(hop, found, outcome, agent_answers=isinstance(agent, Agent))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of the last key that was offered; ``wanted`` are the methods the host asks for."""

    logged_in: bool = False
    hung_up: bool = False
    unsigned: bool = False
    wanted: tuple[str, ...] = ()


def _offer(transport: paramiko.Transport, user: str, key: paramiko.PKey) -> _Outcome:
    with map_paramiko_errors(_STEP):
        try:
            further = transport.auth_publickey(user, key)
        except paramiko.BadAuthenticationType as refusal:
            return _Outcome(wanted=tuple(refusal.allowed_types))
        except paramiko.AuthenticationException as refusal:
            if "timeout" in str(refusal).lower():
                raise TimeoutError from None
            return _Outcome(hung_up=not transport.is_active())
        except (paramiko.SSHException, EOFError, OSError) as problem:
            if transport.is_active():
                raise
            unsigned = isinstance(key, paramiko.AgentKey) and "agent" in str(problem)
            unsigned = unsigned or "used for signing" in str(problem)
            return _Outcome(hung_up=not unsigned, unsigned=unsigned)
        return _Outcome(logged_in=not further, wanted=tuple(further))


def _refused(hop: Hop, found: Identities, outcome: _Outcome, *, agent_answers: bool) -> Unreachable:
    where = f"as {hop.user} at {hop.key_name}"
    tried = f"(tried: {', '.join(found.tried)})"
    unusable = "".join(f"; {reason}" for reason in found.unusable)
    agent = "" if agent_answers else "start an ssh agent, "
    add = f"{agent}add the key with ssh-add, or set 'user' or 'identity_file'"
    if not found.keys:
        return Unreachable(_STEP, f"there is no key to log in with {where}{unusable}", add)
    if outcome.unsigned:
        return Unreachable(
            _STEP, f"the agent would not sign with its key {where}", "is the agent locked?"
        )
    if outcome.hung_up:
        return Unreachable(
            _STEP,
            f"the host hung up during the login {where} {tried}{unusable}",
            "after too many keys sshd does that: name the right one with 'identity_file'; "
            "otherwise look at sshd's log on the host",
        )
    if outcome.wanted and "publickey" not in outcome.wanted:
        return Unreachable(
            _STEP,
            f"the host wants {' or '.join(outcome.wanted)} {where}",
            "a key alone must do: change AuthenticationMethods in its sshd_config",
        )
    return Unreachable(
        _STEP, f"the host took none of the keys offered {where} {tried}{unusable}", add
    )
