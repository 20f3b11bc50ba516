"""Measures the cost of each augmentation: a training step with it, against a step without it.

    python benchmarks/augmentation.py
    python benchmarks/augmentation.py --model resnet50 --batch-size 16 --rounds 5

The two steps are compiled in one process and take turns on one batch of random images. A ratio
compares a step with the plain step before it, in time and in processor time. Other programs
disturb the processor time less.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import re
import time
from collections.abc import Callable

import numpy as np

from flax_vision.analysis.benchmark import compile_step, create_model_and_batch
from flax_vision.data.augmentation import Augmentation

AUGMENTATIONS = {
    "plain again": Augmentation(),
    "pad_and_crop, flip": Augmentation(pad_and_crop=4, flip=True),
    "random_affine": Augmentation(random_affine=0.5),
    "color_jitter": Augmentation(color_jitter=0.4),
    "rotation": Augmentation(rotation=15.0),
    "hue": Augmentation(hue=0.1),
    "vertical_flip": Augmentation(vertical_flip=True),
    "trivial_augment": Augmentation(trivial_augment=True),
    "random_erasing": Augmentation(random_erasing=0.25),
    "mixup": Augmentation(mixup=0.2),
    "cutmix": Augmentation(cutmix=1.0),
    "mixup, cutmix": Augmentation(mixup=0.2, cutmix=1.0),
}


def seconds(step: Callable[[], object]) -> np.ndarray:
    """Returns the time and the processor time of one call, in seconds."""
    begun = np.array([time.monotonic(), time.process_time()])
    step()
    return np.array([time.monotonic(), time.process_time()]) - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="regular expression of augmentations")
    options = parser.parse_args()
    model, batch = create_model_and_batch(options.model, options.batch_size, None, {})
    plain = compile_step(model, "training", batch)[0]
    plain()  # warm-up
    shape = "x".join(map(str, batch.images.shape))
    print(f"{options.model}, {shape}, {options.rounds} rounds: median of the plain step, and ratio")
    for name, augmentation in AUGMENTATIONS.items():
        if not re.search(options.only, name):
            continue
        step = compile_step(model, "training", batch, augmentation=augmentation)[0]
        step()
        times = np.array([(seconds(plain), seconds(step)) for _ in range(options.rounds)])
        ratios = times[:, 1] / times[:, 0]
        columns = [f"{1e3 * np.median(times[:, 0, 0]):7,.0f} ms"]
        for unit, ratio in zip(("time", "processor"), ratios.T, strict=True):
            columns.append(
                f"{unit} {np.median(ratio):.3f} ({ratio.min():.3f} to {ratio.max():.3f})"
            )
        print(f"  {name:20} {'   '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
