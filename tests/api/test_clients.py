"""What well-known clients send: every row was seen to break a gateway somewhere."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from tests.support.media import data_url, jpeg, mp4, png

CHAT, IMAGES, VIDEO = "/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"
EDITS = "/v1/images/edits"
USER = {"role": "user", "content": "Hi"}
DRY = {"X-Gateway-Dry-Run": "1"}
PICTURE = png(400, 300)
LINK = data_url(PICTURE)
FILM = data_url(mp4(), "video/mp4")
FILE = ("a.png", PICTURE, "image/png")


def planned(gateway, path, body):
    """The body of the vendor's request that the gateway would send."""
    answer = gateway.post(path, body, headers=dict(DRY))
    assert answer.status_code == 200, answer.text
    return answer.json()["requests"][-1]["body"]


@pytest.mark.parametrize(
    "extra",
    [
        {"presence_penalty": 0, "frequency_penalty": 0, "top_p": 1, "temperature": 0.5},
        {"stream_options": {"include_usage": True}},
        {"tools": [], "tool_choice": "auto"},
        {"user": {"name": "Ann", "id": "7"}, "metadata": {"chat_id": "1"}, "store": False},
        {"stop": None},
        {"stop": "x"},
        {"max_tokens": 20, "max_completion_tokens": 16},
        {"response_format": {"type": "text"}, "logprobs": None, "n": 1, "seed": 1},
        {"reasoning_effort": "Low", "verbosity": "low", "modalities": ["text"]},
        {"service_tier": "auto", "parallel_tool_calls": False, "prompt_cache_key": "k"},
        {"reasoning_effort": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["test-model", "doubao"])
def test_parameters_of_clients_are_taken(gateway, model, extra):
    assert gateway.chat(model=model, **extra).status_code == 200


def test_fields_that_nobody_knows_are_named(gateway):
    extra = {"chat_id": "1", "api_base": "http://127.0.0.1:1", "x\r\ny": 1, "nothing": None}
    answer = gateway.chat(model="test-model", **extra)
    assert answer.headers["X-Gateway-Dropped-Params"] == "chat_id, api_base"
    answer = gateway.post(IMAGES, {"prompt": "a cat", "images": [LINK]}, headers=dict(DRY))
    assert answer.headers["X-Gateway-Dropped-Params"] == "images"


def test_a_dry_run_names_what_is_dropped(gateway):
    answer = gateway.chat(model="gemini-enterprise", seed=7, headers=dict(DRY))
    assert answer.headers["X-Gateway-Dropped-Params"] == "seed"


CALL = {"id": "call_7", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "messages",
    [
        [USER, {"role": "assistant", "tool_calls": [CALL]}],
        [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}],
        [USER, {"role": "assistant", "content": "", "tool_calls": [CALL], "refusal": None}],
    ],
    ids=["without content", "null content", "empty content"],
)
def test_tool_calls_reach_the_vendor(gateway, messages):
    answered = {
        "role": "tool",
        "tool_call_id": "call_7",
        "content": [{"type": "text", "text": "r"}],
    }
    sent = planned(gateway, CHAT, {"model": "test-model", "messages": [*messages, answered]})
    assert sent["messages"][1]["tool_calls"] == [CALL]
    assert sent["messages"][2]["tool_call_id"] == "call_7"


def test_functions_of_old_are_calls_that_are_answered(gateway):
    messages = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ]
    answer = gateway.post(CHAT, {"model": "test-model", "messages": messages})
    assert answer.status_code == 200, answer.text
    sent = planned(gateway, CHAT, {"model": "test-model", "messages": messages})["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


@pytest.mark.parametrize(
    "answer",
    [
        {"content": [{"type": "image_url", "image_url": {"url": LINK}}], "images": [LINK]},
        {"content": f"![image]({LINK})", "images": [LINK]},
        {"content": "Here", "images": [{"type": "image_url", "image_url": {"url": LINK}}]},
        {"content": None, "videos": [{"vid": "1", "cover": None, "url": FILM}]},
        {"content": "", "videos": [{"type": "video_url", "video_url": {"url": FILM}}]},
    ],
    ids=["parts", "markdown", "chat", "video", "chat video"],
)
def test_generated_media_come_back_once(gateway, answer):
    turns = [USER, {"role": "assistant", **answer}, {"role": "user", "content": "And now?"}]
    sent = planned(gateway, CHAT, {"model": "doubao", "messages": turns})
    assert json.dumps(sent).count("<base64") == 1


@pytest.mark.parametrize(
    "image",
    [
        LINK,
        [LINK],
        base64.b64encode(PICTURE).decode(),
        {"url": LINK},
        {"image_url": LINK},
        {"type": "image_url", "image_url": {"url": LINK}},
        LINK.replace("data:image/png;base64", "DATA:image/jpg;BASE64"),
        LINK[:60] + "\n " + LINK[60:],
    ],
    ids=["text", "list", "bare", "url", "image_url", "part", "capitals", "broken lines"],
)
@pytest.mark.parametrize("path", [IMAGES, VIDEO])
def test_a_reference_in_every_spelling(gateway, path, image):
    assert "<base64" in json.dumps(planned(gateway, path, {"prompt": "a cat", "image": image}))


@pytest.mark.parametrize("image", ["cat.png", "/cat.png", "gs://bucket/cat.png", "blob:http://x"])
def test_what_is_no_reference_is_said_to_be_none(gateway, image):
    error = gateway.post(IMAGES, {"prompt": "a cat", "image": image}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_image_url", "image")


@pytest.mark.parametrize("image", ["", [], None])
def test_no_reference_in_every_spelling(gateway, image):
    assert "image" not in planned(gateway, IMAGES, {"prompt": "a cat", "image": image})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"size": "1024*1024", "model": "Seedream 4.0"}, "1024x1024"),
        ({"size": "1024X1024", "model": "Seedream 4.0"}, "1024x1024"),
        ({"size": "2k"}, "2K"),
        ({"size": "16:9"}, "2560x1440"),
        ({"size": "", "ratio": "", "response_format": "", "model": ""}, "2048x2048"),
        ({"size": None, "quality": "hd", "style": "vivid", "background": "auto"}, "2048x2048"),
        ({"output_format": "JPEG"}, "2048x2048"),
    ],
    ids=str,
)
def test_the_size_of_a_picture_in_every_spelling(gateway, given, sent):
    assert planned(gateway, IMAGES, {"prompt": "a cat", **given}).get("size") == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"seconds": "8"}, {"duration": 8}),
        ({"duration": "8"}, {"duration": 8}),
        ({"duration": "8s"}, {"duration": 8}),
        ({"duration": 8.0}, {"duration": 8}),
        ({"resolution": "720P"}, {"resolution": "720p"}),
        ({"size": "1280x720"}, {"ratio": "16:9", "resolution": "720p"}),
        ({"size": "720*1280"}, {"ratio": "9:16", "resolution": "720p"}),
        ({"size": "9:16"}, {"ratio": "9:16"}),
        ({"size": "auto", "ratio": "", "resolution": ""}, {"ratio": "16:9"}),
    ],
    ids=str,
)
def test_the_shape_of_a_video_in_every_spelling(gateway, given, sent):
    assert planned(gateway, VIDEO, {"prompt": "waves", **given}).items() >= sent.items()


