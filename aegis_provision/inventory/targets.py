"""Makes of a host's settings the values that a connection and a restart need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.inventory.host import AUTO_PATH, Service, Target

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Setting
    from aegis_provision.inventory.precedence import MergedSettings

DEFAULT_CONFIG_PATH = "aegis.config.json"
DEFAULT_BECOME_USER = "root"
DEFAULT_API = "127.0.0.1:9100"


def target_of(host: str, settings: MergedSettings) -> tuple[Target, tuple[Diagnostic, ...]]:
    """Return where ``host`` is and how to get there, and what does not fit together.

    ``settings`` are right each by itself.
    """
    become_user = _become_user(settings)
    config_path = _text(settings, "config_path") or DEFAULT_CONFIG_PATH
    jump = settings.get("jump")
    port = settings.get("port")
    target = Target(
        host=host,
        address=_text(settings, "address") or host,
        port=port.value if port is not None and isinstance(port.value, int) else None,
        user=_text(settings, "user"),
        connection="local" if _text(settings, "connection") == "local" else "ssh",
        identity_file=_text(settings, "identity_file"),
        jump=jump.value if jump is not None and isinstance(jump.value, tuple) else None,
        become_user=become_user,
        config_path=config_path,
        read_via="explicit" if _text(settings, "read_via") == "explicit" else "search",
        trust_directory="trust_directory" in settings and settings["trust_directory"].value is True,
        become_method="doas" if _text(settings, "become_method") == "doas" else "sudo",
        sftp_server_path=_text(settings, "sftp_server_path"),
        site=_text(settings, "site"),
    )
    absolute = config_path == AUTO_PATH or config_path.startswith("/")
    if become_user is not None and not absolute:
        return target, (_relative_become(host, settings),)
    return target, ()


def target_alike(host: str, target: Target, settings: MergedSettings) -> Target:
    """Return where ``host`` is, which has the same ``settings`` as the host of ``target``."""
    return Target(
        host,
        target.address if "address" in settings else host,
        target.port,
        target.user,
        target.connection,
        target.identity_file,
        target.jump,
        target.become_user,
        target.config_path,
        target.read_via,
        target.trust_directory,
        target.become_method,
        target.sftp_server_path,
        target.site,
    )


def service_of(settings: MergedSettings) -> Service:
    """Return how Aegis is restarted and asked, out of settings that are right each by itself."""
    return Service(
        unit=_text(settings, "service"),
        command=_text(settings, "restart_command"),
        api=_text(settings, "api") or DEFAULT_API,
        api_token=settings.get("api_token"),
    )


def _text(settings: MergedSettings, key: str) -> str | None:
    setting = settings.get(key)
    return str(setting.value) if setting is not None else None


def _become_user(settings: MergedSettings) -> str | None:
    become, user = settings.get("become"), settings.get("become_user")
    wanted = become.value if become is not None else user is not None
    if not wanted:
        return None
    return str(user.value) if user is not None else DEFAULT_BECOME_USER


def _relative_become(host: str, settings: MergedSettings) -> Diagnostic:
    chosen: Setting = settings.get("become_user") or settings["become"]
    path = settings.get("config_path")
    related = (Related(path.span, "this path is relative"),) if path is not None else ()
    return error(
        "relative-path",
        f'"{chosen.key}" needs an absolute config_path: '
        "a relative one begins at the login's directory, not at that user's",
        chosen.span,
        hint="set config_path, such as /opt/aegis/aegis.config.json, or 'auto'",
        related=related,
        hosts=(host,),
    )
