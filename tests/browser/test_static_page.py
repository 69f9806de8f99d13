"""The static page that stylizes in the browser, opened as a file in headless Chromium."""

import base64
import re

import numpy as np
import pytest
from PIL import Image

from faststyle.inference.export import export
from faststyle.inference.stylizer import Stylizer
from tests.support.images import draw_image, sample

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.support.static_page import choose, save, wait_for_status

STARRY = "The Starry Night"


@pytest.fixture
def page(static_page):
    return static_page


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
    expect(page.get_by_role("img", name="Your photo", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=f"Your photo, stylized as {STARRY}")).to_be_visible()
    path = save(page, "JPEG", tmp_path)
    with Image.open(path) as image:
        assert path.name == "cup_starry_night.jpg" and image.format == "JPEG"


def test_camera_is_stylized_live(page):
    page.get_by_role("button", name="Use the camera").click()
    wait_for_status(page, rf"^{STARRY}, live: [\d.]+ frames a second")
    before = page.locator("#before").evaluate("e => [e.width, e.height, e.toDataURL()]")
    assert max(before[:2]) == 320
    assert page.locator("#after").evaluate("e => e.toDataURL()") != before[2]
    page.get_by_label("Style").select_option("great_wave")
    wait_for_status(page, "^The Great Wave off Kanagawa, live")
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
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
    expect(page.get_by_role("alert")).to_contain_text("There is no camera")


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
    expect(page.get_by_role("alert")).to_contain_text("letter is not a model")
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
    expect(alert).to_have_text("This browser cannot read letter.jpg as an image.")
    assert page.get_by_role("button", name="Save as PNG").is_disabled()
    draw_image(33, 3).save(tmp_path / "flat.png")  # lower than the model's minimum
    choose(page, tmp_path / "flat.png")
    wait_for_status(page, " s at 33 × 16")
    expect(page.locator("#error")).to_be_empty()


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
