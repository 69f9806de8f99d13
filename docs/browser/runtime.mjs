// Packs onnxruntime-web's own files into runtime.js, which `npm install` does at its end: a page that was
// opened as a file may load scripts that lie beside it, but fetch nothing.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const FILES = { script: "ort.wasm.min.js", glue: "ort-wasm-simd-threaded.mjs", wasm: "ort-wasm-simd-threaded.wasm" };
const here = (name) => new URL(name, import.meta.url);

const packed = Object.entries(FILES).map(([key, file]) => {
  const bytes = readFileSync(here(`node_modules/onnxruntime-web/dist/${file}`));
  return [key, gzipSync(bytes).toString("base64")];
});
writeFileSync(here("runtime.js"), `window.RUNTIME = ${JSON.stringify(Object.fromEntries(packed))};\n`);
