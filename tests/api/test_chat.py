"""Chat as callers see it: answers, streams, media, sessions, whose credential is used."""

from __future__ import annotations

import io
import json

import pytest
import requests
from PIL import Image

from tests.support.media import data_url, mp4, png

DRAW = "Draw a picture of a golden lotus"


def frames(answer):
    """The events of a stream: parsed, `[DONE]` and comments as text."""
    return [
        json.loads(line[6:]) if line.startswith("data: {") else line
        for line in answer.text.split("\n\n")
        if line
    ]


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def test_an_answer_says_where_it_came_from(gateway):
    answer = gateway.chat(headers={"X-Request-Id": "my-request.1"})
    assert answer.headers["X-Request-Id"] == "my-request.1"
    assert answer.headers["X-Gateway-Upstream"] == "ark"
    assert answer.headers["X-Gateway-Account"] == "ark-1"
    assert answer.headers["X-Gateway-Attempts"] == "1"
    assert answer.headers["X-Gateway-Usage"] == "vendor"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_request_id_of_another_form_is_replaced(gateway):
    answer = gateway.chat(headers={"X-Request-Id": "x y"})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_parameters_that_the_vendor_lacks_are_named(gateway):
    answer = gateway.chat(model="gemini-enterprise", seed=7, temperature=1)
    assert answer.status_code == 200
    dropped = answer.headers["X-Gateway-Dropped-Params"].split(", ")
    assert set(dropped) >= {"seed", "temperature"}


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}


@pytest.mark.parametrize("wanted", [TOOLS, SCHEMA, {"n": 2}], ids=["tools", "schema", "n"])
def test_the_answer_comes_from_a_route_that_takes_what_it_is_about(gateway, wanted):
    answer = gateway.chat(model="gemini-enterprise", **wanted)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Gateway-Upstream"] == "gemini"
    refused = gateway.chat(model="gemini-enterprise/gemini-enterprise", **wanted)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == next(iter(wanted))


def test_a_stream_has_its_headers_and_ends_with_done(gateway):
    answer = gateway.chat(stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    found = frames(answer)
    assert found[-1] == "data: [DONE]"
    assert "usage" not in found[-2]
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_each_chunk_arrives_before_the_next_is_sent(gateway, simulators):
    key = "sk-gated-one-by-one"
    body = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    simulators.release(key)
    with requests.post(
        f"{gateway.url}/v1/chat/completions", json=body, headers=headers, stream=True, timeout=20
    ) as answer:
        pieces = answer.iter_lines(chunk_size=1)
        seen = 0
        for line in pieces:
            if b'"content":"' in line and b'"role"' not in line:
                seen += 1
                waiting = requests.get(
                    f"{simulators.url}/_control/waiting", params={"credential": key}, timeout=5
                )
                assert waiting.json()["sent"] == seen
                simulators.release(key)
            if line == b"data: [DONE]":
                break
    assert seen > 3


def test_a_slow_video_does_not_delay_a_chat_on_the_same_worker(gateway_factory):
    with gateway_factory.started(workers=1) as gateway:
        job = gateway.post(
            "/v1/video/generations",
            {"prompt": "waves"},
            key="ark-video60",
            headers={"Prefer": "respond-async"},
        )
        assert job.status_code == 202
        for _ in range(5):
            assert gateway.chat().status_code == 200
        view = gateway.get(job.headers["Location"], key="ark-video60").json()
        assert view["status"] in ("queued", "in_progress")


def test_media_of_all_turns_go_into_one_session_in_order(gateway, simulators, media_server):
    key = "ya29.one-session"
    turns = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": ["First", image(data_url(png(11, 7)))]},
        {"role": "assistant", "content": "A small picture"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Second"},
                image(f"{media_server.url}/linked.jpg"),
                {"type": "file", "file": {"file_data": data_url(mp4(), "video/mp4")}},
                image(data_url(png(11, 7))),
            ],
        },
    ]
    answer = gateway.post(
        "/v1/chat/completions", {"model": "gemini-enterprise", "messages": turns}, key=key
    )
    text = answer.json()["choices"][0]["message"]["content"]
    places = [text.index(kind) for kind in ("image/png 11x7", "image/jpeg 400x300", "video/mp4")]
    assert places == sorted(places)
    operations = simulators.operations(key)
    assert operations["gemini_enterprise.sessions.create"] == 1
    assert operations["gemini_enterprise.sessions.delete"] == 1
    assert sum(n for name, n in operations.items() if "addContextFile" in name) == 3


