"""The runs of a sweep, before any of them starts."""

import pytest

from flax_vision.errors import UserError
from flax_vision.training.sweep_plan import expand_grid, plan_sweep, run_name


def test_grid_has_all_combinations():
    groups = expand_grid({"epochs": [1, 2], "schedule.lr": [0.1, 0.2]})
    expected = [(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)]
    assert groups == [{"epochs": epochs, "schedule.lr": lr} for epochs, lr in expected]


def test_settings_one_by_one_may_be_nested():
    groups = expand_grid([{"model": {"name": "lenet5"}}, {}])
    assert groups == [{"model.name": "lenet5"}, {}]


@pytest.mark.parametrize("values", ["lenet5", 3])
def test_values_of_a_grid_are_a_list(values):
    with pytest.raises(UserError, match=f"'model.name' are {values!r}; give a list"):
        expand_grid({"model.name": values})


def test_name_does_not_depend_on_the_order_of_the_settings():
    settings = {"schedule.lr": 1.0, "model.name": "vgg_a"}
    assert run_name(settings, 2) == "model.name=vgg_a,schedule.lr=1,seed=2"
    assert run_name(dict(reversed(settings.items())), 2) == run_name(settings, 2)


def test_name_is_a_valid_path():
    settings = {"optimizer.lr_mult": (("conv.*", 0.5),), "data.image_dir": "/a/b"}
    assert run_name(settings, 0) == "data.image_dir=_a_b,optimizer.lr_mult=conv._,0.5,seed=0"


def test_plan_has_each_setting_with_each_seed(tmp_path):
    planned = plan_sweep({}, {"epochs": [1, 2]}, [0, 3], tmp_path)
    assert [run.workdir.name for run, _ in planned] == [
        *("epochs=1,seed=0", "epochs=1,seed=3", "epochs=2,seed=0", "epochs=2,seed=3")
    ]
    assert [(config.epochs, config.seed) for _, config in planned] == [
        *((1, 0), (1, 3), (2, 0), (2, 3))
    ]


def test_settings_win_over_overrides_and_have_the_type_of_the_key(tmp_path):
    overrides = {"schedule": {"lr": 5}, "epochs": 2}
    settings = {"schedule.lr": ["0.10"]}
    ((run, config),) = plan_sweep("lenet5", settings, [0], tmp_path, overrides=overrides)
    assert run.settings == {"schedule.lr": 0.1}
    assert (config.schedule.lr, config.epochs) == (0.1, 2)


def test_config_file_learns_of_the_model(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(model='lenet5'):\n"
        "    epochs = 7 if model == 'resnet20' else 1\n"
        "    return ConfigDict({'model': {'name': model}, 'epochs': epochs})\n"
    )
    planned = plan_sweep(str(file), {"model.name": ["lenet5", "resnet20"]}, [0], tmp_path)
    assert [config.epochs for _, config in planned] == [1, 7]


@pytest.mark.parametrize(
    ("settings", "seeds", "message"),
    [
        ({"epochs": []}, [0], "settings is empty"),
        ([{}], [], "seeds is empty"),
        ({"seed": [1]}, [0], r"seed is one of the settings \(1\)"),
        ({"epoch": [1]}, [0], "config.epoch is not a key; did you mean"),
        ({"epochs": [1, 2.5]}, [0], "config.epochs is 2.5; it must be a whole number"),
        ({"epochs": [0]}, [0], "config.epochs is 0; it must be"),
        ({"epochs": [1, 2]}, [0, 0], "two runs would have the directory epochs=1,seed=0, ep"),
        ({"schedule.lr": [1, 1.0]}, [0], "two runs would have the directory schedule.lr=1,seed"),
        ({"init_from": ["a b", "a*b"]}, [0], "two runs would have the directory init_from=a_b"),
    ],
)
def test_mistakes_are_errors(tmp_path, settings, seeds, message):
    with pytest.raises(UserError, match=message):
        plan_sweep({}, settings, seeds, tmp_path)
