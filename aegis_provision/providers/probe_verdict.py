"""The verdict on a provider, from its list of models.

The list is requested with GET, which costs nothing, and with the token as bearer
authorization, as sessions send it. ``{base_url}/models`` is OpenAI's form, ``{base_url}/v1/models``
Anthropic's, whose ``/v1/messages`` Claude Code calls under the same base URL.

The messages name the causes that docs/aegis.md lists under "Troubleshooting". The response comes
from a foreign server: only the names of models in it and where it redirects to are repeated, quoted
like an operator's text. Neither the token nor an error's text, which may quote the token, is ever
shown.

Some providers (OpenRouter) list their models without a token: a response there does not prove that
the token is valid.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import Enum, IntEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import wait_text
from aegis_provision.providers.model_list import is_wildcard, near, offers, parse_models
from aegis_provision.providers.value_source import ValueSource
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.providers.model_list import ModelList

SLOW_SECONDS = 5.0
"""A provider that takes longer than this to list its models gets a warning."""

_SHOWN = 3
_BAD_REQUEST, _UNPAID, _FORBIDDEN, _PROXY_LOGIN, _TOO_MANY = 400, 402, 403, 407, 429
_REFUSES_TOKEN = frozenset({401, _UNPAID, _FORBIDDEN})
_NO_PATH = frozenset({404, 405, 410, 501})
_NOT_FOUND = 404
_PASSING = frozenset({408, 425, _TOO_MANY})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPEAKS_TLS = (b"to https port", b"to an https server", b"to an ssl-enabled server port")
_LOOKED_AT = 1024
_NO_LIST = "the provider's answer holds no list of models, so they were not checked"


class Aspect(Enum):
    """What of a provider a verdict is about, in the order in which they rest on each other."""

    CONNECTION = "connection"
    TLS = "tls"
    ANSWER = "answer"
    PATH = "path"
    TOKEN = "token"  # noqa: S105 - what the verdict is about
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a host's sessions can work with their provider.

    ``message`` says what is wrong and ``hint`` what to do next; both are empty, and ``aspect`` is
    ``None``, if ``ok`` is true. ``slow`` and ``unchecked`` are warnings that may come with either:
    how long it took, and which models the answer does not tell of, and why. ``passing`` is true if
    a later attempt may succeed, which ``retry_after`` asks to put off (seconds).

    ``found`` says which models were found, and where, if all of them were; ``calls`` what sessions
    will call. ``url`` is the address whose answer counted.
    """

    ok: bool
    message: str = ""
    hint: str = ""
    aspect: Aspect | None = None
    slow: str = ""
    unchecked: str = ""
    passing: bool = False
    retry_after: float | None = None
    found: str = ""
    calls: str = field(default="", compare=False)
    url: str = field(default="", compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is worth a warning."""
        return tuple(text for text in (self.slow, self.unchecked) if text)

    @property
    def checked(self) -> str:
        """Return what was found, and what sessions will call."""
        return "; ".join(text for text in (self.found, self.calls) if text)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the provider is asked for.

    ``sources`` says where the values come from, by setting. ``checks_models`` is false where models
    are not what the host names (on Azure it names deployments). ``local_server`` names the server
    that runs beside the host's sessions, such as ``Ollama``, empty where there is none.
    """

    base_url: str
    model: str
    fast_model: str
    sources: Mapping[str, ValueSource] = field(default_factory=dict)
    checks_models: bool = True
    local_server: str = ""

    def source(self, setting: str) -> ValueSource:
        """Return where the value of ``setting`` comes from."""
        return self.sources.get(setting) or ValueSource(setting)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: ``seconds`` is how long it took, ``location`` where a redirect points to.

    ``retry_after`` is how long it asks to wait (seconds), ``None`` where it does not.
    """

    status: int
    body: bytes = field(repr=False)
    seconds: float = 0.0
    location: str = ""
    retry_after: float | None = None


def models_url(base_url: str) -> str:
    """Return where a provider with OpenAI's API at ``base_url`` lists its models."""
    return base_url.rstrip("/") + "/models"


def native_models_url(base_url: str) -> str:
    """Return where a provider with Anthropic's API at ``base_url`` lists its models.

    Claude Code appends ``/v1/messages`` to the base URL, so this is beside what sessions call.
    """
    return base_url.rstrip("/") + "/v1/models"


def messages_url(base_url: str) -> str:
    """Return what Claude Code calls under ``base_url``."""
    return base_url.rstrip("/") + "/v1/messages"


def chat_url(base_url: str) -> str:
    """Return what clients of OpenAI's API call under ``base_url``."""
    return base_url.rstrip("/") + "/chat/completions"


def calls(base_url: str, *, native: bool) -> str:
    """Say what sessions will call; ``native`` says that the provider speaks Anthropic's API."""
    messages = shown_path(messages_url(base_url))
    if native:
        return f"Claude Code's sessions call {messages}"
    chat = shown_path(chat_url(base_url))
    return f"Claude Code's sessions call {messages}, clients of OpenAI's API {chat}"


def shown_path(url: str) -> str:
    """Return the path of a URL under the base URL, in quotes."""
    return quote(urlsplit(url).path)


def settles(reply: Reply, expected: Expected) -> bool:
    """Tell whether an answer from :func:`models_url` makes asking elsewhere needless.

    It does where it is as good as an answer can be, and where it speaks of the account, of a proxy
    in between or of the moment, not of the path. All else, a page for people or a refused token
    too, may be what the provider answers under a path that is not its API's.
    """
    if _rank(reply, expected) is _Rank.GOOD or _passes(reply.status):
        return True
    return reply.status in {_UNPAID, _PROXY_LOGIN}


def needs_messages(first: Reply, second: Reply | None) -> bool:
    """Tell whether the status of :func:`messages_url` has to be known for a verdict.

    It has to where only :func:`native_models_url` lists models, and in OpenAI's form: either the
    provider speaks Anthropic's API too, or the base URL ends before the ``/v1`` of OpenAI's.
    """
    if second is None or first.status not in _NO_PATH or not 200 <= second.status < 300:
        return False
    offered = parse_models(second.body)
    return offered is not None and not offered.native


def probe_verdict(
    first: Reply, second: Reply | None, expected: Expected, messages: int | None = None
) -> Verdict:
    """Return what the answers from :func:`models_url` and :func:`native_models_url` mean.

    ``second`` is ``None`` where that one was not asked for, or did not come. The better of the two
    counts: either form is a provider that works. ``messages`` is the status of a request to
    :func:`messages_url` where :func:`needs_messages` wants it, 0 where no answer came.
    """
    if messages == _NOT_FOUND:
        return _ends_too_early(expected)
    if second is None or _rank(first, expected) <= _rank(second, expected):
        return _judge(first, models_url(expected.base_url), expected, second)
    verdict = _judge(second, native_models_url(expected.base_url), expected, first)
    if verdict.ok and not verdict.unchecked and (messages == 0 or messages in _NO_PATH):
        why = f" ({messages})" if messages else ""
        unchecked = (
            f"whether the provider has {shown_path(messages_url(expected.base_url))}, which Claude "
            f"Code's sessions call, was not checked{why}: it has no "
            f"{shown_path(models_url(expected.base_url))}, and base_url may lack /v1"
        )
        return replace(verdict, unchecked=unchecked)
    return verdict


def _ends_too_early(expected: Expected) -> Verdict:
    models, messages = models_url(expected.base_url), messages_url(expected.base_url)
    listed = native_models_url(expected.base_url)
    better = quote(expected.base_url.rstrip("/") + "/v1")
    return Verdict(
        ok=False,
        message=f"the provider has neither {shown_path(models)} nor {shown_path(messages)} (404), "
        f"and lists its models under {shown_path(listed)}: "
        "the base URL lacks its compatible path",
        hint=f"set {expected.source('base_url')} to {better}",
        aspect=Aspect.PATH,
    )


def names_missing_path(status: int) -> bool:
    """Tell whether a status says that nothing is under the path, or nothing that is asked so."""
    return status in _NO_PATH


def refused_token(status: int, expected: Expected) -> Verdict:
    """Return the verdict on a token that the provider refuses with 401, 402 or 403."""
    source = expected.source("auth_token")
    match status:
        case 402:
            message = "the provider wants to be paid first (402)"
            further = "the account that its token belongs to"
        case 403:
            message = (
                "the provider refuses the token (403): the mapped token is not valid there, "
                "or lacks the right"
            )
            further = "what that token may do"
        case _:
            message = (
                f"the provider refuses the token ({status}): the mapped token is not valid there"
            )
            further = "that its token is this provider's"
    if source.by_default:
        hint = f"set {' and '.join(source.variables)}: {source}, and that stand-in was sent"
    else:
        hint = f"check {source}, and {further}"
    return Verdict(ok=False, message=message, hint=hint, aspect=Aspect.TOKEN)


class _Rank(IntEnum):
    """What answers are worth: of two, the lower one is told."""

    GOOD = 0
    LACKS_MODEL = 1
    REFUSES_TOKEN = 2
    PASSING = 3
    NO_LIST = 4
    PAGE = 5
    REDIRECT = 6
    REFUSED = 7
    NO_PATH = 8


def _rank(reply: Reply, expected: Expected) -> _Rank:
    status = reply.status
    if 200 <= status < 300:
        return _rank_of_list(reply, expected)
    if 300 <= status < 400:
        return _Rank.REDIRECT
    if status in _NO_PATH:
        return _Rank.NO_PATH
    if _is_from_proxy(reply):
        return _Rank.PAGE
    if status in _REFUSES_TOKEN:
        return _Rank.REFUSES_TOKEN
    return _Rank.PASSING if _passes(status) else _Rank.REFUSED


def _rank_of_list(reply: Reply, expected: Expected) -> _Rank:
    if is_page(reply.body):
        return _Rank.PAGE
    if not expected.checks_models:
        return _Rank.GOOD
    offered = parse_models(reply.body)
    if offered is None:
        return _Rank.NO_LIST
    lacks = offered.is_whole and _missing(offered, expected)
    return _Rank.LACKS_MODEL if lacks else _Rank.GOOD


def _passes(status: int) -> bool:
    """Tell whether a status speaks of the moment: another answer may come later."""
    return status in _PASSING or (500 <= status < 600 and status not in _NO_PATH)


def is_page(body: bytes) -> bool:
    """Tell whether an answer is a page for people: HTML, which no provider's API speaks."""
    text = body[:_LOOKED_AT].removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    if text.startswith(b"<?xml"):
        return b"<html" in text
    return text.startswith(b"<")


def _wants_tls(reply: Reply, expected: Expected) -> bool:
    """Tell whether a server of HTTPS answered that plain HTTP is none (nginx, Apache, Go)."""
    if reply.status != _BAD_REQUEST or not expected.base_url.startswith("http:"):
        return False
    text = reply.body[:_LOOKED_AT].lower()
    return any(words in text for words in _SPEAKS_TLS)


def _is_from_proxy(reply: Reply) -> bool:
    """Tell whether what stands between answered, which no provider's own status tells of."""
    if reply.status == _PROXY_LOGIN:
        return True
    refuses = 400 <= reply.status < 500 and reply.status not in _NO_PATH | _PASSING
    return refuses and reply.status not in {401, _UNPAID} and is_page(reply.body)


def _judge(reply: Reply, url: str, expected: Expected, other: Reply | None) -> Verdict:
    """Return what ``reply`` from ``url`` means; ``other`` is the worse answer, if there is one."""
    if 300 <= reply.status < 400:
        return _redirected(reply, expected)
    if not 200 <= reply.status < 300:
        return _refused(reply, expected, other)
    if is_page(reply.body):
        return _page(reply.status, expected)
    native = url == native_models_url(expected.base_url)
    slow = ""
    if reply.seconds > SLOW_SECONDS:
        slow = f"the provider is slow: it took {reply.seconds:.0f} s to list its models"
    called = calls(expected.base_url, native=native)
    fine = Verdict(ok=True, slow=slow, calls=called, url=url)
    if not expected.checks_models:
        return fine
    return _judge_list(reply, expected, fine)


def _judge_list(reply: Reply, expected: Expected, fine: Verdict) -> Verdict:
    """Return what a list of models means; ``fine`` is the verdict where nothing is wrong."""
    offered = parse_models(reply.body)
    models = _models(expected)
    patterns = {key: name for key, name in models.items() if is_wildcard(name)}
    if patterns:
        example = f", such as {_some(offered.names)}" if offered and offered.names else ""
        return _lacks(
            f"no session can run on {_named(patterns)}: a wildcard stands for many models",
            f"name one of the provider's own models{example}, in {_set_by(patterns, expected)}",
            fine,
        )
    if offered is None:
        return replace(fine, unchecked=_NO_LIST)
    missing = _missing(offered, expected)
    if missing and not offered.is_whole:
        return replace(fine, unchecked=_unchecked(offered, missing))
    if missing:
        hint = _instead(offered.names, missing, expected)
        return _lacks(f"the provider does not offer {_named(missing)}", hint, fine)
    names = " and ".join(map(quote, dict.fromkeys(models.values())))
    return replace(fine, found=f"found {names} in {shown_path(fine.url)}")


def _lacks(message: str, hint: str, fine: Verdict) -> Verdict:
    return replace(fine, ok=False, message=message, hint=hint, aspect=Aspect.MODEL)


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


def _redirected(reply: Reply, expected: Expected) -> Verdict:
    return Verdict(
        ok=False,
        message=f"the provider redirects{_target(reply.location)} ({reply.status}), "
        "and the token was not sent there",
        hint=f"if that is right, set {expected.source('base_url')} to where it points",
        aspect=Aspect.PATH,
    )


def _target(location: str) -> str:
    """Say where a redirect points, less user information, query and fragment."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return " to an address that is none"
    address = parts.netloc.rpartition("@")[2]
    begin = f"{parts.scheme}://{address}" if parts.scheme else f"//{address}" if address else ""
    return f" to {quote(begin + parts.path)}" if begin or parts.path else ""


def _refused(reply: Reply, expected: Expected, other: Reply | None) -> Verdict:
    status, asks = reply.status, ""
    if status in _NO_PATH:
        return _no_path(status, expected, other)
    setting = expected.source("base_url")
    if _wants_tls(reply, expected):
        return Verdict(
            ok=False,
            message=f"the provider speaks TLS, and http:// was asked for ({status})",
            hint=f"check the scheme and the port of {setting}: https:// is wanted",
            aspect=Aspect.TLS,
        )
    if _is_from_proxy(reply):
        return _page(status, expected)
    if status in _REFUSES_TOKEN:
        return refused_token(status, expected)
    if reply.retry_after is not None:
        asks = f" and asks to wait {wait_text(reply.retry_after)}"
    if status == _TOO_MANY:
        message = f"the provider wants fewer requests (429){asks}: the token was not checked"
        hint = (
            f"wait {'as long' if asks else 'a little'}, ask from fewer hosts at once, or check "
            f"the quota of {expected.source('auth_token')}"
        )
    elif _passes(status):
        who = "a proxy or gateway before the provider" if is_page(reply.body) else "the provider"
        page = ", with a page for people" if is_page(reply.body) else ""
        message = f"{who} fails at the moment ({status}{page}){asks}"
        hint = f"try again later, look at the provider's own status, or check {setting}"
    else:
        message = f"the provider does not take the question for its models ({status})"
        hint = f"check that {setting} is an API like OpenAI's or Anthropic's"
    return Verdict(
        ok=False,
        message=message,
        hint=hint,
        aspect=Aspect.ANSWER,
        passing=_passes(status),
        retry_after=reply.retry_after,
    )


def _page(status: int, expected: Expected) -> Verdict:
    """Say that what answered is no provider, but what people meet on the way to one."""
    if status == _PROXY_LOGIN:
        return Verdict(
            ok=False,
            message="a proxy on the way to the provider wants its own login (407): "
            "the token was not checked",
            hint="let the host's connections to the provider pass without it, "
            f"or check {expected.source('base_url')}",
            aspect=Aspect.ANSWER,
        )
    return Verdict(
        ok=False,
        message=f"a page for people came instead of an answer ({status}): it looks like a proxy's "
        "or a portal's page, and not like the provider's API",
        hint=f"{_base_hint(expected)}; and whether a proxy or firewall stands before it",
        aspect=Aspect.ANSWER,
    )


def _no_path(status: int, expected: Expected, other: Reply | None) -> Verdict:
    """Say that there is no list under the base URL, in neither form if both were asked for.

    Appending ``/v1`` is no advice: what would be there then was asked for as the second form.
    """
    forms = models_url(expected.base_url), native_models_url(expected.base_url)
    paths = [shown_path(url) for url in forms]
    codes = dict.fromkeys((status, other.status) if other is not None else (status,))
    has = f"neither {' nor '.join(paths)}" if other is not None else f"no {paths[0]}"
    return Verdict(
        ok=False,
        message=f"the provider has {has} ({', '.join(map(str, codes))}): "
        "the base URL lacks its compatible path, or it lists no models at all",
        hint=f"{_base_hint(expected)}; a provider that lists no models can't be probed",
        aspect=Aspect.PATH,
    )


def _base_hint(expected: Expected) -> str:
    return (
        f"check {expected.source('base_url')}: {quote(expected.base_url)} may not be "
        "where the provider's API begins"
    )


def _named(missing: dict[str, str]) -> str:
    if len(set(missing.values())) == 1:
        [name] = set(missing.values())
        return f"the model {quote(name)} ({' and '.join(missing)})"
    return "the models " + " and ".join(f"{quote(name)} ({key})" for key, name in missing.items())


def _set_by(settings: Iterable[str], expected: Expected) -> str:
    return " and ".join(str(expected.source(setting)) for setting in settings)


def _instead(names: Sequence[str], missing: dict[str, str], expected: Expected) -> str:
    setting = _set_by(missing, expected)
    if not names:
        how = "load one there first (ollama pull, or LM Studio's own list)"
        return f"it offers none at all: {how}, then set {setting} to it"
    like = dict.fromkeys(name for model in missing.values() for name in near(names, model))
    if like:
        return f"did you mean {' or '.join(quote(name) for name in like)}? set {setting}"
    return f"set {setting} to the provider's exact model or deployment id; it offers {_some(names)}"


def _some(names: Sequence[str]) -> str:
    some = ", ".join(quote(name) for name in names[:_SHOWN])
    return some + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
