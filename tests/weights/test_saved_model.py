import dataclasses
import json
import os

import chex
import jax
import jax.numpy as jnp
import pytest
from PIL import Image

import flax_vision as fv
from flax_vision.cli.main import main
from flax_vision.data.background import Background
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.runtime.checksums import write_checksums
from flax_vision.weights import saved_model

METADATA = saved_model.ModelMetadata(
    name="lenet5",
    options={"codes": "random", "dtype": "bfloat16"},
    class_names=["cat", "dog", "owl"],
    image_shape=[28, 28, 1],
    preprocessing=Preprocessing([20.0], [200.0]),
    metrics={"test/top1": 0.5},
    background=Background(0.5, 2.0),
)
IMAGES = jnp.ones((2, 28, 28, 1))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(METADATA.create_model().init)(jax.random.key(3), IMAGES)


@pytest.fixture
def export(tmp_path, variables):
    saved_model.save(tmp_path / "run/export", METADATA, variables)
    return tmp_path / "run/export"


def test_load_gives_back_the_module_and_its_variables(export, variables):
    model, loaded = fv.load(export)
    assert model == fv.create_model("lenet5", num_classes=3, codes="random", dtype="bfloat16")
    chex.assert_trees_all_equal(loaded, variables)
    chex.assert_shape(jax.eval_shape(model.apply, loaded, IMAGES), (2, 3))


def test_load_takes_the_run_directory_and_a_string(export):
    assert fv.load(str(export.parent))[0] == fv.load(export)[0]


def test_metadata_round_trip(export):
    assert saved_model.load_metadata(export) == METADATA


def test_metadata_of_photographs_has_their_crop(tmp_path, variables):
    crop = CropPolicy(size=28, eval_resize=32, resize_range=(28, 36), scale=(0.5, 1.0), channels=1)
    metadata = dataclasses.replace(METADATA, crop=crop)
    saved_model.save(tmp_path, metadata, variables)
    assert saved_model.load_metadata(tmp_path) == metadata


def test_export_is_replaced_by_the_new_one(export, variables):
    other = jax.tree.map(lambda x: x + 1, variables)
    saved_model.save(export, METADATA, other)
    chex.assert_trees_all_equal(fv.load(export)[1], other)
    assert [path.name for path in export.parent.iterdir()] == ["export"]


def test_half_written_export_is_no_hindrance(export, variables):
    unfinished = export.parent / ".export.unfinished/variables"
    unfinished.mkdir(parents=True)
    (unfinished / "rest").write_text("of a run that was killed")
    saved_model.save(export, METADATA, variables)
    chex.assert_trees_all_equal(fv.load(export)[1], variables)


def test_directory_without_an_export(tmp_path):
    with pytest.raises(UserError, match=r"no model in .*has a model.json"):
        fv.load(tmp_path)


def edit(export, **changes):
    """Changes the metadata of an export, and updates its checksums."""
    metadata = json.loads((export / "model.json").read_text())
    (export / "model.json").write_text(json.dumps(metadata | changes))
    write_checksums(export)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            2,
            "written by an older .*format 2; .* reads format 3.; import .* again in another --work",
        ),
        (
            99,
            "was written by a newer .*format 99; this version reads format 3.",
        ),
    ],
)
def test_export_of_another_version(form, message, export):
    edit(export, format=form)
    (export / "sha256.json").unlink()
    with pytest.raises(UserError, match=message):
        fv.load(export)


def test_metadata_of_an_unknown_model(export):
    edit(export, name="lenet6")
    with pytest.raises(UserError, match="unknown model 'lenet6'"):
        fv.load(export)


COMMANDS = [
    ["evaluate", "{run}"],
    ["predict", "{run}", "{image}"],
    ["export", "{run}", "--format", "safetensors", "-o", "{run}/new.safetensors"],
    ["report", "{run}"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("content", ["", "null", '{"format": 3, "name": NaN}', "[" * 10**5])
def test_damaged_metadata_is_one_line_of_every_command(content, command, export, capfd):
    run = export.parent
    (run / "metrics.jsonl").write_text('{"epoch": 1, "step": 1, "epoch_seconds": 1}\n')
    (run / "launches.json").write_text("[]")
    (run / "config.json").write_text(
        '{"format": 2, "data": {"name": "x", "tfds_dir": "", "val_fraction": 0}}'
    )
    Image.new("L", (28, 28)).save(run / "image.png")
    (export / "model.json").write_text(content)
    assert main([part.format(run=run, image=run / "image.png") for part in command]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {export / 'model.json'} is damaged (")


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_flipped_bit_in_any_file_is_one_line_that_names_it(export, monkeypatch, caplog, capfd):
    monkeypatch.setattr(saved_model.array_tree, "load_tree", pytest.fail)
    files = [file for file in export.rglob("*") if file.is_file()]
    assert len(files) > 5
    for file in files:
        flip_a_bit(file)
        with pytest.raises(UserError) as raised:
            fv.load(export)
        assert "\n" not in str(raised.value)
        assert str(file.relative_to(export)) in str(raised.value) or file.name == "sha256.json"
        flip_a_bit(file)
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_missing_and_surplus_files_are_named(export):
    (export / "variables/d/surplus").touch()
    with pytest.raises(UserError, match=r"'variables/d/surplus' does not belong there\); export"):
        fv.load(export)
    (export / "variables/d/surplus").unlink()
    (export / "variables/manifest.ocdbt").unlink()
    with pytest.raises(UserError, match="'variables/manifest.ocdbt' is missing"):
        fv.load(export)


def test_file_that_may_not_be_read(export, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", "variables/_METADATA")

    monkeypatch.setattr(saved_model, "check_checksums", refuse)
    with pytest.raises(UserError, match=r"variables/_METADATA cannot be read \(Permission denied"):
        fv.load(export)


@pytest.mark.usefixtures("files_are_damaged")
def test_variables_that_orbax_does_not_take(export):
    (export / "variables/manifest.ocdbt").write_bytes(b"nothing")
    write_checksums(export)
    with pytest.raises(UserError, match="cannot be read.*export the model again"):
        fv.load(export)


def test_arrays_that_the_metadata_does_not_describe_are_listed(export):
    edit(export, name="lenet5_modern", options={}, class_names=["cat", "dog"])
    message = (
        r"do not fit the lenet5_modern for 2 classes in model.json; missing: "
        r".*params/OUT/kernel \[84, 2\].*; surplus: .*params/S2/.*; misshapen: params/C3/"
    )
    with pytest.raises(UserError, match=message):
        fv.load(export)


def test_metadata_of_images_that_the_model_cannot_take(export):
    edit(export, image_shape=[40, 40, 1])
    with pytest.raises(UserError, match=r"model.json describes an impossible model \(.*32x32"):
        fv.load(export)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(number, tmp_path, variables):
    spoiled = jax.tree.map(lambda x: x.at[0].set(number), variables)
    saved_model.save(tmp_path, METADATA, spoiled)
    with pytest.raises(UserError, match="not all numbers are finite in .*params/F6/bias.*damaged"):
        fv.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("sha256.json", lambda export: saved_model.load_metadata(export)),
        ("other.json", lambda export: saved_model.read_metadata(export / "other.json", "do this")),
    ],
)
def test_pipe_is_not_read(name, read, export):
    (export / name).unlink(missing_ok=True)
    os.mkfifo(export / name)
    with pytest.raises(UserError, match=rf"{name} cannot be read \(it is a named pipe, not a reg"):
        read(export)
