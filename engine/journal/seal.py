"""Encrypts the bodies of a journal, if it has a key.  The library comes with ``jobcell[store]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from engine.api import JournalError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
"""NIST SP 800-38D, section 8.2: a random nonce of 96 bits is safe for 2**32 records of one key."""


class Seal(Protocol):
    """Turns bodies into the bytes of the file, and back."""

    def close(self, body: bytes, place: bytes) -> bytes:
        """Return the bytes for the file. *place* is the digest of the record before."""

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return the body.

        Raises:
            ValueError: The key is wrong, or the bytes were changed.

        """


class OpenSeal:
    """Leaves bodies as they are, because the journal has no key."""

    def close(self, body: bytes, place: bytes) -> bytes:  # noqa: ARG002 - see `Seal`
        """See `Seal.close`."""
        return body

    def open(self, sealed: bytes, place: bytes) -> bytes:  # noqa: ARG002 - see `Seal`
        """See `Seal.open`."""
        return sealed


class KeySeal:
    """Encrypts with AES-256-GCM.  The place of a record is authenticated with it.

    Raises:
        TypeError: *key* is not bytes.
        ValueError: *key* has another length than 32 bytes.
        JournalError: The library for it is not installed.

    """

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes):
            raise TypeError(f"the key of a journal must be bytes, not {type(key).__name__}")
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of a journal must have {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = _make_cipher(key)

    def close(self, body: bytes, place: bytes) -> bytes:
        """See `Seal.close`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, body, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """See `Seal.open`."""
        from cryptography.exceptions import InvalidTag

        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, place)
        except InvalidTag:
            raise ValueError("the key does not fit") from None


def _make_cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise JournalError(
            "a journal with a key needs the library 'cryptography'; install jobcell[store]"
        ) from None
    return AESGCM(key)
