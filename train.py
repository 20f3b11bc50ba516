"""Trains a model: `python train.py --config configs/lenet5.py`; see also `--help`."""

import sys

if __name__ == "__main__":
    from flax_vision.training.signals import stop_at_once_on_ctrl_c

    stop_at_once_on_ctrl_c()  # before the slow imports

    from flax_vision.cli.train import main

    sys.exit(main())
