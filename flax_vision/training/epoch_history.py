"""The finished epochs of a run: the best one, and whether the run ends early."""

import statistics
from typing import Any

from ml_collections import ConfigDict

from flax_vision.training.early_stopping import is_time_over, patience_reason, time_reason
from flax_vision.weights.best_epoch import best_first, choose_metric, record_metric
from flax_vision.weights.run_checkpoints import History


class EpochHistory:
    """The records of a run's finished epochs.

    Attributes:
      records: Records, oldest first.
      stopped_early: Reason why the run ends before its last epoch; empty if it does not.
    """

    def __init__(self, config: ConfigDict, imbalance: float | None) -> None:
        """Begins without records.

        Args:
          config: Checked configuration.
          imbalance: Ratio of the largest training class to the smallest; None if unknown.
        """
        self._config = config
        self._imbalance = {} if imbalance is None else {"train/imbalance": imbalance}
        self._metric = choose_metric(config.checkpoint.best_metric, imbalance)
        self.records: History = []
        self.stopped_early = ""

    def __len__(self) -> int:
        return len(self.records)

    def restore(self, records: History) -> None:
        """Takes the records of a checkpoint, and the metric in them."""
        self.records = records
        if records:
            self._metric = record_metric(records[-1])
        self._end_by_patience()
        if self.is_time_over(0.0):
            self.end_by_time()

    def add(self, record: dict[str, Any]) -> None:
        """Adds the record of an epoch, with the name of the metric unless it is top-1."""
        if "validation/top1" in record and self._metric != "top1":
            record["best_metric"] = self._metric
        self.records.append(record)
        self._end_by_patience()

    def best_step(self) -> int | None:
        """Returns the last step of the best epoch; None without epochs."""
        return best_first(self.records)[0]["step"] if self.records else None

    @property
    def has_ended(self) -> bool:
        """Whether no epoch follows."""
        return len(self) >= self._config.epochs or bool(self.stopped_early)

    @property
    def is_test_due(self) -> bool:
        """Whether the next record is of an epoch with a test."""
        every = self._config.test_every_epochs
        return every > 0 and (len(self) + 1) % every == 0

    def is_time_over(self, seconds: float) -> bool:
        """Returns whether the run has reached its time limit.

        Args:
          seconds: Training time since the last epoch, in this launch.
        """
        return not self.has_ended and is_time_over(self._config.stop, self.records, seconds)

    def end_by_time(self) -> None:
        """Ends the run at its time limit."""
        self.stopped_early = time_reason(self._config.stop)

    def end_by_callback(self) -> None:
        """Ends the run for a callback, unless it has ended already."""
        if not self.has_ended:
            self.stopped_early = "a callback raised StopTraining"

    def totals(self) -> dict[str, float]:
        """Returns the imbalance, the training time, and the mean fraction of waiting for input."""
        waits = [record.get("input_wait_fraction", 0.0) for record in self.records]
        return self._imbalance | {
            "train_seconds": sum(record["epoch_seconds"] for record in self.records),
            "input_wait_fraction": statistics.fmean(waits),
        }

    def early_end(self) -> dict[str, str]:
        """Returns the entry of the result about an early end; empty for none."""
        return {"stopped_early": self.stopped_early} if self.stopped_early else {}

    def describe_end(self) -> str:
        """Returns a line about early stopping; empty for a normal end."""
        finished = f"{len(self):,} of {self._config.epochs:,} epochs"
        return self.stopped_early and f"stopped early after {finished}: {self.stopped_early}"

    def _end_by_patience(self) -> None:
        if not self.has_ended:
            self.stopped_early = patience_reason(self._config.stop, self.records)
