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


def test_only_the_time_before_a_batch_is_waiting():
    def slow():
        for _ in range(3):
            time.sleep(0.05)
            yield BATCH

    pace = ThroughputMeter()
    for _ in pace.clocked(slow()):
        time.sleep(0.05)
    assert pace.waiting == pytest.approx(0.5, abs=0.1)
    assert pace.seconds == pytest.approx(0.3, abs=0.1)
    assert pace.images_per_second == pytest.approx(24 / pace.seconds, rel=0.1)


def test_a_batch_that_comes_while_a_step_runs_was_not_waited_for():
    slow = (time.sleep(0.05) or BATCH for _ in range(2))
    pace = ThroughputMeter()
    list(pace.clocked(slow, lambda: False))
    assert pace.waiting == 0
