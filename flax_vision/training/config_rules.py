"""Rules for the values of configuration keys: a predicate, and the rule in words."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A rule for a value.

    Attributes:
      is_valid: Predicate; for a value of another type it may raise an error.
      text: The rule in words that complete "it must be".
    """

    is_valid: Callable[[Any], bool]
    text: str

    def accepts(self, value: Any) -> bool:
        """Returns whether a value is valid."""
        try:
            return self.is_valid(value)
        except (TypeError, ValueError, OverflowError):
            return False


def _all_finite(values: Any) -> bool:
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


def _is_per_channel(values: Any) -> bool:
    return len(values) > 0 and _all_finite(values)


def _are_class_weights(text: str) -> bool:
    return text in ("none", "balanced") or _all_finite([float(x) for x in text.split(",")])


def _are_factors_by_pattern(pairs: Any) -> bool:
    return all(
        isinstance(pattern, str) and not isinstance(factor, bool) and 0 <= factor < math.inf
        for pattern, factor in pairs
    )


def _are_classes(names: Any) -> bool:
    are_names = all(isinstance(name, str) and name for name in names)
    return not names or (are_names and len(names) == len({*names}) >= 2)


def _is_range(values: Any, most: float = math.inf) -> bool:
    """Returns whether `values` are two numbers above 0 and at most `most`, the lower first."""
    low, high = values
    return _all_finite(values) and 0 < low <= high <= most


_INT32_MAX = 2**31 - 1

COUNT = Rule(lambda value: 1 <= value <= _INT32_MAX, f"from 1 to {_INT32_MAX}")
COUNT_OR_0 = Rule(lambda value: 0 <= value <= _INT32_MAX, f"from 0 to {_INT32_MAX}")
AT_LEAST_0 = Rule(lambda value: 0 <= value < math.inf, "at least 0 and finite")
AT_LEAST_1 = Rule(lambda value: value >= 1, "at least 1")
ABOVE_0 = Rule(lambda value: 0 < value < math.inf, "greater than 0 and finite")
FRACTION = Rule(lambda value: 0 <= value < 1, "from 0 to below 1")
FROM_0_TO_1 = Rule(lambda value: 0 <= value <= 1, "from 0 to 1")
HUE = Rule(lambda value: 0 <= value <= 0.5, "from 0 to 0.5")
DEGREES = Rule(lambda value: 0 <= value <= 180, "from 0 to 180 degrees")
BETWEEN_0_AND_1 = Rule(lambda value: 0 < value < 1, "between 0 and 1")
FINITE = Rule(math.isfinite, "finite")
ALL_FINITE = Rule(_all_finite, "finite numbers")
PER_CHANNEL = Rule(_is_per_channel, "finite numbers, one or one a channel")
NONZERO_PER_CHANNEL = Rule(
    lambda values: _is_per_channel(values) and all(values),
    "finite numbers other than 0, one or one a channel",
)
PIXEL_RANGE = Rule(
    lambda values: _is_range(values) and all(isinstance(x, int) for x in values),
    "two whole numbers of pixels, the lower first",
)
AREA_RANGE = Rule(
    lambda values: not values or _is_range(values, 1),
    "empty, or two numbers above 0 and at most 1, the lower first",
)
RATIO_RANGE = Rule(_is_range, "two numbers above 0, the lower first")
INCREASING = Rule(
    lambda values: _all_finite(values) and sorted(values) == list(values),
    "epochs, the earlier first",
)
CLASS_WEIGHTS = Rule(
    _are_class_weights, "none, balanced, or a number for each class, such as 1,2,0.5"
)
CLASSES = Rule(_are_classes, "empty, or the names of two classes or more, such as cat,dog")
FACTORS_BY_PATTERN = Rule(
    _are_factors_by_pattern, 'patterns of layers with numbers from 0, such as {"conv.*": 0.1}'
)
COLUMNS = Rule(lambda value: value in (1, 2), "1, or 2 for AlexNet's columns")
