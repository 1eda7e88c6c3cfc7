"""OpenAI's parameters in Gemini's words.

https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from gateway.domain.errors import InvalidRequest
from gateway.domain.models import ModelFacts
from gateway.domain.requests import ChatParams
from gateway.upstreams.gemini.contents import gemini_name

_MOST_STOPS = 5

_RENAMED = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_MAPPED = frozenset(_RENAMED) | {
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "thinking",
    "enable_thinking",
    "modalities",
    "image_config",
    "web_search_options",
    "service_tier",
}
_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY", "any": "ANY"}
_TIERS = {"flex": "flex", "priority": "priority"}

# Gemini 2.5 counts the tokens of its thoughts, everything later has levels.
# https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_DEFAULTS: Mapping[str, Any] = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0}
_LEAST_BUDGET_OF_2_5_PRO = 128
_FAMILY = re.compile(r"gemini-(\d+(?:\.\d+)?)?-?(pro)?")


def thinks(model: str) -> bool:
    """Tell whether a model takes `thinkingConfig`: Gemini from 2.5 on, except image models."""
    match = _FAMILY.match(model)
    return bool(match) and "image" not in model and float((match and match[1]) or 3) >= 2.5


def signs_calls(model: str) -> bool:
    """Tell whether a model refuses tool calls that come back without a signature."""
    match = _FAMILY.match(model)
    return bool(match) and float((match and match[1]) or 3) >= 3


def dropped(params: ChatParams, facts: ModelFacts | None) -> Iterator[str]:
    """Names of given parameters that have no place, or not all of it."""
    left_out = _left_out(params, facts)
    for name in params:
        if name not in _MAPPED or name in left_out:
            yield name
    if len(params.get("stop") or ()) > _MOST_STOPS:
        yield "stop"
    if "web_search_options" in params and params.get("tools"):
        yield "web_search_options"


def _left_out(params: ChatParams, facts: ModelFacts | None) -> frozenset[str]:
    """Parameters that the model ignores or refuses; of those that are mere defaults, none."""
    if facts is None:
        return frozenset()
    given: Mapping[str, Any] = params
    refused = {name for name in facts.refused if given.get(name) != _DEFAULTS.get(name, _DEFAULTS)}
    return facts.ignored | refused


def changed(model: str, params: ChatParams, facts: ModelFacts | None) -> Iterator[str]:
    """Parameters that the model takes with another value, as `reasoning_effort=low`."""
    effort, _ = _effort(params)
    if effort is None or facts is None or not facts.reasoning or not thinks(model):
        return
    if (level := _nearest_level(effort, facts.reasoning)) != effort:
        name = "reasoning_effort" if "reasoning_effort" in params else "thinking"
        yield f"{name}={level}"


def _nearest_level(effort: str, levels: Sequence[str]) -> str:
    """The level itself, else the next higher one that the model has, else its highest."""
    order = list(_LEVELS)
    if effort in levels or effort not in order:
        return effort
    for level in levels:
        if order.index(level) >= order.index(effort):
            return level
    return levels[-1]


def options(model: str, params: ChatParams, facts: ModelFacts | None) -> dict[str, Any]:
    """Everything of a request but the conversation. Raises InvalidRequest."""
    body: dict[str, Any] = {}
    if left_out := _left_out(params, facts):
        kept = {name: value for name, value in params.items() if name not in left_out}
        params = cast(ChatParams, kept)
    if config := _generation_config(model, params, facts):
        body["generationConfig"] = config
    if tools := params.get("tools"):
        names = tool_names(params)
        declared = [_function(tool, index, names) for index, tool in enumerate(tools)]
        body["tools"] = [{"functionDeclarations": declared}]
        if (choice := params.get("tool_choice")) is not None:
            body["toolConfig"] = {"functionCallingConfig": _calling(choice, names)}
    elif "web_search_options" in params:
        body["tools"] = [{"googleSearch": {}}]
    if tier := _TIERS.get(params.get("service_tier", "")):
        body["serviceTier"] = tier
    return body


def _generation_config(model: str, params: ChatParams, facts: ModelFacts | None) -> dict[str, Any]:
    given: Mapping[str, Any] = params
    config = {new: given[old] for old, new in _RENAMED.items() if old in given}
    for penalty in ("presencePenalty", "frequencyPenalty"):
        if config.get(penalty) == 0:  # the default, which some models refuse to be told
            del config[penalty]
    if "seed" in config:
        config["seed"] %= 2**31
    limit = params.get("max_completion_tokens", params.get("max_tokens"))
    if limit is not None:
        config["maxOutputTokens"] = limit
    if stop := params.get("stop"):
        config["stopSequences"] = stop[:_MOST_STOPS]
    if modalities := params.get("modalities"):
        config["responseModalities"] = [str(name).upper() for name in modalities]
    if picture := _image_config(params.get("image_config") or {}):
        config["imageConfig"] = picture
    if "response_format" in params:
        config |= _response_format(params["response_format"])
    if thinks(model) and (thinking := _thinking(model, params, facts)):
        config["thinkingConfig"] = thinking
    return config


def _image_config(wanted: Mapping[str, Any]) -> dict[str, Any]:
    ratio = wanted.get("aspect_ratio") or wanted.get("aspectRatio")
    size = wanted.get("image_size") or wanted.get("imageSize")
    return {k: v for k, v in (("aspectRatio", ratio), ("imageSize", size)) if v}


def _response_format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    kind = wanted.get("type")
    if kind not in ("json_object", "json_schema"):
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    schema = (wanted.get("json_schema") or {}).get("schema")
    if kind == "json_schema" and schema:
        config["responseJsonSchema"] = schema
    return config


def _thinking(model: str, params: ChatParams, facts: ModelFacts | None) -> dict[str, Any]:
    """Thoughts are always asked for, so that they reach the caller; effort only as given."""
    effort, budget = _effort(params)
    config: dict[str, Any] = {"includeThoughts": True}
    if model.startswith("gemini-2.5"):
        if budget is None and effort is not None:
            budget = _BUDGETS.get(effort)
        if budget is not None:
            if "pro" in model and budget >= 0:
                budget = max(budget, _LEAST_BUDGET_OF_2_5_PRO)
            config["thinkingBudget"] = budget
            config["includeThoughts"] = budget != 0
    elif effort in _LEVELS:
        if facts is not None and facts.reasoning:
            config["thinkingLevel"] = _nearest_level(effort, facts.reasoning).upper()
        else:
            config["thinkingLevel"] = _LEVELS[effort]
    return config


def _effort(params: ChatParams) -> tuple[str | None, int | None]:
    """The wanted effort, and a number of tokens where one is given."""
    thinking = params.get("thinking") or {}
    if thinking.get("type") == "disabled" or params.get("enable_thinking") is False:
        return "none", None
    budget = thinking.get("budget_tokens")
    return params.get("reasoning_effort"), budget if isinstance(budget, int) else None


def tool_names(params: ChatParams) -> dict[str, str]:
    """Names of the tools as Gemini is given them, by the caller's; no two become one."""
    names: dict[str, str] = {}
    for index, tool in enumerate(params.get("tools") or ()):
        name = str(_described(tool, index).get("name") or "")
        written = gemini_name(name)
        number = 2
        while written in names.values():
            written = f"{gemini_name(name)[:60]}_{number}"
            number += 1
        names.setdefault(name, written)
    return names


