"""Measures how fast a training epoch reads small images from parquet and from a folder.

    python benchmarks/parquet.py

It writes PNGs of 32x32 pixels into a temporary folder, and the same files into a parquet file. Both
are read on demand, in turns, with random crops. Opening lists the folder and checks headers. For
parquet, `datasets` also writes its Arrow copy.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from flax_vision.data.batches import training_batches
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import Source, read_split

SIZE = 32
CLASSES = 10
FOLDER, PARQUET = "folder", "birds.parquet"


def write(directory: Path, count: int) -> None:
    """Writes smooth images as PNGs of about 2 kB, the size of CIFAR-10's images."""
    random = np.random.default_rng(0)
    content, labels = [], []
    for index in range(count):
        rough = random.integers(0, 256, (8, 8, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(rough).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file, "PNG")
        content.append(file.getvalue())
        labels.append(f"class {index % CLASSES}")
        class_folder = directory / FOLDER / labels[-1]
        class_folder.mkdir(parents=True, exist_ok=True)
        (class_folder / f"{index}.png").write_bytes(content[-1])
    parquet.write_table(pa.table({"image": content, "label": labels}), directory / PARQUET)


def read(name: str, image_dir: str, threads: int) -> Dataset:
    config = DecodeConfig(CropPolicy(SIZE, SIZE, (SIZE, SIZE)), num_threads=threads)
    source = Source(name, image_dir=image_dir, test_fraction=1, decode_config=config)
    return read_split(source, "test", lambda *progress: None)


def images_per_second(dataset: Dataset, batch_size: int, epoch: int) -> float:
    start = time.monotonic()
    images = sum(len(batch.labels) for batch in training_batches(dataset, batch_size, 0, epoch))
    return images / (time.monotonic() - start)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0, help="default: one per core")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["HF_HOME"] = f"{directory}/cache"
        write(Path(directory), options.images)
        sources = {
            "folder": ("folder", f"{directory}/{FOLDER}"),
            "parquet": (f"hf:{directory}/{PARQUET}", ""),
        }
        datasets = {}
        for title, source in sources.items():
            start = time.monotonic()
            datasets[title] = read(*source, options.threads)
            print(f"{title:8} opened in {time.monotonic() - start:.1f} s")
        speeds: dict[str, list[float]] = {title: [] for title in sources}
        for epoch in range(options.rounds):
            for title, dataset in datasets.items():
                speeds[title].append(images_per_second(dataset, options.batch_size, epoch))
        for title, rates in speeds.items():
            print(
                f"{title:8} {statistics.median(rates):,.0f} images per second "
                f"({min(rates):,.0f} to {max(rates):,.0f})"
            )


if __name__ == "__main__":
    main()
