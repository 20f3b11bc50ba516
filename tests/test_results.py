"""The results in the README, with room for another machine's rounding."""

import json
from pathlib import Path

import pytest

from flax_vision.cli.train import main

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.usefixtures("full_optimization")
@pytest.mark.parametrize("model", ["lenet5", "lenet5_modern"])
def test_embedded_recipe_learns_the_digits(model, tmp_path):
    config = f"--config={ROOT}/configs/lenet5.py"
    settings = [f"--config.model.name={model}", "--config.mesh.data=1"]
    assert main([config, *settings, f"--workdir={tmp_path}"]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["test/top1"] > 0.955
