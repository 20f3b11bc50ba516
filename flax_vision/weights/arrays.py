"""Arrays by their names: whether they are those of a network, and their numbers finite."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flax_vision.errors import UserError
from flax_vision.text import listed

_NAMED = 10
"""Arrays of each kind that an error names."""

Shape = tuple[int, ...]


def differences(expected: Mapping[str, Shape], given: Mapping[str, Shape]) -> str:
    """Returns which arrays are missing, surplus and misshapen; empty for none.

    Args:
      expected: shapes by name, of all that should be there.
      given: shapes by name, of all that are there.
    """
    shared = expected.keys() & given.keys()
    groups = {
        "missing": sorted(f"{key} {list(expected[key])}" for key in expected.keys() - shared),
        "surplus": sorted(f"{key} {list(given[key])}" for key in given.keys() - shared),
        "misshapen": sorted(
            f"{key} {list(given[key])} instead of {list(expected[key])}"
            for key in shared
            if expected[key] != given[key]
        ),
    }
    return "; ".join(f"{kind}: {listed(keys, _NAMED)}" for kind, keys in groups.items() if keys)


def check_finite(arrays: Mapping[str, Any], advice: str) -> None:
    """Raises a UserError where arrays have numbers that are not finite.

    Args:
      arrays: by name; on any device.
      advice: what to do then.
    """
    # A sum, and not each number's own answer, which would take a quarter of the weights' memory.
    with np.errstate(invalid="ignore"):
        sums = {name: np.sum(np.asarray(x), dtype=np.float64) for name, x in arrays.items()}
    bad = [name for name, total in sums.items() if not np.isfinite(total)]
    if bad:
        raise UserError(f"not all numbers are finite in {listed(bad, _NAMED)}; {advice}.")
