import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from flax_vision.analysis.report.figures.drawing import (
    DARK,
    LIGHT,
    Picture,
    Sheet,
    label,
    rescale,
)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_sheet_shows_an_image_where_it_is_put(theme):
    sheet = Sheet(2, 1, theme)
    sheet.put(np.array([[[1.0, 0, 0]], [[0, 1.0, 0]]]), 1, 0, (1, 1))
    found = pixels(sheet)
    assert found.shape == (150, 300, 3)
    assert found[20, 220].tolist() == [255, 0, 0]
    assert found[130, 220].tolist() == [0, 255, 0]
    paper = int(theme.paper[1:], 16).to_bytes(3, "big")
    assert bytes(found[75, 75].tolist()) == paper


def test_gray_images_are_from_black_to_white():
    sheet = Sheet(2, 1)
    sheet.put(np.array([[[0], [255]]], np.uint8), 0, 0, (2, 1))
    assert pixels(sheet)[75, [20, 280], 0].tolist() == [0, 255]


def test_picture_shows_itself_in_a_notebook():
    assert Picture(1, 1)._repr_png_().startswith(b"\x89PNG")


def test_stretched():
    assert rescale(np.array([2, 4, 3])).tolist() == [0, 1, 0.5]
    assert rescale(np.array([7, 7])).tolist() == [0, 0]


def test_label_is_short_and_no_mathematics():
    assert label("$5 note$") == r"\$5 note\$"
    assert label("a very long name", 8) == "a very…"
    assert label("bad\udcff\x1b.jpg") == r"bad\udcff\x1b.jpg"
    sheet = Sheet(1, 1)
    sheet.write(label("$x_1$ 猫"), 0, 0)  # a letter that matplotlib's font has not
    assert sheet.png()


@pytest.mark.slow
def test_pictures_leave_pyplot_alone():
    source = (
        "import sys, flax_vision.analysis.report.writer; print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
