"""Seals what only one worker may read, with a key pair that the worker made for one run.

PyNaCl's sealed boxes (X25519, XSalsa20-Poly1305): the public key is enough to seal, and only the
holder of the private key opens.
"""

from __future__ import annotations

from nacl.public import PrivateKey, PublicKey, SealedBox


class KeyPair:
    """A pair of keys; the private one never leaves the process that made it."""

    def __init__(self) -> None:
        self._private = PrivateKey.generate()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key stays where it was made")

    @property
    def public(self) -> bytes:
        """Return the key to seal with."""
        return bytes(self._private.public_key)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed. Raises ``nacl.exceptions.CryptoError`` if it was for another."""
        return SealedBox(self._private).decrypt(sealed)


def seal(public: bytes, data: bytes) -> bytes:
    """Return ``data`` so that only the holder of the pair with ``public`` can read it."""
    return SealedBox(PublicKey(public)).encrypt(data)
