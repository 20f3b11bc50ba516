"""The report of a run: a page and its pictures, from what the run left in its directory."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn

from flax_vision.data.image_set import Images, Report
from flax_vision.errors import UserError
from flax_vision.evaluation.measurement import measure
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.showings import as_they_are
from flax_vision.evaluation.subject import (
    check_fit,
    find_source,
    has_moved,
    have_changed,
    load_split,
    run_configuration,
)
from flax_vision.evaluation.trial import prepare
from flax_vision.models.summary import summarize
from flax_vision.report import sections
from flax_vision.report.curves import Records
from flax_vision.report.html import THEMES, Section, page
from flax_vision.report.run_files import read_records, read_starts
from flax_vision.weights import exported
from flax_vision.weights.exported import ModelCard

FOLDER = "report"
"""In the run directory."""


@dataclass(frozen=True)
class _Run:
    """What a run left in its directory."""

    path: Path
    records: Records
    config: Mapping[str, Any]
    starts: Sequence[Mapping[str, Any]]
    card: ModelCard
    model: nn.Module
    variables: Mapping[str, Any]


def write_report(
    path: str | Path,
    images: Images | None = None,
    directory: str | None = None,
    folder: str | None = None,
    report: Report = lambda what, done, total: None,
) -> tuple[Path, str]:
    """Writes the report of a finished run into its directory.

    Args:
      path: the run directory.
      images: of the test; None to read them again, as the run did.
      directory: where TFDS keeps its sets; None for where the run found its own.
      folder: of photographs, to be shown in place of the run's own.
      report: called with a text, the images read or tested so far and their number.

    Returns:
      The page, and what stands on it as a warning; empty for nothing.

    Raises:
      UserError: it is no finished run, or something in it is damaged.
      OSError: the report cannot be written.
    """
    run = _open(Path(path))
    (run.path / FOLDER).mkdir(exist_ok=True)  # or fail before anything takes long
    tested, warning = None, ""
    try:
        if images is None:
            images, warning = _test_images(run, directory, folder, report)
        tested = _tested(run, images, report)
    except UserError as error:
        warning = f"pictures of test images are left out: {error}"
    shown = list(_sections(run, tested, warning))
    return _write(run.path / FOLDER, _page(run, shown), shown), warning


def _tested(run: _Run, images: Images, report: Report) -> sections.Tested:
    """Returns images with what the network takes them for, each seen as in the run's own test."""
    showings = as_they_are(images, partial(prepare, run.card, CENTER))
    return sections.Tested(images, measure(showings, run.variables, None, report))


def _sections(run: _Run, tested: sections.Tested | None, warning: str) -> Iterator[Section]:
    names = run.card.class_names
    yield sections.training(run.records)
    if warning:
        yield Section("Test images", f"{warning[:1].upper()}{warning[1:].rstrip('.')}.")
    if tested is not None:
        yield sections.confusions(tested, names)
        yield sections.most_confident_mistakes(tested, names)
    yield sections.first_layer(run.variables)
    if tested is not None:
        yield sections.feature_maps(run.card, run.model, run.variables, tested)
    yield sections.network(summarize(run.model, run.card.seen_shape))
    yield sections.configuration(run.config, run.starts, run.records)


def _open(path: Path) -> _Run:
    if not (path / "metrics.jsonl").is_file():
        raise UserError(
            f"no run in {str(path)!r}: it has no metrics.jsonl. Give the directory of a finished "
            "run, such as runs/lenet5."
        )
    records, starts = read_records(path / "metrics.jsonl"), read_starts(path / "starts.json")
    config = run_configuration(path)
    if not config:
        raise UserError(f"{path / 'config.json'} is missing; bring it back, as the run wrote it.")
    return _Run(path, records, config, starts, *exported.load_export(path))


def _test_images(
    run: _Run, directory: str | None, folder: str | None, report: Report
) -> tuple[Images, str]:
    """Returns the images of the test, and a warning where they are others than the run's."""
    source = find_source(run.path, run.card, None, directory, folder)
    images = load_split(source, "test", report)
    check_fit(run.card, images, source.name)
    warnings = have_changed(run.path, source, "test", images), has_moved(run.path, source)
    return images, "; ".join(filter(None, warnings))


def _page(run: _Run, shown: Sequence[Section]) -> str:
    card, made = run.card, time.strftime("%Y-%m-%d %H:%M")
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"]))
    return page(
        title=f"{card.name} on {run.config['data']['name']}",
        subtitle=f"{len(card.class_names):,} classes; the network sees images of "
        f"{'x'.join(map(str, card.seen_shape))}.",
        facts=_facts(card.metrics) | {"parameters": f"{parameters:,}"},
        sections=shown,
        footer=f"Made by flax_vision {metadata.version('flax_vision')}, {made}.",
    )


def _facts(result: Mapping[str, float]) -> dict[str, str]:
    """Returns what a run came to, for a person to read."""
    facts = {}
    for name, title in (("test/top1", "test top-1"), ("test/top5", "test top-5")):
        if name in result:
            facts[title] = f"{result[name]:.2%}"
    if {"test/images", "test/top1"} <= result.keys():
        images = int(result["test/images"])
        wrong = images - round(result["test/top1"] * images)
        facts["test images wrong"] = f"{wrong:,} of {images:,}"
    if "best/epoch" in result:
        facts["best epoch"] = f"{result['best/epoch']:,}"
    if "seconds" in result:
        facts["training"] = f"{result['seconds']:,.0f} s"
    return facts


def _write(folder: Path, content: str, shown: Sequence[Section]) -> Path:
    """Writes the pictures, and the page last and at one stroke."""
    for section in shown:
        for figure in section.figures:
            for form, png in zip(THEMES, figure.pngs, strict=True):
                (folder / f"{figure.name}{form}.png").write_bytes(png)
    unfinished = folder / ".index.html.unfinished"
    unfinished.write_text(content, "utf-8")
    return unfinished.replace(folder / "index.html")
