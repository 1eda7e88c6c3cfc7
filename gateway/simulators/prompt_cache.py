"""Prompt cache of the vendors: one for each account and model, keyed by prompt prefixes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import orjson

from gateway.simulators.ledger import Ledger

_KEPT_PREFIXES = 20_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt: its content as sent, and its size in tokens."""

    content: object
    tokens: int


class PromptCaches:
    """Prefixes of the prompts that each account has sent, the most recent ones."""

    def __init__(self, ledger: Ledger) -> None:
        self._lock = Lock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def update_ledger(self) -> None:
        """Do nothing: the ledger does not count prefixes."""

    def cached_tokens(self, credential: str, model: str, prompt: Sequence[Message]) -> int:
        """Return the tokens of the longest known prefix, and remember all prefixes.

        The last message never counts as cached: vendors compute at least the end of a prompt.
        """
        digest = hashlib.sha256(orjson.dumps([credential, model]))
        tokens = cached = 0
        with self._lock:
            for at, message in enumerate(prompt, 1):
                digest.update(orjson.dumps(message.content))
                tokens += message.tokens
                key = digest.digest()
                if key in self._seen and at < len(prompt):
                    cached = tokens
                self._seen[key] = None
                self._seen.move_to_end(key)
            while len(self._seen) > _KEPT_PREFIXES:
                self._seen.popitem(last=False)
        return cached