@pytest.mark.parametrize("given", [{"duration": "nan"}, {"duration": "x"}, {"size": "0x0"}])
def test_a_shape_that_no_video_has(gateway, given):
    answer = gateway.post(VIDEO, {"prompt": "waves", **given})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(given))


def test_a_dry_run_starts_no_video(gateway, simulators):
    key = "ark-dry-run-of-videos"
    headers = {**DRY, "Authorization": f"Bearer {key}"}
    form = {"prompt": "waves", "seconds": "8"}
    for sent in ({"json": form}, {"data": form, "files": {"input_reference": FILE}}):
        answer = requests.post(f"{gateway.url}/v1/videos", headers=headers, timeout=20, **sent)
        assert answer.json()["requests"][0]["body"]["duration"] == 8
    assert simulators.calls(key) == 0
    assert gateway.get("/v1/jobs", key=key).json()["data"] == []


@pytest.mark.parametrize(
    ("files", "form"),
    [
        ([("image", FILE)], {}),
        ([("image[]", FILE), ("image[]", ("b.jpg", jpeg(), "image/jpeg"))], {"n": "2"}),
        ([("image", FILE)], {"size": "1024x1024", "stream": "false", "quality": "high"}),
        ([("image", ("../../x\x00.png", PICTURE, "text/html"))], {"seed": "7"}),
    ],
    ids=["one", "several", "options", "odd name"],
)
def test_an_edit_as_the_sdks_send_it(gateway, files, form):
    answer = requests.post(
        gateway.url + EDITS, files=files, data={"prompt": "blue", **form}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == int(form.get("n", 1))


@pytest.mark.parametrize(
    ("form", "members"),
    [({}, {"url", "b64_json"}), ({"response_format": "url"}, {"url"})],
    ids=["neither", "url"],
)
def test_edits_give_base64_beside_the_link_unless_a_form_is_asked_for(gateway, form, members):
    form = {"prompt": "blue", **form}
    answer = requests.post(gateway.url + EDITS, files=[("image", FILE)], data=form, timeout=30)
    assert set(answer.json()["data"][0]) == members


@pytest.mark.parametrize(
    ("files", "form", "param"),
    [
        ([("other", FILE)], {"prompt": "blue"}, "image"),
        ([("image", FILE)], {}, "prompt"),
        ([("image", FILE)], {"prompt": "blue", "n": "two"}, "n"),
        ([("image", ("a.png", b"no picture", "image/png"))], {"prompt": "blue"}, "image"),
        ([("image", ("a.png", b"", "image/png"))], {"prompt": "blue"}, "image"),
        ([("image", ("a.mp4", mp4(), "video/mp4"))], {"prompt": "blue"}, "image"),
    ],
    ids=["no picture", "no prompt", "bad number", "text", "empty", "video"],
)
def test_an_edit_that_cannot_be_made(gateway, files, form, param):
    answer = requests.post(gateway.url + EDITS, files=files, data=form, timeout=30)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_a_form_without_a_boundary(gateway):
    refused_form(gateway, b"x", "multipart/form-data")


NAMED = b'Content-Disposition: form-data; name="file"; filename="a.png"'


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" + NAMED + b";a=b" * 3000 + b"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + NAMED + b"\r\n" + b"a: b\r\n" * 3000 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\n" + NAMED + b"; a=" + b"b" * 300_000,
        b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + NAMED + b"\r\n\r\nx",
        b"--b\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx\r\n--b--\r\n",
    ],
    ids=["parameters", "lines", "no end of a head", "no disposition", "no end", "no text"],
)
def test_a_form_with_parts_that_nobody_sends(gateway, body):
    refused_form(gateway, body, "multipart/form-data; boundary=b")


