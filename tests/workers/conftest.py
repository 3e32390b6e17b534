"""A few hosts behind one real sshd."""

from __future__ import annotations

from tests.fleet.fixtures import hosts_of, sshd

__all__ = ["hosts_of", "sshd"]
