// The demo page: a picture goes to the server, its answer becomes bars. What the server says (names
// of models and classes, errors) goes onto the page as text, never as markup.
"use strict";

const POLL_MS = 2000;
const SAMPLES = 60;  // of the rate's line
const FIRST_BARS = 10;

const element = (id) => document.getElementById(id);
const model = () => models[element("model").selectedIndex];
let models = [];
let picture = null;                  // the File at work
let running = new AbortController();  // the requests about it

// A reply that is good; else an Error with the server's own words.
async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, {cache: "no-store", ...options});
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The server does not answer.");
  }
  if (reply.ok) return reply;
  const words = await reply.json().then((body) => body.error, () => reply.statusText);
  throw Object.assign(new Error(`The server answers ${reply.status}: ${words}`),
                      {status: reply.status});
}

// Exact for logits and for log-probabilities, which are logits whose powers add up to 1.
function softmax(outputs) {
  const largest = Math.max(...outputs);
  const powers = outputs.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

// In one piece: the spaces break no line.
function extent({height, width}) {
  return `${width}\u00a0×\u00a0${height}`;
}

function show(id, text) {
  element(id).textContent = text;
}

function showError(error) {
  if (error.name === "AbortError") return;  // a newer picture took its place
  show("error", error.message);
  show("status", "");
  element("bars").replaceChildren();
  element("more").hidden = true;
}

function showModel() {
  const chosen = model();
  document.title = chosen ? `${chosen.name} – kiln` : "kiln";
  show("name", chosen ? chosen.name : "No model is loaded");
  show("version", chosen ? chosen.version : "–");
  const known = chosen && chosen.accuracy !== null;
  show("accuracy", known ? `${percent(chosen.accuracy)} on ${chosen.data || "its test set"}`
                         : "unknown");
  const colour = chosen && {1: "grey", 3: "colour"}[chosen.channels];
  show("input", chosen ? `${extent(chosen)}, ${colour || `${chosen.channels} channels`}` : "–");
  show("classes", chosen ? chosen.classes.length : "–");
  element("synthetic").hidden = !(chosen && chosen.synthetic);
}

// Keeps the choice where the model is still there.
let modelsText = "";
async function loadModels() {
  const text = await (await ask("ui/models")).text();
  if (text === modelsText) return;
  const before = model();
  modelsText = text;
  models = JSON.parse(text);
  element("model").replaceChildren(...models.map(({name}) => new Option(name, name)));
  const kept = models.findIndex(({name}) => before && name === before.name);
  element("model").selectedIndex = models.length ? Math.max(kept, 0) : -1;
  element("choice").hidden = models.length < 2;
  showModel();
}

// Asks for what the network gets of the picture; without it neither view is shown.
async function showSeen(chosen, post) {
  const views = element("views");
  try {
    const reply = await ask(`ui/models/${encodeURIComponent(chosen.name)}/input`, post);
    drawSeen(new Uint8Array(await reply.arrayBuffer()), chosen);
    views.hidden = false;
  } catch (error) {
    if (error.name !== "AbortError") views.hidden = true;
    throw error;
  }
}

// `pixels`: bytes [height, width, channels].
function drawSeen(pixels, {height, width, channels}) {
  const canvas = element("seen");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; ++i) {
    for (let c = 0; c < 3; ++c) image.data[4 * i + c] = pixels[channels * i + c % channels];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  show("size", `${extent({height, width})} pixels`);
}

function makeBar({name, share}) {
  const [item, bar, label, number] = ["li", "span", "span", "span"].map(
      (tag) => document.createElement(tag));
  [bar.className, label.className, number.className] = ["bar", "class", "share"];
  bar.style.width = `${100 * share}%`;
  label.textContent = name;
  number.textContent = percent(share);
  item.append(bar, label, number);
  return item;
}

function showBars(outputs, classes, milliseconds) {
  if (outputs.includes(null)) throw new Error("The network's result holds no finite numbers.");
  const ranked = softmax(outputs)
      .map((share, k) => ({share, name: classes[k] || `class ${k}`}))
      .sort((a, b) => b.share - a.share);
  element("bars").replaceChildren(...ranked.slice(0, FIRST_BARS).map(makeBar));
  const more = element("more");
  more.hidden = ranked.length <= FIRST_BARS;
  show("more", `Show all ${ranked.length} classes`);
  more.onclick = () => {
    more.hidden = true;
    const rest = ranked.slice(FIRST_BARS).map(makeBar);
    rest[0].tabIndex = -1;
    element("bars").append(...rest);
    rest[0].focus();  // the button that had it is gone
  };
  const {name, share} = ranked[0];
  const short = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  show("status", `Most likely ${short}, ${percent(share)}. Answered in ` +
                 `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms.`);
}

function showOriginal() {
  URL.revokeObjectURL(element("original").src);
  element("original").src = URL.createObjectURL(picture);
  show("file-name", picture.name);
}

async function classify() {
  const chosen = model();
  if (!picture || !chosen) return;
  running.abort();
  running = new AbortController();
  const post = {method: "POST", body: picture, signal: running.signal, headers: {
    "Content-Type": picture.type || "application/x-image", "Accept": "application/json",
    "X-Amzn-SageMaker-Target-Model": chosen.name}};
  const bars = element("bars");
  bars.classList.add("waiting");
  show("error", "");
  try {
    await showSeen(chosen, post);
    const begin = performance.now();
    const [outputs] = await (await ask("invocations", post)).json();
    showBars(outputs, chosen.classes, performance.now() - begin);
  } catch (error) {
    showError(error);
  } finally {
    if (post.signal === running.signal) bars.classList.remove("waiting");
  }
}

function take(files) {
  if (!files.length) return;
  picture = files[0];
  showOriginal();
  classify();
}

function takeDropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  else showError(new Error("What was dropped is no file; save the picture first."));
}