def _described(tool: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """The function of a tool, in the form of Chat Completions or of Responses."""
    if tool.get("type", "function") != "function":
        raise InvalidRequest(
            "Gemini takes tools of type function only", param=f"tools[{index}].type"
        )
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not function.get("name"):
        raise InvalidRequest("The function needs a name", param=f"tools[{index}].function.name")
    return function


def _function(tool: Mapping[str, Any], index: int, names: Mapping[str, str]) -> dict[str, Any]:
    function = _described(tool, index)
    declaration = {"name": names[str(function["name"])]}
    if description := function.get("description"):
        declaration["description"] = description
    if parameters := function.get("parameters"):
        declaration["parametersJsonSchema"] = parameters
    return declaration


def _calling(choice: str | Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The choice of a tool, as a word or an object of OpenAI's or Anthropic's."""
    word = choice if isinstance(choice, str) else choice.get("type")
    if word in _MODES:
        return {"mode": _MODES[word]}
    if isinstance(choice, str):
        raise InvalidRequest(f"There is no tool choice {choice[:64]!r}", param="tool_choice")
    if allowed := choice.get("allowed_tools"):
        mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
        chosen = [_chosen(tool, names) for tool in allowed.get("tools") or ()]
        return {"mode": mode, "allowedFunctionNames": chosen}
    return {"mode": "ANY", "allowedFunctionNames": [_chosen(choice, names)]}


def _chosen(tool: Mapping[str, Any], names: Mapping[str, str]) -> str:
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequest("The tool choice names no tool", param="tool_choice.function.name")
    return names.get(name, name)
