"""Our networks beside PyTorch's: training steps and inference on this machine's CPU.

    pip install -e '.[test,parity]'
    python benchmarks/compare_torch.py                       # everything, about two hours
    python benchmarks/compare_torch.py resnet50_v1_5 --rounds 2 --seconds 1

For each network, mode and allocator the sides are processes that are all ready, and take turns: of
a round each works for some seconds while the others rest, so that what else the machine does meets
all of them. A ratio compares the medians of one round; the table has the median of the rounds'
ratios and their range. The faster of PyTorch's two forms, eager and torch.compile, counts. Our
sides start twice, first without compiled programs in their cache. Writes every figure to
results.json, the table to results.md and a picture to results.png, all in --output. Where it was
stopped it goes on when it is started again with the same words; --show makes the table and the
picture of what there is without measuring.
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
OUR_SIDE, TORCH_SIDE = (
    str(Path(__file__).with_name(name)) for name in ("worker_jax.py", "worker_torch.py")
)


def measure(place: dict, sides: list[str], rounds: int, seconds: float) -> dict:
    """Returns what each side tells of itself, and its figures of each round.

    Args:
      place: network, mode and allocator.
      sides: what is measured.
      rounds: how often each has its turn.
      seconds: how long a turn is.
    """
    with ExitStack() as stack:
        workers = {side: start(side, place, stack) for side in (*sides, LIMIT)}
        turns: dict[str, list] = {side: [] for side in workers}
        for _, (side, worker) in itertools.product(range(rounds), workers.items()):
            turns[side].append(worker.turn(seconds))
    return {side: worker.about | {"turns": turns[side]} for side, worker in workers.items()}


def start(side: str, place: dict, stack: ExitStack) -> Worker:
    """Starts the process of a side, which the stack ends."""
    environment = of_allocator(place["allocator"]) | OURS.get(side, {})
    if side == LIMIT:
        return stack.enter_context(Worker([OUR_SIDE, "matrix_product"], environment))
    name, batch_size, image_size = place["row"]
    sizes = [f"--batch-size={batch_size}", f"--image-size={image_size}"]
    if side in THEIRS:
        command = [TORCH_SIDE, name, place["mode"], *sizes, *THEIRS[side]]
        return stack.enter_context(Worker(command, environment))
    command = [OUR_SIDE, name, place["mode"], *sizes]
    cache = stack.enter_context(tempfile.TemporaryDirectory())
    environment |= {xla_cache.CACHE: cache, xla_cache.SHORTEST_COMPILATION: "0.1"}
    with Worker(command, environment) as first:
        compile_seconds = first.about["compile_seconds"]
    worker = stack.enter_context(Worker(command, environment))
    worker.about["compile_seconds"] = compile_seconds
    return worker


def of_allocator(name: str) -> dict[str, str]:
    """Returns the environment in which memory is taken so."""
    if name == "keep":
        return {allocator.TUNABLES: allocator.KEEP}
    return {allocator.ALLOCATOR: name, allocator.TUNABLES: ""}


def planned(options: argparse.Namespace) -> list[dict]:
    """Returns what is measured, in this order."""
    rows = [row for row in ROWS if row[0] in (options.names or [row[0] for row in ROWS])]
    plan = itertools.product(options.allocators, rows, options.modes)
    return [
        {"row": list(row), "mode": mode, "allocator": allocator} for allocator, row, mode in plan
    ]


def goes_on(plan: list[dict], file: Path) -> bool:
    """Returns whether what the file has, if it is there, is how the plan begins."""
    figures = json.loads(file.read_text()) if file.exists() else []
    places = [{key: figure[key] for key in plan[0]} for figure in figures]
    return places == plan[: len(places)]


def measure_all(plan: list[dict], options: argparse.Namespace, file: Path) -> None:
    """Measures what of the plan is not in the file yet, and adds it there."""
    figures = json.loads(file.read_text()) if file.exists() else []
    sides = [side for side in (*OURS, *THEIRS) if side not in options.without]
    begun, first = time.monotonic(), len(figures)
    for i, place in enumerate(plan[first:], first):
        left = (time.monotonic() - begun) / (i - first) * (len(plan) - i) if i > first else 0
        what = " ".join(map(str, place.values()))
        print(f"{i + 1} of {len(plan)}, {left / 60:.0f} minutes left: {what}", flush=True)
        figures.append(place | {"sides": measure(place, sides, options.rounds, options.seconds)})
        file.write_text(json.dumps(figures))


def summarize(figures: list[dict]) -> list[dict]:
    """Returns a row of the table for each network, mode and allocator."""
    return [row_of(figure) for figure in figures]


def row_of(figure: dict) -> dict:
    """Returns the row of the table for one of them."""
    sides = figure["sides"]
    name, batch_size, image_size = figure["row"]
    faster = min((sides[side] for side in THEIRS if side in sides), key=step)
    fastest = min(second for turn in sides[LIMIT]["turns"] for second in turn["step_seconds"])
    limit = sides[LIMIT]["operations"] / fastest
    cells: dict[str, Any] = {
        "network": f"{name} {image_size}x{image_size}, {batch_size}",
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
    """Returns the seconds of the median step of each turn."""
    return [statistics.median(turn["step_seconds"]) for turn in side["turns"]]


def step(side: dict) -> float:
    """Returns the median of these."""
    return statistics.median(steps(side))


def peak(side: dict) -> float:
    """Returns the most memory that it has had, in GB."""
    return side["turns"][-1]["peak_bytes"] / 1e9


def show(figures: list[dict], output: Path) -> None:
    rows = summarize(figures)
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
            places = [place + 0.4 * i for place in range(len(chosen))]
            axis.barh(places, ratios, 0.4, label=side)
        axis.set_yticks(range(len(chosen)), [row["network"] for row in chosen])
        axis.axvline(1, color="black", linewidth=1)
        axis.set_title(f"{mode}: speed beside the faster PyTorch form (1)")
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(OURS))
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(row[0] for row in ROWS))
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=2, help="of each turn, of at least three steps"
    )
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument(
        "--allocators", nargs="+", default=list(allocator.ALLOCATORS), choices=allocator.ALLOCATORS
    )
    parser.add_argument("--without", nargs="+", default=[], choices=[*OURS, *THEIRS])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--show", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(names)}")
    if {*THEIRS} <= {*options.without} or {*OURS} <= {*options.without}:
        parser.error("--without leaves nothing to compare")
    results = options.output / "results.json"
    plan = planned(options)
    if options.show and not results.exists():
        parser.error(f"{results} is not there; give another --output")
    if not options.show and not goes_on(plan, results):
        parser.error(f"{results} has other measurements; --show them, or give another --output")
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.show:
        measure_all(plan, options, results)
    show(json.loads(results.read_text()), options.output)


if __name__ == "__main__":
    main()
