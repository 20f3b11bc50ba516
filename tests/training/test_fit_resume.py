"""Whole runs that are stopped and resumed."""

import json
import os
import shutil
import signal

import chex
import pytest
from runs import LineRecorder, read_metrics, stop_at

import flax_vision as fv
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training import build, data_pipeline
from flax_vision.training.fit import fit
from flax_vision.training.signals import Interrupted


@pytest.mark.slow
def test_run_resumes_without_the_model_of_init_from(config, finished, tmp_path, monkeypatch):
    begin_with = tmp_path / "other"
    shutil.copytree(finished[0] / "export", begin_with)
    config.init_from, config.seed, config.epochs = str(begin_with), 5, 1
    fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    shutil.rmtree(begin_with)
    config.init_from = ""
    fit(config, tmp_path / "stopped")
    saved = json.loads((tmp_path / "stopped/config.json").read_text())
    assert saved["init_from"] == str(begin_with)
    ways = (tmp_path / "whole", tmp_path / "stopped")
    chex.assert_trees_all_equal(*(fv.load(workdir)[1] for workdir in ways))
    texts = [(workdir / "model_metadata.json").read_text() for workdir in ways]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("step", [1, *(pytest.param(x, marks=pytest.mark.slow) for x in (4, 6))])
def test_stopped_run_goes_on_to_the_same_bits(step, config, finished, tmp_path, monkeypatch):
    workdir, whole = finished
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        message = f"stopped by SIGTERM after step {step} of 9.*same command again"
        with pytest.raises(Interrupted, match=message) as error:
            fit(config, tmp_path / "stopped")
        assert error.value.is_common
    with (tmp_path / "stopped/metrics.jsonl").open("a") as file:
        file.write('{"step": 999, "of": "what a kill undid"}\n')
    monkeypatch.setattr(build, "measure_background", lambda *_: pytest.fail("measured"))
    observer = LineRecorder()
    result = fit(config, tmp_path / "stopped", observer)
    assert f"resuming from step {step}" in observer.text
    chex.assert_trees_all_equal(fv.load(tmp_path / "stopped")[1], fv.load(workdir)[1])
    timeless = [name for name in whole if name not in ("train_seconds", "input_wait_fraction")]
    assert {name: result[name] for name in timeless} == {name: whole[name] for name in timeless}
    for there, here in zip(read_metrics(workdir), read_metrics(tmp_path / "stopped"), strict=True):
        measured = {"epoch_seconds", "train_seconds", "input_wait_fraction", "images_per_second"}
        assert {k: v for k, v in there.items() if k not in measured} == {
            k: v for k, v in here.items() if k not in measured
        }


