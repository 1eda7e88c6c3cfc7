// Drives the gateway with OpenAI's SDK for Node and prints what the SDK made of it as JSON.
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ask = { model: "test-model", messages: [{ role: "user", content: "Hello" }] };
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

async function streamed() {
  let text = "";
  let usage = null;
  let finish = null;
  const stream = await client.chat.completions.create({
    ...ask,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  return { text, usage, finish };
}

async function error(call) {
  try {
    await call();
    return null;
  } catch (err) {
    return { name: err.constructor.name, status: err.status, code: err.code, param: err.param };
  }
}

const bytes = Buffer.from(picture.split(",")[1], "base64");
const vision = [
  { type: "text", text: "What is this?" },
  { type: "image_url", image_url: { url: picture } },
];
const result = {
  chat: (await client.chat.completions.create(ask)).choices[0].message.content,
  streamed: await streamed(),
  vision: (
    await client.chat.completions.create({ ...ask, messages: [{ role: "user", content: vision }] })
  ).choices[0].message.content,
  tool: (
    await client.chat.completions.create({
      ...ask,
      tools,
      tool_choice: { type: "function", function: { name: "get_weather" } },
    })
  ).choices[0],
  image: (await client.images.generate({ model: "doubao-image", prompt: "a cat" })).data,
  image_b64: (
    await client.images.generate({
      model: "doubao-image",
      prompt: "a cat",
      response_format: "b64_json",
    })
  ).data[0].b64_json.length,
  edit: (
    await client.images.edit({
      model: "doubao-image",
      prompt: "make it blue",
      image: await toFile(bytes, "cat.png", { type: "image/png" }),
    })
  ).data,
  models: (await client.models.list()).data.map((model) => model.id),
  unknown_model: await error(() =>
    client.chat.completions.create({ ...ask, model: "no-such-model" }),
  ),
  bad_request: await error(() =>
    client.chat.completions.create({ ...ask, messages: [{ role: "user", content: 7 }] }),
  ),
};
console.log(JSON.stringify(result));
