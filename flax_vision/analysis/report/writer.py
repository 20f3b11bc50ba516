"""Writes the report of a run: a page and its figures."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import jax

from flax_vision.analysis.report import sections
from flax_vision.analysis.report.html import THEMES, Section
from flax_vision.analysis.report.html import page as render_page
from flax_vision.analysis.report.mistake_events import write_mistake_events
from flax_vision.analysis.report.trained_run import TrainedRun, open_trained_run
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluator import build_evaluator
from flax_vision.evaluation.grouping import predict_groups, whole_images
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import DataOptions, data_warning, load_images
from flax_vision.models.summary import summarize
from flax_vision.runtime.files import to_path
from flax_vision.weights.run_files import REPORT_PAGE

FOLDER, _PAGE = REPORT_PAGE.split("/")
"""Folder in the run directory, and page in the folder."""


def write_report(
    path: str | Path,
    images: Dataset | None = None,
    on_progress: ProgressFn = lambda what, done, total: None,
    **options: Unpack[DataOptions],
) -> tuple[Path, str]:
    """Writes the report of a run into its directory.

    The report of an unfinished run shows its best checkpoint.

    Args:
      path: The run directory.
      images: Test images; None to read them again.
      on_progress: Function of a text, the number of finished images and the number of all images.
      **options: Choice of other images to read than the run's.

    Returns:
      The path of the page, and the warnings on it; empty for none.

    Raises:
      UserError: There is no run, or a required file of it is damaged.
      OSError: The report cannot be written.
    """
    run = open_trained_run(to_path(path))
    (run.path / FOLDER).mkdir(exist_ok=True)  # fails before anything takes long
    tested, image_warning = None, ""
    try:
        if images is None:
            source, images = load_images(
                run.path, run.loaded.metadata, "test", on_progress, **options
            )
            image_warning = data_warning(run.path, source, "test", images)
        tested = _tested(run, images, on_progress)
        write_mistake_events(run.path, run.records, tested, run.loaded.metadata.class_names)
    except UserError as error:
        image_warning = f"figures of test images are left out: {str(error).rstrip('.')}"
    warnings = [text for text in (run.loaded.note, *run.warnings, image_warning) if text]
    content = list(_sections(run, tested, warnings))
    return _write(run.path / FOLDER, _page(run, content), content), "; ".join(warnings)


def _tested(run: TrainedRun, images: Dataset, on_progress: ProgressFn) -> sections.Tested:
    """Returns images with their predicted classes, for the crops of the run's own test."""
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
    yield sections.training(run.records, run.config, run.image_counts)
    if tested is not None:
        yield sections.confusions(tested, metadata.class_names)
        yield sections.most_confident_mistakes(tested, metadata.class_names)
    yield sections.first_layer(variables)
    if tested is not None:
        yield sections.feature_maps(metadata, model, variables, tested)
    yield sections.layers(summarize(model, metadata.input_shape))
    yield sections.configuration(run.config, run.launches, run.records)


def _page(run: TrainedRun, content: Sequence[Section]) -> str:
    metadata = run.loaded.metadata
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.loaded.variables["params"]))
    return render_page(
        title=f"{metadata.name} on {run.config['data']['name']}",
        subtitle=f"{len(metadata.class_names):,} classes; the model takes images of "
        f"{'x'.join(map(str, metadata.input_shape))}.",
        facts=_facts(metadata.metrics) | {"parameters": f"{parameters:,}"},
        sections=content,
        footer=f"Made by flax_vision {version('flax_vision')}, {time.strftime('%Y-%m-%d %H:%M')}.",
    )


def _facts(result: Mapping[str, float]) -> dict[str, str]:
    """Returns the main results of a run, by name."""
    titles = {"test/top1": "test top-1", "test/top5": "test top-5"}
    facts = {title: f"{result[key]:.2%}" for key, title in titles.items() if key in result}
    if {"test/images", "test/top1"} <= result.keys():
        images = int(result["test/images"])
        wrong = images - round(result["test/top1"] * images)
        facts["test images wrong"] = f"{wrong:,} of {images:,}"
    if "best_epoch" in result:
        facts["best epoch"] = f"{result['best_epoch']:,}"
    if "train_seconds" in result:
        facts["training"] = f"{result['train_seconds']:,.0f} s"
    return facts


def _write(folder: Path, page: str, content: Sequence[Section]) -> Path:
    """Writes the figures, and then replaces the page atomically."""
    for section in content:
        for figure in section.figures:
            for suffix, png in zip(THEMES, figure.pngs, strict=True):
                (folder / f"{figure.name}{suffix}.png").write_bytes(png)
    unfinished = folder / f".{_PAGE}.unfinished"
    unfinished.write_text(page, "utf-8")
    return unfinished.replace(folder / _PAGE)
