"""Compares the speed of models in virtual environments, such as two versions of JAX.

    python benchmarks/compare_environments.py old/bin/python new/bin/python
    python benchmarks/compare_environments.py old/bin/python new/bin/python --names resnet20

Each environment has this project installed with `pip install -e .`. For each model and mode, the
environments take turns: in each round every one runs steps for some seconds while the others wait.
Prints their speeds relative to the first environment: the median of the rounds and their range.
"""

import argparse
import itertools
import statistics
from contextlib import ExitStack

from compare_torch import MODES, ROWS, WORKER_JAX
from interleaved import Worker

from flax_vision.runtime import allocator


def measure(
    pythons: list[str], command: list[str], rounds: int, seconds: float
) -> list[list[float]]:
    """Returns the median step time of each round, in seconds, for each environment.

    Args:
      pythons: Interpreters.
      command: Python file that runs steps on request, and its arguments.
      rounds: Turns of each environment.
      seconds: Duration of a turn, which has at least three steps.
    """
    environment = {allocator.TUNABLES: allocator.KEEP}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(command, environment, python)) for python in pythons]
        turns = [[worker.turn(seconds) for worker in workers] for _ in range(rounds)]
    steps = [[statistics.median(turn["step_seconds"]) for turn in a_round] for a_round in turns]
    return [list(of_worker) for of_worker in zip(*steps, strict=True)]


def relative(steps: list[float], first: list[float]) -> str:
    """Returns the speed relative to the first environment: median and range of the rounds."""
    ratios = [theirs / ours for ours, theirs in zip(steps, first, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(row[0] for row in ROWS))
    parser.add_argument(
        "pythons", nargs="+", metavar="PYTHON", help="interpreters; the first is the reference"
    )
    parser.add_argument("--names", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.7, help="duration of each turn")
    options = parser.parse_args()
    rows = [row for row in ROWS if row[0] in options.names]
    for (name, batch_size, image_size), mode in itertools.product(rows, options.modes):
        sizes = [f"--batch-size={batch_size}", f"--image-size={image_size}"]
        command = [WORKER_JAX, name, mode, *sizes]
        first, *others = measure(options.pythons, command, options.rounds, options.seconds)
        ratios = "; ".join(relative(steps, first) for steps in others)
        step = statistics.median(first) * 1e3
        print(f"{name} {image_size}x{image_size}, {mode}: {step:.1f} ms; {ratios}", flush=True)


if __name__ == "__main__":
    main()
