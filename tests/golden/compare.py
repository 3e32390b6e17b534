"""Compares what a command printed with the file that says what it should print.

``GOLDEN=write`` (``make golden``) writes the files anew instead: a person then looks at the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent
WRITE = os.environ.get("GOLDEN") == "write"


def assert_golden(name: str, text: str) -> None:
    """Fail where ``text`` is not what the file ``name`` holds."""
    path = GOLDEN / name
    if WRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    assert path.exists(), f"{path} is missing: run 'make golden' and look at what it writes"
    assert text == path.read_text(encoding="utf-8"), "if this is meant, run 'make golden'"
