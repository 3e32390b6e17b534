"""What is a secret: by the name of a variable, and by the look of a value.

All rules about secrets follow this module: what is refused in the operator's files, what is masked
on a screen, in a plan or in a record, and which source lines are quoted. There are two degrees.
:func:`is_secret_name` and :func:`looks_secret` decide what is *refused*, and are exact, to get in
the way of no honest value. :data:`MAY_NAME_SECRET` and :func:`may_hold_secret` decide what is not
*shown*, and err on the safe side. Everything that is refused is masked too.
"""

from __future__ import annotations

import itertools
import re

HARMLESS_TOKENS = frozenset({"", "<local-token>", "ollama-local"})
"""What a token's default may be: nothing, or the stand-in of a recipe for a local server."""

REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")
"""A reference to the operator's environment (Aegis' BYO-LLM page): its name, its default."""

_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)
MAY_NAME_SECRET = re.compile(
    r"token|key|secret|passw|passphrase|pass(?![a-z])|pwd|credential|auth|bearer", re.IGNORECASE
)
"""A word in a line that may name a secret. Such a line is not quoted, which costs little."""

_PLAIN_SETTING = re.compile(r"[0-9]{1,10}|true|True|TRUE|false|False|FALSE")

_HASH_NAME = re.compile(r"SHA|HASH|DIGEST|CHECKSUM|COMMIT|REVISION|FINGERPRINT", re.IGNORECASE)
_HASH = re.compile(r"[0-9A-Fa-f]{32}(?:[0-9A-Fa-f]{8}){0,12}")

_HOLE = "\0"
"""What stands for a reference in a text that is searched for literal secrets."""
_STAND_IN = "Reference1"

