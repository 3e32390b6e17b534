"""What a provider's answer to ``GET {base_url}/models`` means for a host's sessions.

The words are those of Aegis' troubleshooting rows (contract, section 8). Whatever comes in was
sent by somebody else's server: none of it is repeated but the names of models, and those as
carefully as anything an operator wrote. Neither the token nor an error's text (which may quote
the token) ever shows.

Some providers (OpenRouter) list their models to anybody: an answer there says nothing of the token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision.documents.quoting import shown
from aegis_provision.providers.offered_models import near, offered_models, offers
from aegis_provision.providers.templates import single_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOW_SECONDS = 5.0
"""A provider that takes longer than this to list its models gets a warning."""

_SHOWN = 3
_VERSIONED = re.compile(r"/v[0-9]+[a-z0-9]*/?\Z")


class Silence(Enum):
    """Why there was no answer to judge."""

    NOT_LISTENING = "not_listening"
    UNKNOWN_NAME = "unknown_name"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    HUNG_UP = "hung_up"
    NOT_HTTP = "not_http"
    NOT_TLS = "not_tls"
    UNTRUSTED = "untrusted"
    WRONG_NAME = "wrong_name"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a host's sessions will get along with their provider.

    ``message`` says what is wrong and ``hint`` what to do next; both are empty where ``ok`` is
    true. ``warnings`` hold either way. ``passing`` is true where asking again later may help.
    """

    ok: bool
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    passing: bool = False


def models_url(base_url: str) -> str:
    """Return where the provider at ``base_url`` lists its models."""
    return base_url.rstrip("/") + "/models"


def overriding_variable(template: str) -> str | None:
    """Return the environment variable that sets all of a value by itself.

    There is none where ``template`` holds no reference, or anything beside the one.
    """
    reference = single_reference(template)
    return reference.name if reference is not None else None


def judge(
    status: int,
    body: bytes,
    *,
    model: str,
    fast_model: str,
    checks_models: bool,
    seconds: float,
    base_url: str,
    base_url_variable: str | None,
    location: str = "",
) -> Verdict:
    """Return what an answer means.

    ``checks_models`` is false where models are not what the host names (on Azure it names
    deployments). ``seconds`` is how long the answer took, ``base_url_variable`` the environment
    variable that overrides the base URL, ``location`` where a redirect points to.
    """
    if 300 <= status < 400:
        return _redirected(status, base_url_variable, location)
    if not 200 <= status < 300:
        return _refused(status, base_url, base_url_variable)
    slow = _slow(seconds)
    if not checks_models:
        return Verdict(ok=True, warnings=slow)
    offered = offered_models(body)
    if offered is None:
        return Verdict(ok=True, warnings=(*slow, _no_list(body, base_url, base_url_variable)))
    wanted = {"model": model, "fast_model": fast_model}
    missing = {key: name for key, name in wanted.items() if not offers(offered.names, name)}
    if missing and offered.partial:
        unknown = " and ".join(shown(name) for name in dict.fromkeys(missing.values()))
        part = (
            f"the provider lists a part of its models: {unknown} is not in it, and was not checked"
        )
        return Verdict(ok=True, warnings=(*slow, part))
    if missing:
        return Verdict(
            ok=False,
            message=f"the provider does not offer {_named(missing)}",
            hint=_instead(offered.names, missing),
            warnings=slow,
        )
    return Verdict(ok=True, warnings=slow)


def judge_silence(
    why: Silence, *, base_url: str, base_url_variable: str | None, seconds: float = 0.0
) -> Verdict:
    """Return what it means that no answer came. ``seconds`` is how long was waited for one."""
    setting = _setting(base_url_variable)
    where = _authority(base_url)
    message, hint, passing = {
        Silence.NOT_LISTENING: (
            f"nothing listens on {where}, as the host sees it",
            (
                "start the provider's server there (LM Studio and Ollama have to run on that "
                f"host), or set {setting}"
            ),
            True,
        ),
        Silence.UNKNOWN_NAME: (
            f"the host finds no address for {where}",
            f"check the name in {setting}, and the host's DNS",
            False,
        ),
        Silence.UNREACHABLE: (
            f"the host has no way to {where}",
            f"check the host's network and firewall, or set {setting}",
            True,
        ),
        Silence.TIMED_OUT: (
            f"{where} did not answer within {seconds:.0f} s",
            (
                "check from that host whether a firewall drops the connection, or whether the "
                "provider is overloaded"
            ),
            True,
        ),
        Silence.HUNG_UP: (
            f"{where} hung up without an answer",
            f"check that the provider's API is what listens there, or set {setting}",
            True,
        ),
        Silence.NOT_HTTP: (
            f"{where} answered, but not in HTTP",
            f"check the scheme and the port of {setting}: https:// may be wanted",
            False,
        ),
        Silence.NOT_TLS: (
            f"{where} does not speak TLS as https:// wants it",
            f"check the scheme and the port of {setting}: http:// may be meant",
            False,
        ),
        Silence.UNTRUSTED: (
            f"the certificate of {where} is not one that this machine trusts",
            (
                "if it is your own authority's, set SSL_CERT_FILE to its certificates; "
                "Aegis needs them on the host too"
            ),
            False,
        ),
        Silence.WRONG_NAME: (
            f"the certificate of {where} is for another name",
            f"set {setting} to the name that the certificate has",
            False,
        ),
        Silence.EXPIRED: (
            f"the certificate of {where} is out of date",
            "renew it there, or check this machine's clock",
            False,
        ),
    }[why]
    return Verdict(ok=False, message=message, hint=hint, passing=passing)


