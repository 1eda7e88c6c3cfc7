"""The key by which calls of one conversation are recognised."""

from __future__ import annotations

import pytest

from gateway.domain.requests import ChatRequest, Message, Text
from gateway.services.chat.conversation import conversation_of


def request(*texts, **params):
    roles = ("system", "user", "assistant", "user")
    messages = (Message(role, (Text(text),)) for role, text in zip(roles, texts, strict=False))
    return ChatRequest("m", tuple(messages), params)


FIRST = ("Be brief.", "Hello")
LATER = (*FIRST, "Hi!", "How are you?")


def test_the_first_messages_tell_a_conversation_through_all_of_its_turns():
    assert conversation_of(request(*FIRST)) == conversation_of(request(*LATER))
    assert conversation_of(request(*FIRST)) != conversation_of(request("Be brief.", "Bye"))
    assert conversation_of(request(*FIRST)) != conversation_of(request("Be long.", "Hello"))


@pytest.mark.parametrize(
    "params", [{"prompt_cache_key": "k"}, {"user": "u"}, {"metadata": {"user_id": "u"}}]
)
def test_a_key_or_a_user_tells_it_before_the_messages(params):
    assert conversation_of(request(*FIRST, **params)) == conversation_of(
        request("a", "b", **params)
    )


def test_a_key_comes_before_a_user():
    both = {"prompt_cache_key": "k", "user": "u"}
    assert conversation_of(request(*FIRST, **both)) == conversation_of(
        request(*FIRST, prompt_cache_key="k")
    )
