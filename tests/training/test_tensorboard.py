import errno
import io
import multiprocessing
import os
import warnings

import numpy as np
import pytest
from PIL import Image
from tensorboard_events import read_events, read_values
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from flax_vision.training import tensorboard
from flax_vision.training.tensorboard import Events, Histogram


def test_numbers_are_written_at_once(tmp_path):
    Events(tmp_path).add({"step": 10, "train/loss": 0.5})
    assert read_events(tmp_path) == [("train/loss", 10, 0.5)]


def test_first_record_replaces_an_earlier_file(tmp_path):
    for step in (10, 20):
        Events(tmp_path).add({"step": step, "a": 1.0})
    assert read_events(tmp_path) == [("a", 20, 1.0)]


def test_shared_memory_is_not_needed(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(multiprocessing, "Queue", fail)
    Events(tmp_path).add({"step": 10, "a": 1.0})
    assert read_events(tmp_path) == [("a", 10, 1.0)]


@pytest.mark.parametrize("method", ["__init__", "write_event", "flush", "close"])
def test_events_that_cannot_be_written_are_one_warning(method, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tensorboard.EventsWriter, method, fail)
    written = Events(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in (10, 20):
            written.add({"step": step, "a": 1.0})
        written.close()
    (warning,) = (warning for warning in caught if warning.category is UserWarning)
    assert "no further events for TensorBoard" in str(warning.message)
    assert "(Read-only file system); the run continues" in str(warning.message)


HISTOGRAM = Histogram(
    np.array([1, 0, 2], np.int32), np.array([-1, 0, 1, 2], np.float32), 3, 2.5, 7.25
)


def histogram_steps(folder):
    return [(x.tag, step) for step, x in read_values(folder) if x.HasField("histo")]


def test_histogram_has_the_upper_edges_of_its_bins(tmp_path):
    Events(tmp_path).add_histograms(10, {"weights/C1/kernel": HISTOGRAM})
    ((step, value),) = [(step, x) for step, x in read_values(tmp_path)]
    assert (step, value.tag) == (10, "weights/C1/kernel")
    histo = value.histo
    assert (histo.min, histo.max, histo.num, histo.sum, histo.sum_squares) == (-1, 2, 3, 2.5, 7.25)
    assert (list(histo.bucket_limit), list(histo.bucket)) == ([0, 1, 2], [1, 0, 2])


@pytest.mark.parametrize(
    "cut", [0, 1, 20]
)  # a kill may leave an event in part, also in its length or checksum
def test_rewind_keeps_the_histograms_of_the_history(cut, tmp_path):
    events = Events(tmp_path)
    for step in (10, 20, 30):
        events.add({"step": step, "a": 1.0})
        events.add_histograms(step, {"w": HISTOGRAM})
    (file,) = tmp_path.glob(tensorboard.PATTERN)
    file.write_bytes(file.read_bytes()[: -cut or None])
    again = Events(tmp_path)  # in the process that resumes
    again.rewind([{"step": 10, "a": 1.0}, {"step": 20, "a": 2.0}])
    again.add({"step": 30, "a": 3.0})
    again.add_histograms(30, {"w": HISTOGRAM})
    assert read_events(tmp_path) == [("a", 10, 1.0), ("a", 20, 2.0), ("a", 30, 3.0)]
    assert histogram_steps(tmp_path) == [("w", 10), ("w", 20), ("w", 30)]
    steps = [step for step, _ in read_values(tmp_path)]
    assert steps == sorted(steps)


def test_hyperparameters_are_the_configuration(tmp_path):
    config = {"model.name": "lenet5", "epochs": 3, "data.reshuffle": True, "data.mean": (0.0,)}
    Events(tmp_path).add_hparams(20, config, {"test/top1": 0.5})
    data = {
        value.tag.removeprefix("_hparams_/"): HParamsPluginData.FromString(
            value.metadata.plugin_data.content
        )
        for _, value in read_values(tmp_path)
    }
    assert [metric.name.tag for metric in data["experiment"].experiment.metric_infos] == [
        "test/top1"
    ]
    values = data["session_start_info"].session_start_info.hparams
    assert values["model.name"].string_value == "lenet5"
    assert values["epochs"].number_value == 3
    assert values["data.reshuffle"].bool_value
    assert values["data.mean"].string_value == "(0.0,)"
    assert "session_end_info" in data


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_in_a_file_of_their_own(channels, tmp_path):
    Events(tmp_path).add({"step": 10, "a": 1.0})
    image = np.arange(2 * 3 * channels, dtype=np.uint8).reshape(2, 3, channels)
    for name in ("older", "mistakes/01"):
        tensorboard.write_images(tmp_path, 10, {name: image})
    numbers, images = sorted(tmp_path.glob(tensorboard.PATTERN), key=lambda path: len(path.name))
    numbers.unlink()
    ((step, value),) = read_values(tmp_path)
    assert (step, value.tag) == (10, "mistakes/01")
    decoded = Image.open(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(decoded), np.broadcast_to(image, (2, 3, 3)))
    Events(tmp_path).add({"step": 20, "a": 1.0})  # a run that goes on
    assert not images.exists()
