"""Tests of configurations with which a run directory can resume."""

import pytest

from flax_vision.errors import UserError
from flax_vision.training import resume_check
from flax_vision.training.config_schema import default_config
from flax_vision.training.resume_check import check_same_run
from flax_vision.weights.run_checkpoints import Checkpoint, UsableCheckpoints


def configured(**changes):
    config = default_config()
    config.update_from_flattened_dict({"schedule.name": "constant", **changes})
    return config.to_dict()


@pytest.fixture
def saved_at(monkeypatch):
    """Returns a function that sets the step and epochs of the newest checkpoint."""

    def saved_at(step, epochs, **metrics):
        history = [
            {"epoch": epoch, "step": 3 * epoch, "epoch_seconds": 20.0, **metrics}
            for epoch in range(1, epochs + 1)
        ]
        newest = Checkpoint(None, step, history)
        monkeypatch.setattr(
            resume_check, "find_checkpoints", lambda path: UsableCheckpoints(newest, newest, [])
        )

    return saved_at


@pytest.mark.parametrize("name", ["constant", "piecewise", "plateau", "exponential"])
def test_run_resumes_with_more_epochs(name, saved_at, tmp_path):
    saved_at(30, 10)
    for epochs in (10, 11, 60):
        check_same_run(
            tmp_path,
            configured(epochs=10, **{"schedule.name": name}),
            configured(epochs=epochs, **{"schedule.name": name}),
        )


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_schedule_that_depends_on_the_epochs(name, tmp_path):
    given = {"schedule.name": name}
    with pytest.raises(UserError) as caught:
        check_same_run(tmp_path, configured(epochs=10, **given), configured(epochs=60, **given))
    assert str(caught.value) == (
        f"run directory {str(tmp_path)!r} belongs to another configuration: epochs is 10 there "
        f"and 60 now, but the rates of the schedule {name!r} depend on the number of epochs. "
        f"Give another --workdir; with --config.init_from={tmp_path} it starts from the weights "
        "of this run."
    )


@pytest.mark.parametrize(("step", "epochs", "started"), [(30, 10, 10), (31, 10, 11), (2, 0, 1)])
def test_fewer_epochs_than_started(step, epochs, started, saved_at, tmp_path):
    saved_at(step, epochs)
    check_same_run(tmp_path, configured(epochs=60), configured(epochs=started))
    if started > 1:
        with pytest.raises(
            UserError, match=f"has already started {started} epochs; give at least {started}"
        ):
            check_same_run(tmp_path, configured(epochs=60), configured(epochs=started - 1))


def test_no_checkpoint_to_resume_from(tmp_path):
    with pytest.raises(UserError, match="epochs is 10 there.* has no checkpoint to resume from"):
        check_same_run(tmp_path, configured(epochs=10), configured(epochs=60))


def test_another_rate_can_start_from_the_weights(tmp_path):
    other = configured(epochs=60, **{"schedule.lr": 0.5})
    with pytest.raises(UserError, match="lr is 0.01 there and 0.5 now.*init_from=") as e:
        check_same_run(tmp_path, configured(epochs=10), other)
    assert "\n" not in str(e.value)


def test_option_newer_than_the_run_had_its_default(tmp_path):
    old = configured(**{"model.name": "resnet20"})
    new = configured(**{"model.name": "resnet20", "model.stochastic_depth": 0.0})
    check_same_run(tmp_path, old, new)
    new["model"]["stochastic_depth"] = 0.5
    with pytest.raises(UserError, match=r"stochastic_depth is 0.0 there and 0.5 now"):
        check_same_run(tmp_path, old, new)


def test_recomputation_may_begin_in_the_middle_of_a_run(tmp_path):
    old, new = (configured(**{"model.remat": enabled}) for enabled in (False, True))
    check_same_run(tmp_path, old, new)


@pytest.mark.parametrize("saved", ["", "here"])
def test_another_source_of_weights_is_a_difference(saved, tmp_path):
    message = f"init_from is '{saved}' there and '/nowhere' now, .* leave it out .* to resume. Give"
    with pytest.raises(UserError, match=message):
        check_same_run(tmp_path, configured(init_from=saved), configured(init_from="/nowhere"))


def test_another_model_cannot_start_from_the_weights(tmp_path):
    other = configured(**{"model.name": "alexnet", "schedule.lr": 0.5})
    with pytest.raises(UserError, match="model.name is .*; sched.* now. Give another --workdir.$"):
        check_same_run(tmp_path, configured(), other)


