"""Measures imports of VGG-19, and predictions of ResNet-50 on images.

    python benchmarks/weights.py

It creates files of random weights and images in a temporary directory. For VGG-19 it prints
the duration of an import and its peak memory in multiples of the file. For ResNet-50 it prints the
latency of the first prediction with a warm compilation cache, and the model's share of the time on
many images. Each measurement runs in a new process. Peak memory includes libraries and mapped
files (VmHWM of Linux): importing a CUDA build of PyTorch alone takes 0.5 GB. The `.pth` file needs
PyTorch.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

import flax_vision as fv

_PROGRAM = """
import sys
from flax_vision.cli.main import main
status = main()
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
sys.exit(status)
"""
"""Code that runs a command, and prints its peak memory in kB as the last line."""


def write_weights(name: str, path: Path) -> Path:
    """Writes a torchvision state dictionary with small random weights."""
    model = fv.create_model(name)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: 0.02 * random.random(x.shape, np.float32), shapes)
    state_dict = fv.weights.to_torchvision(name, variables)
    if path.suffix == ".safetensors":
        save_file(state_dict, path)
    else:
        import torch

        torch.save({key: torch.from_numpy(x) for key, x in state_dict.items()}, path)
    return path


def write_images(folder: Path, count: int) -> None:
    """Writes JPEGs of 500x375, the median size in ImageNet."""
    random = np.random.default_rng(0)
    for number in range(count):
        rough = Image.fromarray(random.integers(0, 256, (38, 50, 3), np.uint8))
        rough.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")


def run(*arguments: str) -> tuple[float, float, str]:
    """Runs a command; returns its seconds, its peak memory in MB and its messages."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - started, int(done.stdout.split()[-1]) * 1.024e-3, done.stderr


def imports(folder: Path) -> None:
    """Prints duration and memory of imports of VGG-19."""
    for suffix in (".safetensors", *([".pth"] if importlib.util.find_spec("torch") else [])):
        path = write_weights("vgg19", folder / f"vgg19{suffix}")
        seconds, peak, _ = run("import-weights", "vgg19", str(path), str(folder / suffix[1:]))
        times = 1e6 * peak / path.stat().st_size
        print(
            f"import of vgg19{suffix}: {seconds:.1f} s, {peak:,.0f} MB, {times:.2f} times the file"
        )


def predictions(folder: Path, count: int) -> None:
    """Prints durations of predictions of ResNet-50."""
    source, net = write_weights("resnet50_v1_5", folder / "r.safetensors"), str(folder / "r")
    run("import-weights", "resnet50_v1_5", str(source), net)
    (folder / "images").mkdir()
    write_images(folder / "images", count)
    first = str(folder / "images/0.jpg")
    run("predict", net, first)  # compiles
    seconds = min(run("predict", net, first)[0] for _ in range(3))
    print(f"first prediction: {seconds:.1f} s, the best of 3")
    _, _, messages = run("predict", net, str(folder / "images"))
    print(messages.strip())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        imports(Path(folder))
        predictions(Path(folder), options.images)


if __name__ == "__main__":
    main()
