// Runs a model in a worker. Everything comes from scripts beside the page, so that it also works when it is opened
// as a file: Chromium lets such a page neither fetch files nor start workers from files.
"use strict";

const MISSING_RUNTIME = "runtime_wasm.js is missing beside the page: run npm install in its folder.";
window.RUNTIMES = {}; // the files of onnxruntime-web in base64 of gzip, by engine; runtime_ENGINE.js adds them
window.MODELS = {}; // ONNX files by name: bytes, or base64 of gzip, which models/NAME.js adds

/** Run in the worker, where onnxruntime-web is the global ort. */
function runWorker() {
  let session;
  const prepare = async ({ engine, glue, wasm, model, name }) => {
    // More threads than one need a server that sends isolation headers.
    ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency) : 1;
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
    // Only errors: WebGPU warns of nodes that run elsewhere.
    const options = { executionProviders: [engine], logSeverityLevel: 3 };
    session = await ort.InferenceSession.create(model, options).catch((error) => {
      throw new Error(`${name} is not a model that this browser can run: ${error?.message ?? error}`);
    });
    if (session.inputNames[0] !== "photo" || session.outputNames[0] !== "picture")
      throw new Error(`${name} is not a model that faststyle export wrote.`);
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

/** Decode base64, and decompress the bytes. Return bytes unchanged. */
async function unpack(file) {
  if (file instanceof Uint8Array) return file;
  const packed = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
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

const REPLACED = "replaced by another request";
let worker = null; // for the last style
let loaded = null; // name of the worker's style, once its model is loaded
let engine = null; // of this browser
let rejectPending = null; // rejects the message that the worker has not answered yet

function stopWorker() {
  worker?.terminate();
  worker = loaded = null;
  rejectPending?.(new Error(REPLACED));
}

/** Send a message to the worker, and resolve to its answer. */
function askWorker(message) {
  return new Promise((resolve, reject) => {
    rejectPending = reject;
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(message);
  }).finally(() => (rejectPending = null));
}

/** Return the engine of this browser: WebGPU where there is an adapter, else WebAssembly. */
async function pickEngine() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter ? "webgpu" : "wasm";
}

/** Start a worker with a style's model, unless another request has replaced this one meanwhile. */
async function loadStyle(name, isCurrent) {
  if (loaded === name) return;
  stopWorker();
  if (!RUNTIMES.wasm) throw new Error(MISSING_RUNTIME);
  if (!MODELS[name]) await loadScript(`models/${name}.js`);
  engine ??= await pickEngine();
  if (!RUNTIMES[engine]) await loadScript(`runtime_${engine}.js`);
  const { script, glue, wasm } = RUNTIMES[engine];
  const [code, mjs, binary, model] = await Promise.all([script, glue, wasm, MODELS[name]].map(unpack));
  if (!isCurrent()) return;
  const source = URL.createObjectURL(new Blob([code, `;(${runWorker})();`], { type: "text/javascript" }));
  worker = new Worker(source);
  try {
    await askWorker({ engine, glue: mjs, wasm: binary, model, name });
  } finally {
    URL.revokeObjectURL(source);
  }
  loaded = name;
}

/** Return an image's pixels in a style, or null if another request has replaced this one. Report a loaded style. */
async function stylizePixels(image, name, isCurrent, onLoaded) {
  try {
    await loadStyle(name, isCurrent);
    if (!isCurrent()) return null;
    onLoaded?.();
    const { width, height } = image;
    const { pixels } = await askWorker({ pixels: image.data, width, height });
    return isCurrent() ? pixels : null;
  } catch (error) {
    if (error.message === REPLACED) return null;
    stopWorker(); // a worker that ran out of memory cannot be used again
    if (engine !== "webgpu" || !isCurrent()) throw error;
    engine = "wasm"; // this GPU cannot run the model
    return stylizePixels(image, name, isCurrent, onLoaded);
  }
}
