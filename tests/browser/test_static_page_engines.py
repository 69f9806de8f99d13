"""The static page's engines, models and files."""

import base64
import gzip
import re
import runpy
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.inference.export import export
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import MARGIN
from faststyle.models.network import Inference
from tests.support.images import draw_image, sample

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.support.static_page import FOLDER, TIMEOUT, choose, open_static_page, save, wait_for_status


@pytest.fixture
def folder(static_folder):
    return static_folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "script", "wasm"),
    [
        ("wasm", "ort.wasm.min.js", "ort-wasm-simd-threaded.wasm"),
        ("webgpu", "ort.webgpu.min.js", "ort-wasm-simd-threaded.asyncify.wasm"),
    ],
)
def test_runtime_holds_the_files_of_the_npm_package(folder, engine, script, wasm):
    stored = dict(re.findall(r'"(\w+)":"([^"]+)"', (folder / f"runtime_{engine}.js").read_text()))
    package = folder / "node_modules" / "onnxruntime-web" / "dist"
    for key, name in (("script", script), ("wasm", wasm)):
        assert gzip.decompress(base64.b64decode(stored[key])) == (package / name).read_bytes()


@pytest.mark.slow
def test_webgpu_gives_the_same_image(folder, browser, tmp_path):
    """Open the page with a GPU that Chromium computes in software."""
    options = [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        "--enable-features=Vulkan",
        "--use-vulkan=swiftshader",
    ]
    with_gpu = browser.browser_type.launch(
        executable_path=shutil.which("chromium"), args=[*options, "--use-webgpu-adapter=swiftshader"]
    )
    for page in open_static_page(folder, with_gpu):
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no WebGPU")
        photo = sample("coffee", 211)
        photo.save(tmp_path / "cup.png")
        choose(page, tmp_path / "cup.png")
        wait_for_status(page, r"^The Starry Night: [\d.]+ s at 211 × 141 pixels \(WebGPU\)")
        stylized = np.asarray(Image.open(save(page, "PNG", tmp_path)).convert("RGB"), int)
    expected = np.asarray(Stylizer.load("starry_night", "cpu", "fp32", engine="torch")(photo), int)
    assert np.abs(stylized - expected).max() <= 2
    with_gpu.close()


def test_make_exports_other_models_for_the_page(folder, model, browser, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    copy = tmp_path / "page"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("node_modules"))
    again = tmp_path / "another.safetensors"
    shutil.copyfile(model, again)
    monkeypatch.setattr("faststyle.inference.export.SIZES", ((1, 32, 40),))
    runpy.run_path(str(copy / "make.py"))["main"]([str(model), str(again)])
    assert {path.name for path in (copy / "models").iterdir()} == {"list.js", "small.js", "another.js"}
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto((copy / "index.html").as_uri())
    draw_image(40, 30).save(tmp_path / "a.png")
    choose(page, tmp_path / "a.png")
    wait_for_status(page, "^small: .* s at 40 × 30")
    page.get_by_label("Style").select_option("another")
    wait_for_status(page, "^another: .* s at 40 × 30")
    page.close()


def test_snippet_of_the_docs_runs_on_a_served_page(folder, model, network, browser, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr("faststyle.inference.export.SIZES", ((1, 32, 40),))
    export(model, folder / "model.onnx")
    (block,) = re.findall(r"```js\n(.*?)```", (FOLDER.parent / "export.md").read_text("utf-8"), re.DOTALL)
    package = "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs"
    (folder / "snippet.html").write_text(f"""<!doctype html><link rel="icon" href="data:,">
        <script type="importmap">{{"imports": {{"onnxruntime-web/wasm": "{package}"}}}}</script>
        <script>const [height, width] = [21, 34], values = new Float32Array(3 * 21 * 34).fill(0.5);</script>
        <script type="module">{block}; window.found = [...picture.dims, picture.data[0]];</script>""")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/snippet.html")
        page.wait_for_function("window.found", timeout=TIMEOUT)
        *shape, first = page.evaluate("window.found")
        page.close()
        server.shutdown()
    expected = Inference(network, MARGIN)(torch.full((1, 3, 21, 34), 0.5))
    assert shape == list(expected.shape)
    assert first == pytest.approx(float(expected[0, 0, 0, 0]), abs=1e-3)


def test_page_without_the_runtime_names_the_remedy(browser):
    page = browser.new_page()
    page.route("**/runtime_wasm.js", lambda route: route.abort())
    page.goto((FOLDER / "index.html").as_uri())
    expect(page.get_by_role("alert")).to_contain_text("run npm install in its folder")
    page.close()
