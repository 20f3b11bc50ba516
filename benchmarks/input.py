"""Measures the input pipeline: images read, decoded, cropped and batched per second.

    python benchmarks/input.py

It writes JPEGs like ImageNet's (500x375 pixels, about 110 kB) into a temporary folder. They have
smooth colors and details. It reads them as a training epoch does, with alternating decoders. The
CPU time per image is the better measure on a machine with other load.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from flax_vision.data import fast_jpeg
from flax_vision.data.batches import training_batches
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.image_folder import ALL, image_folder_loaders
from flax_vision.runtime import cpu_features, environment

WIDTH, HEIGHT = 500, 375
QUALITY = 90
BYTES = 110_000
CLASSES = 10

Speed = tuple[float, float]
"""Images per second, and milliseconds of CPU time per image."""


def random_jpeg(random: np.random.Generator, grain: float) -> bytes:
    """Returns a JPEG with a natural spectrum: amplitudes fall with the frequency."""
    pixels = np.full((HEIGHT, WIDTH, 3), 120.0)
    for cells, amplitude in ((4, 50), (12, 30), (36, 20), (108, 14)):
        rough = random.normal(0, amplitude, (cells * HEIGHT // WIDTH + 1, cells, 3))
        channels = [Image.fromarray(rough[..., c].astype(np.float32)) for c in range(3)]
        resized = [x.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for x in channels]
        pixels += np.stack([np.asarray(x) for x in resized], axis=-1)
    pixels += random.normal(0, grain, (HEIGHT, WIDTH, 1))  # noise of a sensor
    file = io.BytesIO()
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def fitting_grain(random: np.random.Generator) -> float:
    """Returns the amplitude of noise that makes a file of about `BYTES`."""
    grains = np.arange(4.0, 20.0)
    sizes = [len(random_jpeg(random, grain)) for grain in grains]
    return float(np.interp(BYTES, sizes, grains))


def write(folder: Path, count: int) -> float:
    """Writes the images, and returns their mean number of bytes."""
    random = np.random.default_rng(0)
    grain = fitting_grain(random)
    total = 0
    for index in range(count):
        content = random_jpeg(random, grain)
        total += len(content)
        directory = folder / f"class {index % CLASSES}"
        directory.mkdir(exist_ok=True)
        (directory / f"{index}.jpg").write_bytes(content)
    return total / count


def measure(dataset: ImageFileDataset, batch_size: int, epoch: int) -> Speed:
    start, cpu_start = time.monotonic(), time.process_time()
    images = sum(len(batch.labels) for batch in training_batches(dataset, batch_size, 0, epoch))
    cpu_seconds = time.process_time() - cpu_start
    return images / (time.monotonic() - start), 1000 * cpu_seconds / images


def crop_policies(size: int) -> dict[str, CropPolicy]:
    """Returns the crops of the papers' recipes, in proportion for other sizes than 224."""
    resize, greatest = round(size * 256 / 224), round(size * 480 / 224)
    return {
        "AlexNet": CropPolicy(size, resize, (resize, resize), center_square=True),
        "VGG": CropPolicy(size, resize, (resize, resize)),
        "ResNet": CropPolicy(size, resize, (resize, greatest)),
        "GoogLeNet": CropPolicy(
            size, resize, (resize, resize), (0.08, 1.0), interpolation="random"
        ),
        "8 to 100 % of the area": CropPolicy(size, resize, (resize, resize), (0.08, 1.0)),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128], metavar="N")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=0, help="default: one per core")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def compare(dataset: ImageFileDataset, batch_size: int, rounds: int) -> dict[str, list[Speed]]:
    """Measures each decoder once a round; returns the speeds by its name."""
    simplejpeg = fast_jpeg.simplejpeg
    decoders = {"fast-jpeg": simplejpeg} if simplejpeg else {}
    decoders["Pillow"] = None
    speeds: dict[str, list[Speed]] = {name: [] for name in decoders}
    for epoch in range(rounds):
        for name, module in decoders.items():
            fast_jpeg.simplejpeg = module
            speeds[name].append(measure(dataset, batch_size, epoch))
    fast_jpeg.simplejpeg = simplejpeg
    return speeds


def line(speeds: list[Speed]) -> str:
    rates, cpu = zip(*speeds, strict=True)
    return (
        f"{statistics.median(rates):7,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
        f"   {statistics.median(cpu):.2f} ms of CPU time each"
    )


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder), options.images)
        print(
            f"{options.images} JPEGs of {WIDTH}x{HEIGHT}, {size / 1000:.0f} kB on average; "
            f"{cpu_features.usable_cores()} cores; images per second, median of {options.rounds} "
            "(least to most)"
        )
        for crop_size in options.sizes:
            for title, policy in crop_policies(crop_size).items():
                config = DecodeConfig(policy, num_threads=options.threads)
                dataset = image_folder_loaders(folder, config)[ALL]()
                for decoder, speeds in compare(dataset, options.batch_size, options.rounds).items():
                    print(f"  {crop_size}x{crop_size}, {title:22} {decoder:12} {line(speeds)}")


if __name__ == "__main__":
    main()
