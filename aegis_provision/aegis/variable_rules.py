"""Aegis' rules for session variables: names, values, timeouts and URLs (docs/aegis.md).

Each function returns why something is refused, or ``None``. Reasons never repeat the value.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aegis_provision.providers.templates import without_references

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 8192
"""How many bytes of UTF-8 a session variable may have."""

LARGEST_TIMEOUT = 2_147_483_647
SHORT_TIMEOUT = 1000
"""Below this a timeout in milliseconds was probably meant in seconds."""

_DENIED_NAMES = """
    PATH LD_PRELOAD LD_LIBRARY_PATH NODE_OPTIONS DYLD_INSERT_LIBRARIES IFS SHELL ENV BASH_ENV
    PYTHONPATH PERL5LIB RUBYLIB CLASSPATH NODE_PATH PYTHONHOME PYTHONSTARTUP PROMPT_COMMAND
    GIT_SSH_COMMAND EDITOR VISUAL SUDO_ASKPASS GIT_EXEC_PATH NODE_ENV GITHUB_TOKEN NPM_TOKEN
    GITLAB_TOKEN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET
    GOOGLE_APPLICATION_CREDENTIALS DOCKER_TOKEN HEROKU_API_KEY ANTHROPIC_API_KEY OPENAI_API_KEY
    CLAUDE_API_KEY GOOGLE_AI_API_KEY MISTRAL_API_KEY DEEPSEEK_API_KEY AEGIS_SECRET DATABASE_URL
    SECRET_KEY JWT_SECRET SESSION_SECRET ENCRYPTION_KEY AEGIS_OIDC_CLIENT_SECRET HOME USER
    LOGNAME USERNAME COMSPEC WINDIR SYSTEMROOT SYSTEMDRIVE PROGRAMFILES PROGRAMFILES(X86)
    PROGRAMDATA APPDATA LOCALAPPDATA TEMP TMP HOMEDRIVE HOMEPATH USERPROFILE USERDOMAIN
    DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH DYLD_ROOT_PATH DYLD_IMAGE_SUFFIX LD_AUDIT LD_DEBUG
    LD_TRACE_LOADED_OBJECTS LD_BIND_NOW LD_PROFILE LD_ORIGIN_PATH LD_USE_LOAD_BIAS LD_VERBOSE
    LD_PREFER_MAP_32BIT
"""
DENIED_NAMES = frozenset(_DENIED_NAMES.split())
"""Names that make Aegis fail every session."""

_OVERRIDING = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_CUSTOM_HEADERS",
        "ANTHROPIC_MODEL",
        "ANTHROPIC_SMALL_FAST_MODEL",
        "CLAUDE_CODE_API_BASE_URL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_SUBAGENT_MODEL",
        "CLAUDE_CODE_USE_ANTHROPIC_AWS",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_FOUNDRY",
        "CLAUDE_CODE_USE_MANTLE",
        "CLAUDE_CODE_USE_VERTEX",
    }
)
_TIER_MODEL = re.compile(r"ANTHROPIC_DEFAULT_(?!FAST_)[A-Z]+_MODEL")  # Opus and its sisters

DENIED_PREFIXES = (
    "npm_config_", "bash_func_", "ssh_", "github_", "gitlab_", "aws_", "azure_", "tf_",
    "ci_", "docker_",
)  # fmt: skip
"""Prefixes, in either case, that Aegis refuses for one session's variables: refused everywhere."""

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TMUX_SESSION = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]|\A[=$@%]|\A[-+].|\A[*^_~]\Z|\$[A-Za-z_{]|;\Z|#[#A-Z{(,}]",
    re.DOTALL,
)
_DIGITS = re.compile(r"[0-9]{1,20}")
_PLACEHOLDER = re.compile(r"<[A-Za-z][A-Za-z0-9 _-]*>")
RESOURCE = "YOUR-RESOURCE"
"""What stands in a recipe's base URL for the name of an Azure resource."""
_QUERY = (
    "it holds '?' or '#', and sessions append their path to it (where a provider wants a "
    "query, such as Azure's api-version, put a small proxy in front)"
)
_USER_INFORMATION = "it holds user information, which ends up in logs; a token goes into auth_token"
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
# Named one by one: what the standard library calls private also holds addresses that are merely
# reserved, and which ones depends on its version.
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",  # shared by carriers and by overlay networks (RFC 6598)
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@lru_cache(maxsize=256)
def name_problem(name: str) -> str | None:
    """Return why a session variable may not be called ``name``.

    All hosts have much the same names, so the answers are kept.
    """
    lowered = name.lower()
    prefix = next((item for item in DENIED_PREFIXES if lowered.startswith(item)), None)
    refused = prefix and (
        f"this tool refuses names that begin with {prefix.upper()}: "
        "Aegis refuses them in the env of a single session, though not in its file"
    )
    return denied_name_problem(name) or refused


