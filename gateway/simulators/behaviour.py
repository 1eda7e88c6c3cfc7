"""Behaviour of a vendor, read from the caller's credential and one header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

HEADER = "X-Simulate"

# Word -> the number that it stands for when it carries none. Hexadecimal keys
# and UUIDs must stay neutral, so no word consists of the letters a-f alone.
WORDS: Mapping[str, int] = MappingProxyType(
    {
        "wrong": 0,
        "denied": 0,
        "overdue": 0,
        "unopened": 0,
        "empty": 20,
        "daily": 0,
        "overloaded": 0,
        "broken": 0,
        "blocked": 0,
        "filtered": 0,
        "cut": 2,
        "ended": 2,
        "truncated": 0,
        "html": 0,
        "malformed": 0,
        "slow": 300,
        "hang": 0,
        "stall": 2,
        "endless": 0,
        "long": 5,
        "gated": 0,
        "video": 2,
        "failed": 0,
        "expired": 0,
        "lost": 0,
        "gone": 0,
        "asked": 0,
        "echo": 0,
        "words": 12,
        "image": 1,
        "firewall": 403,
        "noagent": 0,
        "unkept": 0,
        "thoughtful": 0,
        "nostreamoptions": 0,
        "aslist": 0,
        "astext": 0,
        "gzipped": 0,
        "mislabelled": 0,
        "asevents": 0,
        "newfinish": 0,
        "continued": 0,
        "errorline": 2,
        "summary": 0,
        "halfchars": 0,
        "nonfinite": 0,
        "thoughtsbeside": 0,
        "textnumbers": 0,
        "noargs": 0,
        "sources": 0,
        "urlsafe": 0,
        "linebreaks": 0,
        "dataurl": 0,
        "oneobject": 0,
        "inwords": 0,
        "latelink": 2,
    }
)

_SEPARATORS = re.compile(r"[^0-9a-z=]+")
_WORD = re.compile(r"([a-z]+)=?([0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The words that hold for one request, each with its number."""

    credential: str
    words: Mapping[str, int]

    @classmethod
    def of(cls, credential: str, headers: Mapping[str, str]) -> Behaviour:
        """Read the words of a credential (`sk-slow200-cut`) and of `X-Simulate: cut, slow=200`."""
        return _read(credential, headers.get(HEADER, ""))

    def __contains__(self, word: str) -> bool:
        return word in self.words

    def number(self, word: str) -> int:
        """Return the number given with a word, or the word's default when it was not given."""
        return self.words.get(word, WORDS[word])

    def error_message(self, message: str) -> str:
        """Return an error message, with the credential in it when the caller asked for `echo`."""
        return f"{message} (credential: {self.credential})" if "echo" in self.words else message


@lru_cache(maxsize=20_000)
def _read(credential: str, header: str) -> Behaviour:
    words: dict[str, int] = {}
    for token in _SEPARATORS.split(f"{credential} {header}".lower()):
        match = _WORD.fullmatch(token)
        if match and match[1] in WORDS:
            words[match[1]] = int(match[2]) if match[2] else WORDS[match[1]]
    return Behaviour(credential, MappingProxyType(words))
