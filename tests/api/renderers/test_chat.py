"""Answers as OpenAI's two forms, with what vendors want back in them."""

from __future__ import annotations

import json

import pytest

from gateway.api.renderers.chat import completion
from gateway.api.renderers.chat_stream import ChunkWriter
from gateway.api.schemas.parts import messages
from gateway.domain.events import (
    Annotations,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    VendorFields,
)
from gateway.domain.requests import ReasoningBlock, Text

CITATION = {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A"}}
EVENTS = [
    ReasoningDelta("I think"),
    ReasoningDelta("", signature="reasoned"),
    TextDelta("Hello "),
    TextDelta("there", signature="texted"),
    Annotations([CITATION]),
    VendorFields({"opaque": [1], "content": "never"}),
    VendorFields({"opaque": [2]}),
    ToolCallDelta(0, "", id="call_1", name="now", signature="called"),
    ToolCallDelta(1, '{"a":', id="call_2", name="add"),
    ToolCallDelta(1, "1}"),
    Finish("tool_calls"),
]


def whole(events):
    def batches():
        yield list(events)

    return completion(batches(), "m", str, as_parts=True)["choices"][0]["message"]


def streamed(events):
    """The message that a client puts together from the deltas."""
    writer = ChunkWriter("m", str, include_usage=False)
    frames = writer.opening() + b"".join([writer.batch([event]) for event in events])
    message = {"content": "", "tool_calls": {}}
    for frame in frames.decode().split("\n\n")[:-1]:
        delta = json.loads(frame.removeprefix("data: "))["choices"][0]["delta"]
        for name, value in delta.items():
            if name == "tool_calls":
                for piece in value:
                    call = message["tool_calls"].setdefault(piece["index"], {"arguments": ""})
                    function = piece.pop("function")
                    call["arguments"] += function.pop("arguments")
                    call |= piece | function
            elif isinstance(value, str) and name != "role":
                message[name] = message.get(name, "") + value
            elif isinstance(value, list):
                message[name] = message.get(name, []) + value
            else:
                message[name] = value
    message["tool_calls"] = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        | ({"extra_content": call["extra_content"]} if "extra_content" in call else {})
        for _, call in sorted(message["tool_calls"].items())
    ]
    return message


@pytest.mark.parametrize("read", [whole, streamed], ids=["json", "stream"])
def test_everything_that_a_vendor_wants_back_comes_back(read):
    message = read(EVENTS)
    assert message["content"] == "Hello there"
    assert message["annotations"] == [CITATION]
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "called"}}
    assert message["tool_calls"][1]["function"]["arguments"] == '{"a":1}'
    again = messages([message])[0]
    assert again.reasoning == (ReasoningBlock("I think", "reasoned"),)
    assert again.parts == (Text("Hello there", "texted"),)
    assert [call.signature for call in again.tool_calls] == ["called", None]
    assert again.vendor_fields["opaque"] == [1, 2]
