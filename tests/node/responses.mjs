// OpenAI's SDK on the Responses API.
import OpenAI from "openai";

import { LOOPS, PERSON, QUESTION, WEATHER, gateway, picture, tell } from "./conversations.mjs";

const tools = [{ type: "function", name: "get_weather", strict: true, parameters: WEATHER }];

function connect(apiKey) {
  const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey, maxRetries: 0 });
  return {
    text: async (model) => (await client.responses.create({ model, input: "Hello" })).output_text,
    stream: async (model, seen, signal) => {
      const stream = client.responses.stream({ model, input: "Hello" }, { signal });
      for await (const event of stream) {
        if (event.type === "response.output_text.delta") seen(event.delta);
        if (event.type === "response.failed") throw new Error(event.response.error.message);
      }
      await stream.finalResponse();
    },
    vision: async (model) => {
      const content = [
        { type: "input_text", text: "What is this?" },
        { type: "input_image", image_url: picture, detail: "auto" },
      ];
      return (await client.responses.create({ model, input: [{ role: "user", content }] }))
        .output_text;
    },
    tools: async (model) => {
      const input = [{ role: "user", content: QUESTION }];
      const ask = { model, tools, store: false, include: ["reasoning.encrypted_content"] };
      let calls = [];
      for (let turn = 0; turn < LOOPS; turn++) {
        const stream = client.responses.stream({ ...ask, input, tool_choice: "required" });
        const { output } = await stream.finalResponse();
        const made = output.filter((item) => item.type === "function_call");
        calls.push(...made.map((call) => ({ name: call.name, ...JSON.parse(call.arguments) })));
        for (const { parsed_arguments, ...item } of output) input.push(item);
        for (const { call_id } of made)
          input.push({ type: "function_call_output", call_id, output: "sunny" });
      }
      const last = await client.responses.create({ ...ask, input });
      return { calls, text: last.output_text };
    },
    structured: async (model) => {
      const format = { type: "json_schema", name: "person", strict: true, schema: PERSON };
      const found = await client.responses.create({ model, input: "Ann", text: { format } });
      return JSON.parse(found.output_text);
    },
  };
}

await tell("responses", connect);
