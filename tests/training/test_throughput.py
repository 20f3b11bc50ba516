import time

import numpy as np
import pytest

from flax_vision.data.batches import Batch
from flax_vision.training.throughput import ThroughputMeter

BATCH = Batch(
    np.zeros((8, 1, 1, 1), np.uint8),
    np.zeros(8, np.int32),
    np.ones(8, bool),
    np.arange(8, dtype=np.int32),
)


def test_only_the_time_before_a_batch_counts():
    def slow():
        for _ in range(3):
            time.sleep(0.05)
            yield BATCH

    start, meter = time.monotonic(), ThroughputMeter()
    for _ in meter.timed(slow(), lambda: True):
        time.sleep(0.05)
    record, seconds = meter.record(), time.monotonic() - start
    assert record["input_wait_fraction"] == pytest.approx(0.5, abs=0.1)
    assert record["images_per_second"] == pytest.approx(24 / seconds, rel=0.1)


def test_batch_that_arrives_during_a_step_does_not_count():
    slow = (time.sleep(0.05) or BATCH for _ in range(2))
    meter = ThroughputMeter()
    list(meter.timed(slow, lambda: False))
    assert meter.record()["input_wait_fraction"] == 0
