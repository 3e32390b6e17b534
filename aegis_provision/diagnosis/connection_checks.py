"""The checks of the way to a host, and of its clock."""

from __future__ import annotations

from aegis_provision.diagnosis.checks import Check, HostCheck, fail, not_checked, ok, warn
from aegis_provision.diagnosis.host_facts import ClockFacts, HostFacts
from aegis_provision.humanize import span_text
from aegis_provision.planning.host_plan import NO_RENAME, RENAME_EXTENSION

_USEFUL_EXTENSIONS = {
    "fsync@openssh.com": "a write may be lost if the host loses power right after it",
    "lsetstat@openssh.com": "the mode of our own directory there can't be put right",
}

LARGE_SKEW = 30
"""Seconds by which a host's clock may differ.

Clocks that are set by NTP differ by milliseconds (RFC 5905, section 1), so half a minute says that
one of the two is not set at all. What goes wrong then: TLS with a certificate that is not valid yet
or any more by that clock, signed tokens (RFC 7519, section 4.1.4, allows "no more than a few
minutes"), and the times in locks, receipts and records.
"""


def check_name(facts: HostFacts) -> Check:
    """Check that the host's name resolves."""
    through = facts.login.through if facts.login is not None else ()
    if through:
        return ok(HostCheck.NAME, f"the bastion {through[-1]} resolves it")
    return ok(HostCheck.NAME, _here(facts) or facts.host.target.address)


def check_port(facts: HostFacts) -> Check:
    """Check that an SSH server answers there."""
    return ok(HostCheck.PORT, _here(facts) or "an SSH server answers")


def check_host_key(facts: HostFacts) -> Check:
    """Check that the host's key is known."""
    return ok(HostCheck.HOST_KEY, _here(facts) or "it is known")


def check_auth(facts: HostFacts) -> Check:
    """Check that the login takes a key, and say which."""
    login = facts.login
    if facts.is_local or login is None:
        return ok(HostCheck.AUTH, _here(facts))
    return ok(
        HostCheck.AUTH, f"as {login.user}, with {login.key}" if login.key else f"as {login.user}"
    )


def check_become(facts: HostFacts) -> Check:
    """Check that the login may work as ``become_user``."""
    user = facts.host.target.become_user
    return ok(HostCheck.BECOME, f"as {user}" if user is not None else "not asked for")


def check_sftp(facts: HostFacts) -> Check:
    """Check that SFTP has the extensions that a write needs."""
    extensions = facts.login.extensions if facts.login is not None else None
    if extensions is None:
        return ok(HostCheck.SFTP, _here(facts))
    if RENAME_EXTENSION not in extensions:
        return fail(HostCheck.SFTP, *NO_RENAME)
    lacking = {name: words for name, words in _USEFUL_EXTENSIONS.items() if name not in extensions}
    if lacking:
        words = "; ".join(f"without {name} {why}" for name, why in lacking.items())
        return warn(HostCheck.SFTP, words, "use OpenSSH's SFTP server, 8.0 or newer")
    return ok(HostCheck.SFTP, "with the extensions that a write needs")


def check_clock(facts: HostFacts) -> Check:
    """Check that the host's clock and the one here agree."""
    name, clock = HostCheck.CLOCK, facts.clock
    if facts.is_local:
        return ok(name, _here(facts))
    if not isinstance(clock, ClockFacts):
        return not_checked(name, clock or "the host was not asked")
    skew = clock.skew
    if abs(skew) <= LARGE_SKEW:
        return ok(name, "as here")
    side = "ahead of" if skew > 0 else "behind"
    return warn(
        name,
        f"the host's clock is {span_text(abs(skew))} {side} the one here: TLS, signed tokens and "
        "the times in locks and receipts go by it",
        "set both by NTP (timedatectl)",
    )


def _here(facts: HostFacts) -> str:
    return "this machine" if facts.is_local else ""
