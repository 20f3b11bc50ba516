"""Measures the time and the memory up to the first step on a set with ImageNet's number of images.

    python benchmarks/first_step.py            # A TFDS set: 1,281,167 records in 1,024 shards.
    python benchmarks/first_step.py --folder   # A folder of as many links to a few JPEGs.

It writes 1.5 GB of images into a temporary folder. They are small, so the time depends
on their number and not on their size. Another process trains LeNet-5 on one batch. Its cache is
empty: no labels are known, and everything is compiled.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RECORDS, SHARDS, CLASSES, TESTS = 1_281_167, 1024, 1000, 10_000
SIZE = 32
DIFFERENT = 1000
"""Number of different images."""


def jpegs() -> list[bytes]:
    """Returns small JPEGs of random colors."""
    random = np.random.default_rng(0)
    contents = []
    for _ in range(DIFFERENT):
        file = io.BytesIO()
        pixels = random.integers(0, 256, (4, 4, 3), np.uint8).repeat(SIZE // 4, 0)
        Image.fromarray(pixels.repeat(SIZE // 4, 1)).save(file, "JPEG")
        contents.append(file.getvalue())
    return contents


def write_tfds(directory: Path, count: int) -> list[str]:
    """Writes a TFDS set if it is missing, and returns the settings that name it."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import example_serializer, file_adapters, naming, splits

    class ManyImages(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            label = tfds.features.ClassLabel(num_classes=CLASSES)
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
            features = tfds.features.FeaturesDict({"image": image, "label": label})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager: Any) -> Any:
            raise NotImplementedError

        def _generate_examples(self) -> Any:
            raise NotImplementedError

    builder: Any = ManyImages(data_dir=directory, file_format="array_record")
    settings = [f"data.name={builder.name}", f"data.tfds_dir={directory}"]
    if builder.is_prepared():
        return settings
    Path(builder.data_path).mkdir(parents=True)
    features = builder.info.features
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    records = [
        serializer.serialize_example(features.encode_example({"image": x, "label": i % CLASSES}))
        for i, x in enumerate(jpegs())
    ]
    adapter = file_adapters.ADAPTER_FOR_FORMAT[file_adapters.FileFormat.ARRAY_RECORD]
    infos = []
    for split, total, shards in (("train", count, SHARDS), ("test", TESTS, 16)):
        template = naming.ShardedFileTemplate(
            data_dir=builder.data_path,
            dataset_name=builder.name,
            split=split,
            filetype_suffix=adapter.FILE_SUFFIX,
        )
        lengths = [len(x) for x in np.array_split(np.arange(total), shards)]
        source = enumerate(cycle(records))
        for shard, length in enumerate(lengths):
            path = template.sharded_filepath(shard_index=shard, num_shards=shards)
            adapter.write_examples(path, islice(source, length))
        size = total * len(records[0])
        infos.append(splits.SplitInfo(split, lengths, size, filename_template=template))
    builder.info.set_splits(splits.SplitDict(infos))
    builder.info.write_to_directory(builder.data_path)
    return settings


def write_folder(directory: Path, count: int) -> list[str]:
    """Writes a folder of hard links if it is missing, and returns the settings that name it."""
    settings = ["data.name=folder", f"data.image_dir={directory}"]
    if directory.exists():
        return settings
    for split, total in (("train", count), ("test", TESTS)):
        for label in range(CLASSES):
            (directory / split / f"n{label:08}").mkdir(parents=True)
        for index, content in zip(range(total), cycle(jpegs())):
            path = directory / split / f"n{index % CLASSES:08}" / f"{index}.JPEG"
            if index < DIFFERENT:
                path.write_bytes(content)
            else:  # a file has at most 65,000 links
                os.link(
                    directory / split / f"n{index % CLASSES:08}" / f"{index % CLASSES}.JPEG", path
                )
    return settings


def train(settings: list[str]) -> None:
    """Trains on the set, and prints the time of each line up to the first step."""
    from flax_vision.runtime import environment

    environment.configure_process()  # before JAX is imported
    from flax_vision.training.config_loader import load_config
    from flax_vision.training.fit import fit
    from flax_vision.training.progress import TrainingObserver

    began = float(os.environ["BEGAN"])

    def show(text: str) -> None:
        seconds, cpu = time.time() - began, time.process_time()
        print(f"  {seconds:6.1f} s, {cpu:6.1f} s of CPU time  {text}", flush=True)

    class Observer(TrainingObserver):
        is_due = True
        task = ""

        def line(self, text: str) -> None:
            show(text)

        def reading(self, what: str, done: int, total: int) -> None:
            if what != self.task:
                show(f"reading {what}")
                self.task = what

        def compiling(self) -> None:
            show("compiling")

        def training(self, *arguments: Any) -> None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            show(f"first step; peak memory {peak:.2f} GB")
            os._exit(0)

    flags = [f"--config.{x}" for x in ("batch_size=8", "checkpoint.max_to_keep=1", *settings)]
    fit(load_config("lenet5:folder", flags), os.environ["WORKDIR"], Observer())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", action="store_true", help="a folder in place of a TFDS set")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--directory", help="directory to keep the images; default: temporary")
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if options.train:
        return train(options.train)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(options.directory or temporary) / ("folder" if options.folder else "tfds")
        write = write_folder if options.folder else write_tfds
        settings = write(directory, options.records)
        names = {"XDG_CACHE_HOME": "cache", "WORKDIR": "run"}
        paths = {key: str(Path(temporary) / name) for key, name in names.items()}
        environment = {**os.environ, **paths, "BEGAN": str(time.time())}
        command = [sys.executable, __file__, "--train", *settings, *options.config]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
