// Asks the gateway again and again with OpenAI's SDK for Node, and tells how each answer ended.
import OpenAI from "openai";

const [baseURL, apiKey, make, count = "1", retries = "2"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: Number(retries) });

const calls = {
  chat: (n) =>
    client.chat.completions.create({ model: "doubao", messages: [{ role: "user", content: `${n}` }] }),
  image: () => client.images.generate({ model: "doubao-image", prompt: "a cat" }),
  stream: async (n) => {
    const stream = await client.chat.completions.create({
      model: "doubao",
      stream: true,
      messages: [{ role: "user", content: `Hello ${n}` }],
    });
    for await (const chunk of stream) void chunk;
  },
};

async function ending(n) {
  try {
    await calls[make](n);
    return { complete: true };
  } catch (err) {
    const { status, code, message } = err;
    return { complete: false, name: err.constructor.name, status, code, message };
  }
}

const all = Array.from({ length: Number(count) }, (_, n) => n);
const found = [];
while (all.length) found.push(...(await Promise.all(all.splice(0, 25).map(ending))));
console.log(JSON.stringify(found));
