"""Where Aegis' API is asked."""

from __future__ import annotations

import json

import pytest

from aegis_provision.aegis.api_address import ApiAddress, api_address
from aegis_provision.aegis.config_file import ConfigFile, parse_config
from aegis_provision.aegis.identify_server import AegisServer


def config(**keys: object) -> ConfigFile:
    found = parse_config(json.dumps(keys).encode())
    assert isinstance(found, ConfigFile)
    return found


def server(
    port: str | None = None, host: str | None = None, *, running: bool = True
) -> AegisServer:
    return AegisServer("/opt/aegis", "/root", None, None, running, port, host)


@pytest.mark.parametrize(
    ("named", "process", "file", "address", "known"),
    [
        (None, None, None, "127.0.0.1:9100", False),
        (None, None, config(), "127.0.0.1:9100", False),
        (None, None, config(port=9200), "127.0.0.1:9200", False),
        (None, server(), config(port=9200), "127.0.0.1:9200", False),
        (None, server("9300"), config(port=9200), "127.0.0.1:9300", True),
        (None, server(running=False), config(port=9200), "127.0.0.1:9200", True),
        (None, server("9300", "10.0.0.5"), config(host="10.0.0.6"), "10.0.0.5:9300", True),
        (None, None, config(host="10.0.0.6"), "10.0.0.6:9100", False),
        (None, None, config(host="0.0.0.0"), "127.0.0.1:9100", False),  # noqa: S104
        (None, None, config(host="::"), "[::1]:9100", False),
        (None, None, config(host="fd00::5", port=1), "[fd00::5]:1", False),
        (None, None, config(host="localhost"), "127.0.0.1:9100", False),
        (None, None, config(host="box.example"), "127.0.0.1:9100", False),
        (None, server("no port"), None, "127.0.0.1:9100", False),
        ("127.0.0.1:9200", server("9200"), config(port=9100), "127.0.0.1:9200", True),
        ("[::1]:9200", None, config(port=9200), "[::1]:9200", True),
    ],
)
def test_what_goes_before_what(
    named: str | None,
    process: AegisServer | None,
    file: ConfigFile | None,
    address: str,
    *,
    known: bool,
) -> None:
    assert api_address(named, process, file) == ApiAddress(address, known)


@pytest.mark.parametrize(
    ("process", "file", "where"),
    [
        (None, config(port=9300), "the file says port 9300"),
        (server("9300"), config(port=9200), "the server's environment says port 9300"),
    ],
)
def test_a_port_that_contradicts_the_inventory_is_a_warning(
    process: AegisServer | None, file: ConfigFile, where: str
) -> None:
    found = api_address("127.0.0.1:9200", process, file)
    assert found.address == "127.0.0.1:9200"
    assert found.warning.startswith("api is 127.0.0.1:9200, and ")
    assert where in found.warning
