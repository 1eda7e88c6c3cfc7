"""Thought signatures: made for the parts of an answer, demanded back with them.

Only the current turn is checked, that is what follows the last text of the
user, and of parallel calls only the first one. The API takes two stand-ins for
signatures that a client does not have.
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.simulators.gemini.models import Model
from gateway.simulators.google.errors import invalid

_MARK = b"simulated thought: "
_PAGE = "https://ai.google.dev/gemini-api/docs/thought-signatures"
_STAND_INS = tuple(
    base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for text in ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
)


def of_text() -> str:
    """Return the signature of a text, base64 like all of them."""
    return base64.b64encode(_MARK + b"text").decode()


def of_call(name: str, args: object) -> str:
    """Return the signature of a function call; it fits this call only."""
    return base64.b64encode(_call_mark(name, args)).decode()


def of_image(data: bytes) -> str:
    """Return the signature of an image; it fits this image only."""
    return base64.b64encode(_image_mark(data)).decode()


def check(contents: Sequence[dict[str, Any]], model: Model) -> None:
    """Raise the model's refusal of a history whose signatures are missing or altered."""
    if not model.signed:
        return
    for at, content in enumerate(contents):
        if content.get("role") != "model":
            continue
        if model.kind == "image":
            _check_images(content["parts"], at)
        if at > _last_question(contents):
            _check_calls(content["parts"])


def _last_question(contents: Sequence[dict[str, Any]]) -> int:
    """Return where the user last said something other than the result of a function."""
    asked = (
        at
        for at, content in enumerate(contents)
        if content.get("role") != "model"
        and not any("functionResponse" in part for part in content["parts"])
    )
    return max(asked, default=-1)


def _check_calls(parts: Sequence[dict[str, Any]]) -> None:
    first = next((at for at, part in enumerate(parts) if "functionCall" in part), None)
    if first is None:
        return
    call, signature = parts[first]["functionCall"], parts[first].get("thoughtSignature")
    if not signature:
        raise invalid(
            "Function call is missing a thought_signature in functionCall parts. This is required "
            "for tools to work correctly, and missing thought_signature may lead to degraded model "
            f"performance. Additional data, function call `default_api:{call['name']}` , position "
            f"{first + 1}. Please refer to {_PAGE} for more details."
        )
    _compare(signature, _call_mark(call["name"], call.get("args", {})))


def _check_images(parts: Sequence[dict[str, Any]], content_at: int) -> None:
    for at, part in enumerate(parts):
        if "inlineData" not in part:
            continue
        signature = part.get("thoughtSignature")
        if not signature:
            raise invalid(
                f"Image part is missing a thought_signature in content position {content_at + 1}, "
                f"part position {at + 1}. Please refer to {_PAGE} for more details."
            )
        _compare(signature, _image_mark(part["inlineData"]["data"]))


def _compare(given: bytes, wanted: bytes) -> None:
    if given != wanted and given not in _STAND_INS:
        raise invalid("Corrupted thought signature.")


def _call_mark(name: str, args: object) -> bytes:
    text = orjson.dumps([name, args], option=orjson.OPT_SORT_KEYS)
    return _MARK + hashlib.sha256(text).digest()


def _image_mark(data: bytes) -> bytes:
    return _MARK + hashlib.sha256(data).digest()
