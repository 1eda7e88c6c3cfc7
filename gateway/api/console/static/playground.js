// The playground: the public API, asked with the session of this page.
const $ = (id) => document.getElementById(id);
const desk = $("playground");
const models = JSON.parse($("models").textContent);
const words = JSON.parse($("words").textContent);
const thread = $("thread");
const MEMORY = `playground ${desk.dataset.owner}`;
const PATHS = { chat: "/v1/chat/completions", image: "/v1/images/generations", video: "/v1/video/generations" };
const INLINE_BYTES = 8 * 1024 * 1024;

let kind = "chat";
let turns = []; // of the chat: {role, content, attachments, reasoning, cost}
let attached = []; // {name, type, url} or {name, type, id}
let running = null; // an AbortController

// -- asking -----------------------------------------------------------------------------

function ask(path, { method = "POST", body, headers = {}, signal } = {}) {
  const given = { "X-CSRF-Token": desk.dataset.csrf, ...headers };
  if (body !== undefined && !(body instanceof FormData)) given["Content-Type"] = "application/json";
  return fetch(path, { method, signal, headers: given, body: body === undefined || body instanceof FormData ? body : JSON.stringify(body) });
}

async function failure(answer) {
  try { return (await answer.json()).error.message; } catch { return `HTTP ${answer.status}`; }
}

const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));
const text = (id) => $(id).value.trim() || undefined;

function contentOf(turn) {
  if (!turn.attachments?.length) return turn.content;
  const parts = turn.attachments.map((file) => {
    if (file.id) return { type: "file", file: { file_id: file.id } };
    return { type: "image_url", image_url: { url: file.url } };
  });
  return [...parts, { type: "text", text: turn.content }];
}

