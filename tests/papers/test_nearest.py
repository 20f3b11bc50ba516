import numpy as np

from flax_vision.papers.nearest import draw_nearest, nearest


def test_nearest_by_euclidean_distance():
    random = np.random.default_rng(0)
    queries, features = random.normal(size=(3, 5)), random.normal(size=(20, 5))
    distances = np.linalg.norm(queries[:, None] - features[None], axis=-1)
    np.testing.assert_array_equal(nearest(queries, features, 4), distances.argsort(1)[:, :4])


def test_figure_has_each_image_and_each_neighbor():
    images = np.zeros((2, 8, 8, 1), np.uint8)
    neighbors = np.zeros((2, 3, 8, 8, 1), np.uint8)
    scores = np.array([[0.7, 0.3], [0.4, 0.6]])
    picture = draw_nearest(images, np.array([0, 0]), scores, neighbors, ["cat", "dog"])
    assert len(picture.axes[0].images) == 2 * (1 + 3)
    texts = [text.get_text() for text in picture.axes[0].texts]
    assert texts == ["cat", "cat  70%", "dog  30%", "cat", "dog  60%", "cat  40%"]
