import pytest

from flax_vision.cli.default_workdir import default_workdir

SETTINGS = ["seed=1", "data.image_dir=photos", "epochs=2"]
FILE = """
from flax_vision.training.config_schema import default_config

def get_config(recipe="", model="lenet5"):
    config = default_config()
    config.model.name = model
    config.data.image_dir = "photos"
    config.schedule.lr = 0.5 if model == "lenet5" else 0.25
    return config
"""


def workdir(spec, *settings):
    return default_workdir(spec, [f"--config.{setting}" for setting in settings])


def test_name_has_the_settings_in_any_order():
    name = "runs/resnet50-folder-image_dir=photos-epochs2-seed1"
    assert workdir("configs/resnet50.py:folder", *SETTINGS) == name
    assert workdir("resnet50:folder", *SETTINGS[::-1]) == name
    assert workdir("lenet5") == "runs/lenet5"


@pytest.mark.parametrize("rate", ["0.25", "25e-2", ".25"])
def test_spelling_of_a_number_does_not_matter(rate):
    assert workdir("lenet5:mnist", f"schedule.lr={rate}") == "runs/lenet5-mnist-lr0.25"


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("augmentation.flip=true", "flip=True"),
        ("schedule.lr=1", "lr1"),
        ("data.mean=1,2.0", "mean=1,2"),
        ("data.mean=20", ""),
        ("model.trainable_codes=1", "trainable_codes=True"),
        ("model.name=lenet5_modern", "model.name=lenet5_modern"),
        ("schedule.warmup.epochs=5", "schedule.warmup.epochs5"),
        ("optimizer.momentum_form=alexnet", "momentum_form=alexnet"),
    ],
)
def test_keys_are_short_and_values_have_one_spelling(setting, name):
    assert workdir("lenet5", setting) == "-".join(filter(None, ["runs/lenet5", name]))


@pytest.mark.parametrize("path", ["pictures/", "./pictures", "~/pictures", "{}/pictures", "link"])
def test_spelling_of_a_path_does_not_matter(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to("pictures")
    setting = f"data.image_dir={path.format(tmp_path)}"
    assert workdir("resnet50:folder", setting) == "runs/resnet50-folder-image_dir=pictures"


def test_values_of_the_file_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    same = ("data.name=folder", "data.image_dir=./photos", "seed=0", "schedule.lr=0.5")
    assert workdir("mine.py", *same) == "runs/mine-data.name=folder"
    modern = ("data.name=folder", "model.name=lenet5_modern", "schedule.lr=0.25")
    expected = "runs/mine-data.name=folder-model.name=lenet5_modern"
    assert workdir("mine.py", *modern) == expected
    assert workdir("mine.py", "data.name=folder", "model.name=lenet5") == (
        "runs/mine-data.name=folder"
    )


@pytest.mark.parametrize(
    "setting",
    ["mesh.data=2", "write_report=False", "data.num_threads=1", "checkpoint.max_to_keep=5"],
)
def test_settings_that_a_resumed_run_may_change_are_left_out(setting):
    assert workdir("lenet5", setting) == "runs/lenet5"


def test_last_of_two_values_counts():
    assert workdir("lenet5", "seed=1", "seed=2") == "runs/lenet5-seed2"


def test_long_name_is_shortened(tmp_path):
    one, other = (
        workdir("lenet5", f"freeze={'é' * 200}{end}").removeprefix("runs/") for end in "xy"
    )
    assert one != other
    assert one[:100] == other[:100] == f"lenet5-freeze={'é' * 86}"
    (tmp_path / one).mkdir()
    assert len(one.encode()) <= 255
