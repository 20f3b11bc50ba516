"""Logs a training run to Weights & Biases.

WANDB_MODE=offline python examples/wandb_logger.py     # no account; files in wandb/
"""

from typing import Any

import wandb

import flax_vision as fv


class WandbLogger(fv.Callback):
    """Logs the steps, the epochs and the result of a run to Weights & Biases."""

    def on_start(self, config: dict[str, Any]) -> None:
        self.run = wandb.init(project="flax_vision", config=config)

    def on_step(self, step: int, record: dict[str, float]) -> None:
        self.run.log({f"running/{name}": value for name, value in record.items()}, step=step)

    def on_epoch_end(self, epoch: int, record: dict[str, Any]) -> None:
        self.run.log(record, step=record["step"])

    def on_end(self, result: dict[str, Any]) -> None:
        self.run.summary.update(result)
        self.run.finish()


if __name__ == "__main__":
    config = {"model.name": "lenet5_modern", "epochs": 3}
    print(fv.train(config, callbacks=[WandbLogger()]))
