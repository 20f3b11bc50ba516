"""Columns of a table with labeled images: the choice of them, and the labels as class numbers."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from flax_vision.data.file_list import natural
from flax_vision.data.flags import DataFlags
from flax_vision.errors import UserError, unknown
from flax_vision.text import counted, listed, nfc

_PANDAS_INDEX = "__index_level_"
"""Prefix of the columns in which pandas saves the index of a table."""

_MAX_NAMED = 8
"""Number of classes or columns that a message names."""


class Columns(NamedTuple):
    """Names of the columns; empty for unknown ones.

    Attributes:
      image: Column of the encoded images.
      label: Column of the labels.
    """

    image: str = ""
    label: str = ""


def find_columns(name: str, table: Any, given: Columns, flags: DataFlags) -> Columns:
    """Returns the columns of the images and of the labels.

    Images are in the column of the feature `Image`, or else in the column of bytes. Labels are in
    the column of the feature `ClassLabel`, or else in the column `label`, or else in the only
    column of texts or whole numbers.

    Args:
      name: Name of the dataset.
      table: `datasets.Dataset`.
      given: Columns that the user names.
      flags: Flags that error messages name.

    Raises:
      UserError: There is no such column, or there are several.
    """
    import datasets

    types = {field.name: field.type for field in table.data.schema}

    def of_feature(kind: type) -> list[str]:
        return [x for x, feature in table.features.items() if isinstance(feature, kind)]

    classes = of_feature(datasets.ClassLabel)
    others = (*classes, *(x for x in types if x.startswith(_PANDAS_INDEX)))
    values = [x for x in types if _is_label(types[x]) and x not in others]
    images = of_feature(datasets.Image), [x for x in types if _has_bytes(types[x])]
    labels = classes, [x for x in values if x == "label"], values

    def choose(kind: str, flag: str, own: str, candidates: Sequence[list[str]]) -> str:
        if own and own not in types:
            raise unknown(f"column of dataset {name!r}", own, types)
        found = next(filter(None, candidates), [])
        valid = [x for group in candidates for x in group]
        if own in valid or (not own and len(found) == 1):
            return own or found[0]
        problem = "no column" if not found else f"the columns {' and '.join(map(repr, found))}"
        if own:
            problem = f"a column {own!r}, which is not one"
        raise UserError(
            f"dataset {name!r} has {problem} of {kind} (its columns: "
            f"{listed(list(types), _MAX_NAMED)}); give {flag}NAME of one, or another dataset."
        )

    return Columns(
        choose("images", flags.image_column, given.image, images),
        choose("labels", flags.label_column, given.label, labels),
    )


def _is_label(type_: Any) -> bool:
    from pyarrow import types

    kinds = (types.is_integer, types.is_boolean, types.is_string, types.is_large_string)
    return any(is_kind(type_) for is_kind in kinds)


def _has_bytes(type_: Any) -> bool:
    """Returns whether a column has bytes, alone or in structures with the field `bytes`."""
    from pyarrow import types

    if types.is_struct(type_):
        index = type_.get_field_index("bytes")
        return index >= 0 and _has_bytes(type_.field(index).type)
    return types.is_binary(type_) or types.is_large_binary(type_)


class LabelColumn:
    """The labels of a split.

    Attributes:
      title: Name of the dataset and of the split, for messages.
      is_class_label: Whether the dataset orders its classes, by the feature `ClassLabel`.
      is_text: Whether the labels are names.
    """

    def __init__(self, title: str, table: Any, column: str) -> None:
        self.title = title
        self._column = table.data.column(column)
        self._class_names: Sequence[str] | None = getattr(table.features[column], "names", None)
        self.is_class_label = self._class_names is not None
        self.is_text = self._column.type in ("string", "large_string")

    @cached_property
    def _codes(self) -> tuple[np.ndarray, list[str]]:
        """Indices into names, int [N], negative for missing labels; and these names."""
        if self._class_names is not None:
            codes = self._column.cast("int64").fill_null(-1).to_numpy()
            return codes, list(map(nfc, self._class_names))
        encoded = self._column.combine_chunks().dictionary_encode()
        names = [nfc(str(value)) for value in encoded.dictionary.to_pylist()]
        return encoded.indices.fill_null(-1).to_numpy(), names

    @property
    def has_labels(self) -> bool:
        """Whether any row has a label."""
        return bool((self._codes[0] >= 0).any())

    @property
    def names(self) -> list[str]:
        """Names of the classes, in NFC; of texts and numbers in the order of their appearance."""
        return list(dict.fromkeys(self._codes[1]))

    def encode(self, known: Sequence[str], origin: str) -> np.ndarray:
        """Returns the labels as indices into `known`, int32 [N].

        Args:
          known: Names of the known classes.
          origin: Owner of these classes, for messages.

        Raises:
          UserError: A row has no label, or one of an unknown class.
        """
        codes, names = self._codes
        missing = np.flatnonzero(codes < 0)
        if len(missing):
            raise UserError(
                f"{self.title}: {counted(len(missing), 'row')} without a label, first row "
                f"{missing[0]:,}; remove them, or label them."
            )
        if len(codes) and codes.max() >= len(names):
            raise UserError(
                f"{self.title}: row {codes.argmax():,} has the label {codes.max():,}, and there "
                f"are {counted(len(names), 'class', 'classes')}; correct it."
            )
        index = {nfc(name): label for label, name in enumerate(known)}
        labels = np.array([index.get(name, -1) for name in names], np.int32)[codes]
        if (labels < 0).any():
            label = names[codes[labels.argmin()]]
            raise UserError(
                f"{self.title}: row {labels.argmin():,} has the label {label!r}, unknown to "
                f"{origin} ({listed(known, _MAX_NAMED)}); correct or remove it."
            )
        return labels


def known_classes(
    labels: LabelColumn, class_names: Sequence[str], class_order: str
) -> Sequence[str]:
    """Returns the names of the classes, in the order of their numbers.

    Args:
      labels: Labels of the training split.
      class_names: Names of the model's classes; empty for those of `labels`. Labels that are
        numbers, and names of a `ClassLabel`, may be others.
      class_order: One of `CLASS_ORDERS`, for all but a `ClassLabel`.

    Raises:
      UserError: There are fewer than two classes.
    """
    own = labels.names
    if class_names and (labels.is_text or {*own} <= {nfc(name) for name in class_names}):
        return class_names
    if not labels.is_class_label:
        own = sorted(own) if class_order == "sorted" else natural(own)
    if len(own) < 2:
        found = f"only one class, {own[0]!r}" if own else "no classes"
        raise UserError(f"{labels.title} has {found}; give images of two classes or more.")
    return own
