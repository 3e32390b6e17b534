"""Every keyword of ssh_config(5), and what becomes of it here: honoured, no matter, or told.

The list is that of OpenSSH 10.5 with what Debian, Fedora and macOS add, so that a config for a
newer client is read by us, too. A keyword that is neither honoured nor without effect is told once
for each run (:mod:`~aegis_provision.transport.ssh.ssh_config_warnings`): ignoring it may change
where, or as whom, we connect, or what we trust. What values a keyword takes follows OpenSSH's
``process_config_line``; what is no matter here is looked at no closer than it takes to find the
end of the line.
"""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Effect(StrEnum):
    """What becomes of a keyword."""

    HONOURED = "honoured"
    NONE = "none"
    WARNED = "warned"


class Reads(StrEnum):
    """What a keyword's value is made of."""

    WORD = "word"
    WORDS = "words"
    LINE = "line"
    CHOICE = "choice"
    NUMBER = "number"
    TIME = "time"
    PORT = "port"
    JUMP = "jump"
    AGENT = "agent"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword, as ssh_config(5) writes it.

    ``why`` says what is done with it, or why it is no matter, or what is different here.
    ``choices`` are the values that it takes, in small letters, where it takes no others;
    ``harmless`` is what a value must match for it not to be told of. ``users_own`` says that it is
    told only where it stands in the user's own file: distributions set it for everybody.
    """

    name: str
    effect: Effect
    why: str
    reads: Reads = Reads.WORD
    choices: tuple[str, ...] = ()
    harmless: str = ""
    users_own: bool = False

    def is_harmless(self, value: str) -> bool:
        """Tell whether ``value`` asks for nothing that we don't do."""
        return bool(self.harmless) and re.fullmatch(self.harmless, value.lower()) is not None


_FLAG = ("yes", "no", "true", "false")
_NO = "no|false"
_NONE = "none"


def _honoured(
    name: str, why: str, reads: Reads = Reads.WORD, choices: tuple[str, ...] = ()
) -> Keyword:
    return Keyword(name, Effect.HONOURED, why, Reads.CHOICE if choices else reads, choices)


def _no_matter(
    name: str, why: str, reads: Reads = Reads.ANYTHING, choices: tuple[str, ...] = ()
) -> Keyword:
    return Keyword(name, Effect.NONE, why, Reads.CHOICE if choices else reads, choices)


def _warned(
    name: str,
    why: str,
    harmless: str,
    *,
    reads: Reads = Reads.CHOICE,
    choices: tuple[str, ...] = (),
    users_own: bool = False,
) -> Keyword:
    choices = choices or (_FLAG if reads is Reads.CHOICE else ())
    return Keyword(name, Effect.WARNED, why, reads, choices, harmless, users_own)


_NO_SESSION = "no shell is opened on hosts"
_NO_FORWARDING = "no port, socket or display is forwarded for others"
_NO_TERMINAL = "there is no terminal on the far side"
_NEVER_ASKS = "no question is asked at a terminal"
_NO_KERBEROS = "there is no login with Kerberos; see GSSAPIAuthentication"
_OWN_LOG = "what is told is said by -v and -q"
_OPENSSH_TOO = "OpenSSH ignores it, too"
_OWN_CONNECTIONS = "each run makes its own connections"

