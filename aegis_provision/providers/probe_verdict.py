"""The verdict on a provider, from its list of models.

The list is requested with GET alone, which costs nothing, and with the token as bearer
authorization, as sessions send it. ``{base_url}/models`` is OpenAI's form, ``{base_url}/v1/models``
Anthropic's, whose ``/v1/messages`` Claude Code calls under the same base URL.

The messages name the causes that docs/aegis.md lists under "Troubleshooting". The response comes
from a foreign server: only the names of models in it are repeated, quoted like an operator's text.
Neither the token nor an error's text, which may quote the token, is ever shown.

Some providers (OpenRouter) list their models without a token: a response there does not prove that
the token is valid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision.documents.quoting import quote
from aegis_provision.providers.model_list import is_wildcard, near, offers, parse_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.providers.model_list import ModelList

SLOW_SECONDS = 5.0
"""A provider that takes longer than this to list its models gets a warning."""

_SHOWN = 3
_UNPAID, _TOO_MANY = 402, 429
_REFUSES_TOKEN = frozenset({401, _UNPAID, 403})
_NO_PATH = frozenset({404, 405, 410, 501})
_PASSING = frozenset({408, 425, _TOO_MANY})


class ConnectFailure(Enum):
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
    """Whether a host's sessions can work with their provider.

    ``message`` says what is wrong and ``hint`` what to do next; both are empty if ``ok`` is true.
    ``warnings`` may come with either. ``passing`` is true if a later attempt may succeed.
    ``checked`` says what was found, and where, if everything was.
    """

    ok: bool
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    passing: bool = False
    checked: str = ""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a host's provider token comes from.

    ``variables`` are those of the operator's environment, ``place`` is where the inventory says so
    (``file:line:column``), empty for a built-in recipe; ``stand_in`` is true where none of the
    variables is set and the recipe's own stand-in was sent.
    """

    variables: tuple[str, ...] = ()
    place: str = ""
    stand_in: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What the provider is asked for.

    ``base_url_variable`` is the environment variable that overrides the base URL;
    ``checks_models`` is false where models are not what the host names (on Azure it names
    deployments).
    """

    base_url: str
    model: str
    fast_model: str
    base_url_variable: str | None = None
    checks_models: bool = True
    token: TokenSource = TokenSource()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: ``seconds`` is how long it took, ``location`` where a redirect points to."""

    status: int
    body: bytes = field(repr=False)
    seconds: float = 0.0
    location: str = ""


def models_url(base_url: str) -> str:
    """Return where a provider with OpenAI's API at ``base_url`` lists its models."""
    return base_url.rstrip("/") + "/models"


def native_models_url(base_url: str) -> str:
    """Return where a provider with Anthropic's API at ``base_url`` lists its models.

    Claude Code appends ``/v1/messages`` to the base URL, so this is beside what sessions call.
    """
    return base_url.rstrip("/") + "/v1/models"


def settles(reply: Reply, expected: Expected) -> bool:
    """Tell whether an answer from :func:`models_url` makes asking elsewhere needless.

    It does where it is as good as an answer can be, and where it speaks of the account or of the
    moment, not of the path. All else, a page for people or a refused token too, may be what the
    provider answers under a path that is not its API's.
    """
    return _rank(reply, expected) is _Rank.GOOD or reply.status == _UNPAID or _passes(reply.status)


def probe_verdict(first: Reply, second: Reply | None, expected: Expected) -> Verdict:
    """Return what the answers from :func:`models_url` and :func:`native_models_url` mean.

    ``second`` is ``None`` where that one was not asked for, or did not come. The better of the two
    counts: either form is a provider that works.
    """
    if second is None or _rank(first, expected) <= _rank(second, expected):
        return _judge(first, models_url(expected.base_url), expected, second)
    return _judge(second, native_models_url(expected.base_url), expected, first)


class _Rank(IntEnum):
    """What answers are worth: of two, the lower one is told."""

    GOOD = 0
    LACKS_MODEL = 1
    REFUSES_TOKEN = 2
    PASSING = 3
    NO_LIST = 4
    REDIRECT = 5
    REFUSED = 6
    NO_PATH = 7


def _rank(reply: Reply, expected: Expected) -> _Rank:
    status = reply.status
    if 200 <= status < 300:
        if not expected.checks_models:
            return _Rank.GOOD
        offered = parse_models(reply.body)
        if offered is None:
            return _Rank.NO_LIST
        lacks = offered.is_whole and _missing(offered, expected)
        return _Rank.LACKS_MODEL if lacks else _Rank.GOOD
    if 300 <= status < 400:
        return _Rank.REDIRECT
    if status in _NO_PATH:
        return _Rank.NO_PATH
    if status in _REFUSES_TOKEN:
        return _Rank.REFUSES_TOKEN
    return _Rank.PASSING if _passes(status) else _Rank.REFUSED


