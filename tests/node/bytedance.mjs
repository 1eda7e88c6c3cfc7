// The AI SDK's provider for Ark: images and videos.
import { createByteDance } from "@ai-sdk/bytedance";
import { experimental_generateVideo as generateVideo, generateImage } from "ai";

const [gateway, apiKey, picture] = process.argv.slice(2);
const ark = createByteDance({ baseURL: `${gateway}/api/v3`, apiKey });
const options = { bytedance: { pollIntervalMs: 100 } };
// Its own guard refuses addresses of this machine.
const download = async ({ url }) => {
  const answer = await fetch(url);
  const mediaType = answer.headers.get("content-type");
  return { data: new Uint8Array(await answer.arrayBuffer()), mediaType };
};

async function failure(call) {
  try {
    return { none: await call() };
  } catch (err) {
    return { name: err.constructor.name, status: err.statusCode ?? null, message: err.message };
  }
}

const film = (prompt, model = "doubao-seedance-1-0-pro-250528") =>
  generateVideo({
    model: ark.video(model),
    prompt,
    duration: 5,
    aspectRatio: "9:16",
    maxRetries: 0,
    providerOptions: options,
    download,
  });

const { video } = await film("waves");
const animated = await film({ image: picture, text: "the picture moves" });
const { image } = await generateImage({
  model: ark.image("doubao-seedream-4-0-250828"),
  prompt: "a fox",
  size: "1024x1024",
  maxRetries: 0,
});
console.log(
  JSON.stringify({
    video: { type: video.mediaType, mark: Buffer.from(video.uint8Array).subarray(4, 8).toString() },
    animated: animated.video.mediaType,
    image: { type: image.mediaType, size: image.uint8Array.length },
    unknown: await failure(() => film("waves", "no-such-model")),
  }),
);
