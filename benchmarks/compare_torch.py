"""Our networks beside PyTorch's: training steps and inference on this machine's CPU.

    pip install -e '.[test,parity]'
    python benchmarks/compare_torch.py                       # everything, about two hours
    python benchmarks/compare_torch.py resnet50_v1_5 --rounds 1 --seconds 5

Each measurement is a process of its own, and the sides take turns, so that what else the machine
does meets all of them. A ratio compares the medians of one round; the table has the median of the
rounds' ratios and their range. The faster of PyTorch's two forms, eager and torch.compile, counts.
Writes every figure to results.json, the table to results.md and a picture to results.png, all in
--output. Where it was stopped it goes on when it is started again with the same words; --show makes
the table and the picture of what there is without measuring.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from flax_vision import process

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
WITHOUT_HEADS = {"googlenet", "googlenet_torchvision"}
ALLOCATORS = {
    "keep": {process.TUNABLES: process.KEEP},
    "system": {process.ALLOCATOR: "system"},
}
TORCH_SIDE = Path(__file__).with_name("torch_side.py")


def run(command: list[str], environment: dict[str, str]) -> Any:
    inherited = {key: value for key, value in os.environ.items() if key != process.TUNABLES}
    done = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, row: list, mode: str, environment: dict, seconds: float) -> Any:
    name, batch_size, image_size = row
    common = [f"--batch-size={batch_size}", f"--image-size={image_size}", f"--seconds={seconds}"]
    if side in THEIRS:
        return run(
            [sys.executable, str(TORCH_SIDE), name, mode, *common, *THEIRS[side]], environment
        )
    command = [str(Path(sys.executable).with_name("flax-vision")), "bench", name, "--mode", mode]
    heads = ["--options", "auxiliary_heads=false"] if name in WITHOUT_HEADS else []
    return run([*command, *common, "--format=json", *heads], environment | OURS[side])[0]


def planned(options: argparse.Namespace) -> list[dict]:
    """Returns what is measured, in this order: the sides take turns, and so do the rounds."""
    rows = [row for row in ROWS if row[0] in (options.names or [row[0] for row in ROWS])]
    sides = [side for side in (*OURS, *THEIRS) if side not in options.without]
    rounds = range(options.rounds)
    plan = itertools.product(rounds, rows, options.modes, options.allocators, sides)
    return [
        {"row": list(row), "mode": mode, "allocator": allocator, "side": side}
        for _, row, mode, allocator, side in plan
    ]


def goes_on(plan: list[dict], file: Path) -> bool:
    """Returns whether what the file has, if it is there, is how the plan begins."""
    figures = json.loads(file.read_text()) if file.exists() else []
    places = [{key: figure[key] for key in plan[0]} for figure in figures]
    return places == plan[: len(places)]


def measure_all(plan: list[dict], seconds: float, file: Path) -> None:
    """Measures what of the plan is not in the file yet, and adds it there."""
    figures = json.loads(file.read_text()) if file.exists() else []
    begun, first = time.monotonic(), len(figures)
    for i, place in enumerate(plan[first:], first):
        left = (time.monotonic() - begun) / (i - first) * (len(plan) - i) if i > first else 0
        what = " ".join(map(str, place.values()))
        print(f"{i + 1} of {len(plan)}, {left / 60:.0f} minutes left: {what}", flush=True)
        environment = ALLOCATORS[place["allocator"]]
        figure = measure(place["side"], place["row"], place["mode"], environment, seconds)
        figures.append(place | figure | {"step": statistics.median(figure["step_seconds"])})
        file.write_text(json.dumps(figures))


def summarize(figures: list[dict]) -> list[dict]:
    """Returns a row for each network, mode and allocator."""
    rows = []
    for row, mode, allocator in dict.fromkeys(
        (tuple(figure["row"]), figure["mode"], figure["allocator"]) for figure in figures
    ):
        of_side = {
            side: [
                figure
                for figure in figures
                if (tuple(figure["row"]), figure["mode"], figure["allocator"], figure["side"])
                == (row, mode, allocator, side)
            ]
            for side in (*OURS, *THEIRS)
        }
        theirs = [of_side[side] for side in THEIRS if of_side[side]]
        if not theirs:
            continue  # stopped before
        faster = min(theirs, key=lambda runs: statistics.median(run["step"] for run in runs))
        name, batch_size, image_size = row
        cells: dict[str, Any] = {
            "network": f"{name} {image_size}x{image_size}, {batch_size}",
            "mode": mode,
            "allocator": allocator,
            "PyTorch, images/s": images_per_second(faster, batch_size),
        }
        for side in OURS:
            ours = of_side[side]
            if not ours:
                continue
            ratios = [b["step"] / a["step"] for a, b in zip(ours, faster, strict=False)]
            cells |= {
                f"{side}, images/s": images_per_second(ours, batch_size),
                f"{side}, ratio": f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to "
                f"{max(ratios):.2f})",
            }
            first = statistics.median(run["gigaflops"] / run["step"] for run in ours)
            limit = statistics.median(run["limit"] for run in ours)
            cells[f"{side}, GFLOP/s"] = f"{first:.0f} ({first / limit:.0%})"
        best = of_side["with oneDNN"] or of_side["pure JAX"]
        cells["compile, s"] = f"{max(run['compile_seconds'] for run in best):.1f}"
        cells["second start, s"] = f"{best[-1]['ready_seconds']:.1f}"
        cells["peak, GB, ours and theirs"] = f"{peak(best):.2f} {peak(faster):.2f}"
        rows.append(cells)
    return rows


def images_per_second(runs: list[dict], batch_size: int) -> str:
    return f"{batch_size / statistics.median(run['step'] for run in runs):,.1f}"


def peak(runs: list[dict]) -> float:
    return statistics.median(run["peak_bytes"] for run in runs) / 1e9


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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="for each measurement")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS), choices=ALLOCATORS)
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
        measure_all(plan, options.seconds, results)
    show(json.loads(results.read_text()), options.output)


if __name__ == "__main__":
    main()
