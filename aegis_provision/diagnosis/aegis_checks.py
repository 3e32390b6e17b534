"""The checks of a host's Aegis: which file it reads, its health, its API, its Claude Code."""

from __future__ import annotations

from aegis_provision.aegis.api_verdict import (
    CLAUDE_TOO_OLD,
    DROPPED_FILE,
    HOW_TO_OPEN,
    LOCKED,
    NO_CLAUDE,
    NONE_TAKEN,
    TOO_OFTEN,
)
from aegis_provision.aegis.config_file import ConfigFile, RejectedConfig
from aegis_provision.aegis.file_in_use import NotChecked, ReadsNone, ReadsOther, ReadsTarget
from aegis_provision.aegis.identify_server import EnvironmentToken, UnknownServer
from aegis_provision.diagnosis.checks import (
    Check,
    HostCheck,
    fail,
    not_checked,
    ok,
    rests_on,
    warn,
)
from aegis_provision.diagnosis.file_checks import described
from aegis_provision.diagnosis.host_facts import ApiFacts, ApiFailure, HostFacts
from aegis_provision.humanize import utc_time_text, wait_text
from aegis_provision.planning.host_plan import refusals
from aegis_provision.planning.pending_restart import is_restart_pending

TOLD_NOTHING = "the inventory says nothing of the Aegis there"
SAY_MORE = "set service or api"
_CORRECT_API = "correct api in the inventory, or leave it out"


def check_file_in_use(facts: HostFacts) -> Check:
    """Check that Aegis reads this file, and no other."""
    name, actual, server = HostCheck.FILE_IN_USE, facts.actual, facts.server
    tells = facts.host.tells_server
    if actual is None:
        return not_checked(name, "it was not looked at")
    reading = facts.reading
    if isinstance(reading, ReadsTarget):
        return ok(name, "Aegis reads this file")
    if isinstance(reading, ReadsOther | ReadsNone):
        if reading.denied:  # told with the permissions, or with what keeps it from being written
            return rests_on(name, HostCheck.PERMISSIONS)
        message, remedy = described(facts)
        if tells:
            return fail(name, message, remedy)
        return not_checked(name, f"{TOLD_NOTHING}, and what answers is a guess", SAY_MORE)
    shadowed = refusals(actual)
    if shadowed:
        return fail(name, "; ".join(reason for reason, _ in shadowed), shadowed[0][1])
    if not tells:
        return not_checked(name, TOLD_NOTHING, SAY_MORE)
    if isinstance(reading, NotChecked):
        return not_checked(name, reading.reason)
    if facts.process is None and facts.aegis_is_silent:
        return rests_on(name, HostCheck.AEGIS)
    reason = server.reason if isinstance(server, UnknownServer) else "the host was not asked"
    return not_checked(name, reason)


def check_aegis(facts: HostFacts) -> Check:
    """Check that Aegis is up, and says that it is well."""
    name, api = HostCheck.AEGIS, facts.api
    if api is None:
        return not_checked(name, "it was not asked")
    health = api.health
    if isinstance(health, ApiFailure):
        return _no_health(facts, api, health)
    words = f"{health.version or 'it answers'} on {api.address}"
    if health.started is not None:
        words += f", up since {utc_time_text(health.started)}"
    if api.contradiction:
        return warn(name, api.contradiction, _CORRECT_API)
    if health.status != "ok":
        return warn(name, f"{words}; it says it is {health.status}", _look(facts))
    return ok(name, words)


def _no_health(facts: HostFacts, api: ApiFacts, failure: ApiFailure) -> Check:
    name, process, unit = HostCheck.AEGIS, facts.process, facts.host.service.unit
    if failure.too_often:
        wait = "a minute" if failure.wait is None else wait_text(failure.wait)
        return not_checked(name, TOO_OFTEN, f"wait {wait}")
    if failure.cause is None:
        return not_checked(name, f"its API could not be asked: {failure.reason}")
    if not facts.host.tells_server:
        return not_checked(name, TOLD_NOTHING, SAY_MORE)
    if _dies_of_its_file(facts):
        return rests_on(name, HostCheck.CONFIG)
    if process is not None and not process.running:
        return fail(name, f"{unit} does not run", f"look at it: systemctl status {unit}")
    said = f"it does not answer: {api.address}: {failure.reason}"
    if facts.aegis_is_silent:
        said = f"it does not answer: nothing listens on {api.address}"
    if api.contradiction:
        return fail(name, f"{said}; {api.contradiction}", _CORRECT_API)
    return fail(name, said, _look(facts))


def _dies_of_its_file(facts: HostFacts) -> bool:
    """Tell whether Aegis can't be up, because of what its file holds."""
    config = facts.config
    return (
        isinstance(config, RejectedConfig)
        and facts.aegis_is_silent
        and any("at its start" in reason for reason in config.reasons)
    )


def _look(facts: HostFacts) -> str:
    unit = facts.host.service.unit
    if unit is not None:
        return f"look at its log: journalctl -u {unit}"
    if facts.host.names_api:
        return "look at its log on the host"
    return "look at its log on the host, or set api to where it listens"


