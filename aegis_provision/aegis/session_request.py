"""The request that starts one session, to be shown: with names in place of its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH
from aegis_provision.providers.redaction import exposes_secret
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.templates import references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.session_variables import Session

METHOD = "POST"
API_TOKEN = "AEGIS_API_TOKEN"  # noqa: S105 - a variable's name
"""The variable for the API's token where the inventory has no ``api_token``."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that is not shown: ``template`` says how it is made of the environment."""

    template: str


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """A request that starts one session on ``host``, with nothing secret in it.

    ``address`` is where the host's API is, as the host sees it; ``address_is_known`` says that the
    inventory names it, and that it is no guess. ``token`` is what is sent as bearer token. ``name``
    is empty for Aegis' own choice.
    """

    host: str
    address: str
    token: Hidden
    work_dir: str
    name: str
    env: Mapping[str, str | Hidden]
    address_is_known: bool = True

    @property
    def url(self) -> str:
        """Return the request's URL, from the host's point of view."""
        return f"http://{self.address}{SESSIONS_PATH}"

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the variables of the environment that the hidden values are made of."""
        hidden = [self.token, *(item for item in self.env.values() if isinstance(item, Hidden))]
        return tuple(
            dict.fromkeys(
                reference.name for item in hidden for reference in references(item.template)
            )
        )


def shown_request(host: Host, work_dir: str, name: str, session: Session) -> ShownRequest:
    """Return the request for ``session``, in which every secret is a :class:`Hidden` one.

    A value that would show a secret of the session is one too, under any name.
    """
    token = host.service.api_token
    secrets = [value for value in session.values.values() if isinstance(value, Secret)]
    env: dict[str, str | Hidden] = {}
    for variable in session.spec.variables:
        value = session.values.get(variable.name)
        shown = isinstance(value, str) and not exposes_secret(value, secrets, variable.name)
        env[variable.name] = (
            value if shown and isinstance(value, str) else Hidden(variable.template)
        )
    return ShownRequest(
        host.name,
        host.service.api,
        Hidden(str(token.value) if token is not None else f"${{{API_TOKEN}}}"),
        work_dir,
        name,
        env,
        host.names_api,
    )
