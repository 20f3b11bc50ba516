"""Runs with options of the model that change the computation, but not its meaning."""

import jax
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.training.build import build_experiment
from flax_vision.training.fit import fit


def notes_of(config):
    return " ".join(build_experiment(config, lambda *_: None).notes)


@pytest.mark.slow
def test_run_with_recomputation_is_the_same_run(config, finished, tmp_path):
    config.model.remat = True
    result = fit(config, tmp_path)
    assert result["test/loss"] == pytest.approx(finished[1]["test/loss"], rel=1e-5)
    assert result["test/top1"] == finished[1]["test/top1"]


@pytest.mark.slow
def test_run_in_bfloat16_exports_float32_parameters(config, finished, tmp_path):
    config.model.dtype = "bfloat16"
    result = fit(config, tmp_path)
    assert result["test/loss"] == pytest.approx(finished[1]["test/loss"], rel=0.05)
    _, variables = fv.load(tmp_path / "export")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_bfloat16_on_a_cpu_is_noted(config):
    assert "bfloat16" not in notes_of(config)
    config.model.dtype = "bfloat16"
    assert "dtype=bfloat16 is for GPUs and TPUs; on a CPU float32 is faster" in notes_of(config)