def check_api(facts: HostFacts) -> Check:
    """Check that Aegis' API is locked, and takes a known token."""
    name, api, config = HostCheck.API, facts.api, facts.config
    if api is None or isinstance(api.health, ApiFailure):
        return rests_on(name, HostCheck.AEGIS)
    unset = f"; {api.unset} is unset" if api.unset else ""
    has_token = isinstance(config, ConfigFile) and config.has_auth_token
    guess = not facts.host.tells_server
    in_environment = facts.process.token if facts.process is not None else None
    if facts.file is None and not api.token and not api.refused:
        return rests_on(name, HostCheck.FILE)
    if api.is_open:
        if not has_token:
            return warn(
                name,
                "it answers without a token: anyone who reaches it can run sessions",
                "set authToken in the host's file, or AEGIS_AUTH_TOKEN",
            )
        if guess:
            return not_checked(name, f"{TOLD_NOTHING}, and what answers is a guess", SAY_MORE)
        if in_environment is EnvironmentToken.EMPTY:
            return fail(
                name,
                "it answers without a token: AEGIS_AUTH_TOKEN is empty in Aegis' environment, "
                "which goes before the file's authToken",
                "set it there to a token, or take it away",
            )
        return fail(
            name,
            DROPPED_FILE.message,
            _restart_hint(facts, DROPPED_FILE.hint),
        )
    if api.refused:
        message = f"it {NONE_TAKEN}{unset}"
        if guess:
            return not_checked(name, f"{message}; {TOLD_NOTHING}", SAY_MORE)
        named = facts.host.service.api_token is not None and not api.unset
        if in_environment is EnvironmentToken.SET and not named:
            message = (
                "AEGIS_AUTH_TOKEN of Aegis' environment goes before the file's authToken, and no "
                f"such token is known{unset}"
            )
            return warn(name, message, HOW_TO_OPEN)
        return fail(name, message, _restart_hint(facts, HOW_TO_OPEN))
    if api.token:
        return _taken_token(api, unset)
    if api.is_open is None:
        return not_checked(name, "it was asked too often, or did not answer in time")
    return warn(name, f"it {LOCKED}{unset}", HOW_TO_OPEN)


def _taken_token(api: ApiFacts, unset: str) -> Check:
    remedy = "or take api_token out of the inventory"
    if unset:
        message = f"it takes {api.token}, and the inventory's api_token is not known{unset}"
        return warn(HostCheck.API, message, f"set it, {remedy}")
    if api.not_taken:
        message = f"it takes {api.token}, and not the inventory's {api.not_taken}"
        return warn(HostCheck.API, message, f"correct it, {remedy}")
    return ok(HostCheck.API, f"it takes {api.token}")


def check_claude(facts: HostFacts) -> Check:
    """Check that Claude Code is there, and new enough."""
    name, health = HostCheck.CLAUDE, facts.api.health if facts.api is not None else None
    if health is None or isinstance(health, ApiFailure):
        return rests_on(name, HostCheck.AEGIS)
    if health.claude is None:
        return not_checked(name, "Aegis tells of it only with a token that it takes")
    claude = health.claude
    if not claude.available:
        return warn(
            name,
            f"{NO_CLAUDE}: sessions can't start",
            "install it for the user that Aegis runs as",
        )
    version = claude.version or "its version is not told"
    if claude.healthy:
        return ok(name, version)
    oldest = f", and {claude.minimum} is the oldest that serves" if claude.minimum else ""
    return fail(
        name,
        f"{CLAUDE_TOO_OLD} ({version}{oldest}): every session is refused",
        "update it on the host, for the user that Aegis runs as",
    )


def check_restart(facts: HostFacts) -> Check:
    """Check that Aegis was restarted since its file came."""
    name = HostCheck.RESTART
    if facts.file is None:
        return rests_on(name, HostCheck.FILE)
    pending = _is_restart_pending(facts)
    silent = facts.api is None or isinstance(facts.api.health, ApiFailure)
    if pending is None and silent:
        return rests_on(name, HostCheck.AEGIS)
    if pending is None:
        return not_checked(name, "since when Aegis runs is told by neither its API nor its process")
    if not pending:
        return ok(name, "none is pending")
    return warn(
        name,
        "Aegis was not restarted since its file came: sessions start with what was there before",
        _how_to_restart(facts),
    )


def _how_to_restart(facts: HostFacts) -> str:
    unit = facts.host.service.unit
    by_hand = f", or 'systemctl restart {unit}' there" if unit is not None else ""
    return f"'apply' with a playbook that says 'restart: changed'{by_hand}"


def _restart_hint(facts: HostFacts, otherwise: str) -> str:
    """Return what to do about an API that does not go by its file."""
    if not _is_restart_pending(facts):
        return otherwise
    return f"restart Aegis, which runs since before its file came; else {otherwise}"


def _is_restart_pending(facts: HostFacts) -> bool | None:
    health = facts.api.health if facts.api is not None else None
    if facts.file is None:
        return None
    return is_restart_pending(
        None if isinstance(health, ApiFailure) else health,
        facts.process,
        facts.file.mtime,
        recorded=facts.restart_recorded,
    )
