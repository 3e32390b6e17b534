"""What is missing or wrong in what the operator gives for a host becomes checks of that host.

That is a variable that is unset, a token that is none, a value that Aegis would drop. None of it
keeps anybody from a look at the host.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_checks import check_session, unusable_problem
from aegis_provision.diagnosis.checks import Check, CheckResult, HostCheck
from aegis_provision.humanize import listed
from aegis_provision.providers.recipes import SETTING_OF, VARIABLE_OF
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import resolve_secret, unusable_tokens
from aegis_provision.providers.templates import references
from aegis_provision.providers.value_source import value_source
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.session_variables import Session

_CHECK_OF = {
    VARIABLE_OF["base_url"]: HostCheck.PROVIDER,
    VARIABLE_OF["auth_token"]: HostCheck.TOKEN,
    VARIABLE_OF["model"]: HostCheck.MODEL,
    VARIABLE_OF["fast_model"]: HostCheck.MODEL,
}
"""The check at which a session variable matters; the others do at ``variables``."""

_SET_THEM = "export it, or put it into a file that only you can read: --env-file"


@dataclass(frozen=True, slots=True)
class InputFindings:
    """What is missing or wrong in what the operator gives for one host.

    ``checks`` are those that it decides, by name. ``api_token`` names the inventory's ``api_token``
    with its variables and its place, empty for none; ``unset_api_token`` says which of these
    variables are unset, empty for none.
    """

    checks: Mapping[str, Check] = field(default_factory=dict)
    api_token: str = ""
    unset_api_token: str = ""


def find_in_input(
    session: Session, host: Host, variables: Mapping[str, str], *, probe: bool
) -> tuple[InputFindings, Secret | None]:
    """Return what is wrong with the input for ``host``, and the token of its API that it names.

    With ``probe`` the provider is to be asked: what is unset for that fails then.
    """
    token, api_check, findings = _api_token(host, variables)
    every = (*_missing(session, host, probe=probe), *_refused(session), *api_check)
    return InputFindings({check.check: check for check in every}, *findings), token


def _refused(session: Session) -> Iterator[Check]:
    """Yield the checks that fail over what Aegis would drop, or choke on; the first for each."""
    places = {item.span: item.name for item in session.spec.variables}
    told: set[HostCheck] = set()
    for item in check_session(session):
        name = places.get(item.span, "") if item.span is not None else ""
        check = _CHECK_OF.get(name, HostCheck.VARIABLES)
        if item.is_error and check not in told:
            told.add(check)
            yield _failed(check, item)


def _failed(check: str, problem: Diagnostic) -> Check:
    where = f" ({problem.place})" if problem.place else ""
    return Check(check, CheckResult.FAIL, f"{problem.message}{where}", problem.hint)


def _missing(session: Session, host: Host, *, probe: bool) -> Iterator[Check]:
    """Yield the checks that need a variable that is unset, the first for each.

    Without ``probe`` they would not be made anyway: what is unset is only worth knowing then.
    """
    chosen_at = str(host.provider.span) if host.provider is not None else ""
    told: set[HostCheck] = set()
    for variable in session.spec.variables:
        names = dict.fromkeys(item.name for item in references(variable.template))
        unset = [name for name in names if name in session.missing]
        check = _CHECK_OF.get(variable.name, HostCheck.VARIABLES)
        if variable.name in session.values or not unset or check in told:
            continue
        told.add(check)
        source = f"{variable.setting} ({', '.join(names)}, {variable.span})"
        if variable.name in SETTING_OF:
            source = str(value_source(session, SETTING_OF[variable.name], chosen_at))
        verb = "is" if len(unset) == 1 else "are"
        message = f"{source}: {listed(unset, between=' and ')} {verb} unset or empty"
        result = CheckResult.FAIL if probe else CheckResult.NOT_CHECKED
        yield Check(check, result, message, _SET_THEM)


def _api_token(
    host: Host, variables: Mapping[str, str]
) -> tuple[Secret | None, tuple[Check, ...], tuple[str, str]]:
    """Return the token of the host's API that the inventory names.

    Beside it the check that fails where it is none, how the setting is called, and which of its
    variables are unset.
    """
    reference = host.service.api_token
    if reference is None:
        return None, (), ("", "")
    template = str(reference.value)
    names = dict.fromkeys(item.name for item in references(template))
    called = f"api_token ({', '.join((*names, str(reference.span)))})"
    token = resolve_secret(template, variables)
    if not isinstance(token, Secret):
        unset = f"{' and '.join(token)} ({reference.span})" if token else ""
        return None, (), (called, unset)
    unusable = [*unusable_tokens(template, variables, "api_token", "api_token")]
    if unusable:
        return (
            None,
            (_failed(HostCheck.API, unusable_problem(unusable[0], reference.span)),),
            (called, ""),
        )
    return token, (), (called, "")
