"""Answers as clients of the Responses API read them."""

from __future__ import annotations

import json

import pytest

from gateway.api.dialects.responses.items import turns
from gateway.api.dialects.responses.objects import Identity, response_id_of
from gateway.api.dialects.responses.renderer import ResponseStream, response
from gateway.api.dialects.responses.schema import ResponsesSchema
from gateway.api.dialects.responses.tools import Tools
from gateway.api.dialects.stream import frames
from gateway.domain.errors import ContextLengthExceeded, UpstreamDisconnected
from gateway.domain.events import Annotations, Finish, TextDelta, ToolCallDelta
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

TOOLS = [
    {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
    {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]},
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}},
]
PATCH = "*** Begin Patch\n+hello\n*** End Patch"


class Rendering:
    """One answer to a request, streamed or whole."""

    def __init__(self, events, **fields):
        self.wanted = ResponsesSchema().read({"model": "m", "input": "Hi", "tools": TOOLS} | fields)
        self.identity = Identity.new(1_700_000_000)
        self.kept = []
        self._events = events

    def _parts(self):
        return (self.wanted, self.identity, sign, vendor, self.kept.append)

    def whole(self):
        return response(batches(self._events), *self._parts())

    def stream(self, *, heartbeats=0):
        writer = ResponseStream(*self._parts())
        early = b"".join(writer.heartbeat() for _ in range(heartbeats))
        sent = b"".join(frames(batches(self._events), writer, writer.failed))
        return read_frames(early + sent)


def events_of(found, kind):
    return [event for name, event in found if name == kind]


def test_streams_have_all_that_clients_need():
    rendering = Rendering(answer())
    found = rendering.stream()
    assert all(name == event["type"] for name, event in found)
    payloads = {}
    for name, event in found:
        for member in ("created_at", "model"):  # some rules name them without their parent
            if "response" in event:
                event["response." + member] = event["response"][member]
        payloads.setdefault(name, []).append(event)
    payloads["json"] = [rendering.whole()]
    lacking = [need for need in missing("responses", payloads) if "created: response." not in need]
    lacking = [need for need in lacking if "in_progress: response." not in need]
    assert lacking == []


def test_every_event_names_the_same_response_and_items():
    rendering = Rendering(answer())
    found = rendering.stream()
    lifecycle = [event["response"] for _, event in found if "response" in event]
    assert {made["id"] for made in lifecycle} == {rendering.identity.response_id}
    assert [event["sequence_number"] for _, event in found] == list(range(len(found)))
    added = events_of(found, "response.output_item.added")
    done = events_of(found, "response.output_item.done")
    output = lifecycle[-1]["output"]
    for first, last, whole in zip(added, done, output, strict=True):
        assert first["item"]["id"] == last["item"]["id"] == whole["id"]
        assert first["output_index"] == last["output_index"]
        assert first["item"].get("call_id") == last["item"].get("call_id")
        assert last["item"] == whole
        assert response_id_of(whole["id"]) == rendering.identity.response_id


def test_the_answer_is_whole_in_json_and_at_the_end_of_a_stream():
    rendering = Rendering(answer())
    whole = rendering.whole()
    assert whole == rendering.stream()[-1][1]["response"]
    assert whole["status"] == "completed"
    kinds = [item["type"] for item in whole["output"]]
    assert kinds == ["reasoning", "message", "reasoning", "function_call", "function_call"]
    assert whole["output"][0]["summary"] == [{"type": "summary_text", "text": THOUGHTS}]
    assert whole["output"][1]["content"][0]["text"] == TEXT
    assert [item["arguments"] for item in whole["output"][3:]] == [
        '{"city":"Paris"}',
        '{"city":"Rome"}',
    ]
    assert whole["usage"] == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 50,
    }
    assert rendering.kept == [whole, whole]


def test_signatures_come_back_with_the_items_of_the_answer():
    (turn,) = turns(Rendering(answer()).whole()["output"], Tools())
    assert turn.vendor == vendor()
    assert [(block.text, block.signature) for block in turn.reasoning] == [(THOUGHTS, "sig-r")]
    assert [call.signature for call in turn.tool_calls] == ["sig-c", None]


def test_the_input_of_a_custom_tool_is_text():
    call = [ToolCallDelta(0, json.dumps({"input": PATCH}), id="call_1", name="apply_patch")]
    found = Rendering([call, [Finish("tool_calls")]]).stream()
    (item,) = events_of(found, "response.completed")[0]["response"]["output"]
    assert (item["type"], item["call_id"]) == ("custom_tool_call", "call_1")
    assert (item["name"], item["input"]) == ("apply_patch", PATCH)
    assert events_of(found, "response.custom_tool_call_input.delta")[0]["delta"] == PATCH
    assert events_of(found, "response.custom_tool_call_input.done")[0]["input"] == PATCH
    (turn,) = turns([item], Tools())
    assert json.loads(turn.tool_calls[0].arguments) == {"input": PATCH}


def test_a_custom_tool_takes_whatever_the_model_made_of_its_arguments():
    call = [ToolCallDelta(0, PATCH, id="call_1", name="apply_patch")]
    (item,) = Rendering([call, [Finish("tool_calls")]]).whole()["output"]
    assert item["input"] == PATCH


def test_calls_in_a_namespace_have_their_own_name_back():
    call = [ToolCallDelta(0, "{}", id="call_1", name="spawn")]
    rendering = Rendering([call, [Finish("tool_calls")]])
    (item,) = rendering.whole()["output"]
    assert (item["namespace"], item["name"]) == ("agents", "spawn")
    (turn,) = turns([item], rendering.wanted.tools)
    assert turn.tool_calls[0].name == "spawn"


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_is_incomplete(reason, told):
    found = Rendering([[TextDelta("Hi")], [Finish(reason)]]).stream()
    name, last = found[-1]
    assert name == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": told}
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert events_of(found, "response.output_item.done")[0]["item"]["status"] == "incomplete"


def test_a_failure_keeps_the_id_of_the_response():
    def broken():
        yield [TextDelta("Hi")]
        raise UpstreamDisconnected("gone", sent=True)

    rendering = Rendering([])
    writer = ResponseStream(*rendering._parts())
    found = read_frames(b"".join(frames(broken(), writer, writer.failed)))
    name, last = found[-1]
    assert name == "response.failed"
    assert last["response"]["id"] == rendering.identity.response_id
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "upstream_disconnected", "message": "gone"}
    assert rendering.kept == []


def test_a_failure_before_any_event_opens_the_response_first():
    writer = ResponseStream(*Rendering([])._parts())
    found = read_frames(writer.failed(ContextLengthExceeded("too long")))
    assert [name for name, _ in found] == [
        *("response.created", "response.in_progress", "response.failed")
    ]
    assert found[-1][1]["response"]["error"]["code"] == "context_length_exceeded"


def test_the_first_heartbeat_is_the_first_event():
    found = Rendering(answer()).stream(heartbeats=3)
    names = [name for name, _ in found]
    assert names[:4] == ["response.created", "response.in_progress", "keepalive", "keepalive"]
    assert names.count("response.created") == 1


def test_sources_are_annotations_of_the_text():
    note = {"type": "url_citation", "url_citation": {"url": "http://x", "title": "X"}}
    events = [[TextDelta("Hi"), Annotations([note])], [Finish("stop")]]
    (item,) = Rendering(events).whole()["output"]
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "http://x", "title": "X"}
    ]
