"""Check of the file for a picture, before the work that it shows."""

from pathlib import Path

from flax_vision.errors import UserError


def check_picture(option: str, path: Path, overwrite: bool) -> None:
    """Raises a UserError if a picture could not be written.

    Args:
      option: Option that gives the path.
      path: The picture.
      overwrite: Whether it may replace a file.
    """
    has_extension = path.suffix.lower() in (".png", ".pdf", ".svg")
    problems = {
        "is a directory; give the name of a file": path.is_dir(),
        "exists; give --overwrite, or another name": path.exists() and not overwrite,
        "has no valid extension; give a .png, .pdf or .svg file": not has_extension,
        "is in a folder that does not exist; create it": not path.absolute().parent.is_dir(),
    }
    for problem, is_present in problems.items():
        if is_present:
            raise UserError(f"{option} {str(path)!r} {problem}.")
