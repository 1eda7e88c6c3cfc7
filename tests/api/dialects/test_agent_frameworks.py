"""OpenAI's Agents SDK and Pydantic AI run agents on each dialect, over each vendor."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import agents
import anthropic
import openai
import pydantic_ai
import pytest
from google import genai
from pydantic import BaseModel
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.support.media import data_url, png

MODELS = {"doubao": "ark", "test-model": "sk", "gemini/gemini-3.8-flash": "AIza"}
QUESTION = "What is the weather in Paris? Use get_weather."
TURNS = 3
LATE = (AgentRunError, openai.APIError, anthropic.APIError, genai.errors.APIError)
agents.set_tracing_disabled(True)


class Person(BaseModel):
    name: str
    age: int


# -- OpenAI's Agents SDK -----------------------------------------------------------------

AGENTS = {
    "chat": agents.OpenAIChatCompletionsModel,
    "responses": agents.OpenAIResponsesModel,
}
each_agent = pytest.mark.parametrize(
    ("kind", "model"), [(kind, model) for kind in AGENTS for model in MODELS]
)


async def agent_run(gateway, kind, model, what, *, key="pooled", **options):
    """What `what` makes of an agent that talks through the gateway."""
    url = f"{gateway.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        served = AGENTS[kind](model=model, openai_client=client)
        return await what(agents.Agent(name="helper", model=served, **options))


@each_agent
def test_an_agent_loops_through_tools_over_several_turns(gateway, kind, model):
    asked = []

    @agents.function_tool
    def get_weather(city: str) -> str:
        asked.append(city)
        return "sunny"

    async def talk(agent):
        items = []
        for _ in range(TURNS):
            items.append({"role": "user", "content": QUESTION})
            found = await agents.Runner.run(agent, items)
            assert found.final_output
            items = found.to_input_list()

    asyncio.run(agent_run(gateway, kind, model, talk, tools=[get_weather]))
    assert len(asked) == TURNS
    assert all(asked)


@each_agent
def test_an_agent_sees_streams_and_keeps_to_a_schema(gateway, kind, model):
    look = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_url(png(33, 44)), "detail": "auto"},
    ]

    async def talk(agent):
        result = agents.Runner.run_streamed(agent, [{"role": "user", "content": look}])
        pieces = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        assert "33x44" in "".join(pieces)
        assert result.final_output == "".join(pieces)
        shaped = await agents.Runner.run(agent.clone(output_type=Person), "Ann")
        assert isinstance(shaped.final_output, Person)

    asyncio.run(agent_run(gateway, kind, model, talk))


@each_agent
def test_an_agent_is_told_of_errors_and_may_leave(gateway, simulators, kind, model):
    async def refused(agent):
        with pytest.raises(openai.AuthenticationError):
            await agents.Runner.run(agent, "Hello")

    async def broken(agent):
        result = agents.Runner.run_streamed(agent, "Hello")
        with pytest.raises((openai.APIError, agents.AgentsException)):
            async for _ in result.stream_events():
                pass

    async def leaving(agent):
        result = agents.Runner.run_streamed(agent, "Hello")
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                break
        result.cancel()
        with suppress(asyncio.CancelledError):
            async for _ in result.stream_events():
                pass

    vendor = MODELS[model]
    endless = f"{vendor}-endless-slow100-agents{kind}"
    for key, what in (
        ("gw-wrong", refused),
        (f"{vendor}-cut8-agents{kind}", broken),
        (endless, leaving),
    ):
        asyncio.run(agent_run(gateway, kind, model, what, key=key))
    assert simulators.calls(endless) == 1
    simulators.until(lambda ledger: endless not in ledger["in_flight"], within_s=2)


# -- Pydantic AI -------------------------------------------------------------------------


def _openai(model_class):
    @asynccontextmanager
    async def connected(gateway, key, model):
        url = f"{gateway.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
            yield model_class(model, provider=OpenAIProvider(openai_client=client))

    return connected


@asynccontextmanager
async def _anthropic(gateway, key, model):
    url = gateway.url
    async with anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0) as client:
        yield AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client))


@asynccontextmanager
async def _google(gateway, key, model):
    client = genai.Client(api_key=key, http_options={"base_url": gateway.url})
    async with client.aio:
        yield GoogleModel(model, provider=GoogleProvider(client=client))
    client.close()


PYDANTIC = {
    "chat": _openai(OpenAIChatModel),
    "responses": _openai(OpenAIResponsesModel),
    "messages": _anthropic,
    "gemini": _google,
}
each_pydantic = pytest.mark.parametrize(
    ("kind", "model"), [(kind, model) for kind in PYDANTIC for model in MODELS]
)


@each_pydantic
def test_a_pydantic_agent_loops_through_tools_over_several_turns(gateway, kind, model):
    asked = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "sunny"

    async def talk():
        async with PYDANTIC[kind](gateway, "pooled", model) as served:
            agent = pydantic_ai.Agent(served, tools=[get_weather])
            history = []
            for _ in range(TURNS):
                found = await agent.run(QUESTION, message_history=history)
                assert found.output
                history = found.all_messages()

    asyncio.run(talk())
    assert len(asked) == TURNS
    assert all(asked)


@each_pydantic
def test_a_pydantic_agent_sees_streams_and_keeps_to_a_schema(gateway, kind, model):
    look = ["What is this?", pydantic_ai.BinaryContent(png(33, 44), media_type="image/png")]

    async def talk():
        async with PYDANTIC[kind](gateway, "pooled", model) as served:
            async with pydantic_ai.Agent(served).run_stream(look) as result:
                pieces = [piece async for piece in result.stream_text(delta=True)]
            assert "33x44" in "".join(pieces)
            forms = [Person]
            if kind != "messages":  # which of Anthropic's models can, it knows for itself
                forms.append(pydantic_ai.NativeOutput(Person))
            for form in forms:
                shaped = await pydantic_ai.Agent(served, output_type=form).run("Ann")
                assert isinstance(shaped.output, Person)

    asyncio.run(talk())


@each_pydantic
def test_a_pydantic_agent_is_told_of_errors_and_may_leave(gateway, simulators, kind, model):
    vendor = MODELS[model]
    endless = f"{vendor}-endless-slow100-pydantic{kind}"

    async def talk():
        connect = PYDANTIC[kind]
        async with connect(gateway, "gw-wrong", model) as wrong:
            with pytest.raises(ModelHTTPError) as caught:
                await pydantic_ai.Agent(wrong).run("Hello")
        assert caught.value.status_code == 401
        async with connect(gateway, f"{vendor}-cut8-pydantic{kind}", model) as cut:
            with pytest.raises(LATE):
                async with pydantic_ai.Agent(cut).run_stream("Hello") as result:
                    await result.get_output()
        async with (
            connect(gateway, endless, model) as served,
            pydantic_ai.Agent(served).run_stream("Hello") as result,
        ):
            async for _ in result.stream_text(delta=True):
                break

    asyncio.run(talk())
    assert simulators.calls(endless) == 1
    simulators.until(lambda ledger: endless not in ledger["in_flight"], within_s=2)