@pytest.mark.parametrize(
    "key",
    ["ya29.cut2", "ya29.ended2", "ya29.blocked", "ya29.broken", "ya29.html", "ya29.truncated"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_no_session_is_left_behind(gateway, simulators, key, stream):
    key = f"{key}-{stream}".lower()
    gateway.chat(model="gemini-enterprise", key=key, stream=stream)
    operations = simulators.operations(key)
    assert operations.get("gemini_enterprise.sessions.create") == operations.get(
        "gemini_enterprise.sessions.delete"
    )


def test_a_session_is_kept_when_asked(gateway, simulators):
    key = "ya29.keep-it"
    assert gateway.chat(model="gemini-enterprise", key=key, auto_delete=False).ok
    assert "gemini_enterprise.sessions.delete" not in simulators.operations(key)


@pytest.mark.parametrize("model", ["doubao", "test-model"])
def test_likelihoods_come_when_they_are_asked_for(gateway, model):
    asked = {"model": model, "logprobs": True, "top_logprobs": 2}
    whole = gateway.chat(**asked).json()["choices"][0]
    tokens = whole["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == whole["message"]["content"]
    assert tokens[0]["top_logprobs"][0]["token"] == tokens[0]["token"]
    chunks = [f for f in frames(gateway.chat(**asked, stream=True)) if isinstance(f, dict)]
    told = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
    assert [token for piece in told for token in piece["content"]] == tokens
    assert gateway.chat(model=model).json()["choices"][0]["logprobs"] is None


def test_a_generated_picture_comes_as_a_part(gateway):
    message = gateway.chat(DRAW, model="gemini-enterprise").json()["choices"][0]["message"]
    (part,) = message["content"]
    assert part["type"] == "image_url"
    assert message["images"] == [part]
    picture = requests.get(part["image_url"]["url"], timeout=10)
    assert picture.headers["Content-Type"] == "image/png"
    Image.open(io.BytesIO(picture.content)).load()


def test_a_generated_picture_comes_as_markdown_when_asked(gateway):
    answer = gateway.chat(DRAW, model="gemini-enterprise", media_format="markdown").json()
    message = answer["choices"][0]["message"]
    assert message["content"] == f"![image]({message['images'][0]['image_url']['url']})"


def test_a_streamed_picture_is_markdown_and_a_part(gateway):
    found = frames(gateway.chat(DRAW, model="gemini-enterprise", stream=True))
    deltas = [f["choices"][0]["delta"] for f in found[:-1] if f["choices"]]
    (delta,) = [d for d in deltas if "images" in d]
    assert delta["content"] == f"![image]({delta['images'][0]['image_url']['url']})\n"


def test_a_picture_made_before_can_be_talked_about(gateway):
    turn = {"role": "user", "content": DRAW}
    answer = gateway.chat(DRAW, model="gemini-enterprise").json()
    messages = [turn, answer["choices"][0]["message"], {"role": "user", "content": "Describe it"}]
    again = gateway.post("/v1/chat/completions", {"model": "doubao", "messages": messages})
    assert "image/png" in again.json()["choices"][0]["message"]["content"]


def test_an_image_model_answers_on_the_chat_endpoint(gateway):
    answer = gateway.chat("a cat", model="Seedream 4.0")
    (part,) = answer.json()["choices"][0]["message"]["content"]
    assert part["image_url"]["url"].startswith(gateway.url)
    assert answer.headers["X-Gateway-Job"].startswith("image_")


def test_a_video_model_answers_on_the_chat_endpoint(gateway):
    message = gateway.chat("waves", model="doubao-video").json()["choices"][0]["message"]
    (part,) = message["content"]
    assert part["type"] == "video_url"
    assert message["videos"] == [part]


def test_the_callers_own_credential_is_used_once_and_nowhere_else(gateway, simulators):
    key = "ark-3dee725a-own"
    answer = gateway.chat(key=key)
    assert answer.headers["X-Gateway-Account"] == "own"
    assert simulators.calls(key) == 1
    assert key not in gateway.log.read_text()


def test_a_refused_own_credential_is_the_callers_401(gateway, simulators):
    answer = gateway.chat(key="ark-wrong-own")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "WWW-Authenticate" in answer.headers
    assert simulators.calls("ark-wrong-own") == 1


def test_a_credential_of_another_vendors_form_goes_nowhere(gateway, simulators):
    assert gateway.chat(key="sk-for-someone-else").status_code == 401
    assert simulators.calls("sk-for-someone-else") == 0


def test_a_revoked_looking_gateway_key_goes_nowhere(gateway, simulators):
    assert gateway.chat(key="gw-unknown-key-of-ours").status_code == 401
    assert simulators.calls("gw-unknown-key-of-ours") == 0


def test_a_broken_stream_ends_with_an_error_event(gateway):
    found = frames(gateway.chat(model="test-model", key="sk-cut3", stream=True))
    assert found[-1]["error"]["code"] == "upstream_disconnected"
    assert "data: [DONE]" not in found


def test_a_stream_without_its_end_is_no_complete_answer(gateway):
    found = frames(gateway.chat(model="test-model", key="sk-ended3", stream=True))
    assert found[-1]["error"]["code"] == "upstream_disconnected"
    assert gateway.chat(model="test-model", key="sk-truncated").status_code == 502


def test_a_filtered_answer_is_finished_not_failed(gateway):
    found = frames(gateway.chat(model="test-model", key="sk-filtered", stream=True))
    assert found[-1] == "data: [DONE]"
    assert found[-2]["choices"][0]["finish_reason"] == "content_filter"


def test_a_client_that_leaves_closes_the_vendors_stream(gateway, simulators):
    key = "sk-endless-slow50"
    body = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with requests.post(
        f"{gateway.url}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {key}"},
        stream=True,
        timeout=20,
    ) as answer:
        next(answer.iter_lines())
    simulators.until(lambda ledger: ledger["in_flight"].get(key, 0) == 0, within_s=5)


def test_a_dry_run_shows_the_vendor_request_and_sends_nothing(gateway, simulators):
    key = "ark-dry-run-0001"
    content = [{"type": "text", "text": "Hi"}, image(data_url(png()))]
    answer = gateway.post(
        "/v1/chat/completions",
        {"model": "doubao", "messages": [{"role": "user", "content": content}]},
        key=key,
        headers={"X-Gateway-Dry-Run": "1"},
    )
    (call,) = answer.json()["requests"]
    assert call["method"] == "POST"
    assert call["url"].endswith("/chat/completions")
    assert call["body"]["messages"][0]["content"][0] == {"type": "text", "text": "Hi"}
    assert "<base64" in json.dumps(call["body"])
    assert key not in answer.text
    assert simulators.calls(key) == 0


def test_preflights_need_no_credential_and_answers_may_be_read(gateway):
    asked = "authorization,content-type,x-stainless-lang"
    answer = requests.options(
        f"{gateway.url}/v1/chat/completions",
        headers={
            "Origin": "https://ui.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
        timeout=10,
    )
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == asked
    refused = gateway.chat(key="gw-nobody")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
