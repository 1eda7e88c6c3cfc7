"""The simulated Ark, driven with the vendor's SDK."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests
from PIL import Image
from volcenginesdkarkruntime import Ark
from volcenginesdkarkruntime import _exceptions as ark_errors
from volcenginesdkarkruntime.types.chat import ChatCompletion, ChatCompletionChunk
from volcenginesdkarkruntime.types.images import SequentialImageGenerationOptions

from tests.support.media import data_url, jpeg, mp4, png

CHAT = "doubao-seed-1-6-251015"
PLAIN = "doubao-1-5-pro-32k-250115"
IMAGE = "doubao-seedream-4-0-250828"
IMAGE_PRO = "doubao-seedream-5-0-pro-260628"
VIDEO = "doubao-seedance-1-0-pro-250528"
VIDEO_2 = "doubao-seedance-2-0-260128"
GROUP = {
    "model": IMAGE,
    "prompt": "2 cats",
    "size": "1K",
    "sequential_image_generation": "auto",
}
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 3},
            },
        },
    },
}


@pytest.fixture
def client(sim_url: str, key: str) -> Iterator[Callable[..., Ark]]:
    """Makes SDK clients; a word given spoils their credential."""
    made: list[Ark] = []

    def make(word: str = "") -> Ark:
        base_url, api_key = f"{sim_url}/ark/api/v3", f"{key}-{word}"
        made.append(Ark(base_url=base_url, api_key=api_key, max_retries=0, timeout=20))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ark(client: Callable[..., Ark]) -> Ark:
    return client()


@pytest.fixture
def post(sim_url: str, key: str) -> Callable[..., requests.Response]:
    """Posts raw bodies, as no SDK would send them."""

    def send(path: str, body: Any, word: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {key}-{word}"}
        return requests.post(f"{sim_url}/ark/api/v3{path}", json=body, headers=headers, timeout=20)

    return send


def film_task(ark: Ark, **options: Any) -> str:
    content = options.pop("content", [{"type": "text", "text": "a cat yawns"}])
    model = options.pop("model", VIDEO)
    return ark.content_generation.tasks.create(model=model, content=content, **options).id


def wait_for(ark: Ark, task_id: str, *statuses: str) -> Any:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        task = ark.content_generation.tasks.get(task_id=task_id)
        if task.status in statuses:
            return task
        time.sleep(0.1)
    raise AssertionError(f"{task_id} was never {statuses}")


def image(url: str, role: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": url}}
    return part | ({"role": role} if role else {})


FRAME = data_url(png(640, 360))


# Chat


def test_answer_tells_turns_last_text_and_media(ark):
    parts = [
        {"type": "text", "text": "what is this"},
        image(data_url(png(64, 48))),
        {"type": "video_url", "video_url": {"url": data_url(mp4(), "video/mp4"), "fps": 2}},
    ]
    answer = ark.chat.completions.create(
        model=CHAT,
        messages=[
            *HELLO,
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": parts},
        ],
    )
    text = answer.choices[0].message.content
    assert text.startswith('This is turn 2 and you said "what is this".')
    assert "I see 2 attachments: image/png 64x48" in text
    assert "video/mp4" in text
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_answers_are_in_the_types_of_the_sdk(post):
    body = {"model": CHAT, "messages": HELLO}
    raw = post("/chat/completions", body)
    ChatCompletion.model_validate(raw.json())
    assert raw.headers["X-Request-Id"].startswith("02")
    stream = post("/chat/completions", body | {"stream": True})
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    frames = stream.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    for frame in frames[:-2]:
        ChatCompletionChunk.model_validate_json(frame.removeprefix("data: "))


def test_thoughts_come_before_the_text_unless_disabled(ark):
    chunks = list(ark.chat.completions.create(model=CHAT, messages=HELLO, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = [at for at, delta in enumerate(deltas) if delta.reasoning_content]
    texts = [at for at, delta in enumerate(deltas) if delta.content]
    assert deltas[0].role == "assistant"
    assert max(thoughts) < min(texts)
    off = ark.chat.completions.create(model=CHAT, messages=HELLO, thinking={"type": "disabled"})
    assert off.choices[0].message.reasoning_content is None
    assert off.usage.completion_tokens_details.reasoning_tokens == 0


def test_usage_is_streamed_as_asked(ark):
    def usages(**options: bool) -> list[bool]:
        chunks = ark.chat.completions.create(
            model=PLAIN, messages=HELLO, stream=True, stream_options=options or None
        )
        return [chunk.usage is not None for chunk in chunks]

    assert not any(usages())
    assert usages(include_usage=True)[-2:] == [False, True]
    assert all(usages(chunk_include_usage=True))


def test_named_tool_is_called_with_arguments_that_fit(ark):
    ask = [{"role": "user", "content": "use get_weather for Paris"}]
    answer = ark.chat.completions.create(model=PLAIN, messages=ask, tools=[WEATHER])
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius", "days": 3}


def test_tool_call_is_streamed_in_fragments(ark):
    forced = {"type": "function", "function": {"name": "get_weather"}}
    chunks = ark.chat.completions.create(
        model=PLAIN, messages=HELLO, tools=[WEATHER], tool_choice=forced, stream=True
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "get_weather"
    assert [call.id for call in calls[1:]] == [None, None]
    assert json.loads("".join(call.function.arguments for call in calls))["city"] == "hello"


def test_results_of_tools_are_read_and_answered(ark):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    history = [
        {"role": "user", "content": "use get_weather"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = ark.chat.completions.create(model=PLAIN, messages=history, tools=[WEATHER])
    assert '"sunny"' in answer.choices[0].message.content


def test_tool_is_not_called_when_forbidden_or_unnamed(ark):
    for ask, choice in (("use get_weather", "none"), ("hello", "auto")):
        messages = [{"role": "user", "content": ask}]
        answer = ark.chat.completions.create(
            model=PLAIN, messages=messages, tools=[WEATHER], tool_choice=choice
        )
        assert answer.choices[0].finish_reason == "stop"


def test_structured_answer_fits_its_schema(ark):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    answer = ark.chat.completions.create(model=PLAIN, messages=HELLO, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"ok": True}


def test_answer_ends_at_its_limits(ark):
    short = ark.chat.completions.create(model=PLAIN, messages=HELLO, max_tokens=3)
    assert short.choices[0].message.content == "This is turn"
    assert short.choices[0].finish_reason == "length"
    stopped = ark.chat.completions.create(model=PLAIN, messages=HELLO, stop=[" turn"])
    assert stopped.choices[0].message.content == "This is"
    assert stopped.choices[0].finish_reason == "stop"


def test_filtered_answer_says_so(client):
    answer = client("filtered").chat.completions.create(model=PLAIN, messages=HELLO)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].moderation_hit_type == "violence"


@pytest.mark.parametrize(
    ("word", "error", "code"),
    [
        ("wrong", ark_errors.ArkAuthenticationError, "AuthenticationError"),
        ("denied", ark_errors.ArkPermissionDeniedError, "AccessDenied"),
        ("overdue", ark_errors.ArkPermissionDeniedError, "AccountOverdueError"),
        ("empty", ark_errors.ArkRateLimitError, "ModelAccountRpmRateLimitExceeded"),
        ("daily", ark_errors.ArkRateLimitError, "QuotaExceeded"),
        ("overloaded", ark_errors.ArkRateLimitError, "ServerOverloaded"),
        ("broken", ark_errors.ArkInternalServerError, "InternalServiceError"),
        ("blocked", ark_errors.ArkBadRequestError, "InputTextSensitiveContentDetected"),
    ],
)
def test_refusals_are_the_vendors(client, word, error, code):
    for attempt in (
        lambda ark: ark.chat.completions.create(model=CHAT, messages=HELLO, stream=True),
        lambda ark: ark.images.generate(model=IMAGE, prompt="a cat"),
        film_task,
    ):
        with pytest.raises(error) as caught:
            attempt(client(word))
        assert caught.value.code == code
        assert "Request id: 02" in caught.value.message
        assert "Retry-After" not in caught.value.response.headers


def test_missing_key_is_an_authentication_error(sim_url):
    answer = requests.post(f"{sim_url}/ark/api/v3/chat/completions", json={}, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "Unauthorized"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": None}, 400, "MissingParameter"),
        ({"model": "doubao-seed-9"}, 404, "InvalidEndpointOrModel.NotFound"),
        ({"model": IMAGE}, 404, "UnsupportedModel"),
        ({"messages": []}, 400, "InvalidParameter"),
        ({"messages": None}, 400, "MissingParameter"),
        ({"messages": [{"role": "developer", "content": "x"}]}, 400, "InvalidParameter"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, 400, "InvalidParameter"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "InvalidParameter"),
        ({"max_completion_tokens": 65_537}, 400, "InvalidParameter"),
        ({"temperature": 2.5}, 400, "InvalidParameter"),
        ({"temperature": "hot"}, 400, "InvalidParameter"),
        ({"stop": ["1", "2", "3", "4", "5"]}, 400, "InvalidParameter"),
        ({"thinking": {"type": "hard"}}, 400, "InvalidParameter"),
        ({"response_format": {"type": "xml"}}, 400, "InvalidParameter"),
        ({"tool_choice": "required"}, 400, "InvalidParameter"),
    ],
)
def test_wrong_chat_requests_are_refused(post, change, status, code):
    answer = post("/chat/completions", {"model": CHAT, "messages": HELLO} | change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image(""), "InvalidImageURL.EmptyURL"),
        (image("data:image/PNG;base64,AAAA"), "InvalidImageURL.InvalidFormat"),
        (image("data:image/png;base64,A=A"), "InvalidImageURL.InvalidFormat"),
        (image(data_url(b"no picture")), "InvalidImageURL.InvalidFormat"),
        (image("http://192.0.2.1/a.png"), "InvalidParameter"),
        (image("ftp://127.0.0.1/a.png"), "InvalidParameter"),
        ({"type": "image_url", "image_url": FRAME}, "InvalidParameter"),
        (
            {"type": "image_url", "image_url": {"url": FRAME, "detail": "huge"}},
            "InvalidArgumentError.InvalidImageDetail",
        ),
        (
            {
                "type": "image_url",
                "image_url": {"url": FRAME, "image_pixel_limit": {"max_pixels": 1}},
            },
            "InvalidArgumentError.InvalidPixelLimit",
        ),
        ({"type": "video_url", "video_url": {"url": FRAME}}, "InvalidParameter"),
        ({"type": "video_url", "video_url": {"url": FRAME, "fps": 9}}, "InvalidParameter"),
        ({"type": "file", "file": {"file_id": "file-x"}}, "NotFound.File"),
    ],
)
def test_media_that_cannot_be_used_are_refused(post, part, code):
    messages = [{"role": "user", "content": [part]}]
    answer = post("/chat/completions", {"model": CHAT, "messages": messages})
    assert answer.json()["error"]["code"] == code


def test_linked_image_is_fetched(ark, media_server):
    parts = [image(f"{media_server.url}/one.jpg")]
    answer = ark.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": parts}])
    assert "image/jpeg 400x300" in answer.choices[0].message.content


def test_linked_image_that_is_missing_is_refused(ark, media_server):
    parts = [image(f"{media_server.url}/missing.jpg")]
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": parts}])


def test_unknown_path_is_404_without_a_body(post, sim_url):
    answer = post("/responses", {})
    assert (answer.status_code, answer.content) == (404, b"")
    assert requests.get(f"{sim_url}/ark/api/v3/chat/completions", timeout=10).status_code == 404


def test_models_are_listed(sim_url, key):
    headers = {"Authorization": f"Bearer {key}"}
    models = requests.get(f"{sim_url}/ark/api/v3/models", headers=headers, timeout=10).json()
    assert {CHAT, IMAGE, VIDEO} <= {model["id"] for model in models["data"]}


# Images


def size_of(url: str) -> tuple[str, str]:
    with Image.open(io.BytesIO(requests.get(url, timeout=20).content)) as picture:
        return str(picture.format), "{}x{}".format(*picture.size)


@pytest.mark.parametrize(
    ("model", "size", "made"),
    [
        (IMAGE, None, "2048x2048"),
        (IMAGE, "1k", "1024x1024"),
        (IMAGE, "4K", "4096x4096"),
        (IMAGE, "1930x1090", "1920x1088"),
        (IMAGE_PRO, "1.5K", "1536x1536"),
    ],
)
def test_returned_size_is_that_of_the_jpeg(ark, model, size, made):
    answer = ark.images.generate(model=model, prompt="a cat", size=size, watermark=False)
    assert answer.data[0].size == made
    assert size_of(answer.data[0].url) == ("JPEG", made)
    width, height = map(int, made.split("x"))
    assert answer.usage.output_tokens == round(width * height / 256)


def test_tier_takes_the_ratio_of_the_first_reference(ark):
    references = [data_url(png(1600, 900)), data_url(jpeg(500, 500))]
    answer = ark.images.generate(model=IMAGE, prompt="a cat", image=references, size="2K")
    assert answer.data[0].size == "2560x1440"


def test_picture_is_marked_unless_asked_otherwise(ark):
    def pixels(watermark: bool | None) -> bytes:
        answer = ark.images.generate(
            model=IMAGE, prompt="a", response_format="b64_json", watermark=watermark, size="1K"
        )
        picture = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))
        assert picture.format == "JPEG"
        return picture.tobytes()

    assert pixels(None) == pixels(True) != pixels(False)


def test_output_format_belongs_to_the_newest_family(ark):
    answer = ark.images.generate(
        model="doubao-seedream-5-0-260128", prompt="a cat", output_format="png"
    )
    assert size_of(answer.data[0].url) == ("PNG", "2048x2048")
    assert answer.data[0].output_format == "png"


def test_group_has_as_many_pictures_as_the_prompt_wants(ark):
    def group(prompt: str, most: int) -> int:
        answer = ark.images.generate(
            model=IMAGE,
            prompt=prompt,
            size="1K",
            sequential_image_generation="auto",
            sequential_image_generation_options=SequentialImageGenerationOptions(max_images=most),
        )
        assert answer.usage.generated_images == len(answer.data)
        return len(answer.data)

    assert [group("3 cats", 5), group("cats", 2), group("9 cats", 5)] == [3, 2, 5]


def events_of(text: str) -> list[dict[str, Any]]:
    """Read the events of a stream; each must be named like the type within it."""
    assert text.endswith("data: [DONE]\n\n")
    events = []
    for frame in text.split("\n\n")[:-2]:
        name, _, data = frame.partition("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def test_pictures_are_streamed_one_by_one(post):
    events = events_of(post("/images/generations", GROUP | {"stream": True}).text)
    kinds = [event["type"] for event in events]
    assert kinds == ["image_generation.partial_succeeded"] * 2 + ["image_generation.completed"]
    assert [event.get("image_index") for event in events] == [0, 1, None]
    assert events[-1]["usage"]["generated_images"] == 2


def test_failed_member_of_a_group_leaves_the_others(post):
    whole = post("/images/generations", GROUP, "failed").json()
    assert ["url" in one for one in whole["data"]] == [True, False]
    assert "error" not in whole
    events = events_of(post("/images/generations", GROUP | {"stream": True}, "filtered").text)
    kinds = [event["type"].rpartition(".")[2] for event in events]
    assert kinds == ["partial_succeeded", "partial_failed", "completed"]
    assert events[1]["error"]["code"] == "OutputImageSensitiveContentDetected"


def test_stream_without_any_picture_is_an_error(client):
    stream = client("failed").images.generate(model=IMAGE, prompt="a cat", stream=True)
    with pytest.raises(ark_errors.ArkAPIError, match="could not be generated"):
        list(stream)


def test_failed_picture_is_an_error_within_the_answer(client):
    answer = client("failed").images.generate(model=IMAGE, prompt="a cat")
    assert answer.error.code == "InternalServiceError"
    assert answer.usage.generated_images == 0


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": None},
        {"size": "5k"},
        {"size": "100x100"},
        {"size": "16384x512"},
        {"model": "doubao-seedream-4-5-251128", "size": "1K"},
        {"model": "doubao-seedream-4-5-251128", "size": "1024x1024"},
        {"output_format": "png"},
        {"background": "transparent"},
        {"tools": [{"type": "web_search"}]},
        {"response_format": "png"},
        {"image": [data_url(png(64, 64))] * 15},
        {"image": data_url(png(14, 64))},
        {"image": data_url(png(1700, 100))},
        {"image": data_url(mp4(), "video/mp4")},
        {"model": IMAGE_PRO, "stream": True},
        {"model": IMAGE_PRO, "sequential_image_generation": "auto"},
        {"model": "doubao-seedream-3-0-t2i-250415", "image": data_url(png(64, 64))},
        {"sequential_image_generation_options": {"max_images": 16}},
        {"watermark": "no"},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_image_requests_are_refused_with_a_status(post, change, stream):
    body = {"model": IMAGE, "prompt": "a cat", "stream": stream} | change
    assert post("/images/generations", body).status_code == 400


# Videos


def test_film_goes_through_its_states(ark, ledger):
    task_id = film_task(ark, ratio="9:16", resolution="480p", duration=3, return_last_frame=True)
    running = wait_for(ark, task_id, "running")
    assert (running.content, running.usage) == (None, None)
    assert task_id in ledger()["tasks"]["names"]
    task = wait_for(ark, task_id, "succeeded")
    assert (task.resolution, task.ratio, task.duration) == ("480p", "9:16", 3)
    assert task.framespersecond == 24
    assert task.usage.total_tokens == 480 * 864 * 73 // 1024
    film = requests.get(task.content.video_url, timeout=10)
    assert (film.headers["Content-Type"], film.content[4:8]) == ("video/mp4", b"ftyp")
    assert size_of(task.content.last_frame_url) == ("PNG", "480x864")
    assert task_id not in ledger()["tasks"]["names"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("1080p", "16:9")),
        ({"content": [{"type": "text", "text": "a cat --rs 720p --rt 1:1"}]}, ("720p", "1:1")),
        ({"content": [image(FRAME)], "resolution": "480p"}, ("480p", "16:9")),
        ({"content": [image(data_url(png(300, 400)))]}, ("1080p", "3:4")),
        (
            {"content": [image(FRAME, "first_frame"), image(FRAME, "last_frame")]},
            ("1080p", "16:9"),
        ),
        (
            {"model": VIDEO_2, "content": [image(FRAME, "reference_image")] * 9},
            ("720p", "16:9"),
        ),
        ({"model": "doubao-seedance-2-5-260628"}, ("720p", "16:9")),
    ],
)
def test_film_is_made_as_asked_or_by_the_models_defaults(client, options, expected):
    ark = client("video0")
    task = wait_for(ark, film_task(ark, **options), "succeeded")
    assert (task.resolution, task.ratio) == expected


def test_frames_win_over_duration(client):
    ark = client("video0")
    task = wait_for(ark, film_task(ark, frames=57, duration=5), "succeeded")
    assert (task.frames, task.duration) == (57, None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"content": None}, "MissingParameter"),
        ({"content": []}, "InvalidParameter"),
        ({"n": 2}, "InvalidParameter"),
        ({"fps": 24}, "InvalidParameter"),
        ({"duration": 13}, "InvalidParameter"),
        ({"duration": "5"}, "InvalidParameter"),
        ({"duration": -1}, "InvalidParameter"),
        ({"frames": 30}, "InvalidParameter"),
        ({"resolution": "4k"}, "InvalidParameter"),
        ({"ratio": "3:2"}, "InvalidParameter"),
        ({"ratio": "adaptive"}, "InvalidParameter"),
        ({"generate_audio": True}, "InvalidParameter.UnsupportedParameter"),
        ({"model": VIDEO_2, "frames": 57}, "InvalidParameter.UnsupportedParameter"),
        ({"model": VIDEO_2, "service_tier": "flex"}, "InvalidParameter"),
        ({"model": VIDEO_2, "duration": 3}, "InvalidParameter"),
        ({"model": CHAT}, "UnsupportedModel"),
        ({"execution_expires_after": 60}, "InvalidParameter"),
        ({"safety_identifier": "x" * 65}, "InvalidParameter"),
        ({"content": [image(FRAME), image(FRAME)]}, "InvalidParameter"),
        ({"content": [image(FRAME, "last_frame")]}, "InvalidParameter"),
        ({"content": [image(FRAME, "reference_image")]}, "InvalidParameter"),
        ({"content": [{"type": "image_url", "image_url": FRAME}]}, "InvalidParameter"),
        ({"content": [image(data_url(png(200, 200)))]}, "InvalidParameter"),
        ({"content": [image(data_url(png(1200, 400)))]}, "InvalidParameter"),
        (
            {"model": VIDEO_2, "content": [image(FRAME, "reference_image")] * 10},
            "InvalidParameter",
        ),
        (
            {
                "model": "doubao-seedance-1-0-lite-t2v-250428",
                "content": [{"type": "text", "text": "a"}, image(FRAME)],
            },
            "InvalidParameter",
        ),
        ({"model": "doubao-seedance-1-0-lite-i2v-250428"}, "InvalidParameter"),
    ],
)
def test_wrong_video_requests_are_refused(post, change, code):
    body = {"model": VIDEO, "content": [{"type": "text", "text": "a cat"}]} | change
    answer = post("/contents/generations/tasks", body)
    assert answer.json()["error"]["code"] == code
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("failed", "failed", "InternalServiceError"),
        ("filtered", "failed", "OutputVideoSensitiveContentDetected"),
        ("expired", "expired", None),
    ],
)
def test_film_can_come_to_nothing(client, word, status, code):
    ark = client(f"{word}-video0")
    task = wait_for(ark, film_task(ark), status)
    assert (task.error and task.error.code) == code
    assert task.content is None


def test_queued_task_is_cancelled_and_cannot_be_again(client, ledger):
    ark = client("video60")
    task_id = film_task(ark)
    assert ark.content_generation.tasks.get(task_id=task_id).status == "queued"
    before = ledger()["tasks"]["cancelled"]
    ark.content_generation.tasks.delete(task_id=task_id)
    assert ark.content_generation.tasks.get(task_id=task_id).status == "cancelled"
    assert ledger()["tasks"]["cancelled"] == before + 1
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.content_generation.tasks.delete(task_id=task_id)


def test_running_task_cannot_be_deleted_and_a_finished_one_is_gone(client, ledger):
    ark = client("video2")
    task_id = film_task(ark)
    wait_for(ark, task_id, "running")
    with pytest.raises(ark_errors.ArkConflictError) as caught:
        ark.content_generation.tasks.delete(task_id=task_id)
    assert caught.value.code == "InvalidAction.RunningTaskDeletion"
    wait_for(ark, task_id, "succeeded")
    ark.content_generation.tasks.delete(task_id=task_id)
    for _ in range(2):
        with pytest.raises(ark_errors.ArkNotFoundError):
            ark.content_generation.tasks.delete(task_id=task_id)
    assert f"task {task_id} was deleted twice" in ledger()["violations"]


def test_task_of_another_account_does_not_exist(ark, client):
    task_id = film_task(ark)
    with pytest.raises(ark_errors.ArkNotFoundError):
        client("other").content_generation.tasks.get(task_id=task_id)


def test_tasks_are_listed_by_filter_once_a_second(client):
    ark = client("video0")
    ids = [film_task(ark) for _ in range(3)]
    page = ark.content_generation.tasks.list(page_size=2, status="succeeded")
    assert (page.total, [task.id for task in page.items]) == (3, ids[:0:-1])
    with pytest.raises(ark_errors.ArkRateLimitError) as caught:
        [ark.content_generation.tasks.list(task_ids=ids[:1]) for _ in range(3)]
    assert caught.value.code == "AccountRateLimitExceeded"


def test_tasks_beyond_the_concurrency_stay_queued(client):
    ark = client("video3")
    ids = [film_task(ark) for _ in range(11)]
    wait_for(ark, ids[-2], "running")
    assert ark.content_generation.tasks.get(task_id=ids[-1]).status == "queued"


def test_posting_to_cancel_reaches_the_create_call(post):
    answer = post("/contents/generations/tasks/cgt-1/cancel", {})
    assert answer.json()["error"]["code"] == "MissingParameter"


def test_callback_is_told_of_each_state(client):
    told: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.put(json.loads(body)["status"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        film_task(client("video1"), callback_url=f"http://127.0.0.1:{server.server_port}/")
        statuses = [told.get(timeout=10) for _ in range(3)]
        server.shutdown()
        thread.join()
    assert statuses == ["queued", "running", "succeeded"]


# Files


def test_file_is_uploaded_described_used_and_deleted(ark):
    file = ark.files.create(file=("cat.png", png(64, 48)), purpose="user_data")
    assert (file.status, file.mime_type, file.filename) == ("active", "image/png", "cat.png")
    assert [one.id for one in ark.files.list().data] == [file.id]
    for part in (
        {"type": "file", "file": {"file_id": file.id}},
        {"type": "image_url", "image_url": {"file_id": file.id}},
    ):
        answer = ark.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": [part]}]
        )
        assert "image/png 64x48" in answer.choices[0].message.content
    assert ark.files.delete(file.id).deleted
    with pytest.raises(ark_errors.ArkNotFoundError):
        ark.files.retrieve(file.id)


def test_video_file_is_active_after_processing(ark):
    file = ark.files.create(file=("cat.mp4", mp4()), purpose="user_data")
    assert file.status == "processing"
    assert ark.files.wait_for_processing(file.id, poll_interval=0.1).status == "active"


def test_file_of_another_account_does_not_exist(ark, client):
    file = ark.files.create(file=("a.txt", b"abc"), purpose="user_data")
    with pytest.raises(ark_errors.ArkNotFoundError):
        client("other").files.retrieve(file.id)


def test_upload_with_an_unknown_purpose_is_refused(ark):
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.files.create(file=("a.txt", b"abc"), purpose="vision")
