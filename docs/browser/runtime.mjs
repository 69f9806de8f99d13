// Packs onnxruntime-web's own files into scripts, which `npm install` does at its end: a page that was
// opened as a file may load scripts that lie beside it, but fetch nothing.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const WASM = "ort-wasm-simd-threaded";
const RUNTIMES = {
  wasm: { script: "ort.wasm.min.js", glue: `${WASM}.mjs`, wasm: `${WASM}.wasm` },
  webgpu: { script: "ort.webgpu.min.js", glue: `${WASM}.asyncify.mjs`, wasm: `${WASM}.asyncify.wasm` },
};
const here = (name) => new URL(name, import.meta.url);

for (const [runtime, files] of Object.entries(RUNTIMES)) {
  const packed = Object.entries(files).map(([key, file]) => {
    const bytes = readFileSync(here(`node_modules/onnxruntime-web/dist/${file}`));
    return [key, gzipSync(bytes).toString("base64")];
  });
  const value = JSON.stringify(Object.fromEntries(packed));
  writeFileSync(here(`runtime_${runtime}.js`), `window.RUNTIMES.${runtime} = ${value};\n`);
}
