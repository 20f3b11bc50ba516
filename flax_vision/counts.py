"""Numbers of things as people write them."""


def counted(number: int, thing: str, things: str = "") -> str:
    """Returns a number and what it is of, such as `1 image` and `1,200 images`.

    Args:
      number: how many.
      thing: what one of them is called.
      things: what several are; that and an s if not given.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
