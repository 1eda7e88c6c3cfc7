// OpenAI's SDK on chat completions.
import OpenAI from "openai";

import { LOOPS, PERSON, QUESTION, WEATHER, gateway, picture, tell } from "./conversations.mjs";

const tools = [{ type: "function", function: { name: "get_weather", parameters: WEATHER } }];
const said = (content) => [{ role: "user", content }];

function connect(apiKey) {
  const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey, maxRetries: 0 });
  const ask = async (model, content, more = {}) =>
    (await client.chat.completions.create({ model, messages: said(content), ...more })).choices[0]
      .message;
  return {
    text: async (model) => (await ask(model, "Hello")).content,
    stream: async (model, seen, signal) => {
      const body = { model, messages: said("Hello"), stream: true };
      let finish = null;
      for await (const chunk of await client.chat.completions.create(body, { signal })) {
        if (chunk.choices[0]?.delta.content) seen(chunk.choices[0].delta.content);
        finish = chunk.choices[0]?.finish_reason ?? finish;
      }
      if (!signal?.aborted && finish !== "stop") throw new Error(`the finish is ${finish}`);
    },
    vision: async (model) => {
      const look = { type: "text", text: "What is this?" };
      return (await ask(model, [look, { type: "image_url", image_url: { url: picture } }])).content;
    },
    tools: async (model) => {
      const messages = said(QUESTION);
      const calls = [];
      for (let turn = 0; turn < LOOPS; turn++) {
        const stream = client.chat.completions.stream({
          model,
          messages,
          tools,
          tool_choice: "required",
        });
        const message = await stream.finalMessage();
        messages.push(message);
        for (const { id, function: { name, arguments: text } } of message.tool_calls) {
          calls.push({ name, ...JSON.parse(text) });
          messages.push({ role: "tool", tool_call_id: id, content: "sunny" });
        }
      }
      const last = await client.chat.completions.create({ model, messages, tools });
      return { calls, text: last.choices[0].message.content };
    },
    structured: async (model) => {
      const json_schema = { name: "person", strict: true, schema: PERSON };
      const response_format = { type: "json_schema", json_schema };
      return JSON.parse((await ask(model, "Ann", { response_format })).content);
    },
  };
}

await tell("chat", connect);