def overrides_provider(name: str) -> bool:
    """Tell whether Claude Code lets the session variable ``name`` decide over the provider's own.

    Those that name another endpoint, another credential or another model than the five variables do
    (its documentation, "Environment variables" and "Model configuration").
    """
    return name in _OVERRIDING or _TIER_MODEL.fullmatch(name) is not None


def denied_name_problem(name: str) -> str | None:
    """Return why Aegis would fail every session over a variable called ``name``."""
    if not _NAME.fullmatch(name):
        return "a session variable is named with A-Z, 0-9 and _, and no digit at the beginning"
    if name in DENIED_NAMES:
        return "Aegis fails every session over a variable of this name"
    return None


def value_problem(value: str) -> str | None:
    """Return why a variable of this value may not be written.

    Half of a surrogate pair stands for a byte of the environment that is not UTF-8: Aegis would
    get another value than the operator has.
    """
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return "it is not valid UTF-8"
    return failing_value_problem(value)


def failing_value_problem(value: str) -> str | None:
    """Return why Aegis would fail every session over a variable of this value.

    It takes tabs, and the control characters from U+0080 on; half of a surrogate pair counts
    three bytes.
    """
    found = _CONTROL.search(value)
    if found is not None:
        return f"it holds a control character (U+{ord(found.group()):04X})"
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        return f"it has {size} bytes, and Aegis takes at most {MOST_BYTES}"
    return None


def tmux_session_problem(name: str) -> str | None:
    """Return why Aegis would not survive a ``tmuxSession`` of this name.

    Aegis makes the session and looks for it again by its name, which ends in an error where tmux
    refuses the name, writes it down in another form, or takes it for something else: a window
    (``:``), a pane (``.``), an id (``$``, ``@``, ``%``) or a format (``#{...}``). Found with
    tmux 3.3a.
    """
    if not name:
        return "it is empty"
    if re.search("[ .:]", name):
        return "it holds a space, '.' or ':', which tmux takes for something else"
    if _NO_TMUX_SESSION.search(name):
        return "tmux would not find a session of this name again"
    return None


def timeout_problem(value: str) -> str | None:
    """Return why ``value`` is no timeout. Aegis itself would read ``30s`` as 30 ms."""
    if not _DIGITS.fullmatch(value):
        return "a timeout is a whole number of milliseconds, in decimal digits alone"
    if not 1 <= int(value) <= LARGEST_TIMEOUT:
        return f"a timeout is between 1 and {LARGEST_TIMEOUT} milliseconds"
    return None


def placeholder_problem(value: str) -> str | None:
    """Return why ``value`` is a placeholder that was not replaced."""
    if _PLACEHOLDER.fullmatch(value):
        return "it is a placeholder, not a value"
    if RESOURCE in value:
        return f"it still holds {RESOURCE}"
    return None


def url_problems(url: str) -> Iterator[str]:
    """Yield why ``url`` is no base URL for a provider."""
    if re.search(r"\s", url):
        yield "it holds white space"
        return
    if "?" in url or "#" in url:
        yield _QUERY
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        yield "it must be http:// or https:// with a host"
        return
    if "@" in parts.netloc:
        yield _USER_INFORMATION
    # The host as it is written: in brackets where it is an IPv6 address.
    host = re.sub(r":[0-9]*\Z", "", parts.netloc.rpartition("@")[2])
    if not _HOST.fullmatch(host):
        yield "its host holds characters that no host name has"


def fixed_url_problem(template: str) -> str | None:
    """Return what is wrong with the literal parts of a base URL; its references play no part."""
    fixed = without_references(template)
    if "?" in fixed or "#" in fixed:
        return _QUERY
    scheme, mark, rest = template.partition("://")
    if mark and "${" not in scheme and "@" in without_references(rest).partition("/")[0]:
        return _USER_INFORMATION
    return None


def sends_token_in_the_open(url: str) -> bool:
    """Tell whether a token sent to ``url`` would cross a network that is not private."""
    parts = _split(url)
    if parts is None or parts.scheme != "http" or not parts.hostname:
        return False
    host = parts.hostname
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not any((mapped or address) in network for network in _PRIVATE)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
