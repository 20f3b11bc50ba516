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

    def saved_at(step, epochs):
        history = [{"epoch": epoch, "step": 3 * epoch} for epoch in range(1, epochs + 1)]
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
