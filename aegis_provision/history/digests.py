"""What a record says of a file's content: which one it was, and nothing of what it held.

A plain hash would let anybody who reads a record try out tokens; with a key that never leaves the
state directory it tells no more than whether two files are the same.
"""

from __future__ import annotations

import hashlib
import hmac

_KIND = "hmac-sha256"


def file_digest(key: bytes, content: bytes) -> str:
    """Return the digest of a file's ``content``: ``hmac-sha256:<hex>`` (RFC 2104)."""
    return f"{_KIND}:{hmac.new(key, content, hashlib.sha256).hexdigest()}"
