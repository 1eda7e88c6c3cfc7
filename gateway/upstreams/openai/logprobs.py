"""Log probabilities of tokens, in types that every JSON reader takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.upstreams.openai.envelope import listed

_LEAST = -9999.0  # as OpenAI writes minus infinity


def read_logprobs(tokens: Any) -> list[dict[str, Any]]:
    """Log probabilities in OpenAI's types; minus infinity, which JSON has not, as its floor."""
    read = []
    for token in listed(tokens):
        if not isinstance(token.get("token"), str):
            raise TypeError("no token")
        read.append(
            {
                **token,
                "logprob": _logprob(token),
                "top_logprobs": [
                    {**top, "logprob": _logprob(top)} for top in listed(token.get("top_logprobs"))
                ],
            }
        )
    return read


def _logprob(token: Mapping[str, Any]) -> float:
    value = token.get("logprob")
    if value is None:
        return _LEAST
    if type(value) not in (int, float):
        raise TypeError("no log probability")
    return float(value)
