// Anthropic's SDK.
import Anthropic from "@anthropic-ai/sdk";

import { LOOPS, PERSON, QUESTION, WEATHER, bytes, gateway, tell } from "./conversations.mjs";

const tools = [{ name: "get_weather", input_schema: WEATHER }];
const said = (content) => [{ role: "user", content }];
const textOf = ({ content }) =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("");

function connect(apiKey) {
  const client = new Anthropic({ baseURL: gateway, apiKey, maxRetries: 0 });
  const ask = { max_tokens: 4096 };
  return {
    text: async (model) =>
      textOf(await client.messages.create({ ...ask, model, messages: said("Hello") })),
    stream: async (model, seen, signal) => {
      const body = { ...ask, model, messages: said("Hello") };
      const stream = client.messages.stream(body, { signal });
      stream.on("text", seen);
      await stream.finalMessage();
    },
    vision: async (model) => {
      const source = { type: "base64", media_type: "image/png", data: bytes.toString("base64") };
      const content = [{ type: "text", text: "What is this?" }, { type: "image", source }];
      return textOf(await client.messages.create({ ...ask, model, messages: said(content) }));
    },
    tools: async (model) => {
      const messages = said(QUESTION);
      const body = { ...ask, model, messages, tools };
      const thinking = { type: "enabled", budget_tokens: 1024 };
      const calls = [];
      for (let turn = 0; turn < LOOPS; turn++) {
        const stream = client.messages.stream({ ...body, thinking, tool_choice: { type: "any" } });
        const { content } = await stream.finalMessage();
        const made = content.filter((block) => block.type === "tool_use");
        calls.push(...made.map(({ name, input }) => ({ name, ...input })));
        messages.push({ role: "assistant", content });
        const results = made.map(({ id }) => ({
          type: "tool_result",
          tool_use_id: id,
          content: "sunny",
        }));
        messages.push({ role: "user", content: results });
      }
      return { calls, text: textOf(await client.messages.create({ ...body, thinking })) };
    },
    structured: async (model) => {
      const output_config = { format: { type: "json_schema", schema: PERSON } };
      const body = { ...ask, model, messages: said("Ann"), output_config };
      return JSON.parse(textOf(await client.messages.create(body)));
    },
  };
}

await tell("messages", connect);
