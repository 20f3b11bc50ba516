"""Finds config files by path or by name, such as `lenet5`."""

import difflib
from pathlib import Path

from flax_vision.errors import UserError, unknown

_PACKAGE_FOLDER = Path(__file__).parents[1]
LOCAL_FOLDER = Path("configs")
"""Folder of config files in the current directory."""


def installed_folder() -> Path:
    """Returns the folder of this library's config files, in the package or beside it."""
    installed = _PACKAGE_FOLDER / "configs"
    return installed if installed.is_dir() else _PACKAGE_FOLDER.parent / "configs"


def config_names() -> list[str]:
    """Returns the sorted names of the config files in `LOCAL_FOLDER` and of this library."""
    folders = LOCAL_FOLDER, installed_folder()
    return sorted({file.stem for folder in folders for file in folder.glob("[!_]*.py")})


def find_config(name: str) -> Path:
    """Returns the path of a config file.

    An existing file comes first, then `configs/NAME.py`, then this library's config NAME.

    Args:
      name: Path, or name without folder and extension.

    Raises:
      UserError: There is no such file.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise UserError(
            f"config file {name!r} cannot be read ({error.strerror}); give another --config."
        ) from error
    if path.name != name or path.suffix == ".py":
        raise _no_file(path)
    for folder in (LOCAL_FOLDER, installed_folder()):
        if (file := folder / f"{name}.py").is_file():
            return file
    raise unknown("config", name, config_names())


def _no_file(path: Path) -> UserError:
    """Returns the error for a missing file, with the nearest file or name."""
    siblings = sorted(str(file) for file in path.parent.glob("*.py") if file != path)
    nearest = difflib.get_close_matches(str(path), siblings, n=1)
    nearest += difflib.get_close_matches(path.stem, config_names(), n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    found = ", ".join(siblings) or "no .py file"
    return UserError(f"no config file {str(path)!r}{hint} In {path.parent}: {found}.")
