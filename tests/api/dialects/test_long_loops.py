"""Ten turns of tools, some of them parallel, over accounts that change: nothing opaque is lost."""

from __future__ import annotations

from typing import Any

import pytest

TURNS = 10
BOTH = "Use get_weather and get_time."
ACCOUNTS = {
    "gemini/gemini-3.8-flash": ("AIza-loop-one", "AIza-loop-two"),
    "doubao": ("ark-loop-one", "ark-loop-two"),
    "test-model": ("sk-thoughtful-loop-one", "sk-thoughtful-loop-two"),
}
TOOLS = ("get_weather", "get_time")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
Answer = dict[str, Any]


class Chat:
    path = "/v1/chat/completions"

    def __init__(self, model: str) -> None:
        self.messages: list[Any] = [{"role": "user", "content": BOTH}]
        functions = [{"name": name, "parameters": SCHEMA} for name in TOOLS]
        self.fixed = {
            "model": model,
            "tools": [{"type": "function", "function": function} for function in functions],
        }

    def body(self, forced: bool) -> Answer:
        choice = "required" if forced else "auto"
        return self.fixed | {"messages": self.messages, "tool_choice": choice}

    def took(self, answer: Answer) -> int:
        message = answer["choices"][0]["message"]
        calls = message.get("tool_calls", [])
        results = [{"role": "tool", "tool_call_id": c["id"], "content": "fine"} for c in calls]
        self.messages += [message, *results]
        return len(calls)

    def say(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})


class Responses:
    path = "/v1/responses"

    def __init__(self, model: str) -> None:
        self.items: list[Any] = [{"role": "user", "content": BOTH}]
        tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in TOOLS]
        self.fixed: Answer = {"model": model, "tools": tools, "store": False}

    def body(self, forced: bool) -> Answer:
        return self.fixed | {"input": self.items, "tool_choice": "required" if forced else "auto"}

    def took(self, answer: Answer) -> int:
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        self.items += [*answer["output"], *self.results(calls)]
        return len(calls)

    def results(self, calls: list[Answer]) -> list[Answer]:
        return [
            {"type": "function_call_output", "call_id": call["call_id"], "output": "fine"}
            for call in calls
        ]

    def say(self, text: str) -> None:
        self.items.append({"role": "user", "content": text})


class StoredResponses(Responses):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.fixed["store"] = True

    def took(self, answer: Answer) -> int:
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        self.items = self.results(calls)
        self.fixed["previous_response_id"] = answer["id"]
        return len(calls)


class Messages:
    path = "/v1/messages"

    def __init__(self, model: str) -> None:
        self.messages: list[Any] = [{"role": "user", "content": BOTH}]
        tools = [{"name": name, "input_schema": SCHEMA} for name in TOOLS]
        self.fixed: Answer = {"model": model, "tools": tools, "max_tokens": 4096}

    def body(self, forced: bool) -> Answer:
        choice = {"type": "any" if forced else "auto"}
        return self.fixed | {"messages": self.messages, "tool_choice": choice}

    def took(self, answer: Answer) -> int:
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": "fine"} for call in calls
        ]
        self.messages += [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": results},
        ]
        return len(calls)

    def say(self, text: str) -> None:
        self.messages[-1]["content"].append({"type": "text", "text": text})


class ThinkingMessages(Messages):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.fixed["thinking"] = {"type": "enabled", "budget_tokens": 1024}


class Gemini:
    def __init__(self, model: str) -> None:
        self.path = f"/v1beta/models/{model}:generateContent"
        self.contents: list[Any] = [{"role": "user", "parts": [{"text": BOTH}]}]
        declared = [{"name": name, "parameters": SCHEMA} for name in TOOLS]
        self.fixed: Answer = {"tools": [{"functionDeclarations": declared}]}

    def body(self, forced: bool) -> Answer:
        calling = {"functionCallingConfig": {"mode": "ANY" if forced else "AUTO"}}
        return self.fixed | {"contents": self.contents, "toolConfig": calling}

    def took(self, answer: Answer) -> int:
        content = answer["candidates"][0]["content"]
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        results = [{"functionResponse": {**call, "response": {"output": "fine"}}} for call in calls]
        for result in results:
            del result["functionResponse"]["args"]
        self.contents += [content, {"role": "user", "parts": results}]
        return len(calls)

    def say(self, text: str) -> None:
        self.contents[-1]["parts"].append({"text": text})


class GeminiWithThoughts(Gemini):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.fixed["generationConfig"] = {"thinkingConfig": {"includeThoughts": True}}


DIALECTS = [
    Chat,
    Responses,
    StoredResponses,
    Messages,
    ThinkingMessages,
    Gemini,
    GeminiWithThoughts,
]


@pytest.fixture(scope="module")
def pool(gateway_factory):
    names = ("GEMINI_API_KEYS", "ARK_API_KEYS", "OPENAI_API_KEYS")
    keys = {name: ",".join(found) for name, found in zip(names, ACCOUNTS.values(), strict=True)}
    with gateway_factory.started(workers=1, **keys) as running:
        yield running


@pytest.mark.parametrize("model", ACCOUNTS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
def test_ten_turns_of_tools_bring_back_what_the_vendor_signed(pool, simulators, dialect, model):
    before = {key: len(simulators.requests_of(key)) for key in ACCOUNTS[model]}
    talk = dialect(model)
    counts = []
    for turn in range(TURNS):
        if turn in (4, 8):
            talk.say(BOTH)  # parallel calls in the middle of the loop
        answer = pool.post(talk.path, talk.body(forced=True))
        assert answer.status_code == 200, (turn, answer.text)
        counts.append(talk.took(answer.json()))
    assert counts == [2, 1, 1, 1, 2, 1, 1, 1, 2, 1]
    answer = pool.post(talk.path, talk.body(forced=False))
    assert answer.status_code == 200, answer.text
    sent = [simulators.requests_of(key)[before[key] :] for key in ACCOUNTS[model]]
    assert all(sent), "one account answered all turns"
    longest = max(
        (request["body"] for requests in sent for request in requests),
        key=lambda body: len(body.get("messages") or body.get("contents")),
    )
    check_opaque(model, longest)


def check_opaque(model, body):
    """Each turn of the model came back with the first signature, or its reasoning."""
    if "contents" in body:
        turns = [content["parts"] for content in body["contents"] if content["role"] == "model"]
        calls = [[part for part in parts if "functionCall" in part] for parts in turns]
        assert [len(found) for found in calls] == [2, 1, 1, 1, 2, 1, 1, 1, 2, 1]
        signatures = [found[0].get("thoughtSignature", "") for found in calls]
        assert all(signatures)
        assert not any(text.startswith("skip") for text in signatures)
        return
    turns = [message for message in body["messages"] if message["role"] == "assistant"]
    assert [len(turn["tool_calls"]) for turn in turns] == [2, 1, 1, 1, 2, 1, 1, 1, 2, 1]
    if model == "test-model":
        assert all(turn.get("reasoning_content") for turn in turns), turns


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
def test_another_vendor_goes_on_without_what_it_did_not_sign(gateway, dialect):
    first, *others = ACCOUNTS
    talk = dialect(first)
    for model in (first, *others, first):
        if "model" in talk.fixed:
            talk.fixed["model"] = model
        else:
            talk.path = f"/v1beta/models/{model}:generateContent"
        answer = gateway.post(talk.path, talk.body(forced=True))
        assert answer.status_code == 200, (model, answer.text)
        assert talk.took(answer.json())
