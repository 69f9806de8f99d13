// A photo in, its stylization out. Everything comes from scripts beside the page, so that it works when it
// is opened as a file too: there Chromium lets a page fetch nothing, nor start workers from files.
"use strict";

const at = (id) => document.getElementById(id);
const SMALLEST = 16; // pixels of a side that the model takes
window.MODELS = {}; // by name, base64 of the gzip of an ONNX file; models/NAME.js adds itself

/** What runs in the worker: onnxruntime-web stands before it, as the global ort. */
function work() {
  let session;
  const prepare = async ({ glue, wasm, model }) => {
    ort.env.wasm.numThreads = 1; // more need a server that isolates the page
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
    session = await ort.InferenceSession.create(model);
    return {};
  };
  const stylize = async ({ pixels, width, height }) => {
    const plane = width * height;
    const photo = new Float32Array(3 * plane);
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++) photo[c * plane + i] = pixels[4 * i + c] / 255;
    const tensor = new ort.Tensor("float32", photo, [1, 3, height, width]);
    const { picture } = await session.run({ photo: tensor });
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = Math.round(picture.data[c * plane + i] * 255);
    return { pixels };
  };
  self.onmessage = async ({ data }) => {
    try {
      self.postMessage(await (data.model ? prepare(data) : stylize(data)));
    } catch (error) {
      self.postMessage({ error: String(error?.message ?? error) });
    }
  };
}

async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: address, onload: resolve });
    script.onerror = () => reject(new Error(`${address} is missing beside the page.`));
    document.head.append(script);
  });
}

// One worker, of the style that was used last.
let worker = null;
let loaded = null; // its style's name, once it is ready

function stop() {
  worker?.terminate();
  worker = loaded = null;
}

function ask(message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(message);
  });
}

async function load(name, current) {
  if (loaded === name) return;
  stop();
  if (!window.RUNTIME) throw new Error("runtime.js is missing beside the page: run npm install in its folder.");
  if (!window.MODELS[name]) await loadScript(`models/${name}.js`);
  const [script, glue, wasm, model] = await Promise.all(
    [RUNTIME.script, RUNTIME.glue, RUNTIME.wasm, MODELS[name]].map(unpack));
  if (!current()) return;
  const source = new Blob([script, `;(${work})();`], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(source));
  await ask({ glue, wasm, model });
  loaded = name;
}

/** Draw a file's picture upright, no larger than chosen, and on white where it is transparent. */
async function draw(file) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is not a picture that this browser can read.`);
  });
  const share = Math.min(1, at("size").value / Math.max(picture.width, picture.height));
  const side = (pixels) => Math.max(SMALLEST, Math.round(pixels * share));
  const canvas = at("before");
  [canvas.width, canvas.height] = [side(picture.width), side(picture.height)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function show({ width, height, data }, title) {
  const canvas = at("after");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  canvas.setAttribute("aria-label", `Your photo, painted as ${title}`);
}

let photo = null;
let turn = 0; // of the newest wish: what an older one still finds out is not shown

async function stylize() {
  if (!photo) return;
  const mine = ++turn;
  const current = () => mine === turn;
  const { value: name, selectedOptions: [{ text: title }] } = at("style");
  if (document.body.classList.contains("busy")) stop(); // the worker is at an older wish
  document.body.classList.add("busy");
  at("jpeg").disabled = at("png").disabled = true;
  at("wrong").textContent = "";
  try {
    const image = await draw(photo);
    if (!current()) return;
    const after = at("after"); // it takes its place before it is there
    if (after.width !== image.width || after.height !== image.height)
      [after.width, after.height] = [image.width, image.height];
    at("pictures").hidden = false;
    at("news").textContent = `Loading ${title} …`;
    await load(name, current);
    if (!current()) return;
    const { width, height } = image;
    at("news").textContent = `Painting ${width} × ${height} pixels …`;
    const start = performance.now();
    const { pixels } = await ask({ pixels: image.data, width, height });
    if (!current()) return;
    show({ width, height, data: pixels }, title);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    at("news").textContent = `${title}: ${seconds} s at ${width} × ${height} pixels.`;
    at("jpeg").disabled = at("png").disabled = false;
  } catch (error) {
    if (!current()) return;
    stop(); // after running out of memory a worker is of no more use
    at("news").textContent = "";
    at("pictures").hidden = true;
    const memory = /memory|alloc|RangeError/i.test(error.message);
    at("wrong").textContent = memory ? "The browser has too little memory: choose a smaller size." : error.message;
  } finally {
    if (current()) document.body.classList.remove("busy");
  }
}

function save(type, suffix) {
  at("after").toBlob((blob) => {
    const name = `${photo.name.replace(/\.[^.]*$/, "")}_${at("style").value}.${suffix}`;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, type, 0.92);
}

function take(files) {
  if (!files.length) return;
  photo = files[0];
  stylize();
}

const styles = window.STYLES ?? [];
at("style").append(...styles.map(({ name, title }) => new Option(title, name)));
at("style").hidden = styles.length < 2;
at("style").addEventListener("change", stylize);
at("size").addEventListener("change", stylize);
at("photo").addEventListener("change", (event) => take(event.target.files));
at("photo").addEventListener("click", (event) => (event.target.value = "")); // the same file again
at("jpeg").addEventListener("click", () => save("image/jpeg", "jpg"));
at("png").addEventListener("click", () => save("image/png", "png"));
addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
addEventListener("dragleave", () => at("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
if (!window.RUNTIME) at("wrong").textContent = "runtime.js is missing beside the page: run npm install in its folder.";
else if (!styles.length) at("wrong").textContent = "No model lies beside the page: python docs/browser/make.py starry_night";
