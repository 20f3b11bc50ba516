"""Tables of labels: CSV files with the path, the class and perhaps the split of each image."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flax_vision.data.flags import DataFlags
from flax_vision.data.image_folder import ALL, SPLIT_FOLDERS, split_of
from flax_vision.errors import UserError, unknown
from flax_vision.runtime.files import read_regular
from flax_vision.text import counted, listed, nfc

_PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
_LABEL_NAMES = ("label", "class", "category", "target")
_SPLIT_NAMES = ("split", "set", "subset")

_DELIMITERS = ",;\t"

_MAX_NAMED = 8
"""Number of columns that a message names."""


class TableFile(NamedTuple):
    """A file with a table of labels, as in `config.data`.

    Attributes:
      path: Path of the file.
      image_column: Name of the column with the paths; empty to find it.
      label_column: Name of the column with the classes; empty to find it.
    """

    path: str
    image_column: str = ""
    label_column: str = ""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      line: Line of the file, from 1.
      path: Path of the image, relative to the folder.
      label: Name of the class, in Unicode's form NFC.
      split: One of the splits; `ALL` without a column of splits.
    """

    line: int
    path: str
    label: str
    split: str


class _Columns(NamedTuple):
    """Indices of the columns; None for no column."""

    path: int
    label: int
    split: int | None


class TableReader:
    """Reader of a table's rows, and the errors about it.

    Args:
      table: The file.
      root: Folder of the images.
      flags: Flags that error messages name.
    """

    def __init__(self, table: TableFile, root: Path, flags: DataFlags) -> None:
        self.table, self.root, self.flags = table, root, flags
        self.name = f"{flags.labels.rstrip(' =')} {table.path!r}"

    def rows(self) -> Iterator[Row]:
        """Yields the rows below the header.

        Raises:
          UserError: The file cannot be read, has no rows, or a row is invalid.
        """
        records = self._records()
        _, header = next(records, (0, []))
        if not header:
            raise UserError(
                f"{self.name} is empty; give a CSV file whose first line names its columns, such "
                "as path,label."
            )
        columns, line = self._columns(header), 0
        for line, fields in records:
            if len(fields) != len(header):
                raise self.error(
                    line,
                    f"has {counted(len(fields), 'field')}, and the first line {len(header)}; "
                    "put fields with a delimiter into double quotes",
                )
            yield self._row(line, fields, columns)
        if not line:
            raise UserError(f"{self.name} has no rows below the names of its columns; add some.")

    def error(self, line: int, problem: str) -> UserError:
        """Returns an error about a line."""
        return UserError(f"{self.name}, line {line:,} {problem}.")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the line and the fields of each record that is not blank."""
        text = self._text()
        first_line = text.lstrip().partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first_line.count)
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        line = 1
        try:
            for record in reader:
                fields = [field.strip() for field in record]
                if any(fields):
                    yield line, fields
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.error(line, f"is not valid CSV ({error}); correct it") from error

    def _text(self) -> str:
        try:
            content = read_regular(Path(self.table.path))
        except FileNotFoundError as error:
            flag = self.flags.labels
            raise UserError(
                f"{self.name} does not exist; give {flag}FILE, a CSV file with the columns path "
                "and label."
            ) from error
        except OSError as error:
            raise UserError(
                f"{self.name} cannot be read ({error.strerror}); give a CSV file."
            ) from error
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise self.error(line, "is not UTF-8; save the table as UTF-8") from error

    def _columns(self, header: Sequence[str]) -> _Columns:
        """Returns the columns by their names."""
        given, flags = self.table, self.flags
        label = self._require(header, _LABEL_NAMES, given.label_column, "label", flags.label_column)
        path = self._require(header, _PATH_NAMES, given.image_column, "path", flags.image_column)
        rest = ["" if i in (label, path) else name for i, name in enumerate(header)]
        return _Columns(path, label, self._find(rest, _SPLIT_NAMES, "", "split", ""))

    def _require(
        self, header: Sequence[str], names: Sequence[str], given: str, kind: str, flag: str
    ) -> int:
        """Returns the column as `_find` does; a UserError if there is none."""
        column = self._find(header, names, given, kind, flag)
        if column is None:
            raise UserError(
                f"{self.name} has no column for the {kind}, only {listed(header, _MAX_NAMED)}; "
                f"name one {kind} in the first line, or give {flag}NAME."
            )
        return column

    def _find(
        self, header: Sequence[str], names: Sequence[str], given: str, kind: str, flag: str
    ) -> int | None:
        """Returns the column of a given name, or the only column of one of `names`.

        Args:
          header: Names of the columns.
          names: Names to look for, in lower case.
          given: Name that the user gives; empty for none.
          kind: Meaning of the column.
          flag: Flag for the name; empty for splits, which have none.
        """
        wanted = [_folded(given)] if given else names
        found = [i for i, name in enumerate(header) if _folded(name) in wanted]
        if given and not found:
            raise unknown(f"column of {self.table.path!r}", given, header)
        if len(found) > 1:
            columns = listed([repr(header[i]) for i in found], _MAX_NAMED)
            advice = f"give {flag}NAME" if flag and not given else "rename all but one of them"
            raise UserError(
                f"{self.name} has several columns that could be the {kind}: {columns}; {advice}."
            )
        return found[0] if found else None

    def _row(self, line: int, fields: Sequence[str], columns: _Columns) -> Row:
        path, label = fields[columns.path], nfc(fields[columns.label])
        for kind, text in (("path", path), ("label", label)):
            if not text:
                raise self.error(line, f"has no {kind}; add it, or remove the line")
        split = ALL
        if columns.split is not None:
            split = split_of(fields[columns.split])
            if not split:
                valid = ", ".join(name for names in SPLIT_FOLDERS.values() for name in names)
                raise self.error(
                    line, f"has the unknown split {fields[columns.split]!r}; valid: {valid}"
                )
        return Row(line, self._relative(line, path), label, split)

    def _relative(self, line: int, path: str) -> str:
        """Returns a path relative to the folder, in its shortest form."""
        relative = os.path.normpath(path)
        if os.path.isabs(relative):
            relative = os.path.relpath(relative, self.root.absolute())
        if relative.split(os.sep, 1)[0] == os.pardir:
            raise self.error(
                line,
                f"has the path {path!r}, which is outside of {str(self.root)!r}; give "
                f"{self.flags.image_dir}DIR with a folder of all images",
            )
        return relative


def _folded(name: str) -> str:
    return nfc(name).strip().casefold().replace(" ", "_").replace("-", "_")
