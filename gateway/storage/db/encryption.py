"""Encryption of secrets at rest, with keys that are derived from the gateway's secret keys."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from gateway.domain.accounts import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


class Encryption:
    """MultiFernet: the first of `secret_keys` encrypts, each may decrypt.

    A text that is encrypted for one `purpose` cannot be decrypted for another.
    """

    def __init__(self, secret_keys: Sequence[Secret], purpose: bytes) -> None:
        self._secret_keys = secret_keys
        self._purpose = purpose

    def encrypt(self, text: str) -> bytes:
        return self._keys.encrypt(text.encode())

    def decrypt(self, encrypted: bytes) -> str | None:
        """None when no secret key decrypts it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._keys.decrypt(encrypted).decode()
        except InvalidToken:
            return None

    def rotate(self, encrypted: bytes) -> bytes | None:
        """The text under the first key; None when no secret key decrypts it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._keys.rotate(encrypted)
        except InvalidToken:
            return None

    def is_current(self, encrypted: bytes) -> bool:
        """True when the first key decrypts it."""
        return Encryption(self._secret_keys[:1], self._purpose).decrypt(encrypted) is not None

    @cached_property
    def _keys(self) -> MultiFernet:
        from cryptography.fernet import MultiFernet  # ten megabytes, where nothing is encrypted

        return MultiFernet([self._fernet(key) for key in self._secret_keys])

    def _fernet(self, key: Secret) -> Fernet:
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derivation = HKDF(SHA256(), length=32, salt=None, info=self._purpose)
        return Fernet(base64.urlsafe_b64encode(derivation.derive(key.reveal().encode())))
