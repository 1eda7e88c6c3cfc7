"""Reading `contents`: roles, parts, media, and the rules for turns with function calls.

https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.gemini import signatures
from gateway.simulators.gemini.media import inline, referenced
from gateway.simulators.gemini.models import Model
from gateway.simulators.google.errors import invalid
from gateway.simulators.media.media_info import MediaInfo
from gateway.simulators.prompt_cache import Message

_ROLES = ("", "user", "model", "function")
_TOKENS = {"image": 258, "video": 1290, "audio": 160, "document": 258}
_DATA = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Content of a conversation, as far as a simulated model needs it.

    `results` says that the last turn brings results of functions.
    `tokens` maps modalities, in capitals, to their tokens.
    """

    turns: int
    last: str
    results: bool
    seen: tuple[MediaInfo, ...]
    tokens: dict[str, int]
    messages: tuple[Message, ...]


def read_prompt(payload: dict[str, Any], model: Model, credential: str) -> Prompt:
    """Check a conversation and load all of its media; raises GoogleError."""
    contents: list[dict[str, Any]] = payload.get("contents", [])
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n")
    tokens: Counter[str] = Counter()
    seen: list[MediaInfo] = []
    messages: list[Message] = []
    for content, where in _contents(payload, contents):
        parts = content.get("parts", [])
        if not parts:
            raise invalid(f"* {where}.parts: contents.parts must not be empty.\n")
        before = tokens.total()
        for at, part in enumerate(parts):
            medium = _read_part(part, f"{where}.parts[{at}]", credential)
            tokens["TEXT"] += count_tokens(part.get("text", ""))
            if medium is not None:
                seen.append(medium)
                tokens[_modality(medium)] += _TOKENS.get(medium.kind, 258)
        messages.append(Message(_without_signatures(content), tokens.total() - before))
    _check_function_turns(contents)
    if model.plain_sampling and contents[-1].get("role") == "model":
        raise invalid("The last content must not be of the role model: prefill is not supported.")
    signatures.check(contents, model)
    users = [content for content in contents if content.get("role") != "model"]
    last = users[-1] if users else contents[-1]
    return Prompt(
        turns=sum(1 for content in users if not _has(content, "functionResponse")),
        last=" ".join(text for part in last["parts"] if (text := _said(part))),
        results=_has(contents[-1], "functionResponse"),
        seen=tuple(seen),
        tokens=dict(tokens),
        messages=tuple(messages),
    )


def _without_signatures(content: dict[str, Any]) -> dict[str, Any]:
    """Return a content as the prompt cache compares it: bytes as their digest."""
    parts = []
    for part in content.get("parts", []):
        plain = {name: value for name, value in part.items() if name != "thoughtSignature"}
        if "inlineData" in plain:
            plain["inlineData"] = hashlib.sha256(plain["inlineData"].get("data", b"")).hexdigest()
        if "functionResponse" in plain:
            plain["functionResponse"] = repr(plain["functionResponse"])
        parts.append(plain)
    return {"role": content.get("role"), "parts": parts}


def _contents(
    payload: dict[str, Any], contents: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield all contents with their paths, the system instruction first."""
    system = payload.get("systemInstruction")
    if system is not None:
        if any("text" not in part for part in system.get("parts", [])):
            raise invalid("System instruction must be text only.")
        yield system, "GenerateContentRequest.system_instruction"
    for at, content in enumerate(contents):
        if content.get("role", "") not in _ROLES:
            raise invalid("Please use a valid role: user, model.")
        yield content, f"GenerateContentRequest.contents[{at}]"


def _read_part(part: dict[str, Any], where: str, credential: str) -> MediaInfo | None:
    if not any(name in part for name in _DATA):
        raise invalid(
            f"* {where}.data: required oneof field 'data' must have one initialized field\n"
        )
    if "inlineData" in part:
        return inline(part["inlineData"], where)
    if "fileData" in part:
        return referenced(part["fileData"], credential, where)
    for kind in ("functionCall", "functionResponse"):
        if kind in part and not part[kind].get("name"):
            raise invalid(f"* {where}.{kind}.name: Name cannot be empty.\n")
    return None


def _check_function_turns(contents: Sequence[dict[str, Any]]) -> None:
    """Calls follow a user's turn or results; each call is followed by its result."""
    for at, content in enumerate(contents):
        calls = _count(content, "functionCall")
        results = _count(content, "functionResponse")
        before = contents[at - 1] if at else None
        if calls and (before is None or before.get("role") == "model"):
            raise invalid(
                "Please ensure that function call turn comes immediately after a user turn or "
                "after a function response turn."
            )
        if results and (before is None or not _has(before, "functionCall")):
            raise invalid(
                "Please ensure that function response turn comes immediately after a function "
                "call turn."
            )
        if before is not None and _count(before, "functionCall") != results:
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )


def _said(part: dict[str, Any]) -> str:
    if "functionResponse" in part:
        return orjson.dumps(part["functionResponse"].get("response", {})).decode()
    text: str = part.get("text", "")
    return text


def _count(content: dict[str, Any], name: str) -> int:
    return sum(1 for part in content.get("parts", []) if name in part)


def _has(content: dict[str, Any], name: str) -> bool:
    return _count(content, name) > 0


def _modality(medium: MediaInfo) -> str:
    return {"other": "DOCUMENT"}.get(medium.kind, medium.kind.upper())