_EVERY = (
    _honoured(
        "AddressFamily", "which addresses of a name are tried", choices=("any", "inet", "inet6")
    ),
    _honoured("BindAddress", "from which address is connected"),
    _honoured("BindInterface", "from an address of which interface is connected"),
    _honoured("CanonicalDomains", "where a short name is looked for", Reads.WORDS),
    _honoured(
        "CanonicalizeFallbackLocal", "`no` refuses a name that is found in no domain", choices=_FLAG
    ),
    _honoured(
        "CanonicalizeHostname", "whether a short name is looked for", choices=(*_FLAG, "always")
    ),
    _honoured("CanonicalizeMaxDots", "up to how many dots a name is short", Reads.NUMBER),
    _honoured("CanonicalizePermittedCNAMEs", "which aliases in DNS are followed", Reads.WORDS),
    _honoured("CASignatureAlgorithms", "how an authority may have signed a host's certificate"),
    _honoured("CertificateFile", "certificates to log in with"),
    _honoured("Ciphers", "leaves of our own ciphers those that it names; `+` and `^` add none"),
    _honoured("ConnectTimeout", "bounds connecting, within `--timeout`", Reads.TIME),
    _honoured(
        "GlobalKnownHostsFile",
        "which keys are trusted, unless `--known-hosts` says it",
        Reads.WORDS,
    ),
    _honoured("Host", "for which hosts the lines below it are", Reads.WORDS),
    _honoured("HostKeyAlgorithms", "which kinds of keys a host may show"),
    _honoured("HostKeyAlias", "under which name a host's key is kept"),
    _honoured("Hostname", "a host's real name"),
    _honoured("IdentitiesOnly", "`yes` offers no other keys of the agent", choices=_FLAG),
    _honoured("IdentityAgent", "which agent is asked", Reads.AGENT),
    _honoured("IdentityFile", "which keys are offered; the inventory's `identity_file` wins"),
    _honoured("IgnoreUnknown", "which keywords need not be known"),
    _honoured("Include", "further files", Reads.WORDS),
    _honoured(
        "KexAlgorithms", "leaves of our own key exchanges those that it names; `+` and `^` add none"
    ),
    _honoured("MACs", "leaves of our own MACs those that it names; `+` and `^` add none"),
    _honoured("Match", "for what the lines below it are", Reads.WORDS),
    _honoured("Port", "the port; the inventory's `port` wins", Reads.PORT),
    _honoured("PreferredAuthentications", "methods that are not in it are not tried"),
    _honoured("ProxyCommand", "a program that makes the connection", Reads.LINE),
    _honoured("ProxyJump", "bastions; the inventory's `jump` wins", Reads.JUMP),
    _honoured("PubkeyAcceptedAlgorithms", "with which kinds of keys is logged in"),
    _honoured(
        "PubkeyAuthentication",
        "`no` offers no key",
        choices=(*_FLAG, "unbound", "host-bound"),
    ),
    _honoured("RefuseConnection", "such a host is refused, with its words"),
    _honoured("RequiredRSASize", "RSA keys that are shorter are not accepted", Reads.NUMBER),
    _honoured("RevokedHostKeys", "files of keys that are refused", Reads.WORDS),
    _honoured(
        "ServerAliveInterval", "how often a silent host is asked whether it is there", Reads.TIME
    ),
    _honoured("Tag", "what `Match tagged` compares with"),
    _honoured("User", "as whom is logged in; the inventory's `user` wins"),
    _honoured(
        "UserKnownHostsFile", "which keys are trusted, unless `--known-hosts` says it", Reads.WORDS
    ),
    _warned("CheckHostIP", "keys are kept and compared under names, not under addresses too", _NO),
    _warned(
        "ControlPath",
        "each run makes its own connections: none goes where a master of that one name goes",
        r"none|.*%c.*|.*%[hnk].*",
        reads=Reads.WORD,
    ),
    _warned(
        "GSSAPIAuthentication",
        "there is no login with Kerberos: a key must do",
        _NO,
        users_own=True,
    ),
    _warned(
        "GSSAPIKeyExchange", "no host is trusted by Kerberos: its key must be in known_hosts", _NO
    ),
    _warned(
        "HostbasedAuthentication",
        "there is no login with this machine's key: a key of yours must do",
        _NO,
    ),
    _warned(
        "KnownHostsCommand",
        "no program is asked for host keys: they must be in known_hosts",
        _NONE,
        reads=Reads.LINE,
    ),
    _warned(
        "NoHostAuthenticationForLocalhost", "the key of localhost is checked like any other", _NO
    ),
    _warned(
        "PKCS11Provider",
        "a token's keys are offered only if they are in the agent (ssh-add -s)",
        _NONE,
        reads=Reads.WORD,
    ),
    _warned(
        "SecurityKeyProvider",
        "security keys sign only through the agent",
        "none|internal",
        reads=Reads.WORD,
    ),
    _warned(
        "StrictHostKeyChecking",
        "host keys are always checked; --host-key accept-new takes new ones",
        "yes|true|ask",
        choices=(*_FLAG, "ask", "off", "accept-new"),
    ),
    _warned(
        "VerifyHostKeyDNS",
        "keys are not looked for in DNS: they must be in known_hosts",
        _NO,
        choices=(*_FLAG, "ask"),
    ),
    _no_matter("AddKeysToAgent", "no key is added to the agent"),
    _no_matter("BatchMode", _NEVER_ASKS, choices=_FLAG),
    _no_matter("ChannelTimeout", "each step has its own time"),
    _no_matter("ClearAllForwardings", _NO_FORWARDING, choices=_FLAG),
    _no_matter("Compression", "what is sent is small", choices=("yes", "no")),
    _no_matter(
        "ConnectionAttempts", "what is worth another try is tried within the deadline", Reads.NUMBER
    ),
    _no_matter("ControlMaster", _OWN_CONNECTIONS, choices=(*_FLAG, "ask", "auto", "autoask")),
    _no_matter("ControlPersist", _OWN_CONNECTIONS),
    _no_matter("DynamicForward", _NO_FORWARDING),
    _no_matter("EnableEscapeCommandline", _NO_TERMINAL, choices=_FLAG),
    _no_matter("EnableSSHKeysign", "it is HostbasedAuthentication's", choices=_FLAG),
    _no_matter("EscapeChar", _NO_TERMINAL),
    _no_matter("ExitOnForwardFailure", _NO_FORWARDING, choices=_FLAG),
    _no_matter("FingerprintHash", "fingerprints are shown as SHA256"),
    _no_matter("ForkAfterAuthentication", _NO_SESSION, choices=_FLAG),
    _no_matter("ForwardAgent", "the agent is never forwarded"),
    _no_matter("ForwardX11", _NO_FORWARDING, choices=_FLAG),
    _no_matter("ForwardX11Timeout", _NO_FORWARDING),
    _no_matter("ForwardX11Trusted", _NO_FORWARDING, choices=_FLAG),
    _no_matter("GatewayPorts", _NO_FORWARDING, choices=_FLAG),
    _no_matter("GSSAPIClientIdentity", _NO_KERBEROS),
    _no_matter("GSSAPIDelegateCredentials", _NO_KERBEROS, choices=_FLAG),
    _no_matter("GSSAPIKexAlgorithms", _NO_KERBEROS),
    _no_matter("GSSAPIRenewalForcesRekey", _NO_KERBEROS, choices=_FLAG),
    _no_matter("GSSAPIServerIdentity", _NO_KERBEROS),
    _no_matter("GSSAPITrustDNS", _NO_KERBEROS, choices=_FLAG),
    _no_matter("HashKnownHosts", "accepted keys are saved under their plain names", choices=_FLAG),
    _no_matter("HostbasedAcceptedAlgorithms", "it is HostbasedAuthentication's"),
    _no_matter("IPQoS", "packets are marked as the system does"),
    _honoured(
        "KbdInteractiveAuthentication",
        "`no` answers no questions with the inventory's `password`",
        choices=_FLAG,
    ),
    _no_matter("KbdInteractiveDevices", "which devices ask is the host's to say"),
    _no_matter("LocalCommand", "no program is run once connected", Reads.LINE),
    _no_matter("LocalForward", _NO_FORWARDING),
    _no_matter("LogLevel", _OWN_LOG),
    _no_matter("LogVerbose", _OWN_LOG),
    _no_matter("NumberOfPasswordPrompts", _NEVER_ASKS, Reads.NUMBER),
    _no_matter("ObscureKeystrokeTiming", _NO_TERMINAL),
    _honoured(
        "PasswordAuthentication", "`no` does not send the inventory's `password`", choices=_FLAG
    ),
    _no_matter("PermitLocalCommand", "no program is run once connected", choices=_FLAG),
    _no_matter("PermitRemoteOpen", _NO_FORWARDING),
    _honoured("ProxyUseFdpass", "`yes` with a ProxyCommand is refused", choices=_FLAG),
    _no_matter("RekeyLimit", "keys are exchanged anew after 512 MiB"),
    _no_matter("RemoteCommand", _NO_SESSION, Reads.LINE),
    _no_matter("RemoteForward", _NO_FORWARDING),
    _no_matter("RequestTTY", _NO_TERMINAL, choices=(*_FLAG, "force", "auto")),
    _no_matter("SendEnv", "no variable of yours is sent"),
    _no_matter("ServerAliveCountMax", "each step has its own time", Reads.NUMBER),
    _no_matter("SessionType", _NO_SESSION, choices=("none", "subsystem", "default")),
    _no_matter("SetEnv", "no variable is set on hosts"),
    _no_matter("StdinNull", _NO_SESSION, choices=_FLAG),
    _no_matter("StreamLocalBindMask", _NO_FORWARDING),
    _no_matter("StreamLocalBindUnlink", _NO_FORWARDING, choices=_FLAG),
    _no_matter("SyslogFacility", _OWN_LOG),
    _no_matter(
        "TCPKeepAlive", "a silent host is asked by ServerAliveInterval's means", choices=_FLAG
    ),
    _no_matter("Tunnel", _NO_FORWARDING, choices=(*_FLAG, "point-to-point", "ethernet")),
    _no_matter("TunnelDevice", _NO_FORWARDING),
    _no_matter(
        "UpdateHostKeys",
        "known_hosts gets no keys but those of --host-key accept-new",
        choices=(*_FLAG, "ask"),
    ),
    _no_matter("VersionAddendum", "our own version is told to hosts", Reads.LINE),
    _no_matter("VisualHostKey", "fingerprints are shown as text", choices=_FLAG),
    _no_matter("WarnWeakCrypto", "weak algorithms are not offered", choices=(*_FLAG, "no-pq-kex")),
    _no_matter("XAuthLocation", _NO_FORWARDING),
    *(
        _no_matter(name, _OPENSSH_TOO)
        for name in (
            "AFSTokenPassing",
            "Cipher",
            "CompressionLevel",
            "FallBackToRsh",
            "GlobalKnownHostsFile2",
            "KerberosAuthentication",
            "KerberosTgtPassing",
            "Protocol",
            "RhostsAuthentication",
            "RhostsRSAAuthentication",
            "RSAAuthentication",
            "UsePrivilegedPort",
            "UserKnownHostsFile2",
            "UseRoaming",
            "UseRsh",
        )
    ),
)

_APPLES = _no_matter("UseKeychain", "a passphrase in the keychain: `ssh-add --apple-use-keychain`")

OLD_NAMES: Mapping[str, str] = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "identityfile2": "identityfile",
    "keepalive": "tcpkeepalive",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "rsaminsize": "requiredrsasize",
    "skeyauthentication": "kbdinteractiveauthentication",
    "smartcarddevice": "pkcs11provider",
    "tisauthentication": "kbdinteractiveauthentication",
}
"""Further names of keywords, in small letters, and what they are called today."""


def known_keywords(platform: str = sys.platform) -> Mapping[str, Keyword]:
    """Return the keywords by their names in small letters: on a Mac with Apple's own."""
    found = {keyword.name.lower(): keyword for keyword in _EVERY}
    if platform == "darwin":
        found[_APPLES.name.lower()] = _APPLES
    return found


KEYWORDS: Mapping[str, Keyword] = known_keywords()
"""The keywords of this machine's client, by their names in small letters."""
