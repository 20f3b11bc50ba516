"""Trains a network: `python train.py --config configs/lenet5.py`; `--help` tells the rest."""

import sys

if __name__ == "__main__":
    from flax_vision.training.signals import stop_at_once_on_ctrl_c

    stop_at_once_on_ctrl_c()  # before the imports that take long

    from flax_vision.cli.train import main

    sys.exit(main())
