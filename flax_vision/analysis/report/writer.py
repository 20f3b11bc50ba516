"""Writes the report of a run and the pages with its mistakes."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import jax

from flax_vision.analysis.report import class_sections, sections
from flax_vision.analysis.report.augmented_images import augmented_images
from flax_vision.analysis.report.html import THEMES, Section
from flax_vision.analysis.report.html import page as render_page
from flax_vision.analysis.report.mistake_events import write_mistake_events
from flax_vision.analysis.report.mistakes import all_mistakes
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.analysis.report.trained_run import TrainedRun, open_trained_run
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.splits import unreadable_warning
from flax_vision.errors import UserError
from flax_vision.evaluation.data_options import DataOptions
from flax_vision.evaluation.data_warnings import data_warning
from flax_vision.evaluation.evaluator import build_evaluator
from flax_vision.evaluation.grouping import predict_groups, whole_images
from flax_vision.evaluation.metrics import with_prefix
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import load_images
from flax_vision.models.summary import summarize
from flax_vision.runtime.files import replaced_file, to_path
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
    content = list(_sections(run, tested, warnings, augmented_images(run, on_progress)))
    return _write(run.path / FOLDER, _page(run, content), content), "; ".join(warnings)


def write_mistakes(
    path: str | Path,
    split: str,
    on_progress: ProgressFn = lambda what, done, total: None,
    **options: Unpack[DataOptions],
) -> tuple[Path, str]:
    """Writes the page `report/mistakes-SPLIT.html` with all mistakes of a run on a split.

    On training images, the most confident mistakes are often wrong labels.

    Args:
      path: The run directory.
      split: `"train"`, `"validation"` or `"test"`.
      on_progress: Function of a text, the number of finished images and the number of all images.
      **options: Choice of other images than the run's.

    Returns:
      The path of the page, and the warnings on it; empty for none.

    Raises:
      UserError: There is no run, or its images cannot be read.
      OSError: The page cannot be written.
    """
    run = open_trained_run(to_path(path))
    (run.path / FOLDER).mkdir(exist_ok=True)  # fails before anything takes long
    source, images = load_images(run.path, run.loaded.metadata, split, on_progress, **options)
    tested = _tested(run, images, on_progress, split)
    image_warning = data_warning(run.path, source, split, images)
    notes = (run.loaded.note, *images.warnings, image_warning, unreadable_warning([images]))
    warnings = [text for text in notes if text]
    names, counts = run.loaded.metadata.class_names, tested.predictions.totals.classes
    content = [
        *_warnings(warnings),
        all_mistakes(tested, names),
        class_sections.classes(counts, names),
        sections.confusions(tested, names),
        class_sections.calibration(counts, tested.kind),
    ]
    page = render_page(
        title=f"Mistakes of {run.loaded.metadata.name} on {run.config['data']['name']}",
        subtitle=f"Predictions for the {tested.kind} images.",
        facts=_facts(_averages(tested, split), split),
        sections=content,
        footer=_footer(),
    )
    written = _write(run.path / FOLDER, page, content, f"mistakes-{split}.html", f"-{split}")
    return written, "; ".join(warnings)


def _averages(tested: PredictedImages, split: str) -> dict[str, float]:
    """Returns the averages of a split, named as in the result of a run."""
    totals = tested.predictions.totals
    averages = with_prefix(split, totals.averages())
    return averages | {f"{split}/images": int(totals.count)}


def _tested(
    run: TrainedRun, images: Dataset, on_progress: ProgressFn, split: str = "test"
) -> PredictedImages:
    """Returns images with their predicted classes, for the crops of the run's own test."""
    groups = whole_images(images, partial(build_evaluator, run.loaded.metadata, CENTER))
    predictions, _ = predict_groups(groups, run.loaded.variables, None, on_progress)
    return PredictedImages(images, predictions, split)


def _sections(
    run: TrainedRun,
    tested: PredictedImages | None,
    warnings: Sequence[str],
    augmented: Section | None,
) -> Iterator[Section]:
    metadata, model, variables, _ = run.loaded
    yield from _warnings(warnings)
    yield sections.training(run.records, run.config, run.image_counts)
    if augmented is not None:
        yield augmented
    if tested is not None:
        counts = tested.predictions.totals.classes
        yield sections.confusions(tested, metadata.class_names)
        yield class_sections.classes(counts, metadata.class_names)
        yield class_sections.calibration(counts)
        yield all_mistakes(tested, metadata.class_names)
    with contextlib.suppress(UserError):  # a custom model may have no such layer
        yield sections.first_layer(variables)
    if tested is not None:
        yield sections.feature_maps(metadata, model, variables, tested)
    yield sections.layers(summarize(model, metadata.input_shape))
    yield sections.configuration(run.config, run.launches, run.records)


def _warnings(warnings: Sequence[str]) -> list[Section]:
    """Returns a section with the warnings, if there are any."""
    text = " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in warnings)
    return [Section("Warnings", text)] if text else []


def _page(run: TrainedRun, content: Sequence[Section]) -> str:
    metadata = run.loaded.metadata
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.loaded.variables["params"]))
    return render_page(
        title=f"{metadata.name} on {run.config['data']['name']}",
        subtitle=f"{len(metadata.class_names):,} classes; the model takes images of "
        f"{'x'.join(map(str, metadata.input_shape))}.",
        facts=_facts(metadata.metrics) | {"parameters": f"{parameters:,}"},
        sections=content,
        footer=_footer(),
    )


def _footer() -> str:
    return f"Made by flax_vision {version('flax_vision')}, {time.strftime('%Y-%m-%d %H:%M')}."


def _facts(result: Mapping[str, float], split: str = "test") -> dict[str, str]:
    """Returns the main results of a run on a split, by name."""
    titles = {
        "top1": f"{split} top-1",
        "top5": f"{split} top-5",
        "balanced_accuracy": "balanced accuracy",
        "f1": "macro F1",
        "ece": "calibration error",
        "majority_share": "largest class",
    }
    values = {title: result.get(f"{split}/{name}") for name, title in titles.items()}
    facts = {title: f"{value:.2%}" for title, value in values.items() if value is not None}
    if {f"{split}/images", f"{split}/top1"} <= result.keys():
        images = int(result[f"{split}/images"])
        wrong = images - round(result[f"{split}/top1"] * images)
        facts[f"{split} images wrong"] = f"{wrong:,} of {images:,}"
    if "best_epoch" in result:
        facts["best epoch"] = f"{result['best_epoch']:,}"
    if "train_seconds" in result:
        facts["training"] = f"{result['train_seconds']:,.0f} s"
    return facts


def _write(
    folder: Path, page: str, content: Sequence[Section], name: str = _PAGE, suffix: str = ""
) -> Path:
    """Writes the figures, and then replaces the page atomically.

    Args:
      folder: Folder of the report.
      page: Content of the page.
      content: Sections of the page.
      name: Name of the page.
      suffix: Suffix of the names of the figures.
    """
    for section in content:
        for figure in section.figures:
            for theme, png in zip(THEMES, figure.pngs, strict=True):
                (folder / f"{figure.name}{suffix}{theme}.png").write_bytes(png)
    with replaced_file(folder / name) as unfinished:
        unfinished.write_text(page, "utf-8")
    return folder / name
