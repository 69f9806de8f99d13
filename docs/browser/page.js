// Stylizes a photo, or what a camera sees, in the page.
"use strict";

const byId = (id) => document.getElementById(id);
const MIN_SIDE = 16; // pixels of an image's shorter side, for the model
const ENGINES = { webgpu: "WebGPU", wasm: "WebAssembly" };
const REPORT_MILLISECONDS = 1000;
const LIVE_SIZE = 320; // pixels of the longer side of a camera's frames

let photo = null;
let camera = null; // the stream of a camera that runs
let shownStyle = ""; // of the result
let lastRequest = 0; // results of older requests are not shown

/** Draw an image or a video upright on the left, at most as large as given, and on white where it is transparent. */
function draw(source, width, height, size) {
  const scale = Math.min(1, size / Math.max(width, height));
  const side = (pixels) => Math.max(MIN_SIDE, Math.round(pixels * scale));
  const canvas = byId("before");
  [canvas.width, canvas.height] = [side(width), side(height)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function drawPhoto(file) {
  const image = await createImageBitmap(file).catch(() => {
    throw new Error(`This browser cannot read ${file.name} as an image.`);
  });
  return draw(image, image.width, image.height, byId("size").value);
}

/** Stylize an image, show the result, and return its seconds, or null if another request has replaced this one. */
async function showStylized(image, { name, title, isCurrent }, onLoaded) {
  const start = performance.now();
  const pixels = await stylizePixels(image, name, isCurrent, onLoaded);
  if (pixels === null) return null;
  const canvas = byId("after");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, image.width, image.height), 0, 0);
  canvas.setAttribute("aria-label", `Your photo, stylized as ${title}`);
  shownStyle = name;
  byId("jpeg").disabled = byId("png").disabled = false;
  return (performance.now() - start) / 1000;
}

/** Begin a request for the chosen style, which replaces older ones. */
function begin() {
  const request = ++lastRequest;
  const { value: name, selectedOptions: [{ text: title }] } = byId("style");
  if (rejectPending) stopWorker(); // it computes an older request
  document.body.classList.remove("busy");
  byId("error").textContent = "";
  return { name, title, isCurrent: () => request === lastRequest };
}

function showError(error) {
  byId("status").textContent = "";
  byId("images").hidden = true;
  const memory = /memory|alloc|RangeError/i.test(error.message);
  byId("error").textContent = memory ? "The browser has run out of memory: choose a smaller size." : error.message;
}

/** Stylize the photo in the chosen style and size, and show the result or an error. */
async function stylize() {
  if (camera || !photo) return;
  const request = begin();
  document.body.classList.add("busy");
  byId("jpeg").disabled = byId("png").disabled = true;
  try {
    const image = await drawPhoto(photo);
    if (!request.isCurrent()) return;
    const { width, height } = image;
    const after = byId("after"); // takes the result's size before the result is there
    if (after.width !== width || after.height !== height) [after.width, after.height] = [width, height];
    byId("images").hidden = false;
    byId("status").textContent = `Loading ${request.title} …`;
    const seconds = await showStylized(image, request, () => {
      byId("status").textContent = `Stylizing ${width} × ${height} pixels …`;
    });
    const what = `${request.title}: ${seconds?.toFixed(1)} s at ${width} × ${height} pixels (${ENGINES[engine]}).`;
    if (seconds !== null) byId("status").textContent = what;
  } catch (error) {
    if (request.isCurrent()) showError(error);
  } finally {
    if (request.isCurrent()) document.body.classList.remove("busy");
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  byId("camera").textContent = "Use the camera";
}

/** Start a camera, and return a video that shows it, or null if there is none. */
async function openCamera() {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  byId("camera").disabled = true;
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.srcObject = camera;
    await video.play();
  } catch {
    stopCamera();
    byId("error").textContent = "There is no camera that this page may use: connect one, allow it, and press again.";
    return null;
  } finally {
    byId("camera").disabled = false;
  }
  camera.getVideoTracks()[0].onended = () => {
    stopCamera();
    byId("error").textContent = "The camera stopped: connect it, and press again.";
  };
  return video;
}

/** Stylize what the camera sees until it is stopped, which keeps the last image. */
async function runCamera() {
  if (camera) return stopCamera();
  begin();
  byId("status").textContent = "";
  const video = await openCamera();
  if (!video) return;
  byId("camera").textContent = "Stop the camera";
  byId("images").hidden = false;
  photo = null;
  let reported = 0; // when the status line last changed, because screen readers read it out
  try {
    while (video.srcObject === camera) {
      const request = begin();
      const seconds = await showStylized(draw(video, video.videoWidth, video.videoHeight, LIVE_SIZE), request);
      if (seconds !== null && performance.now() - reported > REPORT_MILLISECONDS) {
        byId("status").textContent = `${request.title}, live: ${(1 / seconds).toFixed(1)} frames a second.`;
        reported = performance.now();
      }
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stopCamera();
    showError(error);
  }
}

/** Offer the result as a download. */
function saveResult(type, suffix) {
  byId("after").toBlob((blob) => {
    const source = photo ? photo.name.replace(/\.[^.]*$/, "") : "camera";
    const name = `${source}_${shownStyle}.${suffix}`;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, type, 0.92);
}

/** Add a model's file to the styles, and choose it. */
async function addModel(file) {
  const name = file.name.replace(/\.onnx$/i, "");
  if (loaded === name) stopWorker();
  MODELS[name] = new Uint8Array(await file.arrayBuffer());
  const option = [...byId("style").options].find(({ value }) => value === name) ?? new Option(name, name);
  byId("style").append(option);
  byId("style").hidden = byId("style").options.length < 2;
  byId("style").value = name;
  stylize();
}

/** Take a photo or a model that was chosen or dropped. */
function takeFile(files) {
  if (!files.length) return;
  if (/\.onnx$/i.test(files[0].name)) return addModel(files[0]);
  stopCamera();
  photo = files[0];
  stylize();
}

const styles = window.STYLES ?? [];
byId("style").append(...styles.map(({ name, title }) => new Option(title, name)));
byId("style").hidden = styles.length < 2;
byId("style").addEventListener("change", stylize);
byId("size").addEventListener("change", stylize);
byId("photo").addEventListener("change", ({ target }) => {
  takeFile([...target.files]);
  target.value = ""; // so that choosing the same file again counts as a change
});
byId("camera").addEventListener("click", runCamera);
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
  takeFile(event.dataTransfer.files);
});
if (!RUNTIMES.wasm) byId("error").textContent = MISSING_RUNTIME;
else if (!styles.length) byId("error").textContent = "There is no model beside the page: run python docs/browser/make.py starry_night.";
