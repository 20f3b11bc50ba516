import re

import jax
import numpy as np
import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model, model_options
from flax_vision.training import init_from
from flax_vision.training.init_from import (
    SourceModel,
    check_layers,
    load_source,
    select_weights,
    source_preprocessing,
)
from flax_vision.weights import saved_model


def variables(name, classes=3, size=28, channels=1, **options):
    """Returns the shapes and types of a model's variables."""
    init = create_model(name, num_classes=classes, **options).init
    images = jax.ShapeDtypeStruct((1, size, size, channels), "float32")
    return jax.eval_shape(init, jax.random.key(0), images)


def export(path, name, size=28, channels=1, **options):
    """Writes a model for three classes with all parameters and statistics 7."""
    shape = [size, size, channels]
    metadata = saved_model.ModelMetadata(
        name, options, ["a", "b", "c"], shape, Preprocessing([20.0], [30.0]), {}
    )
    shapes = variables(name, 3, size, channels, **options)
    sevens = jax.tree.map(lambda x: np.full(x.shape, 7.0, np.float32), shapes)
    saved_model.save(path, metadata, sevens)
    return str(path)


def select(path, pattern, new, classes, name="lenet5_modern", **options):
    """Returns the initial weights of a model."""
    return select_weights(load_source(path, pattern, name, options), new, classes)


