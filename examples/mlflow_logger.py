"""Logs a training run to MLflow.

MLFLOW_TRACKING_URI=sqlite:///mlflow.db python examples/mlflow_logger.py     # no server
"""

from typing import Any

import mlflow
from flax.traverse_util import flatten_dict

import flax_vision as fv


class MlflowLogger(fv.Callback):
    """Logs the steps, the epochs and the result of a run to MLflow."""

    def on_start(self, config: dict[str, Any]) -> None:
        mlflow.start_run()
        mlflow.log_params(flatten_dict(config, sep="."))

    def on_step(self, step: int, record: dict[str, float]) -> None:
        mlflow.log_metrics({f"running/{name}": x for name, x in record.items()}, step)

    def on_epoch_end(self, epoch: int, record: dict[str, Any]) -> None:
        mlflow.log_metrics(numbers(record), record["step"])

    def on_end(self, result: dict[str, Any]) -> None:
        mlflow.log_metrics(numbers(result), result["step"])
        mlflow.end_run()


def numbers(record: dict[str, Any]) -> dict[str, float]:
    """Returns the metrics for MLflow, which takes numbers only."""
    return {name: x for name, x in record.items() if isinstance(x, int | float)}


if __name__ == "__main__":
    config = {"model.name": "lenet5_modern", "epochs": 3}
    print(fv.train(config, callbacks=[MlflowLogger()]))