def refused_form(gateway, body, content_type):
    headers = {"Content-Type": content_type}
    for path in (EDITS, "/v1/videos", "/v1/files"):
        answer = requests.post(gateway.url + path, data=body, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_form")


def test_a_file_may_have_a_long_name(gateway):
    name = "图" * 255
    answer = requests.post(
        f"{gateway.url}/v1/files", files={"file": (name, PICTURE, "image/png")}, timeout=10
    )
    assert answer.json()["filename"] == name


@pytest.mark.parametrize(
    "path", ["/v1//chat/completions", "/v1/v1/chat/completions", "//v1/chat/completions/"]
)
def test_addresses_put_together_carelessly(gateway, path):
    answer = gateway.post(path, {"model": "test-model", "messages": [USER]})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_an_address_without_the_version_is_told_the_way(gateway):
    error = gateway.post("/chat/completions", {}).json()["error"]
    assert error["code"] == "not_found"
    assert "/v1/chat/completions" in error["message"]


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/jobs", "/v1/files"])
@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"), ("order=up", "order")],
)
def test_a_page_that_cannot_be_shown(gateway, path, query, param):
    answer = gateway.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_an_empty_page_has_the_form_of_all(gateway):
    for path in ("/v1/videos", "/v1/jobs", "/v1/files"):
        page = gateway.get(f"{path}?limit=5&after=nothing", key="ark-nobody-here").json()
        assert page == {
            "object": "list",
            "data": [],
            "first_id": None,
            "last_id": None,
            "has_more": False,
        }
