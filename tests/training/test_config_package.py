"""Tests of config files that import each other."""

import sys
from pathlib import Path

import pytest

from flax_vision.errors import UserError
from flax_vision.training.config_loader import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
HEAD = "from flax_vision.training.config_schema import default_config\n"


@pytest.fixture
def copied(tmp_path):
    """A copy of two config files in a folder of another name; the base has other epochs."""
    folder = tmp_path / "json"
    folder.mkdir()
    (folder / "vgg19.py").write_text((CONFIGS / "vgg19.py").read_text())
    base = (CONFIGS / "vgg16.py").read_text().replace("config.epochs = 74", "config.epochs = 75")
    (folder / "vgg16.py").write_text(base)
    return folder


def test_file_imports_from_its_own_folder(copied):
    assert load_config(f"{copied / 'vgg19.py'}:imagenet", []).epochs == 75
    assert load_config(f"{CONFIGS / 'vgg19.py'}:imagenet", []).epochs == 74


def test_file_imports_from_the_configs_on_the_path(copied, monkeypatch):
    (copied / "vgg16.py").unlink()
    monkeypatch.syspath_prepend(str(CONFIGS.parent))
    assert load_config(f"{copied / 'vgg19.py'}:imagenet", []).epochs == 74


def test_file_in_another_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(CONFIGS.parent)])
    assert load_config(f"{CONFIGS / 'vgg19.py'}:imagenet", []).model.name == "vgg19"


def test_folder_of_a_file_shadows_no_module(copied):
    (copied / "colorsys.py").write_text("raise ImportError('shadowed')\n")
    sys.modules.pop("colorsys", None)
    file = copied / "mine.py"
    file.write_text(
        f"import colorsys, json\n{HEAD}def get_config():\n    return default_config()\n"
    )
    path, modules = list(sys.path), {name for name in sys.modules if "configs" in name}
    load_config(str(file), [])
    assert sys.path == path
    assert {name for name in sys.modules if "configs" in name} == modules


def test_syntax_error_in_an_imported_file(copied):
    (copied / "vgg16.py").write_text("def (\n")
    with pytest.raises(UserError, match="vgg19.py', line 14: SyntaxError: .*vgg16.py, line 1"):
        load_config(str(copied / "vgg19.py"), [])
