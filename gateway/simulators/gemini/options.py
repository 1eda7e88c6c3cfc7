"""Checking `generationConfig` and `tools` against what a model can do.

https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

import re
from typing import Any

from gateway.simulators.gemini.models import Model
from gateway.simulators.gemini.sizes import EXTREME_RATIOS, RATIOS
from gateway.simulators.google.errors import invalid

_MOST_STOPS = 5
_PENALTIES = {"presencePenalty": "Presence penalty", "frequencyPenalty": "Frequency penalty"}
_FORMATS = ("text/plain", "application/json", "text/x.enum")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_WHERE = "* GenerateContentRequest.generation_config."


def check_config(config: dict[str, Any], model: Model) -> None:
    """Raise GoogleError for a value that is out of range or not for this model."""
    if not 0 <= config.get("temperature", 1) <= 2:
        raise invalid(f"{_WHERE}temperature: temperature must be in the range [0.0, 2.0].\n")
    if not 0 <= config.get("topP", 1) <= 1:
        raise invalid(f"{_WHERE}top_p: top_p must be in the range [0.0, 1.0].\n")
    if config.get("maxOutputTokens", 1) < 1:
        raise invalid("max_output_tokens must be positive.")
    if len(config.get("stopSequences", ())) > _MOST_STOPS:
        raise invalid(f"The number of stop sequences must be no more than {_MOST_STOPS}.")
    if not 1 <= config.get("candidateCount", 1) <= model.most_candidates:
        raise invalid(f"The specified number of candidates is not in [1, {model.most_candidates}].")
    for name, title in _PENALTIES.items():
        if model.plain_sampling and name in config:
            raise invalid(f"{title} is not enabled for models/{model.id}")
    _check_format(config)
    _check_thinking(config.get("thinkingConfig", {}), model)
    _check_modalities(config, model)


def check_tools(payload: dict[str, Any], model: Model) -> None:
    """Raise GoogleError for functions that cannot be declared, or not be called."""
    names = [
        function.get("name", "")
        for tool in payload.get("tools", [])
        for function in tool.get("functionDeclarations", [])
    ]
    for at, name in enumerate(names):
        where = f"* GenerateContentRequest.tools[0].function_declarations[{at}].name"
        if not _FUNCTION_NAME.fullmatch(name):
            raise invalid(f"{where}: Invalid function name. Must start with a letter or _.\n")
        if name in names[:at]:
            raise invalid(f"{where}: Duplicate function declaration found: {name}\n")
    if names and model.kind == "image":
        raise invalid("Function calling is not enabled for this model.")
    calling = payload.get("toolConfig", {}).get("functionCallingConfig", {})
    forced = calling.get("mode") in ("ANY", "VALIDATED")
    if forced and not names:
        raise invalid(
            "Function calling config is set without function_declarations in the request."
        )
    allowed = calling.get("allowedFunctionNames", [])
    if allowed and not forced:
        raise invalid("Allowed function names can only be set with the mode ANY or VALIDATED.")
    for name in allowed:
        if name not in names:
            raise invalid(f"Function {name} is allowed, but is not declared.")


def _check_format(config: dict[str, Any]) -> None:
    mime = config.get("responseMimeType") or "text/plain"
    if mime not in _FORMATS:
        raise invalid(
            f"{_WHERE}response_mime_type: allowed mimetypes are `text/plain`, "
            "`application/json`, `application/xml`, `application/yaml` and `text/x.enum`.\n"
        )
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if schemas and mime == "text/plain":
        raise invalid(
            f"{_WHERE}response_mime_type: must be set to a structured format with a schema.\n"
        )
    if len(schemas) > 1:
        raise invalid("Only one of response_schema and response_json_schema can be set.")


def _check_thinking(thinking: dict[str, Any], model: Model) -> None:
    if thinking and not model.thinks:
        raise invalid("Thinking is not enabled for this model.")
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    level = thinking.get("thinkingLevel")
    if level is not None and not model.levels:
        raise invalid("Thinking level is not supported for this model.")
    if level is not None and level not in model.levels:
        allowed = ", ".join(name.lower() for name in reversed(model.levels))
        raise invalid(f"Thinking level {level} is not supported. Allowed values are: {allowed}")
    if "thinkingBudget" in thinking and not model.budgets:
        raise invalid("Thinking budget is not supported for this model. Use thinking level.")
    if thinking.get("thinkingBudget", 0) < -1:
        raise invalid("The thinking budget is invalid. Please choose a value of at least -1.")


def _check_modalities(config: dict[str, Any], model: Model) -> None:
    wanted = config.get("responseModalities", [])
    able = {"TEXT", "IMAGE"} if model.kind == "image" else {"TEXT"}
    missing = [name for name in wanted if name not in able]
    if missing:
        raise invalid(
            "Model does not support the requested response modalities: "
            f"{', '.join(missing).lower()}"
        )
    image = config.get("imageConfig")
    if image is None:
        return
    if model.kind != "image":
        raise invalid("Image generation is not enabled for this model.")
    ratio, size = image.get("aspectRatio"), image.get("imageSize")
    ratios = RATIOS + EXTREME_RATIOS if model.extreme_ratios else RATIOS
    if ratio is not None and ratio not in ratios:
        raise invalid(
            f"{_WHERE}image_config.aspect_ratio: aspect_ratio must be one of {', '.join(ratios)}.\n"
        )
    if size is not None and size not in model.sizes:
        sizes = ", ".join(model.sizes)
        raise invalid(f"{_WHERE}image_config.image_size: image_size must be one of {sizes}.\n")
