"""Models of stopped runs, with checkpoints that the tests write."""

import dataclasses
import os
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.weights import saved_model
from flax_vision.weights.loading import load_metadata, load_model

METADATA = saved_model.ModelMetadata(
    name="lenet5_modern",
    options={},
    class_names=["a", "b"],
    image_shape=[28, 28, 1],
    preprocessing=Preprocessing([0.0], [255.0]),
    metrics={},
)


def record(epoch, top1):
    return {"epoch": epoch, "step": 10 * epoch, "validation/top1": top1, "validation/loss": 1.0}


@pytest.fixture(scope="module")
def params():
    init = jax.jit(METADATA.create_model().init)
    return init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]


def scaled(params, factor):
    return jax.tree.map(lambda x: x * np.float32(factor), params)


def save(run, checkpoints):
    """Writes a run directory with `(step, history, state)` for each checkpoint."""
    run.mkdir(exist_ok=True)
    (run / "model_metadata.json").write_text(METADATA.to_json())
    (run / "config.json").write_text('{"format": 2, "epochs": 10}')
    manager = Checkpoints(run / "checkpoints", len(checkpoints), lambda: None)
    for step, history, state in checkpoints:
        manager.save(step, state, history)
    manager.close()
    return run


@pytest.fixture
def stopped(params, tmp_path):
    """A run that was stopped in epoch 4, whose best epoch is the second."""
    states = [{"params": scaled(params, step), "statistics": {}} for step in (20, 35)]
    history = [record(1, 0.5), record(2, 0.75), record(3, 0.625)]
    return save(
        tmp_path / "run",
        [
            (20, history[:2], {**states[0], "average": None, "opt_state": [None, np.ones(3)]}),
            (35, history, {**states[1], "average": None, "opt_state": [None, np.ones(3)]}),
        ],
    )


def listing(path):
    return {
        (str(file), file.stat().st_mtime_ns if file.is_file() else 0) for file in path.rglob("*")
    }


def test_best_checkpoint_of_a_stopped_run(stopped, params):
    before = listing(stopped)
    metadata, _, variables, note = load_model(stopped)
    chex.assert_trees_all_equal(variables, {"params": scaled(params, 20)})
    assert metadata == METADATA == load_metadata(stopped)
    assert note == (
        f"{stopped} is not finished (epoch 3 of 10); using the checkpoint of epoch 2, "
        "the best so far"
    )
    assert listing(stopped) == before


def test_load_warns_of_a_stopped_run(stopped):
    with pytest.warns(UserWarning, match="is not finished .epoch 3 of 10."):
        model, _ = fv.load(stopped)
    assert model.num_classes == 2


def test_commands_say_which_checkpoint_they_take(stopped, tmp_path, capsys):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    output = str(tmp_path / "model.safetensors")
    warning = f"warning: {load_model(stopped).note}"
    for arguments in (["export", "--format", "safetensors", "-o", output], ["predict"]):
        command, *options = arguments
        files = [str(tmp_path / "a.png")] if command == "predict" else []
        assert main([command, str(stopped), *files, *options]) == 0
        assert warning in capsys.readouterr().err.splitlines()


def test_newest_checkpoint_before_the_end_of_the_first_epoch(params, tmp_path):
    run = save(tmp_path / "run", [(4, [], {"params": params, "statistics": {}})])
    assert load_model(run).note == (
        f"{run} is not finished (epoch 0 of 10); using its newest checkpoint, of step 4"
    )


def test_average_takes_the_place_of_the_parameters(params, tmp_path):
    average = {"C1": scaled(params["C1"], 7)}  # all that is not frozen
    state = {"params": params, "statistics": {}, "average": average}
    variables = load_model(save(tmp_path / "run", [(4, [], state)])).variables
    chex.assert_trees_all_equal(variables, {"params": params | average})


def test_checkpoint_of_other_devices_is_read_on_the_first(params, tmp_path):
    mesh = jax.make_mesh((2,), ("data",))
    divided = NamedSharding(mesh, PartitionSpec("data"))
    state = {"params": jax.device_put(params, NamedSharding(mesh, PartitionSpec()))}
    state["params"]["F6"]["kernel"] = jax.device_put(params["F6"]["kernel"], divided)
    variables = load_model(save(tmp_path / "run", [(4, [], {**state, "statistics": {}})])).variables
    chex.assert_trees_all_equal(variables, {"params": params})
    assert {x.sharding.num_devices for x in jax.tree.leaves(variables)} == {1}


def test_result_makes_the_export_count(stopped, params):
    saved_model.save(stopped / "export", METADATA, {"params": params})
    assert load_model(stopped).note
    (stopped / "result.json").write_text("{}")
    metadata, _, variables, note = load_model(stopped)
    chex.assert_trees_all_equal(variables, {"params": params})
    assert (metadata, note) == (METADATA, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fv.load(stopped)


@pytest.mark.usefixtures("files_are_damaged")
def test_damaged_checkpoint_gives_way(stopped):
    (stopped / "checkpoints/20/sha256.json").write_text("[]")
    note = load_model(stopped).note
    assert "; using its newest checkpoint, of step 35; the checkpoint of step 20 is damaged" in note
    (stopped / "checkpoints/35/history/metadata").write_text("[]")
    with pytest.raises(UserError, match="no checkpoint in .*checkpoints can be read"):
        load_model(stopped)
    assert sorted(os.listdir(stopped / "checkpoints")) == ["20", "35"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not finished and has no model_metadata.json; give the training command again"),
        ("[]", "model_metadata.json is damaged"),
        (
            dataclasses.replace(METADATA, class_names=["a"]).to_json(),
            "do not fit the lenet5_modern for",
        ),
        (
            dataclasses.replace(METADATA, options={"x": 1}).to_json(),
            "describes an impossible model",
        ),
    ],
)
def test_metadata_that_does_not_fit(content, message, stopped):
    (stopped / "model_metadata.json").unlink()
    if content is not None:
        (stopped / "model_metadata.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(stopped)
