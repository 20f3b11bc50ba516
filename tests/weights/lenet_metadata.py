"""Description of a small model for the tests of exports."""

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.weights.saved_model import ModelMetadata

METADATA = ModelMetadata(
    name="lenet5_modern",
    options={},
    class_names=["cat", "dog", "owl"],
    image_shape=[20, 24, 1],
    preprocessing=Preprocessing([120.0], [70.0], resize=30, crop=28),
    metrics={"test/top1": 0.5},
)
