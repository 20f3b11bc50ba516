"""Checks of output files, before a command runs for long."""

from pathlib import Path

from flax_vision.errors import UserError

_PICTURES = (".png", ".pdf", ".svg")


def check_output_file(flag: str, path: Path, overwrite: bool) -> None:
    """Checks that a file can be written.

    Args:
      flag: Flag that names the file, for messages.
      path: The file.
      overwrite: Whether an existing file may be replaced.

    Raises:
      UserError: The file exists, is a directory, or is in a missing folder.
    """
    problems = {
        "is a directory; give the name of a file": path.is_dir(),
        "exists; give --overwrite, or another name": path.exists() and not overwrite,
        "is in a folder that does not exist; create it": not path.absolute().parent.is_dir(),
    }
    for problem, is_present in problems.items():
        if is_present:
            raise UserError(f"{flag} {str(path)!r} {problem}.")


def check_markdown(flag: str, path: Path, overwrite: bool) -> None:
    """Checks that a Markdown page can be written; for the arguments see `check_output_file`.

    Raises:
      UserError: As in `check_output_file`, or the file has another extension than `.md`.
    """
    check_output_file(flag, path, overwrite)
    if path.suffix.lower() != ".md":
        raise UserError(f"{flag} {str(path)!r} is a page with all figures; give a .md file.")


def check_picture(flag: str, path: Path, overwrite: bool) -> None:
    """Checks that a picture can be written; for the arguments see `check_output_file`.

    Raises:
      UserError: As in `check_output_file`, or the file has another extension than a picture.
    """
    check_output_file(flag, path, overwrite)
    if path.suffix.lower() not in _PICTURES:
        raise UserError(
            f"{flag} {str(path)!r} has no valid extension; give a .png, .pdf or .svg file."
        )
