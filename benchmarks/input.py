"""How many photographs a second are read, decoded, cropped and arrive as batches.

    python benchmarks/input.py

Writes JPEGs as large as ImageNet's (500x375 pixels, about 110 kB) into a temporary folder, of
smooth colors and detail like photographs, and reads them as a training epoch does. Decoders
alternate. The time that all threads compute for an image says what is possible where others use
the machine as well.
"""

from flax_vision.runtime import environment

environment.prepare()  # before JAX is imported

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
"""Images a second, and the milliseconds of computing for each."""


def photograph(random: np.random.Generator, grain: float) -> bytes:
    """Returns a JPEG whose amplitudes fall with the frequency, as those of photographs do."""
    pixels = np.full((HEIGHT, WIDTH, 3), 120.0)
    for cells, amplitude in ((4, 50), (12, 30), (36, 20), (108, 14)):
        rough = random.normal(0, amplitude, (cells * HEIGHT // WIDTH + 1, cells, 3))
        channels = [Image.fromarray(rough[..., c].astype(np.float32)) for c in range(3)]
        resized = [x.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for x in channels]
        pixels += np.stack([np.asarray(x) for x in resized], axis=-1)
    pixels += random.normal(0, grain, (HEIGHT, WIDTH, 1))  # of brightness, as a sensor has it
    file = io.BytesIO()
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def fitting_grain(random: np.random.Generator) -> float:
    """Returns the noise with which a file has about `BYTES`."""
    grains = np.arange(4.0, 20.0)
    sizes = [len(photograph(random, grain)) for grain in grains]
    return float(np.interp(BYTES, sizes, grains))


def write(folder: Path, count: int) -> float:
    """Writes the photographs, and returns their mean number of bytes."""
    random = np.random.default_rng(0)
    grain = fitting_grain(random)
    total = 0
    for index in range(count):
        content = photograph(random, grain)
        total += len(content)
        directory = folder / f"class {index % CLASSES}"
        directory.mkdir(exist_ok=True)
        (directory / f"{index}.jpg").write_bytes(content)
    return total / count


def measure(photographs: ImageFileDataset, batch_size: int, epoch: int) -> Speed:
    start, computed = time.monotonic(), time.process_time()
    images = sum(len(b.labels) for b in training_batches(photographs, batch_size, 0, epoch))
    computed = time.process_time() - computed
    return images / (time.monotonic() - start), 1000 * computed / images


def views(size: int) -> dict[str, CropPolicy]:
    """Returns what the papers' recipes see, in proportion where the size is not 224."""
    scale, greatest = round(size * 256 / 224), round(size * 480 / 224)
    return {
        "AlexNet": CropPolicy(size, scale, (scale, scale), center_square=True),
        "VGG": CropPolicy(size, scale, (scale, scale)),
        "ResNet": CropPolicy(size, scale, (scale, greatest)),
        "GoogLeNet": CropPolicy(size, scale, (scale, scale), (0.08, 1.0), interpolation="random"),
        "8 to 100 % of the area": CropPolicy(size, scale, (scale, scale), (0.08, 1.0)),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128], metavar="N")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=0, help="one a core if not given")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def compare(photographs: ImageFileDataset, batch_size: int, rounds: int) -> dict[str, list[Speed]]:
    """Returns what was measured in each round, by the name of the decoder."""
    fast = fast_jpeg.simplejpeg
    decoders = {"fast-jpeg": fast, "Pillow": None} if fast else {"Pillow": None}
    speeds: dict[str, list[Speed]] = {name: [] for name in decoders}
    for epoch in range(rounds):
        for name, module in decoders.items():
            fast_jpeg.simplejpeg = module
            speeds[name].append(measure(photographs, batch_size, epoch))
    fast_jpeg.simplejpeg = fast
    return speeds


def line(speeds: list[Speed]) -> str:
    found, computed = zip(*speeds, strict=True)
    return (
        f"{statistics.median(found):7,.0f} ({min(found):,.0f} to {max(found):,.0f})"
        f"   {statistics.median(computed):.2f} ms computed for each"
    )


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder), options.images)
        print(
            f"{options.images} JPEGs of {WIDTH}x{HEIGHT}, {size / 1000:.0f} kB on average; "
            f"{cpu_features.usable_cores()} cores; images a second, median of {options.rounds} "
            "(least to most)"
        )
        for view_size in options.sizes:
            for title, crop in views(view_size).items():
                reading = DecodeConfig(crop, threads=options.threads)
                photographs = image_folder_loaders(folder, reading)[ALL]()
                measured = compare(photographs, options.batch_size, options.rounds)
                for decoder, speeds in measured.items():
                    print(f"  {view_size}x{view_size}, {title:22} {decoder:12} {line(speeds)}")


if __name__ == "__main__":
    main()
