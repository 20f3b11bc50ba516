import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

import flax_vision as fv
from flax_vision.analysis.report.figures.drawing import DARK, LIGHT
from flax_vision.analysis.report.figures.predictions import draw
from flax_vision.errors import UserError
from flax_vision.evaluation.classifier import Prediction


@pytest.fixture(scope="module")
def classifier(export):
    return fv.Classifier(export)


@pytest.fixture
def prediction(tmp_path):
    path = tmp_path / "cat/$5.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(pixels).save(path)
    return Prediction(path, ["dog", "cat"], np.array([0.75, 0.25], np.float32), "cat")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_photograph_with_its_class_and_its_bars(theme, classifier, prediction):
    photograph, bars = draw(classifier, [prediction], theme).axes
    (image,) = photograph.images
    np.testing.assert_array_equal(image.get_array(), classifier.seen(prediction.path)[..., 0])
    assert photograph.get_title() == "cat"
    assert [bar.get_width() for bar in bars.patches] == [0.75, 0.25]
    colors = [bar.get_facecolor()[:3] for bar in bars.patches]
    expected = [to_rgb(color) for color in (theme.first, theme.second)]
    assert colors == expected  # wrong, right
    assert [text.get_text() for text in bars.texts] == ["dog", "75.0%", "cat", "25.0%"]
    assert bars.yaxis_inverted()


def test_photograph_of_which_nobody_knows_has_the_name_of_its_file(classifier, prediction):
    unknown = Prediction(prediction.path, ["dog"], np.array([0.5]))
    photograph, _ = draw(classifier, [unknown]).axes
    assert photograph.get_title() == r"\$5.png"
    assert photograph.title.get_color() == LIGHT.faint


def test_colors_are_explained_where_a_class_is_known(classifier, prediction):
    (legend,) = draw(classifier, [prediction]).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["the class of the image", "another"]
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert colors == [to_rgb(LIGHT.second), to_rgb(LIGHT.first)]
    unknown = Prediction(prediction.path, ["dog"], np.array([0.5]))
    assert not draw(classifier, [unknown]).legends


@pytest.mark.slow
def test_twenty_classes_have_a_bar(classifier, prediction):
    names, shares = [f"class {number}" for number in range(1000)], np.full(1000, 1e-3, np.float32)
    figure = draw(classifier, [Prediction(prediction.path, names, shares)] * 64)
    assert {len(axes.patches) for axes in figure.axes[1::2]} == {20}
    assert figure.get_figheight() * figure.dpi < 2**16  # more than matplotlib draws


def test_four_stand_side_by_side(classifier, prediction):
    figure = draw(classifier, [prediction] * 5)
    tops = {round(axes.get_subplotspec().rowspan.start) for axes in figure.axes}
    assert tops == {0, 1, 2, 3}
    assert figure.get_figwidth() == pytest.approx(4 * 2.6)


@pytest.mark.parametrize("count", [0, 65])
def test_too_few_or_too_many(count, classifier, prediction):
    with pytest.raises(UserError, match=f"shows 1 to 64 images, not {count}"):
        draw(classifier, [prediction] * count)
