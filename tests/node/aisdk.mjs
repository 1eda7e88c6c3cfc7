// The AI SDK with the provider that the first argument names: openai, openai-chat or anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";

const [provider] = process.argv.splice(2, 1);
const { LOOPS, PERSON, QUESTION, WEATHER, bytes, gateway, tell } =
  await import("./conversations.mjs");

const PROVIDERS = {
  openai: (apiKey) => createOpenAI({ baseURL: `${gateway}/v1`, apiKey }),
  "openai-chat": (apiKey) => createOpenAI({ baseURL: `${gateway}/v1`, apiKey }).chat,
  anthropic: (apiKey) => createAnthropic({ baseURL: `${gateway}/v1`, apiKey }),
};

function connect(apiKey) {
  const named = PROVIDERS[provider](apiKey);
  const ask = (model, more) => generateText({ model: named(model), maxRetries: 0, ...more });
  return {
    text: async (model) => (await ask(model, { prompt: "Hello" })).text,
    stream: async (model, seen, abortSignal) => {
      const failed = [];
      const result = streamText({
        model: named(model),
        prompt: "Hello",
        maxRetries: 0,
        abortSignal,
        onError: ({ error }) => failed.push(error),
      });
      for await (const text of result.textStream) seen(text);
      if (failed.length) throw failed[0];
      if (!abortSignal?.aborted && (await result.finishReason) !== "stop") throw new Error("cut");
    },
    vision: async (model) => {
      const file = { type: "file", data: bytes, mediaType: "image/png" };
      const content = [{ type: "text", text: "What is this?" }, file];
      return (await ask(model, { messages: [{ role: "user", content }] })).text;
    },
    tools: async (model) => {
      const calls = [];
      const get_weather = tool({
        inputSchema: jsonSchema(WEATHER),
        execute: async (input) => {
          calls.push({ name: "get_weather", ...input });
          return "sunny";
        },
      });
      const { text } = await ask(model, {
        prompt: QUESTION,
        tools: { get_weather },
        stopWhen: isStepCount(LOOPS + 1),
        prepareStep: ({ stepNumber }) => ({
          toolChoice: stepNumber < LOOPS ? "required" : "auto",
        }),
      });
      return { calls, text };
    },
    structured: async (model) => {
      const output = Output.object({ schema: jsonSchema(PERSON) });
      return (await ask(model, { prompt: "Ann", output })).output;
    },
  };
}

await tell(`aisdk${provider.replace("-", "")}`, connect);
