from pathlib import Path

import pytest
from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.training.config_loader import check_config, load_config
from flax_vision.training.config_values import with_stored_forms

LENET5 = str(Path(__file__).parents[2] / "configs/lenet5.py")
PAIRS = (("C.*", 0.1), ("F6", 2))


def load(*overrides):
    return load_config(LENET5, [f"--config.{override}" for override in overrides])


@pytest.mark.parametrize(
    "text", ['{"C.*": 0.1, "F6": 2}', "{'C.*': 0.1, 'F6': 2}", "(('C.*', 0.1), ('F6', 2))"]
)
def test_factors_by_pattern_on_the_command_line(text):
    assert load(f"optimizer.lr_mult={text}").optimizer.lr_mult == PAIRS


def test_override_replaces_earlier_factors():
    config = load("optimizer.lr_mult={'C1': 0.1}", "optimizer.lr_mult={}", "epochs=3")
    assert (config.optimizer.lr_mult, config.epochs) == ((), 3)


@pytest.mark.parametrize("value", [PAIRS, [["C.*", 0.1], ["F6", 2]]])
def test_factors_by_pattern_from_python(value):
    given = ConfigDict({"optimizer": {"lr_mult": value}})
    assert check_config(given).optimizer.lr_mult == PAIRS
    assert check_config(check_config(given)).optimizer.lr_mult == PAIRS


def test_mapping_from_python():
    given = ConfigDict({"optimizer": {"lr_mult": {"C1": 0.1}}})
    assert check_config(given).optimizer.lr_mult == (("C1", 0.1),)
    assert given.optimizer.lr_mult.to_dict() == {"C1": 0.1}


@pytest.mark.parametrize("text", ["conv", "3", "{'a': 'b'}", "{", "(1, 2)"])
def test_invalid_factors_by_pattern(text):
    with pytest.raises(UserError, match="config.optimizer.lr_mult is .*; it must be"):
        load(f"optimizer.lr_mult={text}")


@pytest.mark.parametrize(
    "value", ["1,2,0.5", "(1, 2, 0.5)", "1.0, 2.0,.5", (1, 2, 0.5), [1, 2, 0.5]]
)
def test_class_weights(value):
    given = ConfigDict({"loss": {"class_weights": value}})
    assert check_config(given).loss.class_weights == "1,2,0.5"
    if isinstance(value, str):
        assert load(f"loss.class_weights={value}").loss.class_weights == "1,2,0.5"


@pytest.mark.parametrize("name", ["none", "balanced"])
def test_class_weights_by_name(name):
    assert load(f"loss.class_weights={name}").loss.class_weights == name


def test_invalid_class_weights():
    with pytest.raises(UserError, match="class_weights is '1,many'; it must be none, balanced"):
        load("loss.class_weights=1,many")


@pytest.mark.parametrize(
    "value", ["cat,dog", "cat, dog", "('cat','dog')", "['cat', \"dog\"]", "'cat', 'dog'"]
)
def test_classes(value):
    assert load(f"data.classes={value}").data.classes == ("cat", "dog")


@pytest.mark.parametrize("value", ["8,3", "(8, 3)", (8, 3), ["8", "3"]])
def test_classes_named_by_numbers(value):
    given = ConfigDict({"data": {"classes": value}})
    assert check_config(given).data.classes == ("8", "3")


def test_classes_with_commas_and_no_classes():
    assert load("data.classes='a,b','c'").data.classes == ("a,b", "c")
    assert load("data.classes=a,b", "data.classes=").data.classes == ()


@pytest.mark.parametrize("value", ["cat", "cat,cat", "cat,", "('cat'", "3"])
def test_invalid_classes(value):
    with pytest.raises(UserError, match="data.classes is .*; it must be empty, or the names of tw"):
        load(f"data.classes={value}")


def test_other_values_are_copied():
    given = ConfigDict({"epochs": 2, "loss": "x"})
    assert with_stored_forms(given).to_dict() == given.to_dict()


FILE = """
from configs import lenet5

def get_config(recipe=""):
    config = lenet5.get_config(recipe)
    config.optimizer.{}
    return config
"""


@pytest.mark.parametrize(
    "line", ['lr_mult = {"C.*": 0.1}', 'lr_mult = {"C1": 0.1}', 'update({"lr_mult": {"C.*": 0.1}})']
)
def test_mapping_in_a_file_is_an_error_with_the_right_form(line, tmp_path):
    (tmp_path / "own.py").write_text(FILE.format(line))
    message = r"own.py', line 6: a file sets .*; write config.optimizer.lr_mult = \(\(\"conv"
    with pytest.raises(UserError, match=message):
        load_config(str(tmp_path / "own.py"), [])


def test_pairs_in_a_file(tmp_path):
    (tmp_path / "own.py").write_text(FILE.format(f"lr_mult = {PAIRS}"))
    assert load_config(str(tmp_path / "own.py"), []).optimizer.lr_mult == PAIRS