# A prefix that nothing else has: a name that holds one of these is a token.
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:or-v1|ant|proj|svcacct|admin|lf|litellm)-[\w-]{3,}"
    r"|[spr]k_(?:live|test)_\w{3,}"
    r"|gh[pousr]_\w{3,}|github_pat_\w"
    r"|gl(?:pat|dt|ptt|cbt|soat)-[\w-]{3,}"
    r"|xox[a-z]-[\w-]{3,}|xapp-[0-9][\w-]{3,}"
    r"|AKIA[0-9A-Za-z]{4,}|ASIA[0-9A-Z]{12,}"
    r"|AIza[\w-]{6,}|ya29\.[\w-]{6,}|GOCSPX-[\w-]{6,}"
    r"|eyJ[\w-]{4,}"
    r"|npm_[A-Za-z0-9]{10,}|pypi-(?:AgE[\w-]*|\w{16,})"
    r"|hvs\.[\w-]{6,}|dp\.(?:pt|st|sa|ct)\.[\w.-]{6,}|SG\.[\w-]{6,}"
    r"|AGE-SECRET-KEY-1\w+"
    r")"
)
# A prefix that a word of a name may have too: in a value it is a token.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[\w-]{3,}"  # but no disk-full
    r"|[pr]k-(?:lf-[\w-]{3,}|[\w-]{16,})"
    r"|glpat-|xox[a-z]-"
    r"|(?<![/.])hf_[A-Za-z0-9]{6,}(?![\w/])"
    r"|(?:gsk|r8|fw)_[A-Za-z0-9]{8,}"
    r"|(?:xai|pplx|csk|nvapi|tvly)-[A-Za-z0-9]{16,}"
    r"|dapi[0-9a-f]{16,}"
    r")"
)
_VALUE = r"[^\s\"'\0]"
_SCHEME = re.compile(  # RFC 9110, section 11.6.2: what an Authorization header holds
    rf"(?:Bearer|BEARER)\s+{_VALUE}"
    rf"|\bbearer\s+(?={_VALUE}*[0-9._=-]{_VALUE}){_VALUE}{{6,}}"
    r"|\b(?i:basic)\s+(?=\S*(?:[a-z][A-Z0-9]|=))[A-Za-z0-9+/]{6,}={0,2}(?![\w-])"
)
# A header's, a flag's or a parameter's name, and what is given to it.
_SAYS = (
    r"(?:(?:api|access|account|shared|private|subscription|signing|master|secret)[-_]?key"
    r"|(?<![a-z])key|token|secret|passw(?:or)?d|passphrase|authorization|credential)s?(?![a-z])"
)
_HARMLESS_GIVEN = (
    rf"(?!(?:{_PLAIN_SETTING.pattern})(?![\w.+/=-]))"
    r"(?!\s*(?:~|\.{1,2})?/[\w.-]+(?:/|$|[\s\"']))(?!file:)"
)
_GIVEN = re.compile(
    rf"(?i:{_SAYS}[\w-]{{0,60}}|(?<![a-z])auth)[\"']?\s*(?:=|:(?!//)\s*)\s*[\"']?"
    rf"(?:(?i:bearer|basic|digest|token)\s+)?+{_HARMLESS_GIVEN}{_VALUE}{{3,}}"
)
_GIVEN_SHORT = re.compile(
    rf"(?<![A-Za-z])(?i:pass|pwd)=[\"']?{_HARMLESS_GIVEN}{_VALUE}{{3,}}"
    rf"|\b(?i:cookie):\s*[\w.-]+={_VALUE}{{3,}}"
)
_FLAG = re.compile(
    rf"(?<![\w-])--?(?!-|no-)(?i:[\w-]{{0,60}}?{_SAYS}[\w-]{{0,60}})\s+[\"']?(?!-){_HARMLESS_GIVEN}{_VALUE}{{3,}}"
)
_LOGIN = re.compile(
    rf"\bcurl\b.{{0,500}}?\s(?:-u|--user|--proxy-user)[\s=]*[\"']?{_VALUE}+:{_VALUE}"
    rf"|\bsshpass\s+-p\s*[\"']?{_VALUE}"
)
_USER_INFORMATION = re.compile(r"://(?:[^/\s:@]*:[^/\s@\0]+|(?=[^/\s:@]*[^/\s:@\0])[^/\s:@\0]+)@")
# A login without a scheme before it (``user:password@host``). A label before a mail address looks
# the same: only with a port behind the host is it refused.
_BARE_LOGIN = re.compile(
    r"(?<![^\s\"'=,({\[])(?!(?i:mailto|acct|sips?|xmpp):)[\w.+-]+:[^\s\"'/@:,\0]+@(?!sha256:)[\w\[]"
)
_PROXY_LOGIN = re.compile(_BARE_LOGIN.pattern + r"[\w.:-]*\]?:[0-9]{1,5}(?![\w:])")
_WEBHOOK = re.compile(
    r"hooks\.slack\.com/(?:services|workflows)/\w|/api/webhooks/[0-9]+/[\w-]"
    r"|api\.telegram\.org/bot[0-9]+:\w"
)
_PRIVATE_KEY = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")
_QUERY = re.compile(r"[?&#][\w.-]*=")

_SHAPES = (
    _ISSUED, _PREFIXED, _SCHEME, _GIVEN, _GIVEN_SHORT, _FLAG, _LOGIN, _USER_INFORMATION,
    _PROXY_LOGIN, _WEBHOOK, _PRIVATE_KEY,
)  # fmt: skip

# What holds long runs of letters and digits, and none of them a secret.
_HARMLESS_RUNS = re.compile(
    # An address: accounts and end points have ids.
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'?#]*"
    r"|(?<![^\s\"'=:,])(?:~|\.{1,2})?/[^\s\"']*"  # a path
    r"|(?i:(?:sha(?:1|224|256|384|512)|md5|blake3)[-:=])[A-Za-z0-9+/_-]{32,}=*"  # a file's hash
    r"|@[0-9a-f]{40}(?:[0-9a-f]{24})?(?![0-9A-Za-z])"  # a revision
)
_WORD = re.compile(r"[A-Za-z0-9]{16,}")
_PADDED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={1,2}(?![\w=])")


def is_secret_name(name: str) -> bool:
    """Tell whether a variable of this name is held to the rule for secrets."""
    return _SECRET_NAME.search(name) is not None


