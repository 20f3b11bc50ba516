"""Target codes of LeNet-5's output units: 84 components of -1 and 1 for each class."""

import numpy as np

# Figure 3: the digits 0 to 9 from left to right, each 12 rows of 7 pixels, `#` for 1, `.` for -1.
_DIGITS = """
    .#####. ...##.. .#####. ####### .#####. .#####. ..####. ####### .#####. .#####.
    ....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
    ..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
    .##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
    ##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
    ##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
    ##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
    ##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
    .##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
    ..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
    ....... ....... ....... ....... .....## ....... ....... ....... ....... .......
    ....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""


def digit_codes(num_classes: int) -> np.ndarray:
    """Returns the stylized 7x12 bitmaps of the digits (section II.B, figure 3).

    Args:
      num_classes: Number of codes to return, for the digits from 0 on.

    Returns:
      int8 [num_classes, 84], row by row, each component -1 or 1.

    Raises:
      ValueError: There are more classes than digits.
    """
    if num_classes > 10:
        raise ValueError(
            f"num_classes is {num_classes}, and figure 3 draws codes for 10 digits; "
            'codes="random" makes codes for any number of classes.'
        )
    lines = [line.split() for line in _DIGITS.split("\n") if line.strip()]
    bitmaps = ["".join(rows) for rows in zip(*lines, strict=True)]
    codes = [[1 if pixel == "#" else -1 for pixel in bitmap] for bitmap in bitmaps]
    return np.array(codes[:num_classes], np.int8)


def random_codes(num_classes: int) -> np.ndarray:
    """Returns fixed random codes, int8 [num_classes, 84], -1 and 1 equally likely.

    Section II.B names them as the alternative to the bitmaps.
    """
    return np.random.default_rng(1998).choice(np.array([-1, 1], np.int8), (num_classes, 84))
