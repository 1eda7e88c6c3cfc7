"""Every dialect's requests on the way: large attachments, and demands that no vendor meets."""

from __future__ import annotations

import base64

import pytest

from tests.support.media import data_url, png

LARGE = png(700, 500) + bytes(20 << 20)  # more than a body without attachments may have
BASE64 = base64.b64encode(LARGE).decode()


def asked(path, body):
    return path, {"model": "doubao", **body}


LOOK = {"type": "text", "text": "What is this?"}
WITH_ATTACHMENT = {
    "chat": asked(
        "/v1/chat/completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [LOOK, {"type": "image_url", "image_url": {"url": data_url(LARGE)}}],
                }
            ]
        },
    ),
    "responses": asked(
        "/v1/responses",
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": data_url(LARGE)},
                    ],
                }
            ]
        },
    ),
    "messages": asked(
        "/v1/messages",
        {
            "max_tokens": 99,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        LOOK,
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": BASE64,
                            },
                        },
                    ],
                }
            ],
        },
    ),
    "gemini": (
        "/v1beta/models/doubao:generateContent",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "What is this?"},
                        {"inlineData": {"mimeType": "image/png", "data": BASE64}},
                    ],
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("dialect", WITH_ATTACHMENT)
def test_large_attachments_are_no_text(gateway, dialect):
    path, body = WITH_ATTACHMENT[dialect]
    answer = gateway.post(path, body)
    assert answer.status_code == 200, answer.text[:300]
    assert "image/png 700x500" in answer.text


@pytest.mark.parametrize("text", ["A" * 100_000, data_url(bytes(100_000))])
def test_arguments_of_a_tool_are_no_attachment(gateway, simulators, text):
    use = {"type": "tool_use", "id": "toolu_1", "name": "save", "input": {"data": text}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "saved"}
    body = {
        "model": "test-model",
        "max_tokens": 99,
        "messages": [
            {"role": "user", "content": "Save it."},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
    }
    answer = gateway.post("/v1/messages", body, headers={"X-Gateway-Dry-Run": "1"})
    assert answer.status_code == 200, answer.text[:300]
    assert text[-50_000:] in answer.text


def test_a_stored_conversation_keeps_its_large_images(gateway):
    picture = data_url(png(300, 200) + bytes(200_000))
    part = {"type": "input_image", "image_url": picture}
    first = gateway.post(
        "/v1/responses",
        {"model": "doubao", "input": [{"role": "user", "content": [part]}]},
        key="ark-large-image",
    ).json()
    more = {"model": "doubao", "input": "And now?", "previous_response_id": first["id"]}
    answer = gateway.post("/v1/responses", more, key="ark-large-image")
    assert answer.status_code == 200, answer.text
    assert "turn 2" in answer.text
    path = f"/v1/responses/{first['id']}/input_items"
    (item,) = gateway.get(path, key="ark-large-image").json()["data"]
    assert item["content"][0]["image_url"] == picture


SEARCH = [{"type": "web_search_20250305", "name": "web_search"}]
FORCED = {"type": "tool", "name": "web_search"}


@pytest.mark.parametrize(("model", "status"), [("gemini/gemini-3.8-flash", 200), ("doubao", 400)])
def test_a_search_that_is_demanded_is_made_or_refused(gateway, model, status):
    hello = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
    answer = gateway.post("/v1/messages", {**hello, "tools": SEARCH, "tool_choice": FORCED})
    assert answer.status_code == status, answer.text
    assert gateway.post("/v1/messages", {**hello, "tools": SEARCH}).status_code == 200
    body = {"model": model, "input": "Hi", "tools": [{"type": "web_search"}]}
    answer = gateway.post("/v1/responses", body | {"tool_choice": "required"})
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["error"]["param"] == "tool_choice"
    assert gateway.post("/v1/responses", body).status_code == 200


def test_a_message_starts_with_an_estimate_of_its_input(gateway):
    body = {"model": "doubao", "max_tokens": 99, "stream": True}
    messages = [{"role": "user", "content": "one two three four " * 20}]
    answer = gateway.post("/v1/messages", body | {"messages": messages})
    start = answer.text.partition("message_start")[2].partition("\n\n")[0]
    count = gateway.post(
        "/v1/messages/count_tokens", {"model": "doubao", "messages": messages}
    ).json()
    assert f'"input_tokens":{count["input_tokens"]},' in start


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v1/messages/batches", "POST /v1/messages"),
        ("/v1/conversations", "previous_response_id"),
        ("/v1beta/cachedContents", "the whole conversation"),
        ("/upload/v1beta/files", "inlineData"),
        ("/api/v3/responses", "/v1/responses"),
        ("/api/v3/context/create", "/api/v3/chat/completions"),
    ],
)
def test_what_a_dialect_lacks_is_refused_with_what_to_use_instead(gateway, path, instead):
    answer = gateway.post(path, {})
    assert answer.status_code == 404
    assert instead in answer.json()["error"]["message"]