def source_of(pattern, metadata):
    return SourceModel("there", re.compile(pattern), saved_model.LoadedModel(metadata, None, {}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return export(tmp_path_factory.mktemp("trained") / "export", "lenet5_modern")


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """Export of a model with batch statistics."""
    path = tmp_path_factory.mktemp("residual") / "export"
    return export(path, "resnet20", size=32, channels=3)


def test_pattern_chooses_layers(trained):
    start = select(trained, "C1|F.*", variables("lenet5_modern"), 3)
    assert sorted(start.variables["params"]) == ["C1", "F6"]
    np.testing.assert_array_equal(start.variables["params"]["F6"]["kernel"], np.full((120, 84), 7))


def test_pattern_matches_whole_names(trained):
    with pytest.raises(UserError, match="init_pattern is 'C', and no layer in .* C1, C3, C5"):
        select(trained, "C", variables("lenet5_modern"), 3)


def test_invalid_pattern(trained):
    with pytest.raises(UserError, match="init_pattern is '\\(', which is no regular expression"):
        select(trained, "(", variables("lenet5_modern"), 3)


def test_layer_of_another_shape(trained):
    with pytest.raises(UserError, match=r"C3/.* is \[5, 5, 6, 16\] there .*choose layers"):
        select(trained, "C.*", variables("lenet5"), 3)


def test_missing_layer(trained):
    with pytest.raises(UserError, match="OUT/kernel is .* there and missing here"):
        select(trained, "OUT", variables("lenet5"), 3)


def with_options(name, **changed):
    """Returns a model's options with some changes."""
    return {**model_options(name), **changed}


def test_option_that_changes_the_meaning_of_parameters(tmp_path):
    path = export(tmp_path / "export", "lenet5_modern", background=0.5)
    message = (
        "has lenet5_modern, .* in this lenet5_modern: background is 0.5 there and -0.1 here."
        r" Give --config.model.background=0.5.$"
    )
    with pytest.raises(UserError, match=message):
        load_source(path, ".*", "lenet5_modern", with_options("lenet5_modern"))
    load_source(path, ".*", "lenet5_modern", with_options("lenet5_modern", background=0.5))


def test_option_missing_in_the_metadata_has_its_default(trained):
    with pytest.raises(UserError, match="background is -0.1 there and 0.5 here"):
        load_source(trained, "C1", "lenet5_modern", with_options("lenet5_modern", background=0.5))


def test_common_options_of_different_models_are_compared():
    metadata = saved_model.ModelMetadata(
        "resnet18_v1_5", {}, ["a"], [224, 224, 3], Preprocessing([0.0], [1.0]), {}
    )
    trained = source_of("conv1", metadata)
    message = "stem_pool is 'torch' there and 'caffe' here. Give --config.model.stem_pool=torch"
    with pytest.raises(UserError, match=message):
        init_from._check_meaning(trained, "resnet18", with_options("resnet18"))
    init_from._check_meaning(trained, "resnet18", with_options("resnet18", stem_pool="torch"))


def test_training_options_can_differ(trained):
    options = with_options("lenet5_modern", dtype="bfloat16")
    assert load_source(trained, "C.*", "lenet5_modern", options).layers == ["C1", "C3", "C5"]


def test_layers_are_compared_without_their_shapes(trained, residual):
    def loaded(path, name="resnet20"):
        return load_source(path, ".*", name, {})

    check_layers(loaded(residual), variables("resnet20", 9, 64, 1))
    with pytest.raises(UserError, match="^60 arrays in .* conv2_4/.* is missing there and .* more"):
        check_layers(loaded(residual), variables("resnet32", 3, 32, 3))
    with pytest.raises(UserError, match="OUT/kernel is .* there and missing here"):
        check_layers(loaded(trained, "lenet5_modern"), variables("lenet5"))


def test_model_names_that_change_the_meaning_of_parameters():
    metadata = saved_model.ModelMetadata(
        "resnet50_v1_5", {}, ["a"], [224, 224, 3], Preprocessing([0.0], [1.0]), {}
    )
    message = (
        "there has resnet50_v1_5, .* in this resnet50: stride_in is '3x3' there and '1x1' here. "
        "Give --config.model.name=resnet50_v1_5"
    )
    trained = source_of(".*", metadata)
    with pytest.raises(UserError, match=message):
        init_from._check_meaning(trained, "resnet50", {})
    init_from._check_meaning(trained, "resnet50_v1_5", {})


@pytest.mark.parametrize(("old", "new"), [("plain20", "resnet20"), ("resnet20", "plain20")])
def test_plain_and_residual_models_have_the_same_parameters_with_another_meaning(old, new):
    metadata = saved_model.ModelMetadata(
        old, {}, ["a"], [32, 32, 3], Preprocessing([0.0], [1.0]), {}
    )
    there, here = ("'A'", "'none'") if new == "plain20" else ("'none'", "'A'")
    with pytest.raises(UserError, match=f"shortcut is {there} there and {here} here. Give .*{old}"):
        init_from._check_meaning(source_of(".*", metadata), new, with_options(new))
    init_from._check_meaning(source_of("conv1", metadata), new, with_options(new))


def test_no_export():
    with pytest.raises(UserError, match="no model in 'nowhere'"):
        select("nowhere", ".*", variables("lenet5"), 3)


def test_layers_of_other_classes_are_reinitialized(residual):
    start = select(residual, ".*", variables("resnet20", 5, 32, 3), 5)
    assert start.reinitialized == ["fc"]
    assert "fc" not in start.variables["params"]
    assert "conv4_3" in start.variables["params"]
    line = start.describe("resnet20")
    assert "; reinitialized for other classes: fc" in line
    assert "another model" not in line


def test_batch_statistics_are_copied(residual):
    start = select(residual, ".*", variables("resnet20", 5, 32, 3), 5)
    assert start.variables["batch_stats"]["bn1"]["var"].tolist() == [7.0] * 16


def test_all_layers_are_copied_for_equal_classes(residual):
    start = select(residual, ".*", variables("resnet20", 3, 32, 3), 3)
    assert not start.reinitialized
    assert "fc" in start.variables["params"]


def test_model_with_more_layers(residual):
    with pytest.raises(UserError, match="conv2_4/.* is missing there and .* and .* more. Give the"):
        select(residual, ".*", variables("resnet32", 3, 32, 3), 3)


@pytest.mark.slow
def test_heads_of_other_classes_keep_their_first_layers(tmp_path):
    """GoogLeNet's auxiliary classifiers have as many classes as its last layer."""
    path = export(tmp_path / "export", "googlenet_torchvision", size=96, channels=3)
    start = select(path, ".*", variables("googlenet_torchvision", 5, 96, 3), 5)
    assert start.reinitialized == ["auxiliary_4a/linear", "auxiliary_4d/linear", "linear"]
    assert "fc" in start.variables["params"]["auxiliary_4a"]


def test_another_model_of_the_same_shapes_is_named(trained):
    start = select(trained, ".*", variables("lenet5_modern"), 3)
    assert f"lenet5_modern in {trained}" in start.describe("another")
    assert "another model than another" in start.describe("another")


def test_mean_and_deviation_of_the_source(trained):
    given = Preprocessing([0.0], [255.0], resize=32)
    assert source_preprocessing(saved_model.load_metadata(trained), given) == Preprocessing(
        [20.0], [30.0], 32
    )


def test_mean_image_becomes_a_mean_of_each_channel():
    image = [[[1.0, 2.0], [3.0, 6.0]]]
    metadata = saved_model.ModelMetadata(
        "x", {}, ["a"], [1, 2, 2], Preprocessing(image, [30.0]), {}
    )
    assert source_preprocessing(metadata, Preprocessing([0.0], [1.0])).mean == [2.0, 4.0]


def test_deeper_vggs_have_the_layers_of_configuration_a():
    """Section 3.1: the first four convolutions of A and its fully connected layers."""

    def layers(name):
        images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
        return jax.eval_shape(create_model(name).init, jax.random.key(0), images)["params"]

    a, e = layers("vgg_a"), layers("vgg_e")
    for name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"):
        shape = jax.tree.map(lambda x: x.shape, a[name])
        assert shape == jax.tree.map(lambda x: x.shape, e[name])
