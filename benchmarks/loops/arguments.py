"""What every loop is told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Loop:
    """The hosts as addresses and files, how to get to them, and what each file shall hold."""

    hosts: tuple[tuple[str, str], ...]
    port: int
    user: str
    key: Path
    known_hosts: Path
    content: Path | None
    forks: int


def parse_loop() -> Loop:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--known-hosts", type=Path, required=True)
    parser.add_argument("--content", type=Path)
    parser.add_argument("--forks", type=int, default=32)
    said = parser.parse_args()
    lines = said.list.read_text(encoding="utf-8").splitlines()
    hosts = tuple((address, path) for address, _, path in (line.partition(" ") for line in lines))
    return Loop(hosts, said.port, said.user, said.key, said.known_hosts, said.content, said.forks)
