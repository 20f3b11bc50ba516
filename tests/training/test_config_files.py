import os
import subprocess
import sys
from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.training import config_files
from flax_vision.training.config_files import config_names, find_config
from flax_vision.training.config_loader import load_config

ROOT = Path(__file__).parents[2]
NAMES = ["alexnet", "googlenet", "lenet5", "resnet20", "resnet50", "vgg16", "vgg19"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_file_comes_before_the_local_and_the_installed_config(tmp_path):
    assert find_config("lenet5") == ROOT / "configs/lenet5.py"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/lenet5.py").touch()
    assert find_config("lenet5") == Path("configs/lenet5.py")
    (tmp_path / "lenet5").mkdir()  # no file
    assert find_config("lenet5") == Path("configs/lenet5.py")
    (tmp_path / "lenet5").rmdir()
    (tmp_path / "lenet5").touch()
    assert find_config("lenet5") == Path("lenet5")


def test_names_of_config_files(tmp_path):
    assert config_names() == NAMES
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/mine.py").touch()
    (tmp_path / "configs/__init__.py").touch()
    assert config_names() == sorted([*NAMES, "mine"])


def test_configs_in_the_package_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "_PACKAGE_FOLDER", tmp_path / "flax_vision")
    assert config_files.installed_folder() == tmp_path / "configs"
    (tmp_path / "flax_vision/configs").mkdir(parents=True)
    assert config_files.installed_folder() == tmp_path / "flax_vision/configs"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet", f"unknown config 'lenet'; did you mean 'lenet5'\\? Valid: {', '.join(NAMES)}."),
        ("zzz", "unknown config 'zzz'. Valid: alexnet"),
        ("", "unknown config ''. Valid: alexnet"),
        ("lenet5.py", "no config file 'lenet5.py'; did you mean 'lenet5'\\? In .: no .py file."),
        ("configs/lenet5.py", "no config file 'configs/lenet5.py'; did you mean 'lenet5'"),
    ],
)
def test_unknown_name_offers_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        find_config(name)


def test_config_has_a_recipe():
    assert load_config("vgg19:cifar10", []).data.name == "cifar10"


def test_file_elsewhere_imports_an_installed_config(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(ROOT)])
    (tmp_path / "mine.py").write_text("from configs.vgg16 import get_config\n")
    assert load_config("mine.py", []).model.name == "vgg16"


PROGRAM = """
import sys
from flax_vision.training.config_loader import load_config
from flax_vision.training.config_files import find_config
print(find_config("vgg19"), load_config("vgg19:imagenet", []).epochs)
"""


@pytest.mark.slow
def test_wheel_has_the_configs(tmp_path):
    pytest.importorskip("hatchling", reason="builds the wheel")
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", f"--wheel-dir={tmp_path}", ROOT]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    install = ["install", "-q", "--no-deps", f"--target={target}", wheel]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{target}/flax_vision/configs/vgg19.py 74\n"
    assert not (target / "configs").exists()
