"""Compares the speed of our models with PyTorch's: training steps and inference on this CPU.

    pip install -e '.[test,parity]'
    python benchmarks/compare_torch.py                       # Everything, in about two hours.
    python benchmarks/compare_torch.py resnet50_v1_5 --rounds 2 --seconds 1

For each model, mode and allocator, all sides are processes that take turns. In each round every
side runs steps for some seconds while the others wait, so that other load meets all of them. A
ratio compares the median steps of one round. The table has the median of the rounds' ratios and
their range, against the faster of PyTorch's two forms, eager and torch.compile. Our sides start
twice, the first time without compiled programs in the cache.

It writes every figure to results.json, the table to results.md and a picture to results.png, all in
--output. After a stop, the same command resumes. --show makes the table and the picture from
results.json and measures nothing.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from interleaved import Worker

from flax_vision.runtime import allocator, xla_cache

ROWS = [
    ("lenet5_modern", 128, 28),
    ("alexnet_owt", 32, 224),
    ("vgg16", 8, 224),
    ("vgg16", 64, 32),
    ("resnet20", 128, 32),
    ("googlenet_torchvision", 16, 224),
    ("resnet50_v1_5", 16, 224),
    ("alexnet", 32, 224),
    ("googlenet", 16, 224),
    ("resnet50", 16, 224),
]
MODES = ["training", "inference"]
OURS = {"with oneDNN": {}, "pure JAX": {"FLAX_VISION_ONEDNN": "0"}}
THEIRS = {"PyTorch": [], "torch.compile": ["--compile"]}
LIMIT = "a large matrix product"
WORKER_JAX, WORKER_TORCH = (
    str(Path(__file__).with_name(name)) for name in ("worker_jax.py", "worker_torch.py")
)


def measure(case: dict, sides: list[str], rounds: int, seconds: float) -> dict:
    """Returns the description and the figures of each side.

    Args:
      case: Model with its sizes (`row`), mode and allocator.
      sides: Names of the sides.
      rounds: Turns of each side.
      seconds: Duration of a turn.
    """
    with ExitStack() as stack:
        workers = {side: start(side, case, stack) for side in (*sides, LIMIT)}
        turns: dict[str, list] = {side: [] for side in workers}
        for _, (side, worker) in itertools.product(range(rounds), workers.items()):
            turns[side].append(worker.turn(seconds))
    return {side: worker.about | {"turns": turns[side]} for side, worker in workers.items()}


def start(side: str, case: dict, stack: ExitStack) -> Worker:
    """Starts the process of a side; the stack ends it."""
    environment = allocator_variables(case["allocator"]) | OURS.get(side, {})
    if side == LIMIT:
        return stack.enter_context(Worker([WORKER_JAX, "matrix_product"], environment))
    name, batch_size, image_size = case["row"]
    sizes = [f"--batch-size={batch_size}", f"--image-size={image_size}"]
    if side in THEIRS:
        command = [WORKER_TORCH, name, case["mode"], *sizes, *THEIRS[side]]
        return stack.enter_context(Worker(command, environment))
    command = [WORKER_JAX, name, case["mode"], *sizes]
    cache = stack.enter_context(tempfile.TemporaryDirectory())
    environment |= {xla_cache.CACHE: cache, xla_cache.SHORTEST_COMPILATION: "0.1"}
    with Worker(command, environment) as first:
        compile_seconds = first.about["compile_seconds"]
    worker = stack.enter_context(Worker(command, environment))
    worker.about["compile_seconds"] = compile_seconds
    return worker


def allocator_variables(name: str) -> dict[str, str]:
    """Returns the environment variables that select an allocator."""
    if name == "keep":
        return {allocator.TUNABLES: allocator.KEEP}
    return {allocator.ALLOCATOR: name, allocator.TUNABLES: ""}


def planned_cases(options: argparse.Namespace) -> list[dict]:
    """Returns the cases to measure, in order."""
    rows = [row for row in ROWS if row[0] in (options.names or [row[0] for row in ROWS])]
    plan = itertools.product(options.allocators, rows, options.modes)
    return [
        {"row": list(row), "mode": mode, "allocator": allocator} for allocator, row, mode in plan
    ]


def can_resume(plan: list[dict], file: Path) -> bool:
    """Returns whether the results in a file are the first cases of the plan."""
    figures = json.loads(file.read_text()) if file.exists() else []
    cases = [{key: figure[key] for key in plan[0]} for figure in figures]
    return cases == plan[: len(cases)]


def measure_all(plan: list[dict], options: argparse.Namespace, file: Path) -> None:
    """Measures the cases that are not in the file yet, and adds them to it."""
    figures = json.loads(file.read_text()) if file.exists() else []
    sides = [side for side in (*OURS, *THEIRS) if side not in options.without]
    begun, first = time.monotonic(), len(figures)
    for i, case in enumerate(plan[first:], first):
        left = (time.monotonic() - begun) / (i - first) * (len(plan) - i) if i > first else 0
        title = " ".join(map(str, case.values()))
        print(f"{i + 1} of {len(plan)}, {left / 60:.0f} minutes left: {title}", flush=True)
        figures.append(case | {"sides": measure(case, sides, options.rounds, options.seconds)})
        file.write_text(json.dumps(figures))


def table_row(figure: dict) -> dict:
    """Returns the row of the table for one case."""
    sides = figure["sides"]
    name, batch_size, image_size = figure["row"]
    faster = min((sides[side] for side in THEIRS if side in sides), key=step)
    fastest = min(second for turn in sides[LIMIT]["turns"] for second in turn["step_seconds"])
    limit = sides[LIMIT]["operations"] / fastest
    cells: dict[str, Any] = {
        "model": f"{name} {image_size}x{image_size}, {batch_size}",
        "mode": figure["mode"],
        "allocator": figure["allocator"],
        "PyTorch, images/s": f"{batch_size / step(faster):,.1f}",
    }
    ours = [side for side in OURS if side in sides]
    for side in ours:
        pairs = zip(steps(sides[side]), steps(faster), strict=True)
        ratios = [theirs / our for our, theirs in pairs]
        speed = sides[side]["operations"] / step(sides[side])
        cells |= {
            f"{side}, images/s": f"{batch_size / step(sides[side]):,.1f}",
            f"{side}, ratio": f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f})",
            f"{side}, GFLOP/s": f"{speed / 1e9:.0f} ({speed / limit:.0%})",
        }
    best = sides[ours[0]]
    cells["compile, s"] = f"{best['compile_seconds']:.1f}"
    cells["second start, s"] = f"{best['ready_seconds']:.1f}"
    cells["peak, GB, ours and theirs"] = f"{peak(best):.2f} {peak(faster):.2f}"
    return cells


def steps(side: dict) -> list[float]:
    """Returns the median step of each turn, in seconds."""
    return [statistics.median(turn["step_seconds"]) for turn in side["turns"]]


def step(side: dict) -> float:
    """Returns the median of the turns' median steps, in seconds."""
    return statistics.median(steps(side))


