"""The report of a run as a person opens it: in a browser, wide and narrow, light and dark."""

import os
import shutil

import browser
import pytest

from flax_vision.analysis.report.writer import write_report
from flax_vision.training.fit import fit

pytestmark = pytest.mark.slow

PICTURES = """
(async () => Promise.all([...document.images].map(async image => {
  await image.decode();
  const box = image.getBoundingClientRect();
  return {name: image.alt, drawn: image.naturalWidth, width: box.width, height: box.height,
          ratio: image.naturalWidth / image.naturalHeight, from: image.currentSrc.slice(-64)};
})))()
"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LUMINANCE = """
(() => { const rgb = getComputedStyle(document.querySelector('section')).backgroundColor;
         return rgb.match(/[0-9]+/g).map(Number).reduce((a, b) => a + b) / 3; })()
"""
CORNER = """
(async () => { const image = document.images[0]; await image.decode();
  const canvas = document.createElement('canvas'); const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [...context.getImageData(1, 1, 1, 1).data].slice(0, 3).reduce((a, b) => a + b) / 3; })()
"""


@pytest.fixture(scope="module")
def page(small_config, tmp_path_factory):
    """The report of a run whose directory was moved away afterwards."""
    made = tmp_path_factory.mktemp("made") / "run"
    fit(small_config, made)
    write_report(made)
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    shutil.move(made, moved)
    return moved / "report/index.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    program = browser.find()
    if program is None:
        assert not os.environ.get("CI"), "chromium is not installed: apt-get install chromium"
        pytest.skip("no chromium is installed")
    with browser.opened(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_picture_is_drawn_and_nothing_is_wrong(page, tab, width, scheme):
    tab.call(
        "Emulation.setDeviceMetricsOverride",
        **{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    scheme_wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    tab.call("Emulation.setEmulatedMedia", features=scheme_wanted)
    tab.open(page)
    pictures = tab.evaluate(PICTURES)
    thumbnails = [x for x in pictures if x["name"].startswith("an image of class ")]
    assert len(pictures) == 10 + len(thumbnails)
    assert 0 < len(thumbnails) <= 200
    for picture in pictures:
        assert picture["drawn"] > 0
        assert 0 < picture["width"] <= width
        assert picture["width"] / picture["height"] == pytest.approx(picture["ratio"], rel=0.02)
        assert picture["name"]
    assert tab.evaluate(OVERFLOW) == 0
    assert tab.errors() == []
    assert tab.asked_for() <= {"file", "data"}
    is_dark = scheme == "dark"
    assert (tab.evaluate(LUMINANCE) < 128) == is_dark
    assert (tab.evaluate(CORNER) < 128) == is_dark


TABLE = "document.querySelector('#mistakes table')"
HEADINGS = f"[...{TABLE}.tHead.rows[0].cells].map(cell => cell.textContent)"
ORDERS = f"[...{TABLE}.tHead.rows[0].cells].map(cell => cell.getAttribute('aria-sort'))"


def column(tab, index):
    return tab.evaluate(
        f"[...{TABLE}.tBodies[0].rows].map(row => row.cells[{index}])"
        ".map(cell => cell.dataset.sort ? Number(cell.dataset.sort) : cell.textContent)"
    )


def button(index):
    return f"{TABLE}.tHead.rows[0].cells[{index}].querySelector('button')"


def press_enter(tab, index):
    tab.evaluate(f"{button(index)}.focus() || true")
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, **key)


def test_mistakes_are_sorted_by_clicks_and_keys(page, tab):
    tab.open(page)
    assert tab.evaluate(HEADINGS) == ["image", "label", "prediction", "confidence", "index"]
    assert tab.evaluate(ORDERS) == [None, None, None, "descending", None]
    confidences, indices = column(tab, 3), column(tab, 4)
    assert confidences == sorted(confidences, reverse=True)
    for index in (1, 2, 4):
        press_enter(tab, index)
        first, is_number = column(tab, index), index == 4
        assert first == sorted(first, reverse=is_number)
        tab.evaluate(f"{button(index)}.click() || true")
        assert column(tab, index) == sorted(first, reverse=not is_number)
    assert tab.evaluate(ORDERS) == [None, None, None, None, "ascending"]
    press_enter(tab, 3)
    assert column(tab, 3) == confidences
    assert sorted(column(tab, 4)) == sorted(indices)
    assert tab.evaluate(f"{button(0)} === null")
    assert tab.errors() == []


def test_what_the_browser_finds_wrong_is_seen(page, tab, tmp_path):
    broken = tmp_path / "broken.html"
    content = page.read_text().replace('<img src="data:image/png;base64,iVBOR', '<img src="x')
    broken.write_text(content + "<script>nothing.there()</script><div style='width:9000px'>x</div>")
    tab.call("Emulation.setEmulatedMedia", features=[])
    tab.open(broken)
    assert tab.evaluate("[...document.images].every(image => image.naturalWidth === 0)")
    assert len(tab.errors()) >= 2
    assert tab.evaluate(OVERFLOW) > 0
