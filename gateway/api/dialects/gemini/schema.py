"""generateContent and countTokens, as ChatRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.gemini import members
from gateway.api.dialects.gemini.members import member, snake
from gateway.api.dialects.gemini.tools import foreign_tools, json_schema, read_tools
from gateway.api.dialects.gemini.turns import system_message, turns
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatParams, ChatRequest

_NUMBERS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "maxOutputTokens": "max_tokens",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_WHOLE = frozenset({"topK", "candidateCount", "maxOutputTokens", "seed"})
_CONFIG = "generationConfig"
_KNOWN = frozenset(
    {
        *("contents", "systemInstruction", "tools", "toolConfig", "safetySettings"),
        *(_CONFIG, "model", "labels", "serviceTier"),
    }
)
_KNOWN_CONFIG = frozenset(_NUMBERS) | {
    *("stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema"),
    *("thinkingConfig", "responseModalities", "imageConfig"),
}
_JSON = "application/json"


def read_request(document: Mapping[str, Any], model: str, *, stream: bool = False) -> ChatRequest:
    """Raises InvalidRequest naming the field."""
    if member(document, "cachedContent"):
        raise InvalidRequest(
            "cachedContent: cached contents are not kept here; send the whole conversation.",
            param="cachedContent",
        )
    system = system_message(member(document, "systemInstruction"))
    return ChatRequest(
        model=model,
        messages=(*([system] if system else ()), *turns(document.get("contents"))),
        params=_params(document),
        stream=stream,
        include_usage=True,
    )


def unknown_in(document: Mapping[str, Any]) -> list[str]:
    """Names of what is given and not used."""
    config = member(document, _CONFIG)
    inner = config if isinstance(config, dict) else {}
    return [
        *_unknown(document, _KNOWN),
        *_unknown(inner, _KNOWN_CONFIG),
        *foreign_tools(document.get("tools")),
    ]


def shows_thoughts(document: Mapping[str, Any]) -> bool:
    """Tell whether the caller asked for the model's reasoning."""
    config = members.an_object(document, _CONFIG, "")
    return member(members.an_object(config, "thinkingConfig", _CONFIG), "includeThoughts") is True


def _unknown(given: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    spellings = known | {snake(name) for name in known}
    names = (n for n, value in given.items() if value is not None and n not in spellings)
    return [name for name in names if name.isidentifier() and len(name) <= 64][:20]


def _params(document: Mapping[str, Any]) -> ChatParams:
    config = members.an_object(document, _CONFIG, "")
    params: dict[str, Any] = {}
    for name, ours in _NUMBERS.items():
        if (value := member(config, name)) is not None:
            params[ours] = _number(value, name)
    if stop := member(config, "stopSequences"):
        if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
            raise _invalid("stopSequences", "a list of strings")
        params["stop"] = stop
    params |= _response_format(config)
    params |= _thinking(members.an_object(config, "thinkingConfig", _CONFIG))
    params |= _modalities(config)
    params |= read_tools(document.get("tools"), members.an_object(document, "toolConfig", ""))
    if tier := members.optional_text(document, "serviceTier", ""):
        params["service_tier"] = tier.lower()
    return params  # type: ignore[return-value]


def _number(value: object, name: str) -> int | float:
    """Numbers of 64 bits may be strings in Google's JSON."""
    if isinstance(value, str):
        try:
            value = int(value) if name in _WHOLE else float(value)
        except ValueError:
            raise _invalid(name, "a number") from None
    if isinstance(value, float) and name in _WHOLE and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int if name in _WHOLE else int | float):
        raise _invalid(name, "a whole number" if name in _WHOLE else "a number")
    if name in ("maxOutputTokens", "candidateCount") and value < 1:
        raise _invalid(name, "at least 1")
    return value


def _response_format(config: Object) -> dict[str, Any]:
    if members.optional_text(config, "responseMimeType", _CONFIG) != _JSON:
        return {}
    schema = member(config, "responseJsonSchema") or member(config, "responseSchema")
    if schema is None:
        return {"response_format": {"type": "json_object"}}
    path = f"{_CONFIG}.responseSchema"
    found = json_schema(dict(reading.an_object(schema, path)))
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": found},
        }
    }


def _thinking(config: Object) -> dict[str, Any]:
    path = f"{_CONFIG}.thinkingConfig"
    if level := members.optional_text(config, "thinkingLevel", path):
        return {} if "UNSPECIFIED" in level.upper() else {"reasoning_effort": level.lower()}
    budget = member(config, "thinkingBudget")
    if budget is None or budget == -1:
        return {}
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 0:
        raise _invalid("thinkingConfig.thinkingBudget", "a whole number")
    if budget == 0:
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _modalities(config: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    wanted = member(config, "responseModalities") or []
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise _invalid("responseModalities", "a list of strings")
    names = [name.lower() for name in wanted]
    if names and names != ["text"]:  # which is what models answer with anyway
        found["modalities"] = names
    if image := members.an_object(config, "imageConfig", _CONFIG):
        kept = {name: member(image, name) for name in ("aspectRatio", "imageSize")}
        found["image_config"] = {name: value for name, value in kept.items() if value}
    return found


def _invalid(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{_CONFIG}.{name} must be {what}.", param=f"{_CONFIG}.{name}")
