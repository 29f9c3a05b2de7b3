"""The encryption of a store, and the hashes by which it names contents.

With a key every content is encrypted by AES-256-GCM.  Each content has a key of its own, derived from the
key of the store and the place of the content, so that random nonces never meet.  A hash is then an
HMAC, so that nobody without the key can confirm a guess.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Final

from jobcell.store.errors import StoreDamagedError, StoreKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_VARIABLE: Final = "JOBCELL_STORE_KEY"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_CHECKED: Final = b"jobcell: the key of a store"


class Seal:
    """Encrypts contents, if the store has a key.

    Args:
        key: 32 bytes, or None.

    Raises:
        TypeError: *key* is not bytes.
        StoreKeyError: *key* has another length.

    """

    def __init__(self, key: bytes | None) -> None:
        if key is not None and not isinstance(key, bytes):
            raise TypeError(f"the key of a store must be bytes, not {type(key).__name__}")
        if key is not None and len(key) != KEY_BYTES:
            raise StoreKeyError(f"the key of a store must have {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    @property
    def is_closed(self) -> bool:
        """Whether contents are encrypted."""
        return self._key is not None

    @property
    def check(self) -> str | None:
        """A text that tells this key from another, and does not help to find it; None without a key."""
        return None if self._key is None else hmac.digest(self._key, _CHECKED, "sha256").hex()

    def digest(self, content: bytes) -> str:
        """Return the hash of a content as 64 hexadecimal digits."""
        if self._key is None:
            return hashlib.sha256(content).hexdigest()
        return hmac.digest(self._key, b"content\0" + content, "sha256").hex()

    def close(self, content: bytes, place: str) -> bytes:
        """Return the bytes that are stored.

        Args:
            content: The true bytes.
            place: The place in the store; only there the bytes can be opened.

        """
        if self._key is None:
            return content
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(place).encrypt(nonce, content, None)

    def open(self, stored: bytes, place: str) -> bytes:
        """Return the true bytes.

        Raises:
            StoreDamagedError: The bytes were changed, or belong to another place.

        """
        if self._key is None:
            return stored
        from cryptography.exceptions import InvalidTag

        nonce, text = stored[:_NONCE_BYTES], stored[_NONCE_BYTES:]
        try:
            return self._cipher(place).decrypt(nonce, text, None)
        except (InvalidTag, ValueError):
            raise StoreDamagedError(f"the store is damaged: {place} cannot be decrypted") from None

    def _cipher(self, place: str) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        assert self._key is not None
        return AESGCM(hmac.digest(self._key, b"place\0" + place.encode(), "sha256"))


def read_key(given: bytes | None) -> bytes | None:
    """Return the key of a store: *given*, or that of the environment; None if there is none.

    Raises:
        StoreKeyError: The value of the environment is not a key.  The text does not show it.

    """
    if given is not None:
        return given
    text = os.environ.get(KEY_VARIABLE, "").strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreKeyError(
            f"{KEY_VARIABLE} does not hold a key; a key is {KEY_BYTES} bytes as 64 hexadecimal digits,"
            " or in base64"
        )
    return key


def check_key(seal: Seal, known: str | None, where: str) -> None:
    """Compare the key with the one with which the store was made.

    Args:
        seal: With the key, or without.
        known: The `Seal.check` in the store.
        where: The address of the store.

    Raises:
        StoreKeyError: The key is missing, wrong, or the store is not encrypted.

    """
    if known is None and seal.is_closed:
        raise StoreKeyError(
            f"the store {where} is not encrypted; open it without {KEY_VARIABLE}, or begin a new store"
        )
    if known is not None and not seal.is_closed:
        raise StoreKeyError(f"the store {where} is encrypted; give its key in {KEY_VARIABLE}")
    if known is not None and not hmac.compare_digest(known, seal.check or ""):
        raise StoreKeyError(
            f"the key in {KEY_VARIABLE} is not that of the store {where}; the key of a store cannot be"
            " changed, so give the one with which it was made, or begin a new store"
        )
