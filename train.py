"""Trains a network: `python train.py --config configs/lenet5.py`; `--help` tells the rest."""

import sys

from flax_vision.training.command import main

if __name__ == "__main__":
    sys.exit(main())
