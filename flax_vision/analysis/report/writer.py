"""The report of a run: a page and its pictures, made from the run directory."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax

from flax_vision.analysis.report import sections
from flax_vision.analysis.report.html import THEMES, Section, page
from flax_vision.analysis.report.trained_run import TrainedRun, open_trained_run
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluator import build_evaluator
from flax_vision.evaluation.grouping import predict_groups, whole_images
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import (
    check_compatible,
    data_warning,
    find_source,
    load_split,
)
from flax_vision.models.summary import summarize
from flax_vision.runtime.paths import to_path
from flax_vision.weights.run_files import REPORT_PAGE

FOLDER, _PAGE = REPORT_PAGE.split("/")
"""The folder in the run directory, and the page in it."""


def write_report(
    path: str | Path,
    images: Dataset | None = None,
    directory: str | None = None,
    folder: str | None = None,
    on_progress: ProgressFn = lambda what, done, total: None,
) -> tuple[Path, str]:
    """Writes the report of a run into its directory.

    An unfinished run is shown by its best checkpoint.

    Args:
      path: the run directory.
      images: of the test; None to read them again, as the run did.
      directory: where TFDS keeps its sets; None for where the run found its own.
      folder: of photographs, to be shown in place of the run's own.
      on_progress: called with a text, the images read or tested so far and their number.

    Returns:
      The path of the page, and the warnings on it; empty for none.

    Raises:
      UserError: There is no run, or a required file of it is damaged.
      OSError: the report cannot be written.
    """
    run = open_trained_run(to_path(path))
    (run.path / FOLDER).mkdir(exist_ok=True)  # or fail before anything takes long
    tested, about_images = None, ""
    try:
        if images is None:
            images, about_images = _test_images(run, directory, folder, on_progress)
        tested = _tested(run, images, on_progress)
    except UserError as error:
        about_images = f"pictures of test images are left out: {str(error).rstrip('.')}"
    warnings = [text for text in (run.loaded.note, *run.warnings, about_images) if text]
    shown = list(_sections(run, tested, warnings))
    return _write(run.path / FOLDER, _page(run, shown), shown), "; ".join(warnings)


def _tested(run: TrainedRun, images: Dataset, on_progress: ProgressFn) -> sections.Tested:
    """Returns images with their predicted classes, with the crops of the run's own test."""
    groups = whole_images(images, partial(build_evaluator, run.loaded.metadata, CENTER))
    predictions, _ = predict_groups(groups, run.loaded.variables, None, on_progress)
    return sections.Tested(images, predictions)


def _sections(
    run: TrainedRun, tested: sections.Tested | None, warnings: Sequence[str]
) -> Iterator[Section]:
    metadata, model, variables, _ = run.loaded
    if warnings:
        text = " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in warnings)
        yield Section("Warnings", text)
    yield sections.training(run.records, run.config, run.images)
    if tested is not None:
        yield sections.confusions(tested, metadata.class_names)
        yield sections.most_confident_mistakes(tested, metadata.class_names)
    yield sections.first_layer(variables)
    if tested is not None:
        yield sections.feature_maps(metadata, model, variables, tested)
    yield sections.network(summarize(model, metadata.seen_shape))
    yield sections.configuration(run.config, run.starts, run.records)


def _test_images(
    run: TrainedRun, directory: str | None, folder: str | None, on_progress: ProgressFn
) -> tuple[Dataset, str]:
    """Returns the images of the test, and a warning where they are others than the run's."""
    source = find_source(run.path, run.loaded.metadata, None, directory, folder)
    images = load_split(source, "test", on_progress)
    check_compatible(run.loaded.metadata, images, source.name)
    return images, data_warning(run.path, source, "test", images)


def _page(run: TrainedRun, shown: Sequence[Section]) -> str:
    metadata, made = run.loaded.metadata, time.strftime("%Y-%m-%d %H:%M")
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.loaded.variables["params"]))
    return page(
        title=f"{metadata.name} on {run.config['data']['name']}",
        subtitle=f"{len(metadata.class_names):,} classes; the network sees images of "
        f"{'x'.join(map(str, metadata.seen_shape))}.",
        facts=_facts(metadata.metrics) | {"parameters": f"{parameters:,}"},
        sections=shown,
        footer=f"Made by flax_vision {version('flax_vision')}, {made}.",
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
    if "best_epoch" in result:
        facts["best epoch"] = f"{result['best_epoch']:,}"
    if "train_seconds" in result:
        facts["training"] = f"{result['train_seconds']:,.0f} s"
    return facts


def _write(folder: Path, content: str, shown: Sequence[Section]) -> Path:
    """Writes the pictures, and the page last and at one stroke."""
    for section in shown:
        for figure in section.figures:
            for form, png in zip(THEMES, figure.pngs, strict=True):
                (folder / f"{figure.name}{form}.png").write_bytes(png)
    unfinished = folder / f".{_PAGE}.unfinished"
    unfinished.write_text(content, "utf-8")
    return unfinished.replace(folder / _PAGE)