def _passes(status: int) -> bool:
    """Tell whether a status speaks of the moment: another answer may come later."""
    return status in _PASSING or (500 <= status < 600 and status not in _NO_PATH)


def _judge(reply: Reply, url: str, expected: Expected, other: Reply | None) -> Verdict:
    """Return what ``reply`` from ``url`` means; ``other`` is the worse answer, if there is one."""
    if 300 <= reply.status < 400:
        target = f" to {quote(reply.location)}" if reply.location else ""
        return Verdict(
            ok=False,
            message=f"the provider redirects{target} ({reply.status}), "
            "and the token was not sent there",
            hint=f"if that is right, set {_setting(expected.base_url_variable)} to where it points",
        )
    if not 200 <= reply.status < 300:
        return _refused(reply.status, expected, other)
    warnings: tuple[str, ...] = ()
    if reply.seconds > SLOW_SECONDS:
        warnings = (f"the provider is slow: it took {reply.seconds:.0f} s to list its models",)
    if not expected.checks_models:
        return Verdict(ok=True, warnings=warnings)
    offered = parse_models(reply.body)
    models = _models(expected)
    patterns = {key: name for key, name in models.items() if is_wildcard(name)}
    if patterns:
        example = f", such as {_some(offered.names)}" if offered and offered.names else ""
        return Verdict(
            ok=False,
            message=f"no session can run on {_named(patterns)}: a wildcard stands for many models",
            hint=f"name one of the provider's own models{example}",
            warnings=warnings,
        )
    if offered is None:
        return Verdict(ok=True, warnings=(*warnings, _no_list(reply.body, expected)))
    missing = _missing(offered, expected)
    if missing and not offered.is_whole:
        return Verdict(ok=True, warnings=(*warnings, _unchecked(offered, missing)))
    if missing:
        return Verdict(
            ok=False,
            message=f"the provider does not offer {_named(missing)}",
            hint=_instead(offered.names, missing),
            warnings=warnings,
        )
    names = " and ".join(map(quote, dict.fromkeys(models.values())))
    return Verdict(
        ok=True, warnings=warnings, checked=f"found {names} in {quote(urlsplit(url).path)}"
    )


def _models(expected: Expected) -> dict[str, str]:
    """Return the models that sessions need, by setting."""
    return {"model": expected.model, "fast_model": expected.fast_model}


def _missing(offered: ModelList, expected: Expected) -> dict[str, str]:
    return {
        key: name
        for key, name in _models(expected).items()
        if is_wildcard(name) or not offers(offered.names, name)
    }


def _unchecked(offered: ModelList, missing: dict[str, str]) -> str:
    """Say what the list can't tell, and why."""
    verb = "was" if len(set(missing.values())) == 1 else "were"
    if offered.wildcards:
        some = ", ".join(quote(name) for name in offered.wildcards[:_SHOWN])
        why = f"the gateway lists wildcards ({some})"
    else:
        why = "the provider lists a part of its models"
    return f"{why}: {_named(missing)} {verb} not checked"


def connect_failure_verdict(
    why: ConnectFailure, *, base_url: str, base_url_variable: str | None, seconds: float = 0.0
) -> Verdict:
    """Return what it means that no answer came. ``seconds`` is how long was waited for one."""
    setting = _setting(base_url_variable)
    where = quote(urlsplit(base_url).netloc.rpartition("@")[2])
    message, hint, passing = {
        ConnectFailure.NOT_LISTENING: (
            f"nothing listens on {where}, as the host sees it",
            (
                "start the provider's server there (LM Studio and Ollama have to run on that "
                f"host), or set {setting}"
            ),
            True,
        ),
        ConnectFailure.UNKNOWN_NAME: (
            f"the host finds no address for {where}",
            f"check the name in {setting}, and the host's DNS",
            False,
        ),
        ConnectFailure.UNREACHABLE: (
            f"the host has no way to {where}",
            f"check the host's network and firewall, or set {setting}",
            True,
        ),
        ConnectFailure.TIMED_OUT: (
            f"{where} did not answer within {seconds:.0f} s",
            (
                "check from that host whether a firewall drops the connection, or whether the "
                "provider is overloaded"
            ),
            True,
        ),
        ConnectFailure.HUNG_UP: (
            f"{where} hung up without an answer",
            f"check that the provider's API is what listens there, or set {setting}",
            True,
        ),
        ConnectFailure.NOT_HTTP: (
            f"{where} answered, but not in HTTP",
            f"check the scheme and the port of {setting}: https:// may be wanted",
            False,
        ),
        ConnectFailure.NOT_TLS: (
            f"{where} does not speak TLS as https:// wants it",
            f"check the scheme and the port of {setting}: http:// may be meant",
            False,
        ),
        ConnectFailure.UNTRUSTED: (
            f"the certificate of {where} is not one that this machine trusts",
            (
                "if it is your own authority's, set SSL_CERT_FILE to its certificates; "
                "Aegis needs them on the host too"
            ),
            False,
        ),
        ConnectFailure.WRONG_NAME: (
            f"the certificate of {where} is for another name",
            f"set {setting} to the name that the certificate has",
            False,
        ),
        ConnectFailure.EXPIRED: (
            f"the certificate of {where} is out of date",
            "renew it there, or check this machine's clock",
            False,
        ),
    }[why]
    return Verdict(ok=False, message=message, hint=hint, passing=passing)


