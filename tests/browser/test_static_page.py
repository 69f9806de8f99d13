"""The static page that stylizes in the browser, opened as a file in headless Chromium."""

import base64
import gzip
import re
import runpy
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faststyle.inference.export import export
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import MARGIN
from faststyle.models.network import Inference
from tests.support import ROOT
from tests.support.images import draw_image, sample

playwright = pytest.importorskip("playwright.sync_api")
chromium, npm = shutil.which("chromium"), shutil.which("npm")

FOLDER = ROOT / "docs" / "browser"
TIMEOUT = 120_000  # ms, because the machine may be busy
STARRY = "The Starry Night"


def install(folder: Path) -> str:
    """Copy the page into a folder, install the npm package there, and return npm's error messages."""
    for path in (*FOLDER.glob("*.*"), *FOLDER.glob("models/*.js")):
        if not path.name.startswith("runtime_"):
            target = folder / path.relative_to(FOLDER)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    command = [npm, "install", "--no-audit", "--no-fund", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    if chromium is None or npm is None:
        pytest.skip("needs chromium and npm")
    folder = tmp_path_factory.mktemp("browser page")  # with a space, as users' folders may have
    if failed := install(folder):
        if not re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH", failed):
            pytest.fail(failed)
        pytest.skip("npm cannot reach a registry")
    return folder


@pytest.fixture
def page(folder, browser):
    """The page, opened as a file; it must request nothing from other places and log no errors."""
    yield from open_file(folder, browser)


def open_file(folder, browser):
    context = browser.new_context(
        accept_downloads=True, viewport={"width": 1100, "height": 850}, permissions=["camera"]
    )
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    requested, errors = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    yield page
    outside = [url for url in requested if not url.startswith((folder.as_uri(), "data:", "blob:"))]
    context.close()
    assert not outside and not errors


def choose(page, path):
    """Choose a file as the photo."""
    page.get_by_label("Choose a photo").set_input_files(path)


def wait_for_status(page, pattern) -> str:
    """Wait until the status line matches, and return it."""
    playwright.expect(page.get_by_role("status")).to_have_text(re.compile(pattern), timeout=TIMEOUT)
    return page.get_by_role("status").inner_text()


def save(page, kind, folder) -> Path:
    """Download the result into a folder, and return the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as {kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


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


def test_chosen_photo_is_stylized_as_by_torch(page, tmp_path):
    photo = sample("coffee", 211)  # 211x141, neither a multiple of four
    photo.save(tmp_path / "cup.png")
    choose(page, tmp_path / "cup.png")
    assert re.match(rf"{STARRY}: [\d.]+ s at 211 × 141 pixels", wait_for_status(page, " s at "))
    path = save(page, "PNG", tmp_path)
    assert path.name == "cup_starry_night.png"
    stylized = np.asarray(Image.open(path).convert("RGB"), int)
    expected = np.asarray(Stylizer.load("starry_night", "cpu", "fp32", engine="torch")(photo), int)
    assert stylized.shape == expected.shape
    assert np.abs(stylized - expected).max() <= 2
    assert np.abs(stylized - np.asarray(photo, int)).mean() > 10
    playwright.expect(page.get_by_role("img", name="Your photo", exact=True)).to_be_visible()
    playwright.expect(page.get_by_role("img", name=f"Your photo, stylized as {STARRY}")).to_be_visible()
    path = save(page, "JPEG", tmp_path)
    with Image.open(path) as image:
        assert path.name == "cup_starry_night.jpg" and image.format == "JPEG"


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
        executable_path=chromium, args=[*options, "--use-webgpu-adapter=swiftshader"]
    )
    for page in open_file(folder, with_gpu):
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


def test_camera_is_stylized_live(page):
    page.get_by_role("button", name="Use the camera").click()
    wait_for_status(page, rf"^{STARRY}, live: [\d.]+ frames a second")
    before = page.locator("#before").evaluate("e => [e.width, e.height, e.toDataURL()]")
    assert max(before[:2]) == 320
    assert page.locator("#after").evaluate("e => e.toDataURL()") != before[2]
    page.get_by_label("Style").select_option("great_wave")
    wait_for_status(page, "^The Great Wave off Kanagawa, live")
    page.get_by_role("button", name="Stop the camera").click()
    playwright.expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    assert page.get_by_role("button", name="Save as PNG").is_enabled()


def test_camera_and_photo_replace_each_other(page, tmp_path):
    draw_image(300, 200).save(tmp_path / "a.png")
    for _ in range(2):
        page.get_by_role("button", name="Use the camera").click()
        wait_for_status(page, ", live: ")
        choose(page, tmp_path / "a.png")  # while a frame is computed
        wait_for_status(page, " s at 300 × 200")
    choose(page, tmp_path / "a.png")
    page.get_by_role("button", name="Use the camera").click()  # while the photo is computed
    wait_for_status(page, ", live: ")
    assert not page.locator("body.busy").count()


def test_missing_camera_gives_one_sentence(page):
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => { throw new Error('none'); }; }")
    page.get_by_role("button", name="Use the camera").click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("There is no camera")


def test_dropped_model_is_a_style_and_another_file_is_refused(page, model, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr("faststyle.inference.export.SIZES", ((1, 32, 40),))
    export(model, tmp_path / "mine.onnx")
    draw_image(40, 30).save(tmp_path / "a.png")
    choose(page, tmp_path / "a.png")
    wait_for_status(page, f"^{STARRY}")
    choose(page, tmp_path / "mine.onnx")
    wait_for_status(page, "^mine: .* s at 40 × 30")
    (tmp_path / "letter.onnx").write_text("Dear Theo")
    choose(page, tmp_path / "letter.onnx")
    playwright.expect(page.get_by_role("alert")).to_contain_text("letter is not a model")
    page.get_by_label("Style").select_option("mine")
    wait_for_status(page, "^mine: .* s at 40 × 30")


def test_new_size_stylizes_the_photo_again(page, tmp_path):
    draw_image(640, 1100).save(tmp_path / "tall.jpg")
    page.get_by_label("Longer side, at most").select_option("768")
    choose(page, tmp_path / "tall.jpg")
    wait_for_status(page, "Stylizing 447 × 768")
    page.get_by_label("Longer side, at most").select_option("512")  # during the stylization
    wait_for_status(page, " s at 298 × 512")
    assert page.locator("#after").evaluate("e => [e.width, e.height]") == [298, 512]


def test_file_that_is_no_image_gives_an_error_and_the_next_photo_works(page, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear Theo")
    choose(page, tmp_path / "letter.jpg")
    alert = page.get_by_role("alert")
    playwright.expect(alert).to_have_text("This browser cannot read letter.jpg as an image.")
    assert page.get_by_role("button", name="Save as PNG").is_disabled()
    draw_image(33, 3).save(tmp_path / "flat.png")  # lower than the model's minimum
    choose(page, tmp_path / "flat.png")
    wait_for_status(page, " s at 33 × 16")
    playwright.expect(page.locator("#error")).to_be_empty()


def test_photo_can_be_dropped_anywhere(page, tmp_path):
    draw_image(40, 30).save(tmp_path / "a.png")
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
          const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.querySelector("h1").dispatchEvent(new DragEvent("drop", options));
        }""",
        data,
    )
    wait_for_status(page, " s at 40 × 30")


def test_keyboard_reaches_every_control_and_every_control_has_a_name(page, tmp_path):
    draw_image(40, 30).save(tmp_path / "a.png")
    choose(page, tmp_path / "a.png")
    wait_for_status(page, " s at ")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["photo", "style", "size", "camera", "jpeg", "png"]
    tree = page.locator("body").aria_snapshot()
    found = re.findall(r"- '?(button|combobox|img)\b(.*)", tree)
    assert len(found) >= 6
    assert not [kind for kind, rest in found if not rest.strip().startswith('"')], tree
    assert page.locator("html").get_attribute("lang") == "en"


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
    playwright.expect(page.get_by_role("alert")).to_contain_text("run npm install in its folder")
    page.close()
