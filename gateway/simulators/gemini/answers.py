"""Answers of the models: parts of a candidate, one step of the stream after the other."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.simulators.behaviour import Behaviour
from gateway.simulators.chat.replies import Finish, compose, sample, sample_json
from gateway.simulators.gemini import signatures
from gateway.simulators.gemini.models import Model
from gateway.simulators.gemini.prompts import Prompt
from gateway.simulators.gemini.sizes import image_size
from gateway.simulators.media.images import generate_image

Part = dict[str, Any]

THOUGHTS = ("**Reading the question**\n\n", "I read what was sent ", "and what was asked.\n")
_FINISH: dict[Finish, str] = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY"}
_TOKENS_PER_IMAGE = 1120
_TOKENS_PER_CALL = 16


@dataclass(frozen=True, slots=True)
class Step:
    """One chunk of a stream, with its share of the usage."""

    part: Part
    tokens: int = 1
    modality: str = "TEXT"


@dataclass(frozen=True, slots=True)
class Answer:
    """One candidate. `closing` is the part of the last chunk, None when there is none."""

    steps: tuple[Step, ...]
    finish: str
    closing: Part | None
    thoughts: int = 0


def answer(payload: dict[str, Any], prompt: Prompt, model: Model, words: Behaviour) -> Answer:
    """Make a candidate."""
    config: dict[str, Any] = payload.get("generationConfig", {})
    thinks = model.thinks and config.get("thinkingConfig", {}).get("thinkingBudget") != 0
    thoughts = len(THOUGHTS) if thinks else 0
    steps: list[Step] = []
    if thinks and config.get("thinkingConfig", {}).get("includeThoughts"):
        steps = [Step({"text": text, "thought": True}, 0) for text in THOUGHTS]
    if model.kind == "image":
        return _image(config, prompt, words, steps, thoughts, signed=model.signed)
    calls = _calls(payload, prompt, signed=model.signed)
    if calls:
        return Answer((*steps, *calls), "STOP", None, thoughts)
    return _text(config, prompt, words, steps, thoughts, signed=model.signed)


def _text(
    config: dict[str, Any],
    prompt: Prompt,
    words: Behaviour,
    steps: list[Step],
    thoughts: int,
    *,
    signed: bool,
) -> Answer:
    reply = compose(
        turns=prompt.turns,
        last=prompt.last,
        seen=prompt.seen,
        behaviour=words,
        max_tokens=config.get("maxOutputTokens"),
        stop=config.get("stopSequences", ()),
        json_text=_structured(config, prompt.last),
    )
    steps += [Step({"text": piece}) for piece in reply.pieces]
    closing: Part | None = {"text": ""}
    if signed and thoughts:
        closing = {"text": "", "thoughtSignature": signatures.of_text()}
    if reply.finish == "filtered":
        closing = None
    return Answer(tuple(steps), _FINISH[reply.finish], closing, thoughts)


def _structured(config: dict[str, Any], last: str) -> str | None:
    """Return the text that fits the wanted format, None where any text does."""
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    mime = config.get("responseMimeType", "text/plain")
    if mime == "text/plain":
        return None
    if mime == "text/x.enum":
        return str(sample(schema or {}, last))
    default = {"type": "object", "properties": {"said": {"type": "string"}}}
    return sample_json(schema if isinstance(schema, dict) else default, last)


def _image(
    config: dict[str, Any],
    prompt: Prompt,
    words: Behaviour,
    steps: list[Step],
    thoughts: int,
    *,
    signed: bool,
) -> Answer:
    if "failed" in words:
        return Answer(tuple(steps), "NO_IMAGE", None, thoughts)
    if "filtered" in words:
        return Answer(tuple(steps), "IMAGE_SAFETY", None, thoughts)
    wanted = config.get("responseModalities") or ["TEXT", "IMAGE"]
    if "TEXT" in wanted:
        reply = compose(turns=prompt.turns, last=prompt.last, seen=prompt.seen, behaviour=words)
        steps += [Step({"text": piece}) for piece in reply.pieces]
    if "IMAGE" in wanted:
        shape = config.get("imageConfig", {})
        width, height = image_size(shape.get("aspectRatio"), shape.get("imageSize"), prompt.seen)
        data = generate_image(prompt.last, width, height)
        part: Part = {
            "inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}
        }
        if signed:
            part["thoughtSignature"] = signatures.of_image(data)
        steps.append(Step(part, _TOKENS_PER_IMAGE, "IMAGE"))
    return Answer(tuple(steps), "STOP", None, thoughts)


def _calls(payload: dict[str, Any], prompt: Prompt, *, signed: bool) -> list[Step]:
    """Call the functions that the user names, or the first one where a call is forced.

    The first of parallel calls is signed, and calls of models that sign have ids.
    """
    calling = payload.get("toolConfig", {}).get("functionCallingConfig", {})
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames")
    functions = {
        function["name"]: function
        for tool in payload.get("tools", [])
        for function in tool.get("functionDeclarations", [])
        if allowed is None or function["name"] in allowed
    }
    if not functions or mode == "NONE":
        return []
    named = [] if prompt.results else [name for name in functions if name in prompt.last]
    if mode == "ANY":
        named = named or [next(iter(functions))]
    found = re.findall(r"\w+", prompt.last)
    hint = found[-1] if found else "example"
    steps: list[Step] = []
    for name in named:
        args = _arguments(functions[name], hint)
        call: dict[str, Any] = {"name": name, "args": args}
        part: Part = {"functionCall": call}
        if signed:
            call["id"] = secrets.token_hex(4)
            if not steps:
                part["thoughtSignature"] = signatures.of_call(name, args)
        steps.append(Step(part, _TOKENS_PER_CALL))
    return steps


def _arguments(function: dict[str, Any], hint: str) -> dict[str, Any]:
    schema = function.get("parametersJsonSchema") or function.get("parameters") or {}
    args = sample({"type": "object", **schema}, hint)
    return args if isinstance(args, dict) else {}