def _redirected(status: int, variable: str | None, location: str) -> Verdict:
    target = f" to {shown(location)}" if location else ""
    return Verdict(
        ok=False,
        message=f"the provider redirects{target} ({status}), and the token was not sent there",
        hint=f"if that is right, set {_setting(variable)} to where it points",
    )


def _refused(status: int, base_url: str, variable: str | None) -> Verdict:
    match status:
        case 401:
            return Verdict(
                ok=False,
                message="the provider refuses the token (401): the mapped token is not valid there",
                hint="check which variable auth_token names, and that its token is this provider's",
            )
        case 403:
            return Verdict(
                ok=False,
                message="the provider refuses the token (403): the mapped token is not valid "
                "there, or lacks the right",
                hint="check which variable auth_token names, and what that token may do",
            )
        case 402:
            return Verdict(
                ok=False,
                message="the provider wants to be paid first (402)",
                hint="check the account that the token belongs to",
            )
        case 404 | 405 | 410:
            return Verdict(
                ok=False,
                message=f"the provider has no {shown(_models_path(base_url))} ({status}): "
                "the base URL lacks its compatible path, and sessions would fail with 404",
                hint=_path_hint(base_url, variable),
            )
        case 429:
            return Verdict(
                ok=False,
                message="the provider wants fewer requests (429): the token was not checked",
                hint="wait a little, ask from fewer hosts at once, or check the token's quota",
                passing=True,
            )
        case 408 | 425:
            return _failed(status)
        case _ if 500 <= status < 600:
            return _failed(status)
        case _:
            return Verdict(
                ok=False,
                message=f"the provider does not take the question for its models ({status})",
                hint=f"check that {_setting(variable)} is an OpenAI-compatible API",
            )


def _failed(status: int) -> Verdict:
    return Verdict(
        ok=False,
        message=f"the provider fails at the moment ({status})",
        hint="try again later, or look at the provider's own status",
        passing=True,
    )


def _no_list(body: bytes, base_url: str, variable: str | None) -> str:
    if body.lstrip()[:1] == b"<":
        return (
            "the provider answered with a page instead of a list of models, so they were not "
            f"checked: {_path_hint(base_url, variable)}"
        )
    return "the provider's answer holds no list of models, so they were not checked"


def _path_hint(base_url: str, variable: str | None) -> str:
    setting = _setting(variable)
    if _VERSIONED.search(urlsplit(base_url).path):
        return f"check {setting}: {shown(base_url)} is not where the provider's API begins"
    return f"the path is often /v1: set {setting} to {shown(base_url.rstrip('/') + '/v1')}"


def _slow(seconds: float) -> tuple[str, ...]:
    if seconds <= SLOW_SECONDS:
        return ()
    return (f"the provider is slow: it took {seconds:.0f} s to list its models",)


def _setting(variable: str | None) -> str:
    return f"base_url (or {variable} in your environment)" if variable else "base_url"


def _models_path(base_url: str) -> str:
    return urlsplit(models_url(base_url)).path


def _authority(base_url: str) -> str:
    return shown(urlsplit(base_url).netloc.rpartition("@")[2])


def _named(missing: dict[str, str]) -> str:
    if len(set(missing.values())) == 1:
        [name] = set(missing.values())
        return f"the model {shown(name)} ({' and '.join(missing)})"
    return "the models " + " and ".join(f"{shown(name)} ({key})" for key, name in missing.items())


def _instead(names: Sequence[str], missing: dict[str, str]) -> str:
    if not names:
        return "it offers none at all: load one there first (ollama pull, or LM Studio's own list)"
    like = dict.fromkeys(name for wanted in missing.values() for name in near(names, wanted))
    if like:
        return f"did you mean {' or '.join(shown(name) for name in like)}?"
    some = ", ".join(shown(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"set the provider's exact model or deployment id; it offers {some}{more}"
