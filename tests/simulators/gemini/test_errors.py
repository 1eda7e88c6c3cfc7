"""Refusals and failures of the simulated Gemini API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.genai import errors, types

from tests.simulators.gemini.test_generate import (
    DRAWER,
    FLASH,
    HELLO,
    OLD,
    generate,
    refused,
)


@pytest.mark.parametrize(
    ("word", "code", "status", "text"),
    [
        ("wrong", 400, "INVALID_ARGUMENT", "API key not valid"),
        ("denied", 403, "PERMISSION_DENIED", "are blocked"),
        ("overdue", 400, "FAILED_PRECONDITION", "enable billing"),
        ("empty7", 429, "RESOURCE_EXHAUSTED", r"Please retry in 7\.0s"),
        ("daily", 429, "RESOURCE_EXHAUSTED", "exceeded your current quota"),
        ("overloaded", 503, "UNAVAILABLE", "overloaded"),
        ("broken", 500, "INTERNAL", "internal error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_accounts_fail_as_at_the_vendor(gemini_client, word, code, status, text, stream):
    models = gemini_client(word).models
    call: Callable[..., Any] = models.generate_content
    if stream:
        call = lambda **options: list(models.generate_content_stream(**options))  # noqa: E731
    with pytest.raises(errors.APIError, match=text) as caught:
        call(model=FLASH, contents="hi")
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize(
    ("word", "period", "wait"), [("empty7", "PerMinute", "7s"), ("daily", "PerDay", "20s")]
)
def test_quota_error_tells_which_and_for_how_long(gemini_post, word, period, wait):
    answer = gemini_post(generate(), HELLO, word)
    assert "Retry-After" not in answer.headers
    details = {one["@type"].rpartition(".")[2]: one for one in answer.json()["error"]["details"]}
    assert period in details["QuotaFailure"]["violations"][0]["quotaId"]
    assert details["RetryInfo"]["retryDelay"] == wait
    assert details["Help"]["links"]


def test_wrong_key_names_its_reason(gemini_post):
    details = gemini_post(generate(), HELLO, "wrong").json()["error"]["details"]
    assert details[0]["reason"] == "API_KEY_INVALID"
    assert details[1]["locale"] == "en-US"


def test_error_of_a_stream_is_an_array_without_alt_sse(gemini_post):
    plain = gemini_post(generate("streamGenerateContent"), HELLO, "empty")
    assert plain.json()[0]["error"]["code"] == 429
    events = gemini_post(generate("streamGenerateContent?alt=sse"), HELLO, "empty")
    assert events.json()["error"]["code"] == 429


def test_credentials_are_read_from_two_headers_and_the_query(gemini_post, key):
    def status(query: str = "", **headers: str) -> int:
        return gemini_post(f"{generate()}{query}", HELLO, headers=headers).status_code

    assert status() == 403
    assert status(f"?key={key}") == 200
    assert status(f"?key={key}-wrong") == 400
    assert status(Authorization=f"Bearer ya29.{key}") == 200
    assert status(Authorization=f"Bearer ya29.{key}-expired") == 401
    assert status(Authorization=f"Bearer sk-{key}") == 401


def test_error_shows_the_credential_only_on_demand(gemini_post, key):
    assert key not in gemini_post(generate(), HELLO, "broken").text
    assert f"{key}-broken-echo" in gemini_post(generate(), HELLO, "broken-echo").text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"foo": 1}, 'Unknown name "foo": Cannot find field.'),
        ({"generationConfig": {"topp": 1}}, "Unknown name \"topp\" at 'generation_config'"),
        (
            {"contents": [{"parts": [{"image_url": "x"}]}]},
            "Unknown name \"image_url\" at 'contents[0].parts[0]'",
        ),
        ({"generationConfig": {"temperature": "hot"}}, '(TYPE_FLOAT), "hot"'),
        ({"generationConfig": {"seed": 1.5}}, "'generation_config.seed' (TYPE_INT32), 1.5"),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "auto"}}},
            'FunctionCallingConfig.Mode), "auto"',
        ),
        ({"contents": "hello"}, "'contents[0]' (type.googleapis.com/google.ai"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "§"}}]}]},
            "Base64 decoding failed",
        ),
        ({"contents": [{"parts": [{"text": "a", "fileData": {}}]}]}, "oneof field"),
        ({"systemInstruction": [{"text": "a"}]}, "not repeating, cannot start list"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"$ref": "x"}}]}]},
            "Unknown name \"$ref\" at 'tools[0].function_declarations[0].parameters'",
        ),
    ],
)
def test_bodies_that_do_not_fit_are_refused(gemini_post, body, text):
    assert text in refused(gemini_post, HELLO | body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        ({"contents": [{"role": "user", "parts": [{}]}]}, "required oneof field 'data'"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "a/b", "data": "AAAA"}}]}]},
            "Unsupported MIME type: a/b",
        ),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]},
            "Unable to process input image",
        ),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/x.png"}}]}]},
            "Invalid or unsupported file uri",
        ),
        ({"generationConfig": {"temperature": 3}}, "[0.0, 2.0]"),
        ({"generationConfig": {"stopSequences": list("abcdef")}}, "no more than 5"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "must be positive"),
        ({"generationConfig": {"candidateCount": 9}}, "[1, 8]"),
        ({"generationConfig": {"responseMimeType": "image/png"}}, "allowed mimetypes"),
        ({"generationConfig": {"responseSchema": {"type": "STRING"}}}, "structured format"),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "response modalities: image"),
        ({"generationConfig": {"imageConfig": {"aspectRatio": "1:1"}}}, "not enabled"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
            "only set only one",
        ),
        ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]},
            "Duplicate function declaration",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_decl"),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]},
            "function call turn comes immediately after a user turn",
        ),
        (
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}]},
            "function response turn comes immediately after",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(gemini_post, body, text):
    assert text in refused(gemini_post, HELLO | body)


@pytest.mark.parametrize(
    ("model", "config", "text"),
    [
        (OLD, {"thinkingConfig": {"thinkingLevel": "LOW"}}, "Thinking level is not supported"),
        (DRAWER, {"imageConfig": {"aspectRatio": "auto"}}, "aspect_ratio must be one of"),
        (DRAWER, {"imageConfig": {"imageSize": "2k"}}, "image_size must be one of"),
        ("gemini-3-pro-image", {"imageConfig": {"aspectRatio": "1:8"}}, "aspect_ratio must be"),
        (DRAWER, {"responseModalities": ["AUDIO"]}, "response modalities: audio"),
    ],
)
def test_models_refuse_what_they_cannot_do(gemini_post, model, config, text):
    assert text in refused(gemini_post, HELLO | {"generationConfig": config}, model)


def test_every_fault_of_a_body_is_listed(gemini_post):
    answer = gemini_post(generate(), HELLO | {"foo": 1, "generationConfig": {"bar": 2}}).json()
    (detail,) = answer["error"]["details"]
    assert [one.get("field") for one in detail["fieldViolations"]] == [None, "generation_config"]


def test_names_are_taken_in_both_spellings(gemini_post):
    body = {
        "contents": {"parts": {"text": "hi"}},
        "system_instruction": {"parts": [{"text": "be short"}]},
        "generation_config": {"max_output_tokens": "2", "stopSequences": None, "topK": 3},
    }
    answer = gemini_post(generate(), body).json()
    assert answer["candidates"][0]["content"]["parts"][0]["text"] == "This is"


def test_everything_the_sdk_can_send_is_accepted(gemini_client):
    answer = gemini_client().models.generate_content(
        model="gemini-3.5-flash",
        contents="hi",
        config=types.GenerateContentConfig(
            system_instruction="be short",
            temperature=0.5,
            top_p=0.9,
            top_k=20,
            candidate_count=1,
            max_output_tokens=100,
            stop_sequences=["###"],
            presence_penalty=0.1,
            frequency_penalty=0.1,
            seed=7,
            response_logprobs=False,
            media_resolution="MEDIA_RESOLUTION_LOW",
            safety_settings=[
                types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")
            ],
            tools=[
                types.Tool(google_search=types.GoogleSearch()),
                types.Tool(code_execution=types.ToolCodeExecution()),
                types.Tool(url_context=types.UrlContext()),
            ],
            service_tier="flex",
            labels={"team": "web"},
            thinking_config=types.ThinkingConfig(thinking_level="HIGH"),
        ),
    )
    assert answer.text


def test_blocked_prompt_is_a_200_without_candidates(gemini_client):
    answer = gemini_client("blocked").models.generate_content(model=FLASH, contents="hi")
    assert answer.candidates is None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    (chunk,) = gemini_client("blocked").models.generate_content_stream(model=FLASH, contents="hi")
    assert chunk.prompt_feedback.block_reason


def test_filtered_answer_ends_for_safety(gemini_client):
    chunks = list(
        gemini_client("filtered").models.generate_content_stream(model=FLASH, contents="hi")
    )
    assert chunks[0].text == "This"
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.SAFETY
    assert chunks[-1].candidates[0].content is None


@pytest.mark.parametrize(("word", "reason"), [("failed", "NO_IMAGE"), ("filtered", "IMAGE_SAFETY")])
def test_image_that_fails_says_why(gemini_client, word, reason):
    answer = gemini_client(word).models.generate_content(model=DRAWER, contents="a cat")
    assert answer.candidates[0].finish_reason.value == reason
    assert answer.candidates[0].content is None


@pytest.mark.parametrize("path", ["streamGenerateContent", "streamGenerateContent?alt=sse"])
def test_stream_that_fails_ends_with_a_bare_error(gemini_client, gemini_post, path):
    with pytest.raises(errors.ServerError, match="internal error"):
        list(gemini_client("failed").models.generate_content_stream(model=FLASH, contents="hi"))
    text = gemini_post(generate(path), HELLO, "failed").text
    assert '"This"' in text
    assert text.rstrip("\n]").endswith("}")
    assert "data: {\n" not in text


def test_payload_has_a_limit(gemini_post):
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * (101 * 1024 * 1024)}}
    text = refused(gemini_post, {"contents": [{"parts": [image]}]})
    assert text == "Request payload size exceeds the limit: 104857600 bytes."


def test_body_that_is_no_json_is_refused(sim_url, key):
    answer = requests.post(
        f"{sim_url}/gemini{generate()}",
        data=b"{'contents': 1}",
        headers={"x-goog-api-key": key},
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid JSON payload received.")


def test_unknown_query_parameter_is_refused(gemini_post):
    answer = gemini_post(f"{generate()}?stream=true", HELLO)
    assert "Cannot bind query parameter. Field 'stream'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", generate()),
        ("POST", "/v2/models"),
        ("POST", generate("embedContents")),
        ("DELETE", "/v1/models"),
    ],
)
def test_unknown_paths_are_a_page(sim_url, key, method, path):
    answer = requests.request(
        method, f"{sim_url}/gemini{path}", headers={"x-goog-api-key": key}, timeout=20
    )
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        ("gemini-3.8-flash", {"presence_penalty": 0.1}, "Presence penalty is not enabled"),
        ("gemini-3.8-flash", {"thinking_config": {"thinking_level": "MINIMAL"}}, "medium, low"),
        ("gemini-4-argon", {"thinking_config": {"thinking_budget": 100}}, "Thinking budget"),
        ("gemini-4-argon", {"candidate_count": 2}, "number of candidates"),
        ("gemini-4-argon", {"thinking_config": {"thinking_level": "XHIGH"}}, "high, medium"),
        ("gemini-3-pro-preview", {}, "no longer available"),
    ],
)
def test_parameters_that_a_family_no_longer_takes_are_refused(gemini_client, model, config, words):
    with pytest.raises(errors.ClientError, match=words):
        gemini_client().models.generate_content(model=model, contents="hi", config=config)


def test_prefill_is_refused_by_newer_models_only(gemini_client):
    contents = [types.UserContent(parts=["hi"]), types.ModelContent(parts=["Once"])]
    assert gemini_client().models.generate_content(model="gemini-3.5-flash", contents=contents)
    with pytest.raises(errors.ClientError, match="prefill"):
        gemini_client().models.generate_content(model="gemini-4-neon", contents=contents)


def test_a_substituted_model_says_what_served(gemini_client):
    made = gemini_client().models.generate_content(model="gemini-2.5-pro", contents="hi")
    assert made.model_version == "gemini-3.8-flash"
