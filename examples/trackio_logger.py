"""Logs a training run to trackio, which stores it on this machine.

python examples/trackio_logger.py && trackio show     # opens the curves in a browser
"""

from typing import Any

import trackio

import flax_vision as fv


class TrackioLogger(fv.Callback):
    """Logs the steps, the epochs and the result of a run to trackio."""

    def on_start(self, config: dict[str, Any]) -> None:
        self.run = trackio.init(project="flax_vision", config=config)

    def on_step(self, step: int, record: dict[str, float]) -> None:
        self.run.log({f"running/{name}": value for name, value in record.items()}, step)

    def on_epoch_end(self, epoch: int, record: dict[str, Any]) -> None:
        self.run.log(record, record.pop("step"))  # trackio reserves this name

    def on_end(self, result: dict[str, Any]) -> None:
        self.run.log(result, result.pop("step"))
        self.run.finish()


if __name__ == "__main__":
    config = {"model.name": "lenet5_modern", "epochs": 3}
    print(fv.train(config, callbacks=[TrackioLogger()]))
