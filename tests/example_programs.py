"""Helper for tests of the programs in examples/."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import flax_vision as fv
from flax_vision.weights.export import export as export_model

EXAMPLES = Path(__file__).parents[1] / "examples"


def check_example(name, model, export, folder, monkeypatch, capsys):
    """Compares the class and the probability that an example prints with the classifier's."""
    random = np.random.default_rng(0)
    tiny = Image.fromarray(random.integers(0, 256, (8, 11, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    tiny.resize((420, 305)).save(folder / "photograph.jpg", exif=exif)
    export_model(export, model.suffix[1:], model, preprocessing=True)
    (expected,) = fv.Classifier(export).predict([folder / "photograph.jpg"])
    program = EXAMPLES / name
    monkeypatch.setattr(sys, "argv", [str(program), str(model), str(folder / "photograph.jpg")])
    capsys.readouterr()
    runpy.run_path(str(program), run_name="__main__")
    class_name, probability = capsys.readouterr().out.split()
    assert class_name == expected.classes[0]
    assert float(probability) == pytest.approx(expected.probabilities[0], abs=1e-4)
    assert "import flax_vision" not in program.read_text()