// The request; a prompt of null is the conversation so far.
function bodyOf(prompt) {
  const body = { model: $("model").value };
  if (kind === "chat") {
    const system = text("system");
    const asked = prompt === null ? [] : [{ role: "user", content: prompt, attachments: attached }];
    body.messages = [
      ...(system ? [{ role: "system", content: system }] : []),
      ...[...turns, ...asked].map((turn) => ({ role: turn.role, content: contentOf(turn) })),
    ];
    Object.assign(body, { temperature: number("temperature"), max_tokens: number("max_tokens"), reasoning_effort: text("reasoning_effort") });
  } else {
    body.prompt = prompt;
    const pictures = attached.filter((file) => file.url).map((file) => file.url);
    if (pictures.length) body.image = pictures.length === 1 ? pictures[0] : pictures;
    Object.assign(body, { ratio: text("ratio"), seed: number("seed") });
    if (kind === "image") Object.assign(body, { size: text("size"), n: number("n") });
    else Object.assign(body, { duration: number("duration"), resolution: text("resolution") });
  }
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

// -- showing ----------------------------------------------------------------------------

function element(tag, { className, textContent, ...others } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (textContent !== undefined) made.textContent = textContent;
  for (const [name, value] of Object.entries(others)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// HTML that a model writes is shown, not obeyed.
const escaped = (source) => source.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
let prepared = false;

function markdown(source) {
  if (!prepared) marked.use({ renderer: { html: ({ text: html }) => escaped(html) } });
  prepared = true;
  const html = DOMPurify.sanitize(marked.parse(source), { FORBID_TAGS: ["style", "form", "input"], FORBID_ATTR: ["style"] });
  const part = new DOMParser().parseFromString(html, "text/html").body;
  for (const link of part.querySelectorAll("a[href]")) {
    if (/\/media\/[^?]*\.mp4/.test(link.href)) {
      link.replaceWith(element("video", { src: link.href, controls: "", playsinline: "" }));
    } else Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  }
  return part.childNodes;
}

function show(turn, position) {
  const box = element("div", { className: `turn ${turn.role}` });
  const name = turn.role === "user" ? words.you : turn.model || $("model").value;
  box.append(element("strong", { textContent: name }));
  if (turn.reasoning) box.append(element("details", {}, element("summary", { textContent: words.reasoning }), turn.reasoning));
  for (const call of turn.tools || []) {
    box.append(element("details", {}, element("summary", { textContent: `${words.tool}: ${call.name}` }), call.arguments));
  }
  const said = element("div", { className: "said" });
  if (turn.role === "user") said.textContent = turn.content;
  else said.append(...markdown(turn.content || ""));
  for (const file of turn.attachments || []) {
    if (file.url) said.append(element("img", { src: file.url, alt: file.name }));
    else said.append(element("div", { className: "dim", textContent: file.name }));
  }
  box.append(said);
  const foot = element("div", { className: "foot" });
  if (turn.failed) foot.append(element("span", { className: "problem", role: "alert", textContent: turn.failed }));
  if (turn.cost !== undefined) foot.append(`${words.cost} ${turn.cost} ${desk.dataset.currency}`);
  if (turn.role === "assistant" && position === turns.length - 1 && !running) {
    const again = element("button", { type: "button", className: "quiet", textContent: words.retry });
    again.onclick = () => { turns.pop(); answer(); };
    foot.append(again);
  }
  if (foot.childNodes.length) box.append(foot);
  return box;
}

function draw() {
  const below = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
  thread.replaceChildren(...turns.map(show));
  if (!turns.length) thread.append(element("p", { className: "empty", textContent: words.empty }));
  if (below) thread.scrollTop = thread.scrollHeight;
}

function remember() {
  const small = turns.map(({ attachments, ...turn }) => ({ ...turn, attachments: attachments?.filter((file) => file.id) }));
  try { localStorage.setItem(MEMORY, JSON.stringify(small)); } catch { /* full: this one is not remembered */ }
}

// -- chat -------------------------------------------------------------------------------

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

function take(turn, event) {
  if (event.error) throw new Error(event.error.message);
  if (event.usage?.cost !== undefined) turn.cost = event.usage.cost;
  const delta = event.choices?.[0]?.delta;
  if (!delta) return;
  if (delta.content) turn.content += delta.content;
  if (delta.reasoning_content) turn.reasoning = (turn.reasoning || "") + delta.reasoning_content;
  for (const call of delta.tool_calls || []) {
    const known = (turn.tools[call.index] ??= { name: "", arguments: "" });
    known.name += call.function?.name || "";
    known.arguments += call.function?.arguments || "";
  }
}

async function answer() {
  const body = { ...bodyOf(null), stream: true, stream_options: { include_usage: true } };
  const turn = { role: "assistant", model: body.model, content: "", tools: [] };
  turns.push(turn);
  let drawing = false;
  const later = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => { drawing = false; draw(); });
  };
  begin();
  try {
    const got = await ask(PATHS.chat, { body, signal: running.signal });
    if (!got.ok) throw new Error(await failure(got));
    for await (const event of events(got)) { take(turn, event); later(); }
  } catch (err) {
    if (err.name !== "AbortError") turn.failed = err.message;
  }
  end();
  remember();
}

// -- images and videos ------------------------------------------------------------------

async function make(prompt) {
  const body = bodyOf(prompt);
  turns.push({ role: "user", content: prompt, attachments: attached });
  const turn = { role: "assistant", model: body.model, content: words.working, tools: [] };
  turns.push(turn);
  begin();
  let job = null;
  try {
    const made = await ask(PATHS[kind], { body, headers: { Prefer: "respond-async" }, signal: running.signal });
    if (!made.ok) throw new Error(await failure(made));
    job = await made.json();
    while (!["completed", "failed", "cancelled"].includes(job.status)) {
      const shown = progress(job.progress);
      await new Promise((done) => setTimeout(done, 1000));
      if (running.signal.aborted) {
        await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
        break;
      }
      const looked = await ask(`/v1/jobs/${job.id}`, { method: "GET", signal: running.signal });
      if (looked.ok) job = await looked.json();
      shown.remove();
    }
    if (job.error) throw new Error(job.error.message);
    turn.content = job.result?.choices?.[0]?.message?.content || "";
    turn.cost = job.result?.usage?.cost;
    const film = job.result?.choices?.[0]?.message?.videos?.[0];
    if (film) turn.content = `[video](${film.url})`;
  } catch (err) {
    turn.content = "";
    if (err.name !== "AbortError") turn.failed = err.message;
    else if (job) await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
  }
  end();
}

function progress(percent) {
  const bar = element("progress", { max: "100", value: String(percent || 1), "aria-label": words.working });
  thread.lastElementChild?.append(bar);
  return bar;
}

// -- the desk ---------------------------------------------------------------------------

function begin() {
  running = new AbortController();
  attached = [];
  drawAttached();
  $("send").disabled = true;
  $("stop").hidden = false;
  draw();
}

function end() {
  running = null;
  $("send").disabled = false;
  $("stop").hidden = true;
  draw();
}

function choose(wanted) {
  kind = wanted;
  const names = models[kind];
  $("model").replaceChildren(...names.map((name) => element("option", { textContent: name })));
  if (!names.length) $("model").append(element("option", { textContent: words.none, value: "" }));
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(kind);
  turns = kind === "chat" ? JSON.parse(localStorage.getItem(MEMORY) || "[]") : [];
  draw();
  offer();
  estimate();
}

// Choices by the table of models: the sizes, ratios and levels of the model, or all of them.
const every = Object.fromEntries(["ratio", "size", "resolution", "reasoning_effort"].map((id) => [id, [...$(id).options].slice(1).map((option) => option.value)]));
async function offer() {
  const name = $("model").value;
  let known = {};
  if (name) {
    const got = await ask(`/v1/models/${encodeURIComponent(name)}`, { method: "GET" });
    if (got.ok && $("model").value === name) known = (await got.json()).capabilities || {};
  }
  const given = { ratio: known.ratios, size: known.sizes, resolution: known.resolutions, reasoning_effort: known.reasoning };
  for (const [id, all] of Object.entries(every)) {
    const chosen = $(id).value;
    const names = given[id]?.length ? given[id] : all;
    $(id).replaceChildren($(id).options[0], ...names.map((option) => element("option", { textContent: option })));
    $(id).value = names.includes(chosen) ? chosen : "";
  }
  const [shortest, longest] = known.durations || [];
  $("duration").min = shortest > 0 ? shortest : 1;
  $("duration").max = longest || 60;
}

let waiting = 0;
function estimate() {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const prompt = $("prompt").value.trim();
    $("price").textContent = "";
    if (!prompt || !$("model").value || attached.some((file) => (file.url?.length || 0) > 1e6)) return;
    const got = await ask(PATHS[kind], { body: bodyOf(prompt), headers: { "X-Gateway-Dry-Run": "1" } });
    if (!got.ok) { $("price").textContent = await failure(got); return; }
    const { cost } = await got.json();
    const amount = (value) => Number(value.toPrecision(3)).toString();
    $("price").textContent = !cost || cost.basis === "unknown"
      ? `${words.price}: ${words.unknown}`
      : `${words.price}: ${cost.low === cost.high ? amount(cost.high) : `${amount(cost.low)} – ${amount(cost.high)}`} ${cost.currency}`;
  }, 600);
}

