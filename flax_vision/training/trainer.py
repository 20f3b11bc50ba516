"""The loop of a run: epochs, validation, checkpoints, and the final test and export."""

import dataclasses
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from flax_vision.data.batches import Batch, evaluation_batches, sample_batch, training_batches
from flax_vision.data.dataset import Dataset
from flax_vision.data.splits import unreadable_warning
from flax_vision.errors import UserError, add_file_name
from flax_vision.evaluation.class_metrics import EvalTotals
from flax_vision.evaluation.metrics import Totals, has_top5, sum_batches
from flax_vision.ops import backend
from flax_vision.runtime import environment, multihost
from flax_vision.training import build, poll, progress, run_dir, signals, throughput
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.histograms import Histograms
from flax_vision.training.state import TrainState, is_finite
from flax_vision.weights import saved_model
from flax_vision.weights.run_checkpoints import CorruptCheckpointError, History, epoch_rank


@dataclass
class Trainer:
    """A run: call `start`, `train` and `finish` in this order.

    Attributes:
      experiment: Data, model and functions.
      directory: Directory of the run.
      display: Display of the progress.
      interruption: Signals that ask the run to stop.
    """

    experiment: build.Experiment
    directory: run_dir.RunDirectory
    display: progress.TrainingObserver
    interruption: signals.Interruption

    def __post_init__(self) -> None:
        self._config, self._functions = self.experiment.config, self.experiment.functions
        self._partitioner = self._functions.partitioner
        self._histograms = Histograms(self.experiment)
        self._history: History = []
        self._state: TrainState
        self._step = 0
        # Two, because a step of training may take many times as long as one of evaluation.
        self._train_poll, self._eval_poll = poll.Poll(), poll.Poll()
        self.directory.check_exists()
        max_to_keep = self._config.checkpoint.max_to_keep
        self._checkpoints = Checkpoints(self.directory.checkpoints, max_to_keep, self._best_step)
        self._saved_at = self._epoch_started_at = time.monotonic()

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        is_lost = kind is not None and issubclass(kind, JaxRuntimeError)
        try:
            if not is_lost or multihost.process_count() == 1:  # a save may wait forever
                self._checkpoints.close()
        finally:
            self.directory.check_exists()  # this error explains the others

    def start(self) -> None:
        """Restores the newest checkpoint or initializes the state, and compiles the functions."""
        functions, experiment, display = self._functions, self.experiment, self.display
        restored = self._checkpoints.restore_newest(functions.state, display.warning)
        if restored is None:
            self._state = self._init_state()
        else:
            self._state, self._history = restored
            self._step = int(self._state.step)
            self._checkpoints.set_aside_after(self._step, display.warning)
            display.line(f"resuming from step {self._step:,}")
        self.directory.start(experiment.metadata, self._history)
        hardware = f"{backend.describe()}; {environment.describe()}"
        for line in (experiment.summary(), *experiment.notes, hardware):
            display.line(line)
        if self._partitioner.mesh.size > 1:
            display.line(f"mesh: {self._partitioner.describe(functions.state.params)}")
        display.imbalance(experiment.splits.train.imbalance)
        display.compiling()
        functions.compile()
        display.begin(self._step)
        self._epoch_started_at = time.monotonic()

    def _init_state(self) -> TrainState:
        variables = self.experiment.init_variables
        if variables is None:
            raise UserError(
                f"{self.directory.checkpoints} has no checkpoint to resume from; give another "
                "--workdir to start again."
            )
        return self._functions.init(self._config.seed).init_from(variables)

    def train(self) -> None:
        """Trains and validates the remaining epochs."""
        for epoch in range(len(self._history), self._config.epochs):
            record = self._train_epoch(epoch) | self._validate()
            seconds = time.monotonic() - self._epoch_started_at
            self._epoch_started_at += seconds
            if self._end_epoch(record | {"epoch_seconds": seconds}):
                break
        self._save()

    def _end_epoch(self, record: dict[str, Any]) -> bool:
        self._history.append(record)
        error = np.float32(1 - record.get("validation/top1", np.nan))
        self._state = self._functions.end_epoch(self._state, error)
        self.directory.log(record)
        self.directory.log_histograms(self._step, self._histograms(self._state))
        self.display.epoch(record, self._config.epochs, self.experiment.total_steps)
        self.display.left_out(unreadable_warning(self.experiment.splits))
        is_best = "validation/top1" in record and self._best_step() == self._step
        saves, ends = multihost.all_max(is_best or self._is_save_due, self.display.ends_run)
        if saves:
            self._save()
        return bool(ends)

    def finish(self) -> dict[str, Any]:
        """Tests and exports the best model, and returns the result of the run."""
        self._checkpoints.wait()
        best, state = self._restore_best()
        splits = self.experiment.splits
        totals = self._evaluate(state.variables, splits.test)
        averages = totals.averages()
        if not has_top5(len(splits.test.class_names)):
            del averages["top5"]
        self.display.left_out(unreadable_warning(splits))
        result = {
            "step": self._step,
            "best_epoch": best["epoch"],
            **{name: value for name, value in best.items() if name.startswith("validation/")},
            **_with_prefix("test", averages),
            "test/images": int(totals.count),
            "train/imbalance": splits.train.imbalance,
            "train_seconds": sum(record["epoch_seconds"] for record in self._history),
            "input_wait_fraction": statistics.fmean(
                record.get("input_wait_fraction", 0.0) for record in self._history
            ),
        }
        self._export(state, result)
        self.directory.finish(result)
        return result

    def _export(self, state: TrainState, result: dict[str, Any]) -> None:
        metadata = dataclasses.replace(self.experiment.metadata, metrics=result)
        variables = self._partitioner.all_gather(state.variables)
        if multihost.is_primary():
            with add_file_name(self.directory.export):
                saved_model.save(self.directory.export, metadata, variables)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """Trains the rest of an epoch and returns its record.

        Loss and accuracy cover the whole epoch. The throughput covers the steps of this process, if
        there are any.
        """
        meter = throughput.ThroughputMeter()
        for batch in meter.timed(self._train_batches(epoch), self._is_device_idle):
            if is_poll := self._train_poll.is_due():
                self._stop_if_asked(self._train_poll)
            self._train_step(batch)
            if is_poll:
                shows, saves = multihost.all_max(self.display.due_at(self._step), self._is_save_due)
                if shows:
                    self._show_progress(epoch, meter)
                if saves:
                    self._save()
        # On the host, because the new step is not on the devices of all processes.
        plateau = jax.device_get(self._state.plateau)
        last = self._state.replace(step=np.int32(self._step - 1), plateau=plateau)
        return {
            "epoch": epoch + 1,
            "step": self._step,
            "learning_rate": float(self._functions.learning_rate(last)),
            **_with_prefix("train", self._finite_totals().averages()),
            **meter.record(),
        }

    def _train_step(self, batch: Batch) -> None:
        if batch.labels.ndim == 1:
            self._state = self._functions.train_step(self._state, batch)
            self._step += 1
        else:
            self._state = self._functions.train_steps(self._state, batch)
            self._step += len(batch.labels)
        if not self.experiment.splits.train.in_memory:
            # Queued steps would hold their images and hide how long the next batch takes.
            jax.block_until_ready(self._state.step)

    def _is_device_idle(self) -> bool:
        step: Any = self._state.step
        return step.is_ready()

    def _train_batches(self, epoch: int) -> Iterator[Batch]:
        """Yields the rest of an epoch's batches on the devices."""
        config, train = self._config, self.experiment.splits.train
        start = self._step - epoch * self.experiment.steps_per_epoch
        if config.optimizer.name == "levenberg_marquardt" and not start:
            size = config.optimizer.curvature_samples
            chosen = sample_batch(train, size, config.seed, epoch, config.data.sampler)
            chosen = self._partitioner.replicate(chosen)
            self._state = self._functions.begin_epoch(self._state, chosen)
        size, reshuffle = config.batch_size, config.data.reshuffle
        steps, rows = config.steps_per_call, self._partitioner.local_rows(size)
        batches = training_batches(
            train, size, config.seed, epoch, start, reshuffle, steps, rows, config.data.sampler
        )
        return map(self._partitioner.shard_batch, batches)

    def _validate(self) -> dict[str, float]:
        validation = self.experiment.splits.validation
        if not len(validation):
            return {}
        averages = self._evaluate(self._state.variables, validation).averages()
        return _with_prefix("validation", averages)

    def _evaluate(self, variables: Any, images: Dataset) -> EvalTotals:
        size, partitioner = self._config.batch_size, self._partitioner
        batches = evaluation_batches(images, size, partitioner.local_rows(size))
        sharded = map(partitioner.shard_batch, batches)
        return sum_batches(self._functions.eval_step, variables, sharded, self._stop_if_due)

    def _show_progress(self, epoch: int, meter: throughput.ThroughputMeter) -> None:
        name, steps = f"{epoch + 1}/{self._config.epochs}", self.experiment.total_steps
        record = self._finite_totals().averages() | meter.record()
        self.display.training(name, self._step, steps, record)

    def _finite_totals(self) -> Totals:
        """Returns the totals of the epoch so far; raises a UserError for a loss not finite."""
        totals, bad_step = jax.device_get((self._state.totals, self._state.bad_step))
        if bad_step:
            raise self._not_finite(int(bad_step))
        return totals

    def _best_step(self) -> int | None:
        return max(self._history, key=epoch_rank)["step"] if self._history else None

    def _restore_best(self) -> tuple[dict[str, Any], TrainState]:
        """Returns the record and state of the best epoch with an undamaged checkpoint."""
        for record in sorted(self._history, key=epoch_rank, reverse=True):
            if record["step"] in self._checkpoints.steps():
                try:
                    state, _ = self._checkpoints.restore(record["step"], self._functions.state)
                except CorruptCheckpointError as damage:
                    self.display.warning(f"{damage}; taking the next best epoch")
                else:
                    return record, state
        raise UserError(
            f"no checkpoint of a finished epoch in {self.directory.path} can be read; the same "
            "command resumes from the newest undamaged one."
        )

    @property
    def _is_save_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._config.checkpoint.save_interval_secs

    def _save(self) -> None:
        if not is_finite(self._state):
            raise self._not_finite(int(self._state.bad_step) or self._step)
        self.directory.restore_config()
        self._checkpoints.save(self._step, self._state, self._history)
        self._saved_at = time.monotonic()

    def _stop_if_due(self) -> None:
        if self._eval_poll.is_due():
            self._stop_if_asked(self._eval_poll)

    def _stop_if_asked(self, decisions: poll.Poll) -> None:
        number = decisions.decide(self.interruption.signal or 0)
        if not number:
            return
        self._save()
        self._checkpoints.wait()
        stopped_by = signal.Signals(number)
        raise signals.Interrupted(
            stopped_by,
            f"stopped by {stopped_by.name} after step {self._step:,} of "
            f"{self.experiment.total_steps:,}; all of it is saved in {self.directory.path}. "
            "Give the same command again to resume.",
            is_common=True,
        )

    def _not_finite(self, step: int) -> UserError:
        rate = self._config.schedule.lr
        self._checkpoints.wait()
        steps, epoch = self._checkpoints.steps(), (step - 1) // self.experiment.steps_per_epoch + 1
        return UserError(
            f"the loss is not finite at step {step:,} (epoch {epoch}). Likely causes: a learning "
            f"rate that is too high (config.schedule.lr is {rate}; try {rate / 10:g}), or "
            "pixels that are not normalized (config.data.mean and std). "
            + (f"The checkpoint of step {steps[-1]:,} is kept." if steps else "Nothing was saved.")
        )


def _with_prefix(split: str, averages: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in averages.items()}
