"""Key of the conversation that a chat request continues."""

from __future__ import annotations

from gateway.domain.requests import ChatRequest

_MAX_CHARACTERS = 4096  # of a message, by which it is told from others


def conversation_of(request: ChatRequest) -> str:
    """The caller's `prompt_cache_key`, else the user's id, else the messages it began with."""
    params = request.params
    if key := params.get("prompt_cache_key"):
        return f"key {key}"
    user = (params.get("metadata") or {}).get("user_id") or params.get("user")
    if user:
        return f"user {user}"
    first: dict[str, str] = {}
    for message in request.messages:
        if message.role in ("system", "user") and message.role not in first:
            first[message.role] = message.text[:_MAX_CHARACTERS]
            if message.role == "user":
                break
    return "\n".join((first.get("system", ""), first.get("user", "")))