def _refused(status: int, expected: Expected, other: Reply | None) -> Verdict:
    setting, token = _setting(expected.base_url_variable), expected.token
    if status in _NO_PATH:
        return _no_path(status, expected, other)
    match status:
        case 401:
            message = "the provider refuses the token (401): the mapped token is not valid there"
            hint = _token_hint(token, "that its token is this provider's")
        case 403:
            message = (
                "the provider refuses the token (403): the mapped token is not valid there, "
                "or lacks the right"
            )
            hint = _token_hint(token, "what that token may do")
        case 402:
            message = "the provider wants to be paid first (402)"
            hint = _token_hint(token, "the account that its token belongs to")
        case 429:
            message = "the provider wants fewer requests (429): the token was not checked"
            hint = "wait a little, ask from fewer hosts at once, or check the token's quota"
        case _ if _passes(status):
            message = f"the provider fails at the moment ({status})"
            hint = "try again later, or look at the provider's own status"
        case _:
            message = f"the provider does not take the question for its models ({status})"
            hint = f"check that {setting} is an API like OpenAI's or Anthropic's"
    return Verdict(ok=False, message=message, hint=hint, passing=_passes(status))


def _no_path(status: int, expected: Expected, other: Reply | None) -> Verdict:
    """Say that there is no list under the base URL, in neither form if both were asked for.

    Appending ``/v1`` is no advice: what would be there then was asked for as the second form.
    """
    forms = models_url(expected.base_url), native_models_url(expected.base_url)
    paths = [quote(urlsplit(url).path) for url in forms]
    codes = dict.fromkeys((status, other.status) if other is not None else (status,))
    has = f"neither {' nor '.join(paths)}" if other is not None else f"no {paths[0]}"
    return Verdict(
        ok=False,
        message=f"the provider has {has} ({', '.join(map(str, codes))}): "
        "the base URL lacks its compatible path, or it lists no models at all",
        hint=f"{_base_hint(expected)}; a provider that lists no models can't be probed",
    )


def _token_hint(token: TokenSource, further: str) -> str:
    """Return what to check of a token that is not taken: the setting, the variable, the line."""
    if not token.variables:
        return f"check which variable auth_token names, and {further}"
    names = " and ".join(token.variables)
    place = f" ({token.place})" if token.place else ""
    if token.stand_in:
        return (
            f"set {names}, which auth_token names{place}: it is not set, and the recipe's own "
            "stand-in was sent"
        )
    return f"check {names}, which auth_token names{place}, and {further}"


def _no_list(body: bytes, expected: Expected) -> str:
    if body.lstrip()[:1] == b"<":
        return (
            "the provider answered with a page instead of a list of models, so they were not "
            f"checked: {_base_hint(expected)}"
        )
    return "the provider's answer holds no list of models, so they were not checked"


def _base_hint(expected: Expected) -> str:
    return (
        f"check {_setting(expected.base_url_variable)}: {quote(expected.base_url)} may not be "
        "where the provider's API begins"
    )


def _setting(variable: str | None) -> str:
    return f"base_url (or {variable} in your environment)" if variable else "base_url"


def _named(missing: dict[str, str]) -> str:
    if len(set(missing.values())) == 1:
        [name] = set(missing.values())
        return f"the model {quote(name)} ({' and '.join(missing)})"
    return "the models " + " and ".join(f"{quote(name)} ({key})" for key, name in missing.items())


def _instead(names: Sequence[str], missing: dict[str, str]) -> str:
    if not names:
        return "it offers none at all: load one there first (ollama pull, or LM Studio's own list)"
    like = dict.fromkeys(name for model in missing.values() for name in near(names, model))
    if like:
        return f"did you mean {' or '.join(quote(name) for name in like)}?"
    return f"set the provider's exact model or deployment id; it offers {_some(names)}"


def _some(names: Sequence[str]) -> str:
    some = ", ".join(quote(name) for name in names[:_SHOWN])
    return some + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