async function attach(files) {
  for (const file of files) {
    if (file.type.startsWith("image/") && file.size < INLINE_BYTES) {
      const url = await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(file);
      });
      attached.push({ name: file.name, type: file.type, url });
    } else {
      const form = new FormData();
      form.append("purpose", "user_data");
      form.append("file", file);
      const got = await ask("/v1/files", { body: form });
      if (got.ok) attached.push({ name: file.name, type: file.type, id: (await got.json()).id });
      else $("price").textContent = await failure(got);
    }
  }
  drawAttached();
  estimate();
}

function drawAttached() {
  $("attached").replaceChildren(...attached.map((file, position) => {
    const gone = element("button", { type: "button", "aria-label": `${words.remove}: ${file.name}`, textContent: "×" });
    gone.onclick = () => { attached.splice(position, 1); drawAttached(); };
    const face = file.url ? element("img", { src: file.url, alt: file.name }) : element("figcaption", { textContent: file.name });
    return element("figure", {}, face, gone);
  }));
}

function code(language) {
  const body = bodyOf($("prompt").value.trim() || "…");
  const url = location.origin;
  const indented = JSON.stringify(body, null, 2);
  if (language === "curl") {
    return `curl ${url}${PATHS[kind]} \\\n  -H "Authorization: Bearer $GATEWAY_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${indented.replaceAll("'", "'\\''")}'`;
  }
  if (language === "python") {
    return `import json\nimport os\n\nimport requests\n\nbody = json.loads(r'''${indented.replaceAll("'''", "\\u0027\\u0027\\u0027")}''')\nanswer = requests.post(\n    "${url}${PATHS[kind]}",\n    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}"},\n    json=body,\n    timeout=600,\n)\nanswer.raise_for_status()\nprint(json.dumps(answer.json(), indent=2, ensure_ascii=False))\n`;
  }
  return `const answer = await fetch("${url}${PATHS[kind]}", {\n  method: "POST",\n  headers: { Authorization: \`Bearer \${process.env.GATEWAY_KEY}\`, "Content-Type": "application/json" },\n  body: JSON.stringify(${indented.replaceAll("\n", "\n  ")}),\n});\nif (!answer.ok) throw new Error(await answer.text());\nconsole.log(JSON.stringify(await answer.json(), null, 2));\n`;
}

for (const choice of document.querySelectorAll("[name=kind]")) choice.addEventListener("change", () => choose(choice.value));
$("model").addEventListener("change", () => { offer(); estimate(); });
for (const field of document.querySelectorAll(".options input, .options select, #prompt")) field.addEventListener("input", estimate);
$("files").addEventListener("change", (event) => { attach(event.target.files); event.target.value = ""; });
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", () => { turns = []; localStorage.removeItem(MEMORY); draw(); $("prompt").focus(); });
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("ask").requestSubmit(); }
});
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim();
  if (!prompt || running || !$("model").value) return;
  $("prompt").value = "";
  $("price").textContent = "";
  if (kind !== "chat") { make(prompt); return; }
  turns.push({ role: "user", content: prompt, attachments: attached });
  answer();
});
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) attach(event.clipboardData.files); });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("ask").classList.toggle("over", name === "dragover");
    if (name === "drop") attach(event.dataTransfer.files);
  });
}
for (const button of document.querySelectorAll("[data-code]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code(button.dataset.code));
    const before = button.textContent;
    button.textContent = words.copied;
    setTimeout(() => { button.textContent = before; }, 1500);
  });
}

// From the gallery: a kind, a model, a prompt and a picture to begin with.
let given = {};
try { given = JSON.parse(decodeURIComponent(location.hash.slice(1).replaceAll("+", " ")) || "{}"); } catch { /* no such thing */ }
history.replaceState(null, "", location.pathname);
choose(["chat", "image", "video"].includes(given.kind) ? given.kind : "chat");
document.querySelector(`[name=kind][value=${kind}]`).checked = true;
if (given.model && models[kind].includes(given.model)) { $("model").value = given.model; offer(); }
$("prompt").value = given.prompt || "";
if (given.image) { attached = [{ name: "", type: "image/*", url: given.image }]; drawAttached(); estimate(); }
