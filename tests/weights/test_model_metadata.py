import dataclasses
import json

import pytest

from flax_vision.data.background import Background
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.weights.model_metadata import ModelMetadata, OtherFormatError, from_json

METADATA = ModelMetadata(
    name="lenet5_modern",
    options={"dtype": "bfloat16"},
    class_names=["cat", "dog"],
    image_shape=[28, 28, 3],
    preprocessing=Preprocessing([20.0, 30.0, 40.0], [200.0], crop=28),
    metrics={"test/top1": 0.5, "test/images": 10},
    crop=CropPolicy(28, 32, (28, 36), scale=(0.5, 1.0)),
    background=Background(0.5, 2.0),
)
SMALL = dataclasses.replace(METADATA, crop=None, background=None)


@pytest.mark.parametrize("metadata", [METADATA, SMALL])
def test_metadata_round_trip(metadata):
    assert from_json(metadata.to_json()) == metadata


def test_mean_may_be_an_image():
    preprocessing = Preprocessing([[[1.0], [2.0]], [[3.0], [4.5]]], [1])
    metadata = dataclasses.replace(SMALL, image_shape=[2, 2, 1], preprocessing=preprocessing)
    assert from_json(metadata.to_json()) == metadata


def test_metrics_that_are_not_finite_are_left_out():
    metadata = dataclasses.replace(METADATA, metrics={"a": float("nan"), "b": float("inf"), "c": 1})
    assert from_json(metadata.to_json()).metrics == {"c": 1}


@pytest.mark.parametrize("form", [2, 4])
def test_other_formats(form):
    with pytest.raises(
        OtherFormatError, match=f"was written by an? .* version .*format {form}; this"
    ):
        from_json(json.dumps({"format": form}))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", "{}", b"\xff", "[" * 10**5])
def test_invalid_json(text):
    with pytest.raises(ValueError, match="^(?!.*\n)."):
        from_json(text)


KEYS = [field.name for field in dataclasses.fields(ModelMetadata)]


@pytest.mark.parametrize("key", ["format", *KEYS[:-2]])
def test_missing_keys(key):
    content = json.loads(METADATA.to_json())
    del content[key]
    with pytest.raises(ValueError, match=f"missing required field `{key}`"):
        from_json(json.dumps(content))


OTHER_VALUES = [None, True, 3, -1, 1e400, float("nan"), 10**400, "text", [], [None], {}, {"a": {}}]
ALLOWED = [
    ("format", 3),
    *[("crop", None), ("background", None), ("name", "text")],
    *[("options", {}), ("options", {"a": {}}), ("metrics", {})],
]


@pytest.mark.parametrize("value", OTHER_VALUES, ids=repr)
@pytest.mark.parametrize("key", ["format", *KEYS])
def test_values_of_other_types(key, value):
    content = json.loads(METADATA.to_json()) | {key: value}
    if (key, value) in ALLOWED:
        from_json(json.dumps(content))
        return
    with pytest.raises(ValueError, match=f"{key}|malformed|format|out of range"):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("class_names", ["a", 1], r"Expected `str`, got `int` - at `\$.class_names\[1\]`"),
        ("image_shape", [28, 28], r"image_shape is \[28, 28\], not three sizes"),
        ("image_shape", [28, 0, 3], "not three sizes"),
        ("image_shape", [28, 2**14, 3], "not three sizes below 16384"),
        ("image_shape", [20, 20, 3], "different from the crop"),
        ("metrics", {"test/top1": None}, r"Expected `int \| float`, got `null`"),
        ("preprocessing.mean", [1, [2]], "inhomogeneous"),
        ("preprocessing.mean", ["1"], "mean is not an array of finite numbers"),
        ("preprocessing.mean", [[1.0]], "mean is not an array of finite numbers"),
        ("preprocessing.mean", [float("nan")], "JSON is malformed"),
        ("preprocessing.mean", [1e300], "mean is not an array of finite numbers"),
        ("preprocessing.std", [], "std is not an array of finite numbers"),
        ("preprocessing.std", [0.0], "std has a 0"),
        ("preprocessing.std", [1e-300], "std has a 0"),
        ("preprocessing.crop", 29, "preprocessing.crop is 29, too large"),
        ("preprocessing.crop", -1, "preprocessing has a size below 0"),
        (
            "preprocessing.resize",
            1.5,
            r"Expected `int`, got `float` - at `\$.preprocessing.resize`",
        ),
        ("preprocessing.resize", 2**14, "a size below 0 or not below 16384"),
        ("crop.size", "x" * 999, r"Expected `int`, got `str` - at `\$.crop.size`"),
        ("crop.size", 33, "crop.size is 33, not from 1 to crop.eval_resize"),
        ("crop.resize_range", [28], r"Expected `array` of length 2 - at `\$.crop.resize_range`"),
        ("crop.resize_range", [36, 28], "crop.resize_range is not a range"),
        ("crop.scale", [0.5], "crop.scale is not a range"),
        ("crop.ratio", [-1.0, 1.0], "crop.ratio is not a range"),
        ("crop.channels", 2, "crop.channels is 2, not 1 or 3"),
        ("crop.interpolation", [], r"Expected `str`, got `array` - at `\$.crop.interpolation`"),
        ("background.std", None, r"Expected `float`, got `null` - at `\$.background.std`"),
    ],
)
def test_values_that_make_no_sense(path, value, message):
    content = json.loads(METADATA.to_json())
    *outer, key = path.split(".")
    (content[outer[0]] if outer else content)[key] = value
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(content))