def is_plain_setting(value: str) -> bool:
    """Tell whether ``value`` is no secret even in a variable that is named like one.

    That is a short run of digits (``MAX_THINKING_TOKENS: "8000"``) or YAML 1.2's ``true`` and
    ``false``.
    """
    return _PLAIN_SETTING.fullmatch(value) is not None


def is_named_hash(name: str, value: str) -> bool:
    """Tell whether ``value`` is a hash in hexadecimal, and ``name`` says that it is one."""
    return _HASH_NAME.search(name) is not None and _HASH.fullmatch(value) is not None


def looks_secret(text: str) -> bool:
    """Tell whether ``text`` holds something that looks like a token or a password.

    That is the prefix of a well-known kind of token, a URL's user information, an authorization
    header, something that is given to a header, flag or parameter that is named like a secret, a
    private key, or a long run of letters and digits that is no path, URL, hash, host name or
    model's name. A reference counts for nothing, its default as if it stood in its place.
    """
    literal = _with_defaults(text, _HOLE)
    return _has_shape(literal) or _has_random_run(literal)


def may_hold_secret(text: str, name: str = "") -> bool:
    """Tell whether ``text`` is better not shown.

    It looks like a secret, has ``user:password@host`` in it, or is a URL with a query.

    References count as in :func:`looks_secret`. ``name`` is the variable that holds it, where there
    is one: it may say that this is a hash.
    """
    if is_named_hash(name, text):
        return False
    literal = _with_defaults(text, _HOLE)
    return looks_secret(text) or bool(_QUERY.search(text) or _BARE_LOGIN.search(literal))


def holds_token(name: str) -> bool:
    """Tell whether a name, address or path holds a token for certain.

    Names have words and long numbers that a value would not have (``sk-bratislava-01`` is a host in
    Slovakia, ``i-0a1b2c3d4e5f67890`` a machine of a cloud): the prefix has to be one that nothing
    else has, or has to stand before a run that no one would type.
    """
    if any(shape.search(name) for shape in (_ISSUED, _PRIVATE_KEY, _WEBHOOK)):
        return True
    found = _PREFIXED.search(name)
    return found is not None and _has_random_run(name[found.start() :])


def puts_references_in_secrets(template: str) -> bool:
    """Tell whether a reference in ``template`` stands where a token or a password would stand.

    ``Bearer ${GATEWAY}`` is such a text, and so is ``http://user:${PROXY}@host``: the value
    of such a variable is not shown, under any name.
    """
    if REFERENCE.search(template) is None:
        return False
    return _has_shape(REFERENCE.sub(_STAND_IN, template))


def _with_defaults(text: str, hole: str) -> str:
    def default(match: re.Match[str]) -> str:
        found = match[2] or ""
        return hole if found in HARMLESS_TOKENS else found

    return REFERENCE.sub(default, text)


def _has_shape(text: str) -> bool:
    return any(shape.search(text) for shape in _SHAPES)


def _has_random_run(text: str) -> bool:
    rest = _HARMLESS_RUNS.sub(" ", text)
    return any(_is_random(found.group()) for found in _WORD.finditer(rest)) or any(
        _changes(found.group()) * 4 >= len(found.group()) for found in _PADDED.finditer(rest)
    )


def _is_random(word: str) -> bool:
    """Tell whether a word of at least 16 letters and digits looks random.

    In words that people write, digits stand together (``gpt4omini20240718``) and capitals are few
    (``NameOfSomeService``). In a token, letters and digits alternate every two or three characters,
    and upper and lower case are equally frequent.
    """
    if word.isdigit():
        return False
    if word.isalpha():
        capitals = sum(map(str.isupper, word))
        return capitals * 3 > len(word) and _changes(word) * 3 > len(word)
    return _changes(word) * 4 >= len(word)


def _changes(word: str) -> int:
    return sum(_kind(before) != _kind(after) for before, after in itertools.pairwise(word))


def _kind(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.isupper() else 2