@pytest.mark.slow
def test_more_epochs_give_the_bits_of_one_long_run(config, tmp_path, monkeypatch):
    config.schedule.name, config.epochs = "constant", 3
    whole = fit(config, tmp_path / "whole")
    config.epochs = 1
    fit(config, tmp_path / "run")
    with monkeypatch.context() as patch:
        config.epochs = 2
        stop_at(patch, 5)
        with pytest.raises(Interrupted, match="after step 5 of 6"):
            fit(config, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    config.epochs, observer = 3, LineRecorder()
    result = fit(config, tmp_path / "run", observer)
    assert "resuming from step 5" in observer.text
    chex.assert_trees_all_equal(fv.load(tmp_path / "run")[1], fv.load(tmp_path / "whole")[1])
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == [3, 6, 9, 9]
    assert json.loads((tmp_path / "run/config.json").read_text())["epochs"] == 3
    assert {k: result[k] for k in result if k not in ("train_seconds", "input_wait_fraction")} == {
        k: whole[k] for k in whole if k not in ("train_seconds", "input_wait_fraction")
    }


@pytest.mark.slow
def test_stopped_run_is_evaluated_and_initializes_another(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    assert evaluate(tmp_path / "stopped", split="validation").top1 == pytest.approx(
        max(record["validation/top1"] for record in read_metrics(tmp_path / "stopped"))
    )
    config.init_from, config.epochs = str(tmp_path / "stopped"), 1
    observer = LineRecorder()
    fit(config, tmp_path / "other", observer)
    message = "stopped is not finished (epoch 2 of 3); using the checkpoint of epoch 2, the best"
    assert message in observer.text


@pytest.mark.slow
def test_checkpoint_of_a_later_step_costs_nothing(config, finished, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Interrupted):
            fit(config, tmp_path)
    shutil.copytree(tmp_path / "checkpoints/4", tmp_path / "checkpoints/9")
    assert fit(config, tmp_path)["step"] == 9
    message = "checkpoint 9 is later than step 4; it was moved to "
    assert message in capsys.readouterr().err
    chex.assert_trees_all_equal(fv.load(tmp_path)[1], fv.load(finished[0])[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        pytest.param(
            {"schedule.name": "plateau", "schedule.patience": 1, "schedule.lr": 1e-9},
            [1e-9, 1e-9, 1e-10],  # for nothing becomes better
            id="plateau",
        ),
        pytest.param(
            {
                "model.name": "lenet5",
                "loss.name": "lenet5_map",
                "optimizer.name": "levenberg_marquardt",
                "optimizer.curvature_samples": 32,
                "optimizer.weight_decay": 0.0,
                "schedule.name": "constant",
                "schedule.lr": 1e-3,
            },
            [1e-3, 1e-3, 1e-3],
            id="curvature",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rates_that_a_run_has_found_go_on_with_it(changes, rates, config, tmp_path, monkeypatch):
    config.update_from_flattened_dict(changes)
    fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    fit(config, tmp_path / "stopped")
    ways = (tmp_path / "whole", tmp_path / "stopped")
    chex.assert_trees_all_equal(*(fv.load(workdir)[1] for workdir in ways))
    for workdir in ways:
        records = read_metrics(workdir)
        assert [x["learning_rate"] for x in records if "learning_rate" in x] == pytest.approx(rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {
                "optimizer.name": "adamw",
                "optimizer.clip_norm": 1.0,
                "optimizer.grad_accum_steps": 2,
                "optimizer.lr_mult": (("C.*", 0.5),),
                "optimizer.ema_decay": 0.9,
                "data.sampler": "balanced",
                "freeze": "C1",
            },
            id="adamw",
        ),
        pytest.param(
            {
                "optimizer.name": "lamb",
                "loss.class_weights": "balanced",
                "loss.label_smoothing": 0.1,
            },
            id="lamb",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"optimizer.name": "rmsprop", "loss.name": "focal"},
            id="rmsprop",
            marks=pytest.mark.slow,
        ),
        pytest.param({"optimizer.name": "lion"}, id="lion", marks=pytest.mark.slow),
        pytest.param({"optimizer.name": "adam"}, id="adam", marks=pytest.mark.slow),
        pytest.param({"optimizer.nesterov": True}, id="nesterov", marks=pytest.mark.slow),
    ],
)
def test_every_optimizer_resumes_to_the_same_bits(changes, config, tmp_path, monkeypatch):
    """The run is stopped in the middle of its second epoch, and of two accumulated batches."""
    config.update_from_flattened_dict({"schedule.lr": 1e-3, "epochs": 2, **changes})
    fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    fit(config, tmp_path / "stopped")
    chex.assert_trees_all_equal(
        *(fv.load(tmp_path / workdir)[1] for workdir in ("whole", "stopped"))
    )


@pytest.mark.slow
def test_stopped_while_reading_the_data(config, tmp_path, monkeypatch):
    def reading(config, report, was_stratified):
        os.kill(os.getpid(), signal.SIGINT)
        report(config.data.name, 1, 2)
        pytest.fail("it went on reading")

    monkeypatch.setattr(data_pipeline, "load_data", reading)
    with pytest.raises(Interrupted, match="stopped by SIGINT while reading") as error:
        fit(config, tmp_path)
    assert not error.value.is_common


@pytest.mark.slow
def test_augmented_run_resumes_to_the_same_bits_in_the_middle_of_an_epoch(
    config, tmp_path, monkeypatch
):
    """All augmentations of gray images are on; it stops after the second of three steps."""
    config.epochs = 2
    numbers = {"random_affine": 0.2, "rotation": 10.0, "color_jitter": 0.2}
    numbers |= {"random_erasing": 0.5, "mixup": 0.4, "cutmix": 1.0, "pad_and_crop": 2}
    switches = dict.fromkeys(("flip", "vertical_flip", "trivial_augment"), True)
    config.augmentation.update(numbers | switches)
    whole = fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted, match="after step 5 of 6"):
            fit(config, tmp_path / "stopped")
    result = fit(config, tmp_path / "stopped")
    ways = (tmp_path / "whole", tmp_path / "stopped")
    chex.assert_trees_all_equal(*(fv.load(workdir)[1] for workdir in ways))
    assert result["test/loss"] == whole["test/loss"]
    losses = [[record.get("train/loss") for record in read_metrics(way)] for way in ways]
    assert losses[0] == losses[1]
