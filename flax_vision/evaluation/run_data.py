"""What is tested: a trained network, and the images that it is tested on."""

from pathlib import Path
from typing import Any, Literal

from flax_vision.data import fingerprint
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.flags import MAX_PIXELS, DataFlags
from flax_vision.data.splits import SPLITS, Source, read_split
from flax_vision.errors import UserError, unknown
from flax_vision.runtime.paths import expanded_path
from flax_vision.text import counted, nfc
from flax_vision.weights.run_files import CONFIG, RESTORE, read_config, read_dataset
from flax_vision.weights.saved_model import ModelMetadata

_NEEDED = {"name", "tfds_dir", "val_fraction"}
"""Required keys of a run's data configuration; a folder also needs a path."""

OPTIONS = DataFlags(
    name="--data ",
    tfds_dir="--tfds-dir ",
    image_dir="--image-dir ",
    on_error="--on-error ",
    max_pixels="--max-pixels ",
    one_size="the network was trained on small ones, in memory; give a set of such, or a folder of "
    "images, --image-dir DIR.",
)
"""Of this program."""


def find_source(
    path: Path,
    metadata: ModelMetadata,
    name: str | None,
    directory: str | None = None,
    folder: str | None = None,
    on_error: Literal["stop", "skip"] | None = None,
    max_pixels: int | None = None,
) -> Source:
    """Returns the data of a run, or others.

    Args:
      path: a run directory, its export, or another export.
      metadata: of the network.
      name: of another data set than the run's.
      directory: another than the run's; that of the run is for the run's own set only.
      folder: of photographs, in place of a set with a name.
      on_error: what becomes of photographs that cannot be read; None for as in the run.
      max_pixels: Bound on the pixels of a photograph; None for the run's.

    Raises:
      UserError: no set is named, and there is no run that says which it was trained on, or its
        folder is not there; or a folder is given, and a set.
    """
    directory, folder = (x and expanded_path(x) for x in (directory, folder))
    own = run_configuration(path).get("data", {})
    wanted = name or ("folder" if folder is not None else own.get("name"))
    if wanted is None:
        raise UserError(
            f"{str(path)!r} has no config.json that says what it was trained on; give --data NAME, "
            "such as --data mnist_5k, or --image-dir DIR with a folder of images for each class."
        )
    if folder is not None and wanted != "folder":
        raise UserError(
            f"--image-dir is {folder!r}, and --data is {wanted!r}; give one of the two."
        )
    is_own = wanted == own.get("name") and (
        folder is None or _is_same(folder, own.get("image_dir", ""))
    )
    others = {
        "image_dir": folder or "",
        "val_fraction": own.get("val_fraction", 0.0),
        "test_fraction": 1.0,
    }
    data = own if is_own else others
    if is_own and folder is None and wanted == "folder":
        _check_there(path, Path(data["image_dir"]))
    reading = _reading(
        metadata,
        wanted,
        on_error or own.get("on_error", "stop"),
        own.get("num_threads", 0),
        own.get("max_pixels", MAX_PIXELS) if max_pixels is None else max_pixels,
    )
    return Source(
        wanted,
        data.get("tfds_dir", "") if directory is None else directory,
        data.get("image_dir", ""),
        data["val_fraction"],
        data.get("test_fraction", 0.0),
        reading,
        metadata.class_names if wanted == "folder" else (),
        OPTIONS,
    )


def _check_there(path: Path, folder: Path) -> None:
    """Raises a UserError where the folder that a run was trained on is gone."""
    if not folder.is_dir():
        where = "" if folder.is_absolute() else ", seen from where training was started"
        raise UserError(
            f"the folder that {str(path)!r} was trained on is not there: {str(folder)!r}{where}; "
            "give --image-dir DIR."
        )


def _is_same(folder: str, other: str) -> bool:
    first, second = (Path(path).resolve() for path in (folder, other))
    return first == second


def _reading(
    metadata: ModelMetadata,
    name: str,
    on_error: Literal["stop", "skip"],
    threads: int,
    max_pixels: int,
) -> DecodeConfig | None:
    """Returns how the images of a set are read; None where they are small and in memory."""
    crop = view_of(metadata) if name == "folder" else metadata.crop
    if crop is None or name == "mnist_5k":
        return None
    return DecodeConfig(crop, on_error, threads, OPTIONS, max_pixels)


