"""Runs `flax-vision`: `python -m flax_vision`."""

import sys

from flax_vision.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
