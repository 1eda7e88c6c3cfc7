"""The simulated Gemini API, driven with the vendor's SDK: content, models, errors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.genai import errors, types
from PIL import Image

from tests.support.media import jpeg, mp4, png

FLASH = "gemini-3.8-flash"
OLD = "gemini-2.5-flash"
DRAWER = "gemini-3.1-flash-image"
HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
WEATHER = types.FunctionDeclaration(
    name="get_weather",
    parameters_json_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    },
)
CLOCK = types.FunctionDeclaration(name="get_time", parameters={"type": "OBJECT", "properties": {}})


def generate(method: str = "generateContent", model: str = FLASH) -> str:
    return f"/v1beta/models/{model}:{method}"


def refused(gemini_post: Callable[..., requests.Response], body: Any, model: str = FLASH) -> str:
    answer = gemini_post(generate(model=model), body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    return error["message"]


def config(**fields: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(**fields)


@pytest.mark.parametrize("version", ["v1", "v1beta", None])
def test_answer_tells_what_arrived(gemini_client, version):
    answer = gemini_client(version=version).models.generate_content(
        model=FLASH,
        contents=[
            "what is this?",
            types.Part.from_bytes(data=png(64, 48), mime_type="image/png"),
            types.Part.from_bytes(data=mp4(), mime_type="video/mp4"),
        ],
    )
    assert 'you said "what is this?"' in answer.text
    assert "I see 2 attachments: image/png 64x48" in answer.text
    assert "video/mp4" in answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.prompt_token_count > 258
    assert answer.model_version == FLASH


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (FLASH, {}),
        (FLASH, {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}),
        (OLD, {"tools": [{"functionDeclarations": [{"name": "hello"}]}]}),
        (DRAWER, {}),
    ],
)
def test_answers_have_no_field_that_the_sdk_does_not_know(gemini_post, model, extra):
    whole = gemini_post(generate(model=model), HELLO | extra)
    types.GenerateContentResponse.model_validate(whole.json())
    listed = gemini_post(generate("streamGenerateContent", model), HELLO | extra).json()
    assert len(listed) > 1
    for chunk in listed:
        types.GenerateContentResponse.model_validate(chunk)
        assert chunk["usageMetadata"]["totalTokenCount"] > 0


def test_stream_comes_word_by_word(gemini):
    chunks = list(gemini.models.generate_content_stream(model=FLASH, contents="hello there"))
    assert len(chunks) > 5
    assert "".join(chunk.text for chunk in chunks).startswith("This is turn 1")
    assert [c.candidates[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    counts = [chunk.usage_metadata.candidates_token_count for chunk in chunks]
    assert counts == sorted(counts)
    assert len({chunk.response_id for chunk in chunks}) == 1


def test_events_are_framed_as_the_vendor_frames_them(gemini_post):
    answer = gemini_post(generate("streamGenerateContent?alt=sse"), HELLO)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *events, rest = answer.content.split(b"\r\n\r\n")
    assert rest == b""
    assert b"[DONE]" not in answer.content
    for event in events:
        assert event.startswith(b"data: {")
        json.loads(event.removeprefix(b"data: "))


@pytest.mark.parametrize("path", ["streamGenerateContent", "streamGenerateContent?alt=sse"])
def test_pieces_leave_one_by_one(gemini_post, simulators, path, key):
    credential = f"{key}-gated"
    simulators.release(credential)
    with gemini_post(generate(path), HELLO, "gated", stream=True) as answer:
        chunks = (chunk for chunk in answer.iter_content(None) if b"text" in chunk)
        for word in (b"This", b"is", b"turn"):
            assert word in next(chunks)
            simulators.release(credential)


def test_history_counts_turns_and_carries_media(gemini):
    image = types.Part.from_bytes(data=jpeg(30, 20), mime_type="image/jpeg")
    chat = [
        types.UserContent(parts=["look", image]),
        types.ModelContent(parts=["an image"]),
        types.UserContent(parts=["and now?"]),
    ]
    text = gemini.models.generate_content(
        model=FLASH, contents=chat, config=config(system_instruction="be short")
    ).text
    assert "This is turn 2" in text
    assert "and now?" in text
    assert "image/jpeg 30x20" in text


def test_public_urls_are_fetched(gemini, media_server):
    part = types.Part.from_uri(file_uri=f"{media_server.url}/one.jpg", mime_type="image/jpeg")
    text = gemini.models.generate_content(model=FLASH, contents=[part, "what?"]).text
    assert "image/jpeg 400x300" in text


@pytest.mark.parametrize("end", ["missing.png", "page.html"])
def test_urls_without_an_image_are_refused(gemini, media_server, end):
    part = types.Part.from_uri(file_uri=f"{media_server.url}/{end}", mime_type="image/png")
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.generate_content(model=FLASH, contents=[part])
    assert caught.value.code == 400


def test_thoughts_are_shown_on_demand(gemini):
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_level="LOW")
    answer = gemini.models.generate_content(
        model=FLASH, contents="hi", config=config(thinking_config=thinking)
    )
    thoughts = [part for part in answer.parts if part.thought]
    assert thoughts
    assert "you said" not in thoughts[0].text
    assert answer.parts[-1].thought_signature
    assert answer.usage_metadata.thoughts_token_count > 0
    plain = gemini.models.generate_content(model=FLASH, contents="hi")
    assert not any(part.thought for part in plain.parts)


def test_limits_on_the_answer_are_kept(gemini):
    stopped = gemini.models.generate_content(
        model=FLASH, contents="hi", config=config(stop_sequences=["turn"])
    )
    assert stopped.text == "This is "
    cut = gemini.models.generate_content(
        model=FLASH, contents="hi", config=config(max_output_tokens=3)
    )
    assert cut.text == "This is turn"
    assert cut.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_json_fits_its_schema(gemini):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    }
    answer = gemini.models.generate_content(
        model=FLASH,
        contents="who?",
        config=config(response_mime_type="application/json", response_json_schema=schema),
    )
    assert answer.parsed == {"name": "who?", "age": 1}


def test_several_candidates_come_as_asked(gemini):
    answer = gemini.models.generate_content(
        model=FLASH, contents="hi", config=config(candidate_count=2)
    )
    assert [candidate.index or 0 for candidate in answer.candidates] == [0, 1]


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [("16:9", "2K", (2752, 1536)), ("9:16", None, (768, 1376)), (None, "512", (512, 512))],
)
def test_images_have_the_size_asked_for(gemini, ratio, size, pixels):
    shape = types.ImageConfig(aspect_ratio=ratio, image_size=size)
    answer = gemini.models.generate_content(
        model=DRAWER,
        contents="a cat",
        config=config(response_modalities=["IMAGE"], image_config=shape),
    )
    (part,) = answer.parts
    assert part.inline_data.mime_type == "image/png"
    assert Image.open(io.BytesIO(part.inline_data.data)).size == pixels
    assert part.thought_signature


def test_edited_image_is_shaped_like_the_first_one(gemini):
    given = types.Part.from_bytes(data=png(320, 180), mime_type="image/png")
    answer = gemini.models.generate_content(model=DRAWER, contents=[given, "make it blue"])
    assert "image/png 320x180" in answer.text
    image = answer.parts[-1].inline_data
    assert Image.open(io.BytesIO(image.data)).size == (1376, 768)


def test_function_is_called_and_its_result_taken(gemini):
    tools = config(tools=[types.Tool(function_declarations=[WEATHER, CLOCK])])
    asked = types.UserContent(parts=["use get_weather and get_time for Oslo"])
    first = gemini.models.generate_content(model=FLASH, contents=asked, config=tools)
    calls = first.function_calls
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert calls[0].args == {"city": "Oslo", "days": 3}
    assert [bool(part.thought_signature) for part in first.parts] == [True, False]
    results = [
        types.Part.from_function_response(name=call.name, response={"is": "fine"}) for call in calls
    ]
    chat = [asked, first.candidates[0].content, types.UserContent(parts=results)]
    second = gemini.models.generate_content(model=FLASH, contents=chat, config=tools)
    assert 'you said "{"is":"fine"}' in second.text


def test_forced_function_is_called_whatever_is_said(gemini):
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["get_time"])
    answer = gemini.models.generate_content(
        model=OLD,
        contents="hi",
        config=config(
            tools=[types.Tool(function_declarations=[WEATHER, CLOCK])],
            tool_config=types.ToolConfig(function_calling_config=calling),
        ),
    )
    assert [call.name for call in answer.function_calls] == ["get_time"]


def call_history(signature: str | None) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": "f", "args": {"a": 1}}}
    if signature is not None:
        part["thoughtSignature"] = signature
    result = {"functionResponse": {"name": "f", "response": {}}}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [part]},
            {"role": "user", "parts": [result]},
        ]
    }


def test_call_without_its_signature_is_refused(gemini_post):
    assert "missing a thought_signature" in refused(gemini_post, call_history(None))
    assert "Corrupted" in refused(gemini_post, call_history(base64.b64encode(b"made up").decode()))
    assert (
        gemini_post(generate(), call_history("skip_thought_signature_validator")).status_code == 200
    )
    assert gemini_post(generate(model=OLD), call_history(None)).status_code == 200
    earlier = call_history(None)
    earlier["contents"] += [
        {"role": "model", "parts": [{"text": "done"}]},
        {"role": "user", "parts": [{"text": "thanks"}]},
    ]
    assert gemini_post(generate(), earlier).status_code == 200


def test_generated_image_comes_back_with_its_signature_or_not_at_all(gemini):
    first = gemini.models.generate_content(model=DRAWER, contents="a cat")
    chat = ["a cat", first.candidates[0].content, "bigger"]
    assert gemini.models.generate_content(model=DRAWER, contents=chat).parts
    first.parts[-1].thought_signature = None
    with pytest.raises(errors.ClientError, match="Image part is missing a thought_signature"):
        gemini.models.generate_content(model=DRAWER, contents=chat)


def test_tokens_are_counted(gemini):
    assert gemini.models.count_tokens(model=FLASH, contents="one two three").total_tokens == 3


def test_models_are_listed_by_version(gemini_client):
    stable = [model.name for model in gemini_client().models.list(config={"page_size": 5})]
    assert "models/gemini-omni-1.2-flash" in stable
    assert "models/gemini-flash-latest" not in stable
    beta = gemini_client(version="v1beta")
    assert beta.models.get(model="gemini-flash-latest").input_token_limit == 1_048_576
    assert beta.models.get(model=FLASH).thinking


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("gemini-9-none", "is not found for API version v1"),
        ("gemini-omni-1.2-flash", "is not supported for generateContent"),
        ("gemini-2.5-flash-image", "is no longer available"),
        ("gemini-flash-latest", "is not found for API version v1"),
    ],
)
def test_models_that_are_not_there_are_404(gemini, model, text):
    with pytest.raises(errors.ClientError, match=text) as caught:
        gemini.models.generate_content(model=model, contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("veo-3.1-generate-preview", "predictLongRunning"),
        ("imagen-4.0-generate-001", "predict"),
    ],
)
def test_retired_ways_to_videos_and_images_are_404(gemini_post, model, method):
    answer = gemini_post(generate(method, model), {"instances": [{"prompt": "a cat"}]})
    assert answer.status_code == 404
    assert "no longer available" in answer.json()["error"]["message"]


def test_body_may_come_in_chunks(sim_url, key):
    parts = [b'{"contents":{"parts":', b'{"text":"hello"}}}']
    headers = {"x-goog-api-key": key, "Content-Type": "application/json"}
    url = f"{sim_url}/gemini{generate()}"
    answer = requests.post(url, data=iter(parts), headers=headers, timeout=20)
    assert "hello" in answer.text