def peak(side: dict) -> float:
    """Returns the peak memory of the process, in GB."""
    return side["turns"][-1]["peak_bytes"] / 1e9


def show(figures: list[dict], output: Path) -> None:
    rows = [table_row(figure) for figure in figures]
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    lines = [headings, ["---"] * len(headings)]
    lines += [[row.get(heading, "") for heading in headings] for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (output / "results.md").write_text(table + "\n")
    print(table)
    draw(rows, output / "results.png")


def draw(rows: list[dict], file: Path) -> None:
    rows = [row for row in rows if row["allocator"] == rows[0]["allocator"]]
    figure, axes = plt.subplots(
        1, 2, figsize=(11, 0.42 * len(rows) / 2 + 1.6), sharey=True, layout="constrained"
    )
    for axis, mode in zip(axes, MODES, strict=True):
        chosen = [row for row in rows if row["mode"] == mode]
        for i, side in enumerate(OURS):
            key = f"{side}, ratio"
            ratios = [float(row[key].split()[0]) if key in row else 0.0 for row in chosen]
            positions = [position + 0.4 * i for position in range(len(chosen))]
            axis.barh(positions, ratios, 0.4, label=side)
        axis.set_yticks(range(len(chosen)), [row["model"] for row in chosen])
        axis.axvline(1, color="black", linewidth=1)
        axis.set_title(f"{mode}: speed relative to the faster PyTorch form (1)")
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(OURS))
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(row[0] for row in ROWS))
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"models: {', '.join(names)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=2, help="duration of each turn, at least three steps"
    )
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument(
        "--allocators", nargs="+", default=list(allocator.ALLOCATORS), choices=allocator.ALLOCATORS
    )
    parser.add_argument("--without", nargs="+", default=[], choices=[*OURS, *THEIRS])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--show", action="store_true", help="only print and draw the results")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown model {', '.join(unknown)}; valid: {', '.join(names)}")
    if {*THEIRS} <= {*options.without} or {*OURS} <= {*options.without}:
        parser.error("--without leaves nothing to compare")
    results = options.output / "results.json"
    plan = planned_cases(options)
    if options.show and not results.exists():
        parser.error(f"{results} does not exist; give another --output")
    if not options.show and not can_resume(plan, results):
        parser.error(f"{results} has other measurements; --show them, or give another --output")
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.show:
        measure_all(plan, options, results)
    show(json.loads(results.read_text()), options.output)


if __name__ == "__main__":
    main()
