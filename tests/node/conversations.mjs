// What each of the SDKs is asked to do, and how what came of it is told.
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
export const QUESTION = "What is the weather in Paris? Use get_weather.";
export const LOOPS = 3; // turns of tools before the answer

const [gateway, simulators, picture, ...models] = process.argv.slice(2);
export { gateway, picture };
export const bytes = Buffer.from(picture.split(",")[1], "base64");

async function failure(call) {
  try {
    const found = await call();
    return { none: found };
  } catch (err) {
    const status = err.status ?? err.statusCode ?? err.cause?.statusCode ?? null;
    return { name: err.constructor.name, status, message: String(err.message) };
  }
}

// True once the vendor has no call of this credential any more.
async function stopped(key) {
  for (const until = Date.now() + 2000; Date.now() < until; ) {
    const ledger = await (await fetch(`${simulators}/_ledger?requests=0`)).json();
    if (!(key in ledger.in_flight)) return true;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  return false;
}

// `connect(key)` gives a client with text, stream, vision, tools, structured: each takes a model.
// `stream` takes a signal, too, and calls `seen` with each piece of text.
export async function tell(name, connect) {
  const found = {};
  const vendors = { doubao: "ark", "test-model": "sk" };
  for (const model of models) {
    const client = connect("pooled");
    let streamed = "";
    await client.stream(model, (text) => (streamed += text));
    const vendor = vendors[model] ?? "AIza";
    const endless = `${vendor}-endless-slow100-${name}`;
    const leaving = new AbortController();
    const left = await failure(() =>
      connect(endless).stream(model, () => leaving.abort(), leaving.signal),
    );
    found[model] = {
      text: await client.text(model),
      streamed,
      vision: await client.vision(model),
      tools: await client.tools(model),
      structured: await client.structured(model),
      early: await failure(() => client.text("no-such-model")),
      refused: await failure(() => connect("gw-wrong").text(model)),
      late: await failure(() => connect(`${vendor}-cut8-${name}`).stream(model, () => {})),
      left: { ...left, begun: leaving.signal.aborted, stopped: await stopped(endless) },
    };
  }
  console.log(JSON.stringify(found));
}
