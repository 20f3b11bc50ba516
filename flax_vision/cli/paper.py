"""Lists the tables and figures of the papers, and runs their experiments.

Without arguments, it lists the items of all papers; with PAPER, of one. With PAPER and ITEM it
trains, prints the paper's numbers beside the measured ones, and draws the figure.

By default an experiment is reduced: it takes at most twenty minutes on two cores, with the embedded
digits or --data. The output lists the reductions. --full has the paper's size and data. Repeat a
stopped command to resume it. Experiments share their runs.

--all runs every experiment and writes the page WORKDIR/gallery.html. With PAPER, it runs only the
experiments of this paper, and the page is WORKDIR/gallery-PAPER.html. -o PAGE.md also writes the
page as Markdown, with its pictures in the folder PAGE.

Examples:
  flax-vision paper resnet
  flax-vision paper resnet fig6
  flax-vision paper resnet fig6 --full --seeds 0,1,2 -o fig6.png
  flax-vision paper lenet5 "figure 8" --data fashion_mnist
  flax-vision paper --all -o papers.md
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import print_table
from flax_vision.cli.output_file import check_markdown, check_picture
from flax_vision.errors import UserError
from flax_vision.papers.catalog import PAPERS, find_experiment, find_paper, runnable
from flax_vision.runtime.files import expanded_path, write_errors
from flax_vision.runtime.terminal import print_note, print_warning
from flax_vision.text import printable

if TYPE_CHECKING:
    from flax_vision.papers.items.item import Item, Paper
    from flax_vision.papers.outcome import Outcome
    from flax_vision.papers.runs import ExperimentOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("paper", nargs="?", metavar="PAPER", help=f"one of {', '.join(PAPERS)}")
    add("item", nargs="?", metavar="ITEM", help="table, figure or section, such as fig6")
    add("--all", action="store_true", help="run every experiment, and write one page about all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="train as in the paper, on its data")
    smoke = "train on a few images for seconds, to try the command"
    size.add_argument("--smoke", action="store_true", help=smoke)
    data = "dataset (default: mnist_5k, or the paper's with --full)"
    add("--data", default="", metavar="NAME", help=data)
    seeds = "seeds (default: 0; 0,1,2 for some experiments of lenet5)"
    add("--seeds", type=_seeds, default=(), metavar="N,N", help=seeds)
    workdir = "directory of the runs and figures (default: runs/papers)"
    add("--workdir", type=expanded_path, default="runs/papers", metavar="DIR", help=workdir)
    picture = "also write the figure into a .png, .pdf or .svg file, or with --all the page as .md"
    add("-o", "--output", type=expanded_path, metavar="FILE", help=picture)
    add_shared(parser, "--tfds-dir", default="", help="directory of prepared sets")
    add_shared(parser, "--overwrite", "--format")


def _seeds(text: str) -> tuple[int, ...]:
    """Returns different seeds from a text such as `0,1,2`."""
    words = text.split(",")
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} has no seeds; give numbers such as 0,1,2")
    seeds = tuple(map(int, words))
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text!r} has a seed twice; give it once")
    return seeds


def run(options: argparse.Namespace) -> int:
    """Lists items or runs experiments, and returns the exit status."""
    papers = [find_paper(options.paper)] if options.paper else list(PAPERS.values())
    if options.all and options.item:
        raise UserError(f"--all runs every item; leave out {options.item!r}, or --all.")
    if not (options.all or options.item):
        _list(papers, options)
        return 0
    from flax_vision.training.signals import Interrupted

    try:
        return _run_all(papers, options) if options.all else _run_item(papers[0], options)
    except Interrupted as interrupted:
        print_note(interrupted)
        print_note("Finished runs are kept. To resume, repeat the command.")
        return interrupted.exit_status


def _list(papers: "list[Paper]", options: argparse.Namespace) -> None:
    """Prints the items of one paper, or the counts of several."""
    chosen = options.full or options.smoke or options.output or options.data or options.seeds
    if chosen:
        raise UserError(
            "there is no ITEM to run; give a paper and an item, such as resnet fig6, or --all."
        )
    if len(papers) == 1:
        rows: list[dict[str, Any]] = [_item_row(item) for item in papers[0].items]
        if options.format == "table":
            print(f"{papers[0].title}. {papers[0].authors}.\n")
    else:
        rows = [_item_row(item, paper) for paper in papers for item in paper.items]
    print_table(rows, options.format)
    if options.format == "table":
        print("\n`flax-vision paper PAPER ITEM` runs an item whose column `runs` is yes.")


def _item_row(item: "Item", paper: "Paper | None" = None) -> dict[str, Any]:
    """Returns the row of an item; the note is left out in a list of several papers."""
    row: dict[str, Any] = {"paper": paper.name} if paper else {}
    row |= {"item": item.name, "state": item.state, "runs": "yes" if item.runnable else "no"}
    row["title"] = item.title
    return row if paper else row | {"note": item.note}


def _run_item(paper: "Paper", options: argparse.Namespace) -> int:
    """Runs one experiment, prints its findings, and copies its figure."""
    item = find_experiment(paper, options.item)
    if options.output:
        check_picture("--output", Path(options.output), options.overwrite)
    from flax_vision.cli.paper_display import ExperimentDisplay
    from flax_vision.papers.experiments import EXPERIMENTS
    from flax_vision.papers.outcome import picture_path, run_experiment

    experiment = EXPERIMENTS[paper.name][item.name]
    choices = _choices(options)
    _print_estimate(paper, item, choices)
    outcome, analysis = run_experiment(paper, item, experiment, choices, ExperimentDisplay())
    figure = picture_path(outcome, paper, item, choices)
    _print(outcome, item, figure, options.format)
    if options.output:
        path = Path(options.output)
        with write_errors(path, "give another --output"):
            analysis.draw().savefig(path)
    return 0


def _run_all(papers: "list[Paper]", options: argparse.Namespace) -> int:
    """Runs all experiments, writes the page, and returns the exit status."""
    from flax_vision.cli.paper_display import ExperimentDisplay
    from flax_vision.papers.experiments import EXPERIMENTS
    from flax_vision.papers.gallery import write_gallery, write_markdown
    from flax_vision.papers.outcome import read_outcome, run_experiment

    choices, outcomes, failed = _choices(options), [], 0
    if options.output:
        check_markdown("--output", Path(options.output), options.overwrite)
    todo = [(paper, item) for paper in papers for item in runnable(paper.items)]
    for number, (paper, item) in enumerate(todo, 1):
        print_note(f"experiment {number} of {len(todo)}: {paper.name} {item.long_name}")
        try:
            outcome = read_outcome(paper, item, choices)
            if outcome is None:
                experiment = EXPERIMENTS[paper.name][item.name]
                _print_estimate(paper, item, choices)
                outcome, _ = run_experiment(paper, item, experiment, choices, ExperimentDisplay())
        except UserError as error:
            failed += 1
            print_warning(f"{paper.name} {item.name} is left out: {error}")
            continue
        outcomes.append((paper, item, outcome))
        page = write_gallery(outcomes, choices, options.paper or "")
    if not outcomes:
        raise UserError("no experiment could run; the warnings above say why.")
    if options.output:
        write_markdown(outcomes, choices, Path(options.output))
    print(printable(page))
    return 1 if failed else 0


def _print_estimate(paper: "Paper", item: "Item", choices: "ExperimentOptions") -> None:
    """Prints the time of an experiment that trains, except for the smoke form."""
    from flax_vision.cli.training_display import format_duration
    from flax_vision.papers.estimate import estimate_seconds
    from flax_vision.papers.experiment import SMOKE
    from flax_vision.papers.experiments import EXPERIMENTS

    if choices.size == SMOKE:
        return
    seconds = estimate_seconds(EXPERIMENTS[paper.name][item.name], choices)
    if seconds:
        print_note(
            f"estimate for two cores: {format_duration(seconds)}, less what earlier runs have done"
        )


def _choices(options: argparse.Namespace) -> "ExperimentOptions":
    from flax_vision.papers.runs import ExperimentOptions

    size = "full" if options.full else "smoke" if options.smoke else "reduced"
    return ExperimentOptions(
        size, options.data, options.seeds, options.tfds_dir, Path(options.workdir)
    )


def _print(outcome: "Outcome", item: "Item", figure: Path, form: str) -> None:
    """Prints the table, the reductions, and the command."""
    from flax_vision.cli.training_display import format_duration
    from flax_vision.papers.outcome import as_json, table_rows

    if form == "json":
        print(json.dumps(as_json(outcome, figure), indent=2))
        return
    print(f"{outcome.paper}, {item.long_name}: {outcome.title}\n")
    print_table(table_rows(outcome.rows), form)
    print()
    lines = {
        "reduced": "; ".join(outcome.reduced),
        "note": outcome.note,
        "command": outcome.command,
        "training time": format_duration(outcome.train_seconds) if outcome.train_seconds else "",
        "time": format_duration(outcome.seconds),
        "figure": printable(figure),
    }
    for name, text in lines.items():
        if text:
            print(f"{name}: {text}")