def finish(path):
    (path / "result.json").write_text("{}")
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 60},
        {"epochs": 60, "schedule.name": "cosine"},
        {"epochs": 60, "schedule.lr": 0.5, "stop.patience": 3},
    ],
)
def test_finished_run_continues_with_another_schedule(changes, saved_at, tmp_path):
    saved_at(30, 10)
    given = configured(epochs=10), configured(**changes)
    continuation = check_same_run(finish(tmp_path), *given)
    assert (continuation.step, continuation.epoch) == (30, 11)
    assert continuation.changes.keys() == changes.keys()


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_finished_run_continues_with_a_schedule_that_depends_on_the_epochs(
    name, saved_at, tmp_path
):
    saved_at(30, 10)
    given = [configured(epochs=epochs, **{"schedule.name": name}) for epochs in (10, 60)]
    assert check_same_run(finish(tmp_path), *given).changes == {"epochs": (10, 60)}


def test_continuation_is_one_line():
    changes = {"epochs": (40, 60), "schedule.lr": (0.1, 0.01)}
    assert resume_check.Continuation(480, 41, changes).describe(60) == (
        "continues at epoch 41 of 60: config.epochs 40 -> 60, config.schedule.lr 0.1 -> 0.01; "
        "the past epochs stay as they are"
    )


def test_same_configuration_continues_nothing(tmp_path):
    assert check_same_run(finish(tmp_path), configured(), configured()) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, "has already started 10 epochs; give at least 10"),
        ({"schedule.lr": 0.5}, "all 10 epochs are finished; give more, such as --config.epochs=20"),
        ({"stop.patience": 3}, "all 10 epochs are finished; give more, such as --config.epochs=20"),
        ({"epochs": 20, "seed": 1}, "seed is 0 there and 1 now. Give another --workdir"),
        ({"checkpoint.best_metric": "loss"}, "best_metric is 'auto' there and 'loss' now. Give"),
    ],
)
def test_finished_run_does_not_continue(changes, message, saved_at, tmp_path):
    saved_at(30, 10)
    given = configured(epochs=10), configured(**{"epochs": 10, **changes})
    with pytest.raises(UserError, match=message):
        check_same_run(finish(tmp_path), *given)


def test_run_that_stopped_early_continues_with_more_patience(saved_at, tmp_path):
    saved_at(13, 4)  # in the middle of an epoch
    given = [configured(epochs=10, **{"stop.patience": patience}) for patience in (2, 5)]
    continuation = check_same_run(finish(tmp_path), *given)
    assert continuation == (13, 5, {"stop.patience": (2, 5)})
    assert check_same_run(tmp_path, given[0], configured(epochs=5, **{"stop.patience": 5}))
    with pytest.raises(UserError, match="has already started 5 epochs; give at least 5"):
        check_same_run(tmp_path, given[0], configured(epochs=4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 20}, "no better top1 for 3 epochs would end it again at once; give a larger -"),
        ({"stop.patience": 3}, "no better top1 for 3 epochs would end it again at once"),
        ({"stop.patience": 0, "stop.after_minutes": 1}, "1 minutes of training are over; give a l"),
        ({"epochs": 3}, "has already started 4 epochs"),
    ],
)
def test_run_that_stopped_early_would_end_at_once(changes, message, saved_at, tmp_path):
    saved_at(12, 4, **{"validation/top1": 0.5})
    saved = configured(epochs=10, **{"stop.patience": 2})
    given = configured(**{"epochs": 10, "stop.patience": 2, **changes})
    with pytest.raises(UserError, match=f"now, but .*{message}"):
        check_same_run(finish(tmp_path), saved, given)
    (tmp_path / "result.json").unlink()
    if changes != {"epochs": 3}:
        assert check_same_run(tmp_path, saved, given)  # an unfinished run may end now


def test_run_that_stopped_early_continues_for_more_patience(saved_at, tmp_path):
    saved_at(12, 4, **{"validation/top1": 0.5})
    saved = configured(epochs=10, **{"stop.patience": 3})
    for patience in (4, 0):
        given = configured(epochs=20, **{"stop.patience": patience})
        assert check_same_run(finish(tmp_path), saved, given).epoch == 5


def test_unfinished_run_changes_early_stopping_but_not_its_schedule(saved_at, tmp_path):
    saved_at(13, 4)
    assert check_same_run(tmp_path, configured(), configured(**{"stop.after_minutes": 5}))
    with pytest.raises(UserError, match="0.5 now, but only a finished run can change its schedule"):
        check_same_run(tmp_path, configured(), configured(**{"schedule.lr": 0.5}))


def test_checkpoint_of_the_last_step_may_lack_the_record_of_its_epoch(saved_at, tmp_path):
    saved_at(30, 9)
    finish(tmp_path)
    with pytest.raises(UserError, match="all 10 epochs are finished; give more"):
        check_same_run(tmp_path, configured(epochs=10), configured(**{"schedule.lr": 0.5}))
    assert check_same_run(tmp_path, configured(epochs=10), configured(epochs=12)).epoch == 11