// From the page of metrics: predictions that the server has answered, and what tells of a change
// of models.
function readMetrics(text) {
  const counted = /^kiln_requests_total\{endpoint="(?:invocations|infer)".*\} (\d+)$/gm;
  let requests = 0;
  for (const [, number] of text.matchAll(counted)) requests += Number(number);
  const loads = String(text.match(/^kiln_model_(?:info|loads_total).*$/gm));
  return {time: performance.now(), requests, loads};
}

const rates = [];
function showRate(before, now) {
  // A count that went down is that of a server begun anew.
  const rate = 1000 * Math.max(0, now.requests - before.requests) / (now.time - before.time);
  rates.push(rate);
  if (rates.length > SAMPLES) rates.shift();
  const highest = Math.max(1, ...rates);
  const points = rates.map((r, i) => `${SAMPLES - rates.length + i},${19 - 18 * r / highest}`);
  element("line").setAttribute("points", points.join(" "));
  show("rate", `${rate.toFixed(rate > 0 && rate < 10 ? 1 : 0)} requests/s`);
}

// What changed since `before`; where the server counts nothing, only the models.
async function refresh(before) {
  try {
    const now = readMetrics(await (await ask("metrics")).text());
    if (before) showRate(before, now);
    if (!before || before.loads !== now.loads) await loadModels();
    return now;
  } catch (error) {
    show("rate", error.status === 404 ? "" : error.message);
    if (error.status === 404) await loadModels().catch((wrong) => show("rate", wrong.message));
    return null;
  }
}

let watch = 0;  // counts the loops, of which only the newest goes on
async function poll() {
  const mine = ++watch;
  let before = null;
  while (mine === watch && !document.hidden) {
    before = await refresh(before);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function takeChosen({target}) {
  take(target.files);
  target.value = "";  // the same file may be chosen again
}

element("file").addEventListener("change", takeChosen);
element("model").addEventListener("change", () => { showModel(); classify(); });
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", takeDropped);
document.addEventListener("visibilitychange", poll);
poll();
