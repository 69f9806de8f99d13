// Stylizes a photo in the page. Everything comes from scripts beside the page, so that it also works when it is
// opened as a file: Chromium lets such a page neither fetch files nor start workers from files.
"use strict";

const byId = (id) => document.getElementById(id);
const MIN_SIDE = 16; // pixels of an image's shorter side, for the model
const MISSING_RUNTIME = "runtime.js is missing beside the page: run npm install in its folder.";
window.MODELS = {}; // ONNX files in base64 of gzip, by name; each models/NAME.js adds its model

/** Run in the worker, where onnxruntime-web is the global ort. */
function runWorker() {
  let session;
  const prepare = async ({ glue, wasm, model }) => {
    ort.env.wasm.numThreads = 1; // more threads need a server that sends isolation headers
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
    const { picture: image } = await session.run({ photo: tensor });
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = Math.round(image.data[c * plane + i] * 255);
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

/** Decode base64, and decompress the bytes. */
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

let worker = null; // for the last style
let loaded = null; // name of the worker's style, once its model is loaded

function stopWorker() {
  worker?.terminate();
  worker = loaded = null;
}

/** Send a message to the worker, and resolve to its answer. */
function askWorker(message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(message);
  });
}

/** Start a worker with a style's model, unless another request has replaced this one meanwhile. */
async function loadStyle(name, isCurrent) {
  if (loaded === name) return;
  stopWorker();
  if (!window.RUNTIME) throw new Error(MISSING_RUNTIME);
  if (!window.MODELS[name]) await loadScript(`models/${name}.js`);
  const [script, glue, wasm, model] = await Promise.all(
    [RUNTIME.script, RUNTIME.glue, RUNTIME.wasm, MODELS[name]].map(unpack));
  if (!isCurrent()) return;
  const source = new Blob([script, `;(${runWorker})();`], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(source));
  await askWorker({ glue, wasm, model });
  loaded = name;
}

/** Draw an image file upright, no larger than the chosen size, and on white where it is transparent. */
async function drawPhoto(file) {
  const image = await createImageBitmap(file).catch(() => {
    throw new Error(`This browser cannot read ${file.name} as an image.`);
  });
  const scale = Math.min(1, byId("size").value / Math.max(image.width, image.height));
  const side = (pixels) => Math.max(MIN_SIDE, Math.round(pixels * scale));
  const canvas = byId("before");
  [canvas.width, canvas.height] = [side(image.width), side(image.height)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function showResult({ width, height, data }, title) {
  const canvas = byId("after");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  canvas.setAttribute("aria-label", `Your photo, stylized as ${title}`);
}

let photo = null;
let lastRequest = 0; // results of older requests are not shown

/** Stylize the photo in the chosen style and size, and show the result or an error. */
async function stylize() {
  if (!photo) return;
  const request = ++lastRequest;
  const isCurrent = () => request === lastRequest;
  const { value: name, selectedOptions: [{ text: title }] } = byId("style");
  if (document.body.classList.contains("busy")) stopWorker(); // it computes an older request
  document.body.classList.add("busy");
  byId("jpeg").disabled = byId("png").disabled = true;
  byId("error").textContent = "";
  try {
    const image = await drawPhoto(photo);
    if (!isCurrent()) return;
    const after = byId("after"); // takes the result's size before the result is there
    if (after.width !== image.width || after.height !== image.height)
      [after.width, after.height] = [image.width, image.height];
    byId("images").hidden = false;
    byId("status").textContent = `Loading ${title} …`;
    await loadStyle(name, isCurrent);
    if (!isCurrent()) return;
    const { width, height } = image;
    byId("status").textContent = `Stylizing ${width} × ${height} pixels …`;
    const start = performance.now();
    const { pixels } = await askWorker({ pixels: image.data, width, height });
    if (!isCurrent()) return;
    showResult({ width, height, data: pixels }, title);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    byId("status").textContent = `${title}: ${seconds} s at ${width} × ${height} pixels.`;
    byId("jpeg").disabled = byId("png").disabled = false;
  } catch (error) {
    if (!isCurrent()) return;
    stopWorker(); // a worker that ran out of memory cannot be used again
    byId("status").textContent = "";
    byId("images").hidden = true;
    const memory = /memory|alloc|RangeError/i.test(error.message);
    byId("error").textContent = memory ? "The browser has run out of memory: choose a smaller size." : error.message;
  } finally {
    if (isCurrent()) document.body.classList.remove("busy");
  }
}

/** Offer the result as a download. */
function saveResult(type, suffix) {
  byId("after").toBlob((blob) => {
    const name = `${photo.name.replace(/\.[^.]*$/, "")}_${byId("style").value}.${suffix}`;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, type, 0.92);
}

function takePhoto(files) {
  if (!files.length) return;
  photo = files[0];
  stylize();
}

const styles = window.STYLES ?? [];
byId("style").append(...styles.map(({ name, title }) => new Option(title, name)));
byId("style").hidden = styles.length < 2;
byId("style").addEventListener("change", stylize);
byId("size").addEventListener("change", stylize);
byId("photo").addEventListener("change", (event) => takePhoto(event.target.files));
byId("photo").addEventListener("click", (event) => (event.target.value = "")); // so that choosing the same file again counts as a change
byId("jpeg").addEventListener("click", () => saveResult("image/jpeg", "jpg"));
byId("png").addEventListener("click", () => saveResult("image/png", "png"));
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
addEventListener("dragleave", () => byId("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  takePhoto(event.dataTransfer.files);
});
if (!window.RUNTIME) byId("error").textContent = MISSING_RUNTIME;
else if (!styles.length) byId("error").textContent = "There is no model beside the page: run python docs/browser/make.py starry_night.";
