"""Tables of the Hugging Face Hub, of parquet files, and of `save_to_disk`, opened by `datasets`."""

import contextlib
import glob
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.file_list import natural
from flax_vision.data.flags import HUGGING_FACE
from flax_vision.data.image_folder import split_of
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path
from flax_vision.text import counted

_SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes for a dataset with splits, and for one without."""

_NO_SPLIT = "rows"
"""Name of the only table of a dataset without splits; `datasets` reserves `all`."""

_SUFFIX = ".parquet"


def open_tables(name: str, on_progress: ProgressFn) -> tuple[dict[str, Any], list[str]]:
    """Opens a dataset; `datasets` keeps an Arrow copy of parquet files in its cache.

    Args:
      name: Name as for `hugging_face_loaders`.
      on_progress: Function that gets a text, and 0 of an unknown total.

    Returns:
      Tables by the names of their splits, or one of any name; and sentences about unused files.

    Raises:
      UserError: The library is not installed, or the dataset cannot be found or read.
    """
    spec = name.removeprefix(HUGGING_FACE)
    path = Path(expanded_path(spec))
    library = _library(name)
    on_progress(f"opening {name}", 0, 0)
    with signals_first(name, on_progress), _quiet(library):
        if spec and path.exists():
            return _open_path(library, name, path)
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?::(.+))?", spec, re.ASCII)
        if not match or spec.startswith(".") or spec.endswith(_SUFFIX):
            raise UserError(
                f"dataset {name!r} does not exist: {str(path)!r} is no file or folder; give "
                f"{HUGGING_FACE}PATH of parquet files, or {HUGGING_FACE}OWNER/NAME of the Hub."
            )
        return _open_hub(library, name, match[1], match[2])


@contextlib.contextmanager
def signals_first(name: str, on_progress: ProgressFn) -> Iterator[None]:
    """Reports progress before a UserError, because the function raises an error after a signal.

    The libraries that open tables and images turn the first exception of a signal into their own.
    """
    try:
        yield
    except UserError:
        on_progress(f"opening {name}", 0, 0)
        raise


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"dataset {name!r} needs the library datasets, which is not installed: "
            "pip install 'flax_vision[hf]'."
        ) from error
    return datasets


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Silences the progress bars and the log messages, such as those about the network."""
    loggers = [logging.getLogger(x) for x in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    is_silent = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not is_silent:
            library.enable_progress_bars()


def _open_path(library: Any, name: str, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Opens a saved dataset, a parquet file, or the parquet files in a folder."""
    if any((path / file).is_file() for file in _SAVED):
        with _damage_as_user_error(name, "save it again"):
            return _tables(library.load_from_disk(str(path))), []
    by_split, warnings = _parquet_files(path)
    # The library takes paths as patterns, and fails for files without rows.
    patterns = {
        split: [glob.escape(str(file)) for file in files if _row_count(file)]
        for split, files in by_split.items()
    }
    patterns = {split: files for split, files in patterns.items() if files}
    if not patterns:
        raise UserError(f"dataset {name!r} has no rows; give one with images.")
    with _damage_as_user_error(name, "write its files again"):
        return _tables(library.load_dataset("parquet", data_files=patterns)), warnings


def _tables(dataset: Any) -> dict[str, Any]:
    return dict(dataset) if isinstance(dataset, Mapping) else {_NO_SPLIT: dataset}


def _parquet_files(path: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Returns the parquet files by split, or all by `_NO_SPLIT`, and sentences about unused ones.

    The name of a file or of its folder has the name of the split, as in
    `train-00000-of-00002.parquet`.
    """
    if path.is_file() and path.suffix.lower() == _SUFFIX:
        return {_NO_SPLIT: [path]}, []
    files = [path / x for x in natural(map(str, _inner_files(path)))] if path.is_dir() else []
    if not files:
        found = f"has no {_SUFFIX} file in it" if path.is_dir() else f"is no {_SUFFIX} file"
        raise UserError(
            f"{str(path)!r} {found}; give a parquet file, a folder with such files, or a dataset "
            "saved by save_to_disk."
        )
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_split[_split_of_file(file.relative_to(path))].append(file)
    others = by_split.pop("", [])
    if not by_split:
        return {_NO_SPLIT: others}, []
    if not others:
        return by_split, []
    example = str(others[0])
    return by_split, [f"skipped {counted(len(others), 'file')} of no split, such as {example!r}"]


def _inner_files(folder: Path) -> Iterator[Path]:
    """Yields the relative paths of the parquet files in a folder that are not hidden."""
    for file in folder.rglob("*"):
        relative = file.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if file.suffix.lower() == _SUFFIX and not is_hidden and file.is_file():
            yield relative


def _split_of_file(path: Path) -> str:
    """Returns the split that the name of a file, or of a folder of it, has; empty for none."""
    words = [x for part in reversed(path.parts) for x in re.split("[^a-z]+", part.casefold())]
    return next(filter(None, map(split_of, words)), "")


def _row_count(file: Path) -> int:
    """Returns the number of rows of a parquet file, whose name an error has."""
    from pyarrow import ArrowException, parquet

    try:
        return parquet.read_metadata(file).num_rows
    except (OSError, ArrowException) as error:
        raise UserError(
            f"{str(file)!r} cannot be read ({_reason(error)}); write it again or remove it."
        ) from error


@contextlib.contextmanager
def _damage_as_user_error(name: str, hint: str) -> Iterator[None]:
    """Turns the errors of `datasets`, which have many types, into UserErrors."""
    try:
        yield
    except Exception as error:
        reason = _reason(error.__cause__ or error)
        if "space" in reason:  # of the system, or of a check before the copy
            hint = "free some, or set HF_HOME to a folder on another disk"
        raise UserError(f"dataset {name!r} cannot be read ({reason}); {hint}.") from error


def _reason(error: BaseException) -> str:
    """Returns the first line of an error, without its last period."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def _open_hub(
    library: Any, name: str, repository: str, config: str | None
) -> tuple[dict[str, Any], list[str]]:
    """Opens a dataset of the Hub, or its copy in the cache."""
    page = f"https://huggingface.co/datasets/{repository}"
    try:
        return _tables(library.load_dataset(repository, config)), []
    except library.exceptions.DatasetNotFoundError as error:
        if "gated" in str(error):
            problem, hint = "is gated", f"accept its terms at {page}, then run `hf auth login`"
        else:
            problem = f"is neither a path nor a dataset of the Hub that you may read ({page})"
            hint = "correct the name; for a private one run `hf auth login`"
    except ConnectionError:
        problem = "is not in the cache, and the Hub cannot be reached"
        hint = (
            "check the network and HF_HUB_OFFLINE, or download it elsewhere by `hf download "
            f"{repository} --repo-type dataset --local-dir DIR` and give {HUGGING_FACE}DIR"
        )
    except Exception as error:
        problem = f"cannot be read ({_reason(error.__cause__ or error)})"
        hint = f"see {page}; {HUGGING_FACE}{repository}:CONFIG chooses one of its configurations"
    raise UserError(f"dataset {name!r} {problem}; {hint}.")
