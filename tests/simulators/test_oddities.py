"""Oddities of the simulated vendors: each word changes an answer as real vendors do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
ARK = "doubao-seed-1-6-251015"


@pytest.fixture
def chat(sim_url, key):
    def send(words: str, vendor: str = "openai/v1", **more) -> requests.Response:
        return requests.post(
            f"{sim_url}/{vendor}/chat/completions",
            json=ASK | {"model": ARK} | more,
            headers={"Authorization": f"Bearer {key}-{words}"},
            timeout=20,
        )

    return send


def chunks(answer: requests.Response) -> Iterator[dict]:
    for line in answer.content.decode().split("\n"):
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def text_of(answer: requests.Response) -> str:
    found = [c["choices"][0].get("delta", {}) for c in chunks(answer) if c["choices"]]
    return "".join(delta.get("content") or "" for delta in found)


@pytest.mark.parametrize("vendor", ["openai/v1", "ark/api/v3"])
def test_half_an_answer_ends_for_a_reason_that_nobody_knows(chat, vendor):
    whole = text_of(chat("", vendor, stream=True))
    for words, reason in (("newfinish", "paused_by_policy"), ("continued", "MAX_TOKENS")):
        answer = chat(words, vendor, stream=True)
        assert whole.startswith(text_of(answer))
        assert len(text_of(answer)) < len(whole)
        reasons = [c["choices"][0].get("finish_reason") for c in chunks(answer) if c["choices"]]
        assert [one for one in reasons if one] == [reason]
        body = chat(words, vendor).json()
        assert body["choices"][0]["finish_reason"] == reason


def test_an_error_line_stands_before_the_ending(chat):
    answer = chat("errorline", stream=True).text
    assert "\n\nerror: {" in answer
    assert answer.endswith("data: [DONE]\n\n")
    assert "error" in chat("errorline").json()
    assert chat("errorline=0", stream=True).text.index("error: ") < 400


def test_a_summary_repeats_the_answer_as_a_message(chat):
    answer = chat("summary", stream=True)
    *_, last = chunks(answer)
    assert last["choices"][0]["message"]["content"] == text_of(answer)


def test_an_emoji_comes_in_two_halves(chat):
    halves = [
        c["choices"][0]["delta"].get("content") for c in chunks(chat("halfchars", stream=True))
    ]
    assert halves[-3:-1] == [" ok \ud83d", "\ude00 done"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nonfinite", "-Infinity"),
        ("thoughtsbeside", '"reasoning_tokens": '),
        ("textnumbers", '"total_tokens": "'),
        ("sources", "url_citation"),
    ],
)
def test_members_are_in_an_odd_form(chat, words, expected):
    assert expected in chat(words).text
    assert expected in chat(words, stream=True, stream_options={"include_usage": True}).text


def test_a_stream_comes_unasked(chat):
    answer = chat("asevents")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert text_of(answer)


def test_calls_have_no_arguments(chat):
    tool = {"type": "function", "function": {"name": "hello", "parameters": {"type": "object"}}}
    (call,) = chat("noargs", tools=[tool]).json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == ""


def test_reasoning_has_to_come_back(chat):
    tool = {"type": "function", "function": {"name": "hello", "parameters": {"type": "object"}}}
    message = chat("thoughtful", tools=[tool]).json()["choices"][0]["message"]
    assert message["reasoning_content"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "12"}
    history = [*ASK["messages"], message, result]
    assert chat("thoughtful", messages=history).status_code == 200
    del message["reasoning_content"]
    assert chat("thoughtful", messages=history).status_code == 400


def test_options_of_streams_are_refused(chat):
    options = {"stream_options": {"include_usage": True}}
    assert chat("nostreamoptions", stream=True, **options).status_code == 422
    assert chat("nostreamoptions", stream=True).status_code == 200


def test_envelopes_are_odd(chat):
    assert "Cloudflare" in chat("firewall").text
    assert chat("firewall=503").status_code == 503
    assert isinstance(chat("overloaded-aslist").json(), list)
    assert chat("overloaded-astext").text == "The engine is currently overloaded."
    assert chat("mislabelled", stream=True).headers["Content-Type"].startswith("text/plain")
    zipped = chat("gzipped-overloaded")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.status_code == 503


def test_a_kept_connection_is_closed_unanswered(sim_url, key):
    headers = {"Authorization": f"Bearer {key}-unkept"}
    with requests.Session() as session:
        url = f"{sim_url}/openai/v1/chat/completions"
        assert session.post(url, json=ASK, headers=headers, timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            session.post(url, json=ASK, headers=headers, timeout=10)


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ("urlsafe", lambda text: "+" not in text and not text.endswith("=")),
        ("linebreaks", lambda text: "\r\n" in text),
        ("dataurl", lambda text: text.startswith("data:image/png;base64,")),
    ],
)
def test_base64_is_wrapped_in_another_way(sim_url, key, gemini_post, words, check):
    body = {"model": "gpt-image-2", "prompt": "a cat"}
    headers = {"Authorization": f"Bearer {key}-{words}"}
    url = f"{sim_url}/openai/v1/images/generations"
    made = requests.post(url, json=body, headers=headers, timeout=20).json()
    assert check(made["data"][0]["b64_json"])
    path = "/v1beta/models/gemini-3.1-flash-image:generateContent"
    made = gemini_post(path, CONTENTS, words).json()
    parts = made["candidates"][0]["content"]["parts"]
    assert check(next(part["inlineData"]["data"] for part in parts if "inlineData" in part))


def test_images_are_one_object_or_late_or_refused_in_words(sim_url, key, gemini_post):
    body = {"model": "sim-image", "prompt": "a cat"}
    url = f"{sim_url}/openai/v1/images/generations"

    def made(words):
        headers = {"Authorization": f"Bearer {key}-{words}"}
        return requests.post(url, json=body, headers=headers, timeout=20).json()["data"]

    assert "url" in made("oneobject")
    assert made("inwords") == []
    link = made("latelink")[0]["url"]
    assert [requests.get(link, timeout=10).status_code for _ in range(3)] == [404, 404, 200]
    path = "/v1beta/models/gemini-3.1-flash-image:generateContent"
    (part,) = gemini_post(path, CONTENTS, "inwords").json()["candidates"][0]["content"]["parts"]
    assert "cannot draw" in part["text"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("newfinish", "PAUSED_BY_POLICY"),
        ("continued", '"continuationToken": "dG9rZW4="'),
        ("errorline", "event: error"),
        ("halfchars", "\\ude00 done"),
        ("nonfinite", "NaN"),
        ("textnumbers", '"totalTokenCount": "'),
        ("sources", "groundingSupports"),
    ],
)
def test_gemini_streams_are_odd(gemini_post, words, expected):
    path = "/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse"
    assert expected in gemini_post(path, CONTENTS, words).text


@pytest.mark.parametrize(
    ("words", "expected"),
    [("newfinish", "SUSPENDED"), ("errorline", '"INTERNAL"'), ("nonfinite", "-Infinity")],
)
def test_enterprise_streams_are_odd(account, enterprise_url, words, expected):
    path = "projects/test/locations/global/collections/default_collection/engines/app"
    url = f"{enterprise_url}/v1alpha/{path}/assistants/default_assistant:streamAssist"
    body = {"query": {"text": "Tell me of cats"}}
    assert expected in account(words).post(url, json=body, timeout=20).text
