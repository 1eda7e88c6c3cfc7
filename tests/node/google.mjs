// Google's SDK.
import { FunctionCallingConfigMode, GoogleGenAI } from "@google/genai";

import { LOOPS, PERSON, QUESTION, WEATHER, bytes, gateway, tell } from "./conversations.mjs";

const functionDeclarations = [{ name: "get_weather", parametersJsonSchema: WEATHER }];
const tools = [{ functionDeclarations }];
const ANY = { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } };

function connect(apiKey) {
  const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: gateway } });
  const ask = (model, contents, config) => client.models.generateContent({ model, contents, config });
  return {
    text: async (model) => (await ask(model, "Hello")).text,
    stream: async (model, seen, abortSignal) => {
      const body = { model, contents: "Hello", config: { abortSignal } };
      let finish = null;
      for await (const chunk of await client.models.generateContentStream(body)) {
        if (chunk.text) seen(chunk.text);
        finish = chunk.candidates?.[0]?.finishReason ?? finish;
      }
      if (!abortSignal?.aborted && finish !== "STOP") throw new Error(`the finish is ${finish}`);
    },
    vision: async (model) => {
      const inlineData = { mimeType: "image/png", data: bytes.toString("base64") };
      return (await ask(model, [{ text: "What is this?" }, { inlineData }])).text;
    },
    tools: async (model) => {
      const contents = [{ role: "user", parts: [{ text: QUESTION }] }];
      const calls = [];
      for (let turn = 0; turn < LOOPS; turn++) {
        const config = { tools, toolConfig: ANY, thinkingConfig: { includeThoughts: true } };
        const answer = await ask(model, contents, config);
        contents.push(answer.candidates[0].content);
        const parts = [];
        for (const { id, name, args } of answer.functionCalls) {
          calls.push({ name, ...args });
          parts.push({ functionResponse: { id, name, response: { output: "sunny" } } });
        }
        contents.push({ role: "user", parts });
      }
      return { calls, text: (await ask(model, contents, { tools })).text };
    },
    structured: async (model) => {
      const config = { responseMimeType: "application/json", responseJsonSchema: PERSON };
      return JSON.parse((await ask(model, "Ann", config)).text);
    },
  };
}

await tell("google", connect);
