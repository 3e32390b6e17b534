"""What was seen of one host becomes its checks: each fault is one ``fail``, told where it breaks.

:data:`RESTS_ON` says which checks a check rests on. Where one of them failed, the check is not
made: what could be seen there follows from that fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.diagnosis.aegis_checks import (
    check_aegis,
    check_api,
    check_claude,
    check_file_in_use,
    check_restart,
)
from aegis_provision.diagnosis.checks import (
    Check,
    CheckResult,
    HostCheck,
    HostChecks,
    not_checked,
    rests_on,
)
from aegis_provision.diagnosis.connection_checks import (
    check_auth,
    check_become,
    check_clock,
    check_host_key,
    check_name,
    check_port,
    check_sftp,
)
from aegis_provision.diagnosis.file_checks import (
    check_config,
    check_directory,
    check_file,
    check_free_space,
    check_lock,
    check_permissions,
    check_variables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis_provision.diagnosis.host_facts import HostFacts


RESTS_ON: Mapping[str, tuple[str, ...]] = {
    HostCheck.NAME: (),
    HostCheck.PORT: (HostCheck.NAME,),
    HostCheck.HOST_KEY: (HostCheck.PORT,),
    HostCheck.AUTH: (HostCheck.HOST_KEY,),
    HostCheck.BECOME: (HostCheck.AUTH,),
    HostCheck.SFTP: (HostCheck.BECOME,),
    HostCheck.DIRECTORY: (HostCheck.SFTP,),
    HostCheck.FILE: (HostCheck.DIRECTORY,),
    HostCheck.PERMISSIONS: (HostCheck.FILE,),
    HostCheck.CONFIG: (HostCheck.FILE,),
    HostCheck.FILE_IN_USE: (HostCheck.FILE,),
    HostCheck.VARIABLES: (HostCheck.CONFIG,),
    HostCheck.FREE_SPACE: (HostCheck.DIRECTORY,),
    HostCheck.CLOCK: (HostCheck.SFTP,),
    HostCheck.LOCK: (HostCheck.DIRECTORY,),
    HostCheck.AEGIS: (HostCheck.SFTP,),
    HostCheck.API: (
        HostCheck.AEGIS,
        HostCheck.CONFIG,
        HostCheck.PERMISSIONS,
        HostCheck.FILE_IN_USE,
    ),
    HostCheck.CLAUDE: (HostCheck.API,),
    HostCheck.RESTART: (HostCheck.API,),
    HostCheck.PROVIDER: (HostCheck.SFTP,),
    HostCheck.TOKEN: (HostCheck.PROVIDER,),
    HostCheck.MODEL: (HostCheck.TOKEN,),
}
"""The checks of a host, in the order in which things break, each with those that it rests on.

``permissions`` are the login's and Aegis' own. Where Aegis may not read its file, it does not know
the file's token: so ``api`` rests on them, too.
"""

_SENT_TO_PROVIDER = (HostCheck.VARIABLES, HostCheck.PROVIDER, HostCheck.TOKEN)
"""The checks of what a question to the provider is made of."""


def checks_of(facts: HostFacts) -> HostChecks:
    """Return the checks of a host in their order, each fault once."""
    found: list[Check] = []
    causes: dict[str, str] = {}
    warned: set[str] = set()
    order = tuple(RESTS_ON)
    end = order.index(facts.fault.check) if facts.fault is not None else len(order)
    for at, name in enumerate(order):
        below = (causes[item] for item in RESTS_ON[name] if item in causes)
        cause = next((item for item in below if item != name), None)
        if cause is None and facts.fault is not None and at > end:
            cause = facts.fault.check
        if cause is not None:
            causes[name] = cause
            found.append(rests_on(name, cause))
            continue
        check = _check(name, facts)
        if check.rests_on in causes:
            check = rests_on(name, causes[check.rests_on])
        cause = name if check.result is CheckResult.FAIL else check.rests_on
        if cause and cause not in warned:
            causes[name] = cause
        if check.result is CheckResult.WARN:
            warned.add(name)
        found.append(check)
    return HostChecks(facts.host.name, tuple(found))


def _check(name: str, facts: HostFacts) -> Check:
    if facts.fault is not None and facts.fault.check == name:
        return Check(name, CheckResult.FAIL, facts.fault.reason, facts.fault.hint)
    if name in facts.input_checks:
        return facts.input_checks[name]
    if name in {HostCheck.PROVIDER, HostCheck.TOKEN, HostCheck.MODEL}:
        if refused := refused_input(facts.input_checks):
            return rests_on(name, refused)
        asked = {check.check: check for check in facts.provider}
        return asked.get(name) or not_checked(name, "nothing was asked")
    return _CHECKS[name](facts)


def refused_input(input_checks: Mapping[str, Check]) -> str:
    """Return the check of the input for which the provider must not be asked, empty for none.

    It would be sent what is refused: a token in plain text, or what is none.
    """
    failed = (name for name in _SENT_TO_PROVIDER if name in input_checks)
    return next((name for name in failed if input_checks[name].result is CheckResult.FAIL), "")


_CHECKS: Mapping[str, Callable[[HostFacts], Check]] = {
    HostCheck.NAME: check_name,
    HostCheck.PORT: check_port,
    HostCheck.HOST_KEY: check_host_key,
    HostCheck.AUTH: check_auth,
    HostCheck.BECOME: check_become,
    HostCheck.SFTP: check_sftp,
    HostCheck.DIRECTORY: check_directory,
    HostCheck.FILE: check_file,
    HostCheck.PERMISSIONS: check_permissions,
    HostCheck.CONFIG: check_config,
    HostCheck.FILE_IN_USE: check_file_in_use,
    HostCheck.VARIABLES: check_variables,
    HostCheck.FREE_SPACE: check_free_space,
    HostCheck.CLOCK: check_clock,
    HostCheck.LOCK: check_lock,
    HostCheck.AEGIS: check_aegis,
    HostCheck.API: check_api,
    HostCheck.CLAUDE: check_claude,
    HostCheck.RESTART: check_restart,
}
