import argparse
import inspect

import pytest

import flax_vision as fv
from flax_vision.analysis.report.writer import write_report
from flax_vision.cli import arguments, main
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.mesh import make_mesh
from flax_vision.weights.export import export
from flax_vision.weights.import_weights import import_weights


def test_axes_are_the_parameters_of_make_mesh():
    assert set(arguments.MESH_AXES) == set(inspect.signature(make_mesh).parameters)


def test_mesh_axes():
    assert arguments.mesh_axes("column=2") == {"column": 2}
    assert list(arguments.mesh_axes("column=2,data=16").items()) == [("column", 2), ("data", 16)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' in '' is not AXIS=N"),
        ("2", "'2' in '2' is not AXIS=N"),
        ("column", "'column' in 'column' is not AXIS=N"),
        ("column=", "'column=' in 'column=' is not AXIS=N"),
        ("column=two", "'column=two' in 'column=two' is not AXIS=N"),
        ("data=2,column=0", "'column=0' in 'data=2,column=0' is not AXIS=N"),
        ("data=-2", "'data=-2' in 'data=-2' is not AXIS=N"),
        ("data=1.5", "'data=1.5' in 'data=1.5' is not AXIS=N"),
        ("data=2,", "'' in 'data=2,' is not AXIS=N"),
        ("colum=2", "unknown axis 'colum'; did you mean 'column'"),
        ("data=2,data=2", "has the axis 'data' twice"),
        ("data=1024,column=2", "has 2,048 devices; give at most 1,024"),
    ],
)
def test_invalid_mesh(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        arguments.mesh_axes(text)


def test_model_options():
    texts = {"a=1": 1, "b=True": True, "c=C": "C", "d=0.5": 0.5, "e=1=2": "1=2"}
    for text, value in texts.items():
        assert arguments.model_option(text) == (text[0], value)


def test_image_size():
    assert arguments.image_size("64") == (64, 64)
    assert arguments.image_size("64x96") == (64, 96)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "²"])
def test_invalid_whole_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number"):
        arguments.positive_int(text)
    assert arguments.positive_int("12") == 12


@pytest.mark.parametrize("text", ["0", "nan", "inf", "soon"])
def test_invalid_seconds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number of seconds"):
        arguments.positive_seconds(text)
    assert arguments.positive_seconds("0.5") == 0.5


def test_every_path_of_a_command_may_begin_with_a_tilde():
    commands = main._parser()._subparsers._group_actions[0].choices
    paths = {
        f"{name} {action.dest}": action.type
        for name, command in commands.items()
        for action in command._actions
        if action.metavar in ("DIR", "DIR_OR_URL", "FILE", "FILE_OR_FOLDER", "PATH", "SOURCE")
    }
    assert len(paths) == 26
    assert set(paths.values()) == {expanded_path}


@pytest.mark.parametrize(
    "call",
    [
        fv.load,
        fv.Classifier,
        evaluate,
        write_report,
        lambda path: export(path, "safetensors", "~/a.safetensors"),
        lambda path: export(path, "safetensors", "~/nowhere/a.safetensors"),
        lambda path: import_weights("resnet50_v1_5", f"{path}.safetensors", "~/new"),
    ],
)
def test_public_functions_expand_a_tilde(call, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"{tmp_path}/nowhere"):
        call("~/nowhere")
