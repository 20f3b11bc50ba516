import jax
import numpy as np
import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model, model_options
from flax_vision.training import init_from
from flax_vision.training.init_from import (
    Trained,
    check_layers,
    load_trained,
    preprocessing_of,
    start_from,
)
from flax_vision.weights import saved_model


def variables(name, classes=3, size=28, channels=1, **options):
    """Shapes of a network's."""
    init = create_model(name, num_classes=classes, **options).init
    images = jax.ShapeDtypeStruct((1, size, size, channels), "float32")
    return jax.eval_shape(init, jax.random.key(0), images)


def export(path, name, size=28, channels=1, **options):
    """Writes a network for three classes whose parameters and statistics are all 7."""
    shape = [size, size, channels]
    metadata = saved_model.ModelMetadata(
        name, options, ["a", "b", "c"], shape, Preprocessing([20.0], [30.0]), {}
    )
    shapes = variables(name, 3, size, channels, **options)
    sevens = jax.tree.map(lambda x: np.full(x.shape, 7.0, np.float32), shapes)
    saved_model.save(path, metadata, sevens)
    return str(path)


def begun(path, pattern, new, classes, name="lenet5_modern", **options):
    """Returns what a network begins with."""
    return start_from(load_trained(path, pattern, name, options), new, classes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return export(tmp_path_factory.mktemp("trained") / "export", "lenet5_modern")


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """One that has batch statistics."""
    path = tmp_path_factory.mktemp("residual") / "export"
    return export(path, "resnet20", size=32, channels=3)


def test_chosen_layers_and_no_others(trained):
    start = begun(trained, "C1|F.*", variables("lenet5_modern"), 3)
    assert sorted(start.variables["params"]) == ["C1", "F6"]
    np.testing.assert_array_equal(start.variables["params"]["F6"]["kernel"], np.full((120, 84), 7))


def test_name_is_matched_whole(trained):
    with pytest.raises(UserError, match="init_pattern is 'C', and no layer in .* C1, C3, C5"):
        begun(trained, "C", variables("lenet5_modern"), 3)


def test_pattern_that_is_none(trained):
    with pytest.raises(UserError, match="init_pattern is '\\(', which is no regular expression"):
        begun(trained, "(", variables("lenet5_modern"), 3)


def test_layer_of_another_shape(trained):
    with pytest.raises(UserError, match=r"C3/.* is \[5, 5, 6, 16\] there .*choose layers"):
        begun(trained, "C.*", variables("lenet5"), 3)


def test_layer_that_the_network_does_not_have(trained):
    with pytest.raises(UserError, match="OUT/kernel is .* there and not in the network here"):
        begun(trained, "OUT", variables("lenet5"), 3)


def with_options(name, **changed):
    """Returns a network's options, some of which are others."""
    return {**model_options(name), **changed}


def test_option_that_gives_parameters_another_meaning(tmp_path):
    path = export(tmp_path / "export", "lenet5_modern", background=0.5)
    message = (
        r"another lenet5_modern than this lenet5_modern, .*: background is 0.5 there and -0.1 here."
        r" Give --config.model.background=0.5.$"
    )
    with pytest.raises(UserError, match=message):
        load_trained(path, ".*", "lenet5_modern", with_options("lenet5_modern"))
    load_trained(path, ".*", "lenet5_modern", with_options("lenet5_modern", background=0.5))


def test_option_that_is_not_in_the_card_has_its_default(trained):
    with pytest.raises(UserError, match="background is -0.1 there and 0.5 here"):
        load_trained(trained, "C1", "lenet5_modern", with_options("lenet5_modern", background=0.5))


def test_options_of_another_network_are_compared_where_both_have_them():
    metadata = saved_model.ModelMetadata(
        "resnet18_v1_5", {}, ["a"], [224, 224, 3], Preprocessing([0.0], [1.0]), {}
    )
    trained = Trained("there", ".*", metadata, {})
    message = "stem_pool is 'torch' there and 'caffe' here. Give --config.model.stem_pool=torch"
    with pytest.raises(UserError, match=message):
        init_from._check_options(trained, "resnet18", with_options("resnet18"))
    init_from._check_options(trained, "resnet18", with_options("resnet18", stem_pool="torch"))


def test_options_that_are_of_training_alone_may_differ(trained):
    options = with_options("lenet5_modern", dtype="bfloat16")
    assert load_trained(trained, "C.*", "lenet5_modern", options).layers == ["C1", "C3", "C5"]


def test_layers_are_compared_without_their_shapes(trained, residual):
    def loaded(path, name="resnet20"):
        return load_trained(path, ".*", name, {})

    check_layers(loaded(residual), variables("resnet20", 9, 64, 1))
    with pytest.raises(UserError, match="^60 arrays in .* conv2_4/.* is not there and .* more"):
        check_layers(loaded(residual), variables("resnet32", 3, 32, 3))
    with pytest.raises(UserError, match="OUT/kernel is .* there and not in the network here"):
        check_layers(loaded(trained, "lenet5_modern"), variables("lenet5"))


def test_names_that_fix_another_arithmetic_of_the_same_layers():
    metadata = saved_model.ModelMetadata(
        "resnet50_v1_5", {}, ["a"], [224, 224, 3], Preprocessing([0.0], [1.0]), {}
    )
    message = (
        r"there has resnet50_v1_5, .* than in resnet50: stride_in is '3x3' there and '1x1' here. "
        "Give --config.model.name=resnet50_v1_5"
    )
    with pytest.raises(UserError, match=message):
        init_from._check_name(Trained("there", ".*", metadata, {}), "resnet50")
    init_from._check_name(Trained("there", ".*", metadata, {}), "resnet50_v1_5")


def test_no_export():
    with pytest.raises(UserError, match="no model in 'nowhere'"):
        begun("nowhere", ".*", variables("lenet5"), 3)


def test_layers_of_other_classes_begin_afresh(residual):
    start = begun(residual, ".*", variables("resnet20", 5, 32, 3), 5)
    assert start.reinitialized == ["fc"]
    assert "fc" not in start.variables["params"]
    assert "conv4_3" in start.variables["params"]
    line = start.describe(residual, "resnet20")
    assert "; fc begin afresh, for other classes" in line
    assert "another network" not in line


def test_batch_statistics_are_taken_as_well(residual):
    start = begun(residual, ".*", variables("resnet20", 5, 32, 3), 5)
    assert start.variables["batch_stats"]["bn1"]["var"].tolist() == [7.0] * 16


def test_all_layers_are_taken_where_the_classes_are_as_many(residual):
    start = begun(residual, ".*", variables("resnet20", 3, 32, 3), 3)
    assert not start.reinitialized
    assert "fc" in start.variables["params"]


def test_network_that_has_more_layers(residual):
    with pytest.raises(UserError, match="conv2_4/.* is not there and .* and .* more. Give the"):
        begun(residual, ".*", variables("resnet32", 3, 32, 3), 3)


def test_heads_of_other_classes_begin_afresh_but_for_their_first_layers(tmp_path):
    """The classifiers beside GoogLeNet's trunk are for as many classes as its last layer."""
    path = export(tmp_path / "export", "googlenet_torchvision", size=96, channels=3)
    start = begun(path, ".*", variables("googlenet_torchvision", 5, 96, 3), 5)
    assert start.reinitialized == ["auxiliary_4a/linear", "auxiliary_4d/linear", "linear"]
    assert "fc" in start.variables["params"]["auxiliary_4a"]


def test_network_of_the_same_shapes_is_named(trained):
    start = begun(trained, ".*", variables("lenet5_modern"), 3)
    assert "lenet5_modern in" in start.describe(trained, "another")
    assert "another network than another" in start.describe(trained, "another")


def test_mean_and_deviation_are_those_of_the_other_network(trained):
    given = Preprocessing([0.0], [255.0], resize=32)
    assert preprocessing_of(saved_model.load_metadata(trained), given) == Preprocessing(
        [20.0], [30.0], 32
    )


def test_mean_image_becomes_that_of_each_channel():
    image = [[[1.0, 2.0], [3.0, 6.0]]]
    metadata = saved_model.ModelMetadata(
        "x", {}, ["a"], [1, 2, 2], Preprocessing(image, [30.0]), {}
    )
    assert preprocessing_of(metadata, Preprocessing([0.0], [1.0])).mean == [2.0, 4.0]


def test_vggs_deeper_networks_have_the_layers_of_a():
    """Section 3.1: the first four convolutions of A and its fully connected layers."""

    def layers(name):
        images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
        return jax.eval_shape(create_model(name).init, jax.random.key(0), images)["params"]

    a, e = layers("vgg_a"), layers("vgg_e")
    for name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"):
        shape = jax.tree.map(lambda x: x.shape, a[name])
        assert shape == jax.tree.map(lambda x: x.shape, e[name])
