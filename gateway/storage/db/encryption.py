"""Encryption of secrets at rest, with keys that are derived from the gateway's own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.domain.accounts import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


class Sealer:
    """The first of `secret_keys` encrypts, each may decrypt.

    `purpose` keeps what is sealed for one use from being opened for another.
    """

    def __init__(self, secret_keys: Sequence[Secret], purpose: bytes) -> None:
        self._secret_keys = secret_keys
        self._purpose = purpose

    def seal(self, text: str) -> bytes:
        return self._cipher().encrypt(text.encode())

    def open(self, sealed: bytes) -> str | None:
        """None when no key opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._cipher().decrypt(sealed).decode()
        except InvalidToken:
            return None

    def resealed(self, sealed: bytes) -> bytes | None:
        """Under the first key; None when it is so already, or when no key opens it."""
        if Sealer(self._secret_keys[:1], self._purpose).open(sealed) is not None:
            return None
        text = self.open(sealed)
        return None if text is None else self.seal(text)

    def _cipher(self) -> MultiFernet:
        from cryptography.fernet import MultiFernet  # ten megabytes, where nothing is sealed

        return MultiFernet([self._fernet(key) for key in self._secret_keys])

    def _fernet(self, key: Secret) -> Fernet:
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derivation = HKDF(SHA256(), length=32, salt=None, info=self._purpose)
        return Fernet(base64.urlsafe_b64encode(derivation.derive(key.reveal().encode())))
