"""What is seen of hosts, made up: all is well there, but for what a test changes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aegis_provision.aegis.api_responses import ClaudeCode, Health
from aegis_provision.aegis.file_in_use import FoundFiles, SearchedFile
from aegis_provision.aegis.identify_server import AegisServer, ServerUser, UnknownServer
from aegis_provision.aegis.remote_state import (
    ReadProblem,
    RemoteDirectory,
    RemoteFile,
    RemoteState,
    RemoteUser,
)
from aegis_provision.diagnosis.checks import Check, CheckResult
from aegis_provision.diagnosis.host_facts import (
    ApiFacts,
    ApiFailure,
    ClockFacts,
    HostFacts,
    LoginFacts,
    SpaceFacts,
)
from aegis_provision.planning.host_plan import RENAME_EXTENSION
from aegis_provision.planning.receipts import Receipt, WriteInfo
from aegis_provision.providers.session_variables import resolve_env
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "canary-of-a-token"
PATH = "/opt/aegis/aegis.config.json"
EXTENSIONS = frozenset({RENAME_EXTENSION, "fsync@openssh.com", "lsetstat@openssh.com"})
STARTED, WRITTEN = 1_795_000_000.0, 1_794_000_000
OK, WARN, FAIL, NOT = CheckResult
GIB = 1024**3
INVENTORY = """
providers:
  gateway:
    base_url: https://llm.example.com/v1
    auth_token: ${GATEWAY_TOKEN}
    model: big
    fast_model: small
    timeout_ms: "60000"
all:
  vars: {provider: gateway, config_path: PATH, api: "127.0.0.1:9100", service: aegis, VARS}
  hosts: {build-01: {}}
"""
FIVE = {
    "ANTHROPIC_BASE_URL": "https://llm.example.com/v1",
    "ANTHROPIC_AUTH_TOKEN": TOKEN,
    "ANTHROPIC_DEFAULT_MODEL": "big",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
    "API_TIMEOUT_MS": "60000",
}
HEALTH = Health(
    "ok", STARTED, 0, "0.6.6", 60.0, STARTED + 60, ClaudeCode(True, True, "2.1.90", "2.1.80")
)
RECEIPT = Receipt(
    WriteInfo("run-1", datetime(2026, 11, 1, tzinfo=UTC), "1.0"), PATH, "gateway", b"", {}, None
)
USER = ServerUser(998, frozenset({998}))
SERVER = AegisServer("/opt/aegis", "/opt/aegis", None, USER, running=True, started=int(STARTED))


def content(**keys: object) -> bytes:
    return json.dumps({"authToken": "t", "defaultSessionEnv": FIVE, **keys}).encode()


def file(data: bytes | None = None, mode: int = 0o600, uid: int = 998, at: int = WRITTEN) -> Any:
    return RemoteFile(content() if data is None else data, mode, uid, uid, at)


def state(found: RemoteFile | None, **changes: Any) -> RemoteState:
    login = RemoteUser(998, frozenset({998}), 998)
    plain = RemoteState(PATH, found, RemoteDirectory(0o755, 998, 998), login=login)
    return replace(plain, **changes)


def files_of(
    found: RemoteFile | None,
    server: AegisServer = SERVER,
    others: Mapping[str, RemoteFile] = MappingProxyType({}),
) -> FoundFiles:
    target = SearchedFile(PATH, PATH, found)
    names = (".aegis/config.yaml", ".aegis/config.yml", ".aegis/config.json", "manus.config.json")
    missing = {f"/opt/aegis/{name}": SearchedFile(f"/opt/aegis/{name}") for name in names}
    missing["/opt/aegis/.manus/config.json"] = SearchedFile("/opt/aegis/.manus/config.json")
    there = {path: SearchedFile(path, path, item) for path, item in others.items()}
    return FoundFiles(server, {**missing, **there, PATH: target})


def facts(settings: str = "", environ: dict[str, str] | None = None, **changes: Any) -> HostFacts:
    """Return what is seen of a host on which all is well, but for ``changes``."""
    text = INVENTORY.replace("PATH", PATH).replace("VARS", settings or "become_user: aegis")
    inventory, specs = specified(text)
    [host] = inventory.hosts.values()
    session = resolve_env(specs[host.name], environ or {"GATEWAY_TOKEN": TOKEN})
    plain = HostFacts(
        host,
        session,
        login=LoginFacts("deploy", "/home/anna/.ssh/id_ed25519", (), EXTENSIONS),
        actual=state(file()),
        server=files_of(file()),
        space=SpaceFacts(GIB, 1000, read_only=False),
        clock=ClockFacts(-0.4, 0.9),
        api=ApiFacts("127.0.0.1:9100", HEALTH, False, "authToken of the host's own file"),
        provider=tuple(Check(name, OK) for name in ("provider", "token", "model")),
    )
    return replace(plain, **changes)


def with_file(found: RemoteFile | None, **changes: Any) -> HostFacts:
    return facts(actual=state(found), server=files_of(found), **changes)


def unread(problem: ReadProblem, **changes: Any) -> HostFacts:
    return facts(actual=state(None, problem=problem, **changes), server=UnknownServer("?"))


def api(health: Health | ApiFailure = HEALTH, **changes: Any) -> ApiFacts:
    return replace(ApiFacts("127.0.0.1:9100", health, False, "a token"), **changes)
