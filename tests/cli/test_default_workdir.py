import pytest

from flax_vision.cli.default_workdir import default_workdir

SETTINGS = ["--config.seed=1", "--config.data.image_dir=photos", "--config.epochs=2"]


def test_default_directory_has_the_settings_sorted():
    name = "runs/resnet50-folder-data.image_dir=photos-epochs=2-seed=1"
    assert default_workdir("configs/resnet50.py:folder", SETTINGS) == name
    assert default_workdir("configs/resnet50.py:folder", SETTINGS[::-1]) == name
    assert default_workdir("configs/lenet5.py", []) == "runs/lenet5"


@pytest.mark.parametrize("path", ["photos/", "./photos", "~/photos", "{}/photos", "link"])
def test_default_directory_does_not_depend_on_the_spelling_of_a_path(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to("photos")
    setting = f"--config.data.image_dir={path.format(tmp_path)}"
    assert default_workdir("a.py", [setting]) == "runs/a-data.image_dir=photos"


@pytest.mark.parametrize(
    "setting",
    ["mesh.data=2", "write_report=False", "data.num_threads=1", "checkpoint.max_to_keep=5"],
)
def test_default_directory_leaves_out_what_a_resumed_run_may_change(setting):
    assert default_workdir("a.py", [f"--config.{setting}"]) == "runs/a"


def test_last_of_two_values_names_the_default_directory():
    assert default_workdir("a.py", ["--config.seed=1", "--config.seed=2"]) == "runs/a-seed=2"


def test_long_default_directory_is_shortened(tmp_path):
    one, other = (
        default_workdir("a.py", [f"--config.freeze={'é' * 200}{end}"]).removeprefix("runs/")
        for end in "xy"
    )
    assert one != other
    assert one[:100] == other[:100] == f"a-freeze={'é' * 91}"
    (tmp_path / one).mkdir()
    assert len(one.encode()) <= 255
