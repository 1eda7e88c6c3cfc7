"""Answers as Anthropic's clients read them."""

from __future__ import annotations

import pytest

from gateway.api.dialects.carrier import unpack
from gateway.api.dialects.messages.errors import MESSAGES
from gateway.api.dialects.messages.renderer import MessageStream, message
from gateway.api.dialects.messages.turns import turns
from gateway.api.dialects.stream import frames
from gateway.domain.errors import UpstreamDisconnected, UpstreamInvalidResponse
from gateway.domain.events import (
    Finish,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
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


def streamed(events, *, thinking=True):
    writer = MessageStream("m", sign, vendor, thinking=thinking)
    return read_frames(b"".join(frames(batches(events), writer, lambda err: b"")))


def whole(events, *, thinking=True):
    return message(batches(events), "m", sign, vendor, thinking=thinking)


def assembled(events):
    """The content blocks that a client puts together from a stream."""
    blocks = {}
    for _, event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                block["json"] = block.get("json", "") + delta["partial_json"]
            else:
                (key,) = delta.keys() - {"type"}
                block[key] += delta[key]
    return list(blocks.values())


def test_streams_have_all_that_clients_need():
    found = [*read_frames(MESSAGES.heartbeat), *streamed(answer())]
    assert all(name == event["type"] for name, event in found)
    payloads = {}
    for name, event in found:
        payloads.setdefault(name, []).append(event)
    payloads["json"] = [whole(answer())]
    assert missing("messages", payloads) == []


def test_blocks_are_opened_filled_and_closed_one_after_the_other():
    types = [event["type"] for _, event in streamed(answer())]
    assert types[0] == "message_start"
    assert types[-2:] == ["message_delta", "message_stop"]
    open_now = None
    for _, event in streamed(answer())[1:-2]:
        if event["type"] == "content_block_start":
            assert open_now is None
            open_now = event["index"]
        assert event["index"] == open_now
        if event["type"] == "content_block_stop":
            open_now = None
    assert open_now is None


def test_a_stream_and_a_whole_message_have_the_same_content():
    blocks = whole(answer())["content"]
    assert [block["type"] for block in blocks] == [
        *("thinking", "text", "thinking", "tool_use", "tool_use")
    ]
    assert blocks[0]["thinking"] == THOUGHTS
    assert blocks[1]["text"] == TEXT
    assert [block["input"] for block in blocks[3:]] == [{"city": "Paris"}, {"city": "Rome"}]
    pieces = assembled(streamed(answer()))
    assert [piece["type"] for piece in pieces] == [block["type"] for block in blocks]
    assert pieces[3]["json"] == '{"city":"Paris"}'
    assert pieces[0] == blocks[0]


def test_signatures_come_back_with_the_turn_that_they_belong_to():
    content = whole(answer())["content"]
    (turn,) = turns([{"role": "assistant", "content": content}])
    assert turn.vendor == vendor()
    assert [(block.text, block.signature) for block in turn.reasoning] == [(THOUGHTS, "sig-r")]
    assert [call.signature for call in turn.tool_calls] == ["sig-c", None]
    assert turn.text == TEXT


def test_reasoning_that_was_not_asked_for_stays_out_of_a_plain_answer():
    events = [[ReasoningDelta("hm", signature="s"), TextDelta("Hi")], [Finish("stop")]]
    assert whole(events, thinking=False)["content"] == [{"type": "text", "text": "Hi"}]


def test_reasoning_that_was_not_asked_for_travels_unseen_with_calls_of_tools():
    events = [[VendorFields({"reasoning_details": [1]})], *answer()]
    content = whole(events, thinking=False)["content"]
    thoughts = [block for block in content if block["type"] == "thinking"]
    assert [block["thinking"] for block in thoughts] == [""]
    assert unpack(thoughts[0]["signature"]).text == THOUGHTS
    (turn,) = turns([{"role": "assistant", "content": content}])
    assert turn.reasoning_text == THOUGHTS
    assert turn.vendor_fields == {"reasoning_details": [1]}
    assert turn.tool_calls[0].signature == "sig-c"


@pytest.mark.parametrize(
    ("finish", "reason", "sequence"),
    [
        (Finish("stop"), "end_turn", None),
        (Finish("stop", stop_sequence="END"), "stop_sequence", "END"),
        (Finish("length"), "max_tokens", None),
        (Finish("content_filter"), "refusal", None),
    ],
)
def test_the_reason_of_the_end_is_told(finish, reason, sequence):
    found = whole([[TextDelta("Hi")], [finish]])
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, sequence)
    delta = streamed([[TextDelta("Hi")], [finish]])[-2][1]["delta"]
    assert delta == {"stop_reason": reason, "stop_sequence": sequence}


def test_cached_tokens_are_counted_apart():
    usage = Usage(prompt_tokens=100, completion_tokens=5, cached_tokens=60, cache_write_tokens=10)
    found = whole([[TextDelta("Hi")], [usage, Finish("stop")]])["usage"]
    assert found == {
        "input_tokens": 30,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 60,
        "output_tokens": 5,
    }


def test_a_call_without_arguments_is_an_empty_object():
    events = [[ToolCallDelta(0, "", id="c", name="now")], [Finish("tool_calls")]]
    assert whole(events)["content"][-1]["input"] == {}
    assert assembled(streamed(events))[-1]["json"] == "{}"


def test_a_call_that_was_cut_by_the_limit_is_left_out_of_a_whole_message():
    events = [
        [TextDelta("Hi"), ToolCallDelta(0, '{"a": "b', id="c", name="f")],
        [Finish("length")],
    ]
    found = whole(events)
    assert [block["type"] for block in found["content"]] == ["text"]
    assert found["stop_reason"] == "max_tokens"


def test_arguments_that_are_no_json_are_an_error():
    events = [[ToolCallDelta(0, '{"a": "b', id="c", name="f")], [Finish("tool_calls")]]
    with pytest.raises(UpstreamInvalidResponse):
        whole(events)


def test_a_piece_of_a_call_that_has_ended_is_an_error():
    calls = [ToolCallDelta(0, "{", id="a", name="f"), ToolCallDelta(1, "{", id="b", name="f")]
    late = ToolCallDelta(0, "}")
    with pytest.raises(UpstreamInvalidResponse):
        whole([[*calls, late], [Finish("tool_calls")]])


def test_generated_images_are_links_in_the_text():
    stored = StoredMedia("ab", "png", "image/png", 7)
    found = whole([[MediaStored("image", stored)], [Finish("stop")]])
    assert found["content"] == [{"type": "text", "text": f"![image]({sign(stored)})\n"}]


def test_a_failed_stream_has_no_end():
    def broken():
        yield [TextDelta("Hi")]
        raise UpstreamDisconnected("gone", sent=True)

    writer = MessageStream("m", sign, vendor, thinking=True)
    data = b"".join(frames(broken(), writer, lambda err: b'event: error\ndata: {"type":1}\n\n'))
    names = [name for name, _ in read_frames(data)]
    assert names[-1] == "error"
    assert "message_stop" not in names
    assert "message_delta" not in names
