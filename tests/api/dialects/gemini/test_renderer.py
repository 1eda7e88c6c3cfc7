"""Answers as Google's clients read them."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.api.dialects.carrier import unpack
from gateway.api.dialects.gemini.renderer import ContentStream, Forms, response
from gateway.api.dialects.gemini.turns import turns
from gateway.api.dialects.stream import frames
from gateway.domain.errors import UpstreamDisconnected, UpstreamInvalidResponse
from gateway.domain.events import (
    Finish,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    VendorFields,
)
from gateway.domain.media import StoredMedia
from tests.api.dialects.answers import (
    TEXT,
    THOUGHTS,
    answer,
    batches,
    missing,
    read_frames,
    sign,
    vendor,
)

SIGNATURE = base64.b64encode(b"signed").decode()


def read(stored):
    return f"bytes-of-{stored.id}"


def whole(events, *, thoughts=True):
    return response(batches(events), "m", Forms(sign, read, vendor, thoughts))


def stream(events, *, sse=True, thoughts=True):
    writer = ContentStream("m", Forms(sign, read, vendor, thoughts), events=sse)
    return b"".join(frames(events, writer, writer.failed))


def streamed(events, **options):
    return [payload for _, payload in read_frames(stream(batches(events), **options))]


def parts_of(found, candidate=0):
    return found["candidates"][candidate]["content"]["parts"]


def call(**fields):
    return ToolCallDelta(0, '{"a": 1}', id="1", name="f", **fields)


def test_answers_have_all_that_clients_need():
    assert missing("gemini", {"json": [whole(answer())], "stream": streamed(answer())}) == []


def test_only_the_last_chunk_has_the_reason_of_the_end_and_the_usage():
    *chunks, last = streamed(answer())
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == {
        "promptTokenCount": 30,
        "candidatesTokenCount": 13,
        "totalTokenCount": 50,
        "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 10,
    }
    assert not any("finishReason" in chunk["candidates"][0] for chunk in chunks)
    assert len({chunk["responseId"] for chunk in [*chunks, last]}) == 1


def test_a_stream_and_a_whole_answer_have_the_same_parts():
    parts = parts_of(whole(answer()))
    assert parts[0]["text"] == THOUGHTS
    assert parts[0]["thought"] is True
    assert parts[1] == {"text": TEXT}
    assert [part["functionCall"]["args"] for part in parts[2:]] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    pieces = [part for chunk in streamed(answer()) for part in parts_of(chunk)]
    assert pieces[-2:] == parts[2:]


def test_without_server_sent_events_a_stream_is_one_array():
    found = json.loads(stream(batches(answer()), sse=False))
    assert [chunk["candidates"] for chunk in found] == [
        chunk["candidates"] for chunk in streamed(answer())
    ]


def test_thoughts_stay_out_unless_they_are_asked_for():
    parts = parts_of(whole(answer(), thoughts=False))
    assert not any(part.get("thought") for part in parts)


def test_a_vendors_own_signature_stays_as_it_is():
    signed = [call(signature=SIGNATURE)]
    (part,) = parts_of(whole([signed, [Finish("tool_calls")]]))
    assert part["thoughtSignature"] == SIGNATURE
    (turn,) = turns([{"role": "model", "parts": [part]}])
    assert turn.tool_calls[0].signature == SIGNATURE
    text = [TextDelta("Hi"), TextDelta("", signature=SIGNATURE)]
    assert parts_of(whole([text, [Finish("stop")]])) == [
        {"text": "Hi", "thoughtSignature": SIGNATURE}
    ]


def test_what_other_vendors_need_back_is_packed_with_the_call():
    events = [
        [ReasoningDelta("hm", signature="not base64!"), VendorFields({"details": [1]})],
        [call(signature="s-1")],
        [Finish("tool_calls")],
    ]
    (part,) = parts_of(whole(events, thoughts=False))
    assert unpack(part["thoughtSignature"]).vendor == vendor()
    (turn,) = turns([{"role": "model", "parts": [part]}])
    assert turn.vendor == vendor()
    assert turn.reasoning_text == "hm"
    assert turn.vendor_fields == {"details": [1]}
    assert turn.tool_calls[0].signature == "s-1"


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stop", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY")],
)
def test_the_reason_of_the_end_is_told(reason, told):
    found = whole([[TextDelta("Hi")], [Finish(reason)]])
    assert found["candidates"][0]["finishReason"] == told


def test_each_choice_is_a_candidate():
    events = [[TextDelta("a"), TextDelta("b", choice=1)], [Finish("stop"), Finish("stop", 1)]]
    found = whole(events)
    assert [parts_of(found, number) for number in (0, 1)] == [[{"text": "a"}], [{"text": "b"}]]
    last = streamed(events)[-1]
    assert [candidate["index"] for candidate in last["candidates"]] == [0, 1]


def test_a_call_that_was_cut_by_the_limit_is_left_out():
    cut = ToolCallDelta(0, '{"a": "b', id="1", name="f")
    assert parts_of(whole([[cut], [Finish("length")]])) == []
    with pytest.raises(UpstreamInvalidResponse):
        whole([[cut], [Finish("tool_calls")]])


def test_images_are_in_the_answer_and_larger_media_are_links():
    image, video = StoredMedia("a", "png", "image/png", 9), StoredMedia("b", "mp4", "video/mp4", 9)
    events = [[MediaStored("image", image), MediaStored("video", video)], [Finish("stop")]]
    assert parts_of(whole(events)) == [
        {"inlineData": {"mimeType": "image/png", "data": "bytes-of-a"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": sign(video)}},
    ]


@pytest.mark.parametrize("sse", [True, False])
def test_a_failed_stream_ends_with_its_error(sse):
    def broken():
        yield [TextDelta("Hi")]
        raise UpstreamDisconnected("gone", sent=True)

    data = stream(broken(), sse=sse)
    found = [payload for _, payload in read_frames(data)] if sse else json.loads(data)
    assert found[-1] == {"error": {"code": 502, "message": "gone", "status": "UNAVAILABLE"}}
    assert not any("finishReason" in str(chunk) for chunk in found)
    assert b"event:" not in data