def view_of(metadata: ModelMetadata) -> CropPolicy:
    """Returns what a network sees of photographs, where it was trained on small images too.

    Raises:
      UserError: these were no squares.
    """
    height, width, channels = metadata.image_shape
    if metadata.crop is None and height != width:
        raise UserError(
            f"{metadata.name} was trained on images of {height}x{width}, and photographs are cut "
            "to squares for it; give --data NAME, with images of that size."
        )
    return metadata.crop or CropPolicy(height, height, (height, height), channels=channels)


def run_configuration(path: Path) -> dict[str, Any]:
    """Returns the configuration of the run in a directory, or of the one whose export it is.

    Returns:
      Nested dictionaries; empty for an export outside a run directory.

    Raises:
      UserError: it cannot be read.
    """
    run = _run_directory(path)
    configuration = read_config(run)
    data = configuration.get("data", {})
    missing = _NEEDED - data.keys() or (
        {"image_dir"} - data.keys() if data["name"] == "folder" else ()
    )
    if configuration and missing:
        raise UserError(f"{run / CONFIG} is damaged (data has no {min(missing)}); {RESTORE}.")
    return configuration


def _run_directory(path: Path) -> Path:
    path = path.absolute()
    is_export = path.name == "export" and (path / "model.json").exists()
    return path.parent if is_export else path


def load_split(source: Source, split: str, on_progress: ProgressFn) -> Dataset:
    """Reads one part of a data set.

    Raises:
      UserError: the set cannot be had, or the part is empty.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    images = read_split(source, split, on_progress)
    if not len(images):
        if source.name == "folder" and source.test_fraction == 1:
            raise UserError(
                f"{source.image_dir!r} has no {split} images, for it has no folder of that name; "
                "without a folder train/ all of it is --split test. Choose another --split."
            )
        raise UserError(
            f"{source.name!r} has no {split} images: the share of the training set that chooses "
            f"the best model is {source.val_fraction:g}. Choose --split train or test."
        )
    return images


def have_changed(path: Path, source: Source, split: str, images: Dataset) -> str:
    """Returns a warning where a run had others than these images; else nothing.

    Args:
      path: as in `find_source`.
      source: the data of the run, or others, which are compared with nothing.
      split: the part that the images are.
      images: what there is of it.

    Raises:
      UserError: what the run wrote down of its images cannot be read.
    """
    own = run_configuration(path).get("data", {})
    is_own = (source.name, source.test_fraction) == (own.get("name"), own.get("test_fraction", 0.0))
    hint = "delete it to go on without comparing the images"
    kept = read_dataset(_run_directory(path), hint) if is_own else None
    if kept is None:
        return ""
    changed = fingerprint.describe_changes(kept[split], fingerprint.dataset_fingerprint(images))
    if not changed:
        return ""
    return (
        f"these are not the {split} images of the run ({changed}): the result cannot be compared "
        "with its own, and it may have learned from some of them"
    )


def has_moved(path: Path, source: Source) -> str:
    """Returns a warning where a folder may be the one that a run was trained on; else nothing."""
    own = run_configuration(path).get("data", {})
    if not own or own["name"] != "folder" or source.name != "folder" or source.test_fraction != 1:
        return ""
    if Path(own["image_dir"]).is_dir():
        return ""
    return (
        f"the run's own folder {own['image_dir']!r} is not there; if {source.image_dir!r} is the "
        "same one, "
        "most of its images were trained on"
    )


def check_fit(metadata: ModelMetadata, image_set: Dataset, name: str) -> None:
    """Raises a UserError where a network cannot tell the classes, or take the channels, of a set.

    Args:
      metadata: of the network.
      image_set: the images.
      name: of the data set.
    """
    known, given = len(metadata.class_names), len(image_set.class_names)
    if known != given:
        raise UserError(
            f"{metadata.name} tells {counted(known, 'class', 'classes')} apart, and {name!r} has "
            f"{given:,}; give a set with the same classes."
        )
    ours, theirs = (
        metadata.preprocessing.channels or channels if channels == 1 else channels
        for channels in (metadata.image_shape[-1], image_set.image_shape[-1])
    )
    if ours != theirs:
        raise UserError(
            f"{metadata.name} was trained on images of {counted(ours, 'channel')}, and those of "
            f"{name!r} have {theirs}; give a set of the same kind."
        )


def other_names(metadata: ModelMetadata, image_set: Dataset, name: str) -> str:
    """Returns a warning where the classes of a set have other names; else nothing."""
    for index, (ours, theirs) in enumerate(
        zip(metadata.class_names, image_set.class_names, strict=True)
    ):
        if nfc(ours) != nfc(theirs):
            return (
                f"class {index} is {ours!r} to the network and {theirs!r} in {name!r}; classes are "
                "compared by their numbers"
            )
    return ""
