"""An edit of Aegis' file that is refused, in JSON or in YAML."""

from __future__ import annotations


class CannotEditError(ValueError):
    """An edit that can't be made in place; the message says why, and shows no value."""
