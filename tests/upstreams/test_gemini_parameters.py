"""OpenAI's parameters in the words of the Gemini API."""

from __future__ import annotations

import pytest

from gateway.api.schemas.chat import ChatRequestSchema
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tests.upstreams.conftest import Vendor, ask, text_of
from tests.upstreams.gemini_support import CITY, CLOCK, WEATHER, body_of, events_of, with_model


@pytest.mark.parametrize(
    ("params", "config"),
    [
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, dict(temperature=0.5, topP=0.9, topK=3)),
        ({"max_tokens": 5, "max_completion_tokens": 7}, dict(maxOutputTokens=7)),
        ({"max_tokens": 5}, dict(maxOutputTokens=5)),
        ({"n": 2, "seed": 2**31 + 5}, dict(candidateCount=2, seed=5)),
        ({"presence_penalty": 0, "frequency_penalty": 0.5}, dict(frequencyPenalty=0.5)),
        ({"stop": list("abcdefg")}, dict(stopSequences=list("abcde"))),
        ({"modalities": ["text"]}, dict(responseModalities=["TEXT"])),
        (
            {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}},
            dict(imageConfig={"aspectRatio": "16:9", "imageSize": "2K"}),
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, dict(responseMimeType="application/json")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}},
            dict(responseMimeType="application/json", responseJsonSchema=CITY),
        ),
    ],
)
def test_parameters_become_generation_config(gemini, params, config) -> None:
    body = body_of(gemini, ask(gemini, **params))
    del body["generationConfig"]["thinkingConfig"]
    assert body["generationConfig"] == config


@pytest.mark.parametrize(
    ("model", "params", "config"),
    [
        ("gemini-3.8-flash", {}, {}),
        ("gemini-3.5-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "HIGH"}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "high"}, {"thinkingBudget": 24576}),
        ("gemini-2.5-pro", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        (
            "gemini-2.5-pro",
            {"thinking": {"type": "enabled", "budget_tokens": 900}},
            {"thinkingBudget": 900},
        ),
    ],
)
def test_effort_is_told_in_the_words_of_the_family(gemini, model: str, params, config) -> None:
    body = body_of(gemini, with_model(ask(gemini, **params), model))
    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, **config}
    assert text_of(gemini.chat(with_model(ask(gemini, **params), model), gemini.account()))


@pytest.mark.parametrize(
    "effort", ChatRequestSchema().fields["reasoning_effort"].validators[0].choices
)
def test_every_effort_of_callers_has_its_place(gemini: Vendor, effort: str) -> None:
    counting, levelled = (
        body_of(gemini, with_model(ask(gemini, reasoning_effort=effort), model))
        for model in ("gemini-2.5-flash", "gemini-3.8-flash")
    )
    thinking = counting["generationConfig"]["thinkingConfig"]
    assert (thinking["thinkingBudget"] > 0) is thinking["includeThoughts"] is (effort != "none")
    assert levelled["generationConfig"]["thinkingConfig"]["thinkingLevel"]
    if effort in ("high", "xhigh", "max"):
        assert thinking["thinkingBudget"] == 24576
        assert levelled["generationConfig"]["thinkingConfig"]["thinkingLevel"] == "HIGH"


@pytest.mark.parametrize("params", [{"thinking": {"type": "disabled"}}, {"enable_thinking": False}])
def test_thinking_can_be_turned_off_where_gemini_can(gemini: Vendor, params) -> None:
    events = events_of(gemini, ask(gemini, **params), gemini.account())
    assert not [event for event in events if isinstance(event, ReasoningDelta)]


@pytest.mark.parametrize("model", ["gemma-4-31b", "gemini-2.0-flash", "gemini-3-pro-image"])
def test_models_that_are_not_asked_to_think_are_left_alone(gemini: Vendor, model: str) -> None:
    assert "generationConfig" not in body_of(gemini, with_model(ask(gemini), model))


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_come_as_reasoning(gemini: Vendor, stream: bool) -> None:
    events = events_of(gemini, ask(gemini, stream=stream), gemini.account())
    assert isinstance(events[0], ReasoningDelta)
    usage = next(event for event in events if isinstance(event, Usage))
    assert 0 < usage.reasoning_tokens < usage.completion_tokens


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "clock"}},
            {"mode": "ANY", "allowedFunctionNames": ["clock"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CLOCK]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["clock"]},
        ),
    ],
)
def test_choice_of_tools_is_a_mode(gemini: Vendor, choice, config) -> None:
    request = ask(gemini, tools=[WEATHER, CLOCK], tool_choice=choice)
    body = body_of(gemini, request)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert body["tools"][0]["functionDeclarations"][0] == {
        "name": "weather",
        "description": "Of a city",
        "parametersJsonSchema": CITY,
    }
    events = events_of(gemini, request, gemini.account())
    called = [event.name for event in events if isinstance(event, ToolCallDelta)]
    assert bool(called) == (config["mode"] == "ANY")


def test_tools_that_gemini_does_not_have_are_refused(gemini: Vendor) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body_of(gemini, ask(gemini, tools=[WEATHER, {"type": "custom"}]))
    assert caught.value.param == "tools[1].type"


def test_search_and_tiers_are_asked_for(gemini: Vendor) -> None:
    body = body_of(gemini, ask(gemini, web_search_options={}, service_tier="flex"))
    assert body["tools"] == [{"googleSearch": {}}]
    assert body["serviceTier"] == "flex"
    assert "serviceTier" not in body_of(gemini, ask(gemini, service_tier="auto"))


def test_what_gemini_lacks_is_named(gemini: Vendor) -> None:
    request = ask(
        gemini,
        temperature=1,
        logprobs=True,
        logit_bias={"1": 2},
        stop=list("abcdef"),
        tools=[WEATHER],
        web_search_options={},
    )
    assert set(gemini.upstream.dropped(request)) == {
        "logprobs",
        "logit_bias",
        "stop",
        "web_search_options",
    }


def test_several_answers_are_told_apart(gemini: Vendor) -> None:
    events = events_of(gemini, ask(gemini, n=2), gemini.account())
    texts = [
        "".join(e.text for e in events if isinstance(e, TextDelta) and e.choice == c)
        for c in (0, 1)
    ]
    assert texts[0] == texts[1] != ""
    assert [(e.reason, e.choice) for e in events[-2:]] == [("stop", 0), ("stop", 1)]
