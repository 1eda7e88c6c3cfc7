"""Turns of models and tools, as clients send them back."""

from __future__ import annotations

import pytest

from gateway.api.schemas.parts import messages
from gateway.domain.requests import ReasoningBlock, Text

CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}


def turn(**members):
    return messages([{"role": "assistant", "content": None, **members}])[0]


@pytest.mark.parametrize(
    ("members", "blocks"),
    [
        ({"reasoning_content": "hm"}, (ReasoningBlock("hm"),)),
        ({"reasoning": "hm"}, (ReasoningBlock("hm"),)),
        ({"reasoning_content": "", "reasoning": "hm"}, (ReasoningBlock("hm"),)),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
            (ReasoningBlock("hm", "s"),),
        ),
        (
            {
                "reasoning_content": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "s"}],
            },
            (ReasoningBlock("hm", "s"),),
        ),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, ()),
        ({"reasoning_details": "odd", "reasoning": {"effort": "low"}}, ()),
    ],
    ids=str,
)
def test_reasoning_is_read_in_every_spelling(members, blocks):
    assert turn(**members).reasoning == blocks


@pytest.mark.parametrize(
    ("extra", "signature"),
    [
        ({"google": {"thought_signature": "REAL=="}}, "REAL=="),
        ({"signature": "REAL=="}, "REAL=="),
        ({"google": {}}, None),
        ({"google": {"thought_signature": 7}}, None),
        ("odd", None),
    ],
    ids=str,
)
def test_a_signature_is_read_in_googles_spelling_and_a_foreign_one_left_out(extra, signature):
    call = turn(tool_calls=[CALL | {"extra_content": extra}]).tool_calls[0]
    assert call.signature == signature
    part = {"type": "text", "text": "hi", "extra_content": extra}
    assert turn(content=[part]).parts == (Text("hi", signature),)
    assert turn(content="hi", extra_content=extra).parts == (Text("hi", signature),)


def test_unknown_members_of_a_models_turn_are_kept_for_its_vendor():
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    message = turn(reasoning_details=details, id="1", createdAt=5, odd=None, annotations=[])
    assert message.vendor_fields == {"reasoning_details": details}


def test_an_answer_that_names_no_call_belongs_to_the_call_in_its_place():
    calls = [CALL | {"id": ""}, CALL | {"id": "b"}, CALL | {"id": ""}]
    answers = [{"role": "tool", "content": text, "tool_call_id": ""} for text in ("1", "2", "3")]
    read = messages([{"role": "assistant", "content": "", "tool_calls": calls}, *answers])
    assert [message.tool_call_id for message in read[1:]] == ["call_0", "b", "call_2"]
