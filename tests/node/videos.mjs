// Drives /v1/videos with OpenAI's SDK for Node and prints what the SDK made of it as JSON.
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const bytes = Buffer.from(picture.split(",")[1], "base64");

async function failure(call) {
  try {
    await call();
    return null;
  } catch (err) {
    return { name: err.constructor.name, status: err.status, code: err.code };
  }
}

const { data: made, response } = await client.videos
  .create({
    prompt: "waves",
    model: "doubao-video",
    seconds: "4",
    size: "1280x720",
    input_reference: await toFile(bytes, "frame.png", { type: "image/png" }),
  })
  .withResponse();
const early = await failure(() => client.videos.downloadContent(made.id));
let video = made;
const pauses = [];
while (video.status === "queued" || video.status === "in_progress") {
  const found = await client.videos.retrieve(video.id).withResponse();
  video = found.data;
  pauses.push(found.response.headers.get("openai-poll-after-ms"));
  await new Promise((wake) => setTimeout(wake, 200));
}
const second = await client.videos.create({ prompt: "a second one" });
const listed = [];
for await (const item of client.videos.list({ limit: 1 })) listed.push(item.id);
const content = await client.videos.downloadContent(video.id);
const range = await client.videos.downloadContent(video.id, undefined, {
  headers: { Range: "bytes=4-7" },
});
const remix = await failure(() => client.videos.remix(video.id, { prompt: "again" }));
const deleted = await client.videos.delete(video.id);
console.log(
  JSON.stringify({
    made,
    poll: response.headers.get("openai-poll-after-ms"),
    pauses,
    early,
    video,
    second: second.id,
    listed,
    mark: Buffer.from(await content.arrayBuffer()).subarray(4, 8).toString(),
    range: { status: range.status, text: await range.text() },
    remix,
    deleted,
    gone: await failure(() => client.videos.retrieve(video.id)),
  }),
);
